"""Image files and requests made on the spot."""

import base64
import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

from rakinglight.wire import array_to_json

Array = np.ndarray[Any, Any]


def noise(height: int = 20, width: int = 30, channels: int = 3, seed: int = 0) -> Array:
    """uint8 [H, W, C]."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def png(pixels: Array) -> bytes:
    return saved(Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels), "PNG")


def saved(image: Image.Image, form: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def base64_of(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def tensor(value: Array) -> dict[str, Any]:
    return array_to_json(value)


def bomb(width: int = 60_000, height: int = 60_000) -> bytes:
    """A PNG of a few bytes whose header promises billions of pixels."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )
