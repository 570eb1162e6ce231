"""Zip archives made by hand: whatever `zipfile` would not write."""

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from tests.service.pictures_at_hand import noise, png, saved

PNG = png(noise(4, 5))
JPEG = saved(Image.fromarray(noise(6, 5, seed=1)), "JPEG")
WEBP = saved(Image.fromarray(noise(7, 5, seed=2)), "WEBP")
LINK = (stat.S_IFLNK | 0o777) << 16
FOLDER = (stat.S_IFDIR | 0o755) << 16
PIPE = (stat.S_IFIFO | 0o600) << 16


@dataclass(frozen=True)
class Lie:
    """An entry of which the parts can be said to be other than they are. None is the truth."""

    content: bytes = PNG
    method: int = 0
    flags: int = 0
    attributes: int = 0
    size: int | None = None
    packed: bytes | None = None
    packed_size: int | None = None
    crc: int | None = None
    offset: int | None = None
    local_name: str | None = None


def zip_of(files: Mapping[str, bytes | Lie], *more: tuple[str, bytes | Lie], **end: Any) -> bytes:
    """An archive of `files`, and of `more`, which may have names that are there already; `end` overrides its end."""
    out, directory = b"", b""
    for name, lie in (*files.items(), *more):
        lie = Lie(lie) if isinstance(lie, bytes) else lie
        packed = lie.packed if lie.packed is not None else _packed(lie)
        crc = zlib.crc32(lie.content) if lie.crc is None else lie.crc
        size = len(lie.content) if lie.size is None else lie.size
        packed_size = len(packed) if lie.packed_size is None else lie.packed_size
        said = 20, lie.flags, lie.method, 0, 0, crc, packed_size, size
        raw, local = name.encode(errors="surrogateescape"), (lie.local_name or name).encode(errors="surrogateescape")
        offset = len(out) if lie.offset is None else lie.offset
        out += struct.pack("<4s5H3L2H", b"PK\x03\x04", *said, len(local), 0) + local + packed
        directory += struct.pack(
            "<4s6H3L5H2L", b"PK\x01\x02", 0, *said, len(raw), 0, 0, 0, 0, lie.attributes, offset
        ) + raw  # fmt: skip
    count = len(files) + len(more)
    fields = {"disk": 0, "first": 0, "here": count, "count": count, "size": len(directory), "start": len(out)} | end
    return out + directory + struct.pack("<4s4H2LH", b"PK\x05\x06", *fields.values(), 0)


def plain_zip(files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """What a well-meaning caller sends."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def npz_of(*, packed: bool = False, **arrays: Any) -> bytes:
    out = io.BytesIO()
    (np.savez_compressed if packed else np.savez)(out, **arrays)
    return out.getvalue()


def npy(head: str, values: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    """An array with this head."""
    raw = head.encode() + b"\n"
    length = struct.pack("<H" if version[0] == 1 else "<I", len(raw))
    return b"\x93NUMPY" + version + length + raw + values


def _packed(lie: Lie) -> bytes:
    if lie.method != 8:
        return lie.content
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    return deflate.compress(lie.content) + deflate.flush()
