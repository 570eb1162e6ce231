"""Frames: what gateway and worker say to each other.

A frame is a kind, a tree of plain values, and the arrays in it as raw bytes:

    ┌────────────┬───────────┬──────────────────────────┬──────────────┐
    │ length u32 │ head u32  │ head: JSON, UTF-8        │ arrays, raw  │
    └────────────┴───────────┴──────────────────────────┴──────────────┘
      of the rest  of the head  {"kind": ..., "body": ...}

Integers are big-endian, arrays little-endian in C order. An array stands in the JSON as {"$array": [dtype, shape]}, in
the order in which its bytes follow. TorchServe cuts a stream wherever it likes, so a frame carries its own length, and
a stream is whole only when its last frame is a `result` or a `problem`.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import struct
from asyncio import StreamReader
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np

from rakinglight.errors import BadParameter, FieldError, InternalError, RakinglightError, TooLarge, shown

Kind = Literal["request", "head", "progress", "heartbeat", "result", "problem"]
KINDS = frozenset(get_args(Kind))
TERMINAL: frozenset[str] = frozenset({"result", "problem"})
DTYPES = {"float32", "float64", "float16", "uint8", "int32", "int64", "bool"}
FRAME_LIMIT = 256 * 2**20

_U32 = struct.Struct(">I")


@dataclass(frozen=True)
class Frame:
    """One message. `body` is a tree of dicts, lists, numbers, strings and numpy arrays."""

    kind: Kind
    body: dict[str, Any] = field(default_factory=dict)

    @property
    def terminal(self) -> bool:
        """Whether the stream is whole with this frame."""
        return self.kind in TERMINAL

    def __bytes__(self) -> bytes:
        blobs: list[bytes] = []
        head = json.dumps({"kind": self.kind, "body": _lift_arrays(self.body, blobs)}, separators=(",", ":")).encode()
        length = _U32.size + len(head) + sum(map(len, blobs))
        if length > FRAME_LIMIT:
            raise TooLarge(f"A message of {length} bytes is over the limit of {FRAME_LIMIT}.")
        return b"".join([_U32.pack(length), _U32.pack(len(head)), head, *blobs])

    @staticmethod
    def read(raw: bytes) -> Frame:
        """The one frame that `raw` holds."""
        reader = FrameReader()
        frames = list(reader.feed(raw))
        if len(frames) != 1 or reader.pending:
            raise InternalError(f"{len(raw)} bytes hold {len(frames)} frames and a rest of {reader.pending}.")
        return frames[0]


class FrameReader:
    """Cuts a stream of bytes, however it arrives, into frames."""

    def __init__(self, limit: int = FRAME_LIMIT) -> None:
        self._buffer = bytearray()
        self._limit = limit

    @property
    def pending(self) -> int:
        """Bytes of a frame that has not arrived whole."""
        return len(self._buffer)

    def feed(self, chunk: bytes | bytearray | memoryview) -> Iterator[Frame]:
        """Take in `chunk`; yield the frames that are whole now."""
        self._buffer += chunk
        while len(self._buffer) >= _U32.size:
            (length,) = _U32.unpack_from(self._buffer)
            if length > self._limit:
                raise TooLarge(f"A frame of {length} bytes is over the limit of {self._limit}.")
            end = _U32.size + length
            if len(self._buffer) < end:
                return
            raw = bytes(self._buffer[_U32.size : end])
            del self._buffer[:end]
            yield _parse(raw)


async def first_frame(reader: StreamReader) -> Frame | None:
    """The first frame that `reader` reads; None where the stream ends before it is whole, or holds something else."""
    frames = FrameReader()
    with suppress(RakinglightError):
        while chunk := await reader.read(2**20):
            for frame in frames.feed(chunk):
                return frame
    return None


def _parse(raw: bytes) -> Frame:
    try:
        (size,) = _U32.unpack_from(raw)
        head = json.loads(raw[_U32.size : _U32.size + size])
        body = _lower_arrays(head["body"], memoryview(raw)[_U32.size + size :], [0])
        if head["kind"] not in KINDS:
            raise ValueError(f"there is no kind {head['kind']!r}")
        return Frame(head["kind"], body)
    except (KeyError, OverflowError, RecursionError, TypeError, ValueError, struct.error) as e:
        raise InternalError(f"A frame of {len(raw)} bytes cannot be read: {e}.") from e


def _lift_arrays(value: Any, blobs: list[bytes]) -> Any:
    match value:
        case np.ndarray():
            blobs.append(value.astype(value.dtype.newbyteorder("<"), copy=False).tobytes())
            return {"$array": [value.dtype.name, list(value.shape)]}
        case dict():
            return {k: _lift_arrays(v, blobs) for k, v in value.items()}
        case list() | tuple():
            return [_lift_arrays(v, blobs) for v in value]
        case np.generic():
            return value.item()
        case _:
            return value


def _lower_arrays(value: Any, blob: memoryview, at: list[int]) -> Any:
    match value:
        case {"$array": [str(name), list(shape)]}:
            if name not in DTYPES or not all(type(n) is int and n >= 0 for n in shape):
                raise ValueError(f"there is no array of {name} {shape}")
            dtype, count = np.dtype(name), math.prod(shape)
            start, at[0] = at[0], at[0] + count * dtype.itemsize
            return np.frombuffer(blob[start : at[0]], dtype=dtype).reshape(shape)
        case dict():
            return {k: _lower_arrays(v, blob, at) for k, v in value.items()}
        case list():
            return [_lower_arrays(v, blob, at) for v in value]
        case _:
            return value


def array_to_json(array: np.ndarray[Any, Any]) -> dict[str, Any]:
    """The contract's form of an array: {"dtype", "shape", "data"}, base64 of little-endian bytes in C order."""
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return {
        "dtype": array.dtype.name,
        "shape": list(array.shape),
        "data": base64.b64encode(little.tobytes()).decode(),
    }


def array_from_json(value: dict[str, Any], pointer: str = "") -> np.ndarray[Any, Any]:
    """The array that `value` ({"dtype", "shape", "data"}) says. Raises BadParameter, naming `pointer`."""

    def wrong(detail: str) -> BadParameter:
        where = f"The tensor at {pointer}: " if pointer else ""
        return BadParameter(where + detail, errors=[FieldError(pointer, detail)])

    name, shape, data = value.get("dtype"), value.get("shape"), value.get("data")
    if not isinstance(name, str) or name not in DTYPES:
        raise wrong(f"dtype {shown(name)} is not one of {', '.join(sorted(DTYPES))}.")
    if not isinstance(shape, list) or len(shape) > 8 or not all(type(n) is int and 0 < n < 2**31 for n in shape):
        raise wrong(f"shape {shown(shape)} is not a list of at most 8 positive integers.")
    if not isinstance(data, str):
        raise wrong("data is not a string; it holds the base64 of the little-endian bytes in C order.")
    try:
        raw = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as e:
        raise wrong(f"data is not base64: {e}.") from e
    dtype = np.dtype(name).newbyteorder("<")
    wanted = math.prod(shape) * dtype.itemsize
    if len(raw) != wanted:
        raise wrong(f"data holds {len(raw)} bytes, {name} of shape {shape} is {wanted}.")
    return np.frombuffer(raw, dtype=dtype).astype(name, copy=False).reshape(shape)


HEARTBEAT = bytes(Frame("heartbeat"))
