"""What a job was asked, as it is kept until it is over: the request as its door read it, images included."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from rakinglight.wire import Frame
from service.ask import Ask, Image

#: What makes no request another: who asked, and under which number.
_ASIDE = {"images", "request_id", "caller"}


def to_bytes(ask: Ask) -> bytes:
    """`ask`, whole."""
    members = {member.name: getattr(ask, member.name) for member in fields(Ask)}
    return bytes(Frame("request", {**members, "images": [_kept(image) for image in ask.images]}))


def from_bytes(raw: bytes) -> Ask:
    """What `to_bytes` was given."""
    body = Frame.read(raw).body
    return Ask(**{**body, "images": [_image(kept) for kept in body["images"]]})


def digest(ask: Ask) -> str:
    """Equal for two requests that ask for the same, whichever door they came by. Hexadecimal."""
    members = {member.name: getattr(ask, member.name) for member in fields(Ask) if member.name not in _ASIDE}
    said = hashlib.sha256(json.dumps(members, sort_keys=True, default=str).encode())
    for image in ask.images:
        kind = b"file" if isinstance(image, bytes) else f"{image.dtype} {image.shape}".encode()
        content = image if isinstance(image, bytes) else np.ascontiguousarray(image).tobytes()
        said.update(kind + hashlib.sha256(content).digest())
    return said.hexdigest()


def _kept(image: Image) -> Mapping[str, Any]:
    return {"file": np.frombuffer(image, np.uint8)} if isinstance(image, bytes) else {"tensor": image}


def _image(kept: Mapping[str, Any]) -> Image:
    return bytes(kept["file"]) if "file" in kept else kept["tensor"]
