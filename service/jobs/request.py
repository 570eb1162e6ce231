"""What a job was asked, as it is kept until it is over: the request as its door read it, images included."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from rakinglight import reply
from rakinglight.wire import Frame
from service.ask import Ask, Image

#: Characters of a text that is told whole.
LONG = 100
#: What makes no request another: who asked, and under which number.
_ASIDE = {"images", "request_id", "caller", "key"}


def to_bytes(ask: Ask) -> bytes:
    """`ask`, whole."""
    members = {member.name: getattr(ask, member.name) for member in fields(Ask)}
    return bytes(Frame("request", {**members, "images": [_kept(image) for image in ask.images]}))


def from_bytes(raw: bytes) -> Ask:
    """What `to_bytes` was given."""
    body = Frame.read(raw).body
    return Ask(**{**body, "images": [_image(kept) for kept in body["images"]]})


def asked(ask: Ask) -> dict[str, Any]:
    """What tells `ask` apart from others by the same method, as JSON has it: what was said of it, and no images."""
    said = {"parameters": ask.parameters, "compare": ask.compare, "seed": ask.seed, "dataset": ask.dataset}
    return {name: _short(reply.to_json(value)) for name, value in said.items() if value}


def _short(value: Any) -> Any:
    """`value`, in which its digest stands for a long text: a list of jobs is for reading, and pictures are not read."""
    match value:
        case str() if len(value) > LONG:
            return {"sha256": hashlib.sha256(value.encode()).hexdigest(), "bytes": len(value)}
        case Mapping():
            return {name: _short(one) for name, one in value.items()}
        case list():
            return [_short(one) for one in value]
        case _:
            return value


def digest(ask: Ask) -> str:
    """Equal for two requests that ask for the same, whichever door they came by. Hexadecimal.

    Raises TypeError for a parameter whose content it cannot tell.
    """
    members = {member.name: getattr(ask, member.name) for member in fields(Ask) if member.name not in _ASIDE}
    said = hashlib.sha256(json.dumps(members, sort_keys=True, default=_content).encode())
    for image in ask.images:
        said.update(json.dumps(_content(image)).encode())
    return said.hexdigest()


def _content(value: object) -> Any:
    """Of what JSON has no form for: all that tells it from others, in few bytes."""
    match value:
        case np.ndarray():
            content = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
            return {"array": [str(value.dtype), value.shape, content]}
        case bytes():
            return {"bytes": hashlib.sha256(value).hexdigest()}
        case np.generic():
            return value.item()
        case Mapping():
            return dict(value)
        case _:
            raise TypeError(f"a {type(value).__name__} cannot be told from others")


def _kept(image: Image) -> Mapping[str, Any]:
    return {"file": np.frombuffer(image, np.uint8)} if isinstance(image, bytes) else {"tensor": image}


def _image(kept: Mapping[str, Any]) -> Image:
    return bytes(kept["file"]) if "file" in kept else kept["tensor"]
