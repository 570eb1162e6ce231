"""The 1,797 handwritten digits that scikit-learn carries, in the one split that everything here keeps to.

    train     1,297  what networks learn from
    test        500  what they are judged by:
      seeds     100    what an attacker may hold: the first queries, the images attacked
      held-out  400    what nobody may look at before the last figure

Alpaydin & Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998.

`digits_split.json` beside this file is the split, and `drawn` is how it was made: each part holds every digit in
proportion.
"""

from __future__ import annotations

import json
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import numpy as np

from rakinglight.geometry import Geometry

Array = np.ndarray[Any, Any]
Part = Literal["train", "test", "seeds", "held-out"]

SPLIT = Path(__file__).with_name("digits_split.json")
#: LeNet-5's own input (LeCun et al. 1998, section II.B): four times the 8 x 8 of the digits.
SIDE = 32


def pictures(part: Part) -> tuple[Array, Array]:
    """The images and labels of a part: uint8 [N, 1, 32, 32] and int64 [N].

    They are eight-bit pictures as a file holds them, so what LeNet is trained on is what a caller can send, bit for
    bit.
    """
    images, labels = _everything()
    chosen = indices(part)
    return images[chosen], labels[chosen]


def pixels(part: Part) -> tuple[Array, Array]:
    """The same as float32 [N, 1, 32, 32] in [0, 1] and int64 [N]: what LeNet sees."""
    images, labels = pictures(part)
    return images.astype(np.float32) / np.float32(255), labels


def indices(part: Part) -> list[int]:
    """Which of scikit-learn's rows are in `part`."""
    split: dict[str, list[int]] = json.loads(SPLIT.read_text("utf-8"))
    return split["seeds"] + split["held-out"] if part == "test" else split[part]


def drawn(labels: Array) -> dict[str, list[int]]:
    """The split, drawn by digest: no generator of random numbers can change it.

    Each row is placed by its rank among the rows of its digit, as a fraction; so any beginning of the order holds all
    digits in proportion.
    """
    lots = {row: sha256(f"rakinglight digits {row}".encode()).digest() for row in range(len(labels))}
    place: dict[int, tuple[float, bytes]] = {}
    for digit in np.unique(labels):
        rows = sorted(np.flatnonzero(labels == digit).tolist(), key=lots.__getitem__)
        place |= {row: ((rank + 0.5) / len(rows), lots[row]) for rank, row in enumerate(rows)}
    order = sorted(place, key=place.__getitem__)
    return {"seeds": sorted(order[:100]), "held-out": sorted(order[100:500]), "train": sorted(order[500:])}


@cache
def _everything() -> tuple[Array, Array]:
    from sklearn.datasets import load_digits

    levels, labels = load_digits(return_X_y=True)  # 0 to 16, [1797, 64]
    A, B = Geometry.of(8, 8, (1, SIDE, SIDE)).matrices()
    grey = A @ levels.reshape(-1, 8, 8) @ B.T * (255 / 16)
    return np.rint(grey).astype(np.uint8)[:, None], labels.astype(np.int64)
