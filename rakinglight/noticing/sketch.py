"""What is kept of a picture: a few of its pixels, at places that only the salt tells.

The difference of two pictures, looked at in random pixels, has there what it has everywhere: its size, how its values
are spread and whether neighbours agree. So 256 bytes do for a picture of any size.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import shake_256
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

#: Squares of 2 x 2 neighbours in one channel that are kept of a picture.
SQUARES = 64
#: Bytes a picture.
PIXELS = 4 * SQUARES


def sketch(x: Array, salt: bytes) -> Array:
    """The kept pixels of `x`, float [C, H, W] in [0, 1]: uint8 [SQUARES * 4], square after square."""
    padded = np.pad(x, [(0, 0), (0, max(0, 2 - x.shape[1])), (0, max(0, 2 - x.shape[2]))], mode="edge")
    kept: Array = padded.reshape(-1)[_places(padded.shape, salt)]
    grey: Array = np.rint(np.nan_to_num(kept).clip(0, 1) * 255).astype(np.uint8)
    return grey


def size(x: Array, salt: bytes) -> int:
    """A number for the shape of `x`, of 32 bits: pictures of another shape are never compared."""
    return int.from_bytes(shake_256(salt + repr(tuple(x.shape)).encode()).digest(4), "little")


def below(limit: int, number: int, salt: bytes) -> int:
    """A whole number from 0 to `limit` - 1, drawn by `salt` and `number`."""
    return int.from_bytes(shake_256(salt + b"draw" + number.to_bytes(8, "little")).digest(8), "little") % limit


@lru_cache(maxsize=64)
def _places(shape: tuple[int, ...], salt: bytes) -> Array:
    """Where in the flattened picture its kept pixels are, int64 [PIXELS]."""
    C, H, W = shape
    drawn = shake_256(salt + b"places" + repr((C, H, W)).encode()).digest(3 * 8 * SQUARES)
    lots = np.frombuffer(drawn, "<u8").reshape(SQUARES, 3)
    channel, row, column = ((lots % np.array([C, H - 1, W - 1], np.uint64)).astype(np.int64)).T
    corners: Array = (channel * H + row) * W + column
    squares: Array = corners[:, None] + np.array([0, 1, W, W + 1])
    return squares.reshape(-1)
