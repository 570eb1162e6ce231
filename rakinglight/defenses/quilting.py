"""Image quilting."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from rakinglight.defenses.defense import Array, Defense, RandomNumbers, straight_through

if TYPE_CHECKING:
    from torch import Tensor

#: The bank: uint8 [n, 5, 5, 3] under `colour` and [n, 5, 5, 1] under `grey`. `model_store/patches.py` made it.
BANK = Path(__file__).with_name("patches.npz")
SIDE, OVERLAP = 5, 2


class Quilting(Defense):
    """Sewn together out of patches of other, clean photographs: each the nearest to what was in its place.

    Guo et al., "Countering Adversarial Images Using Input Transformations", ICLR 2018, with patches of 5 x 5 and one
    neighbour; Efros & Freeman, "Image Quilting for Texture Synthesis and Transfer", SIGGRAPH 2001, for the seams. The
    bank has 10,000 patches in colour and 10,000 in grey, theirs a million.
    """

    name: Literal["quilting"] = "quilting"
    neighbors: Annotated[
        int, Field(strict=True, ge=1, le=100, description="Nearest patches, of which one is taken at random.")
    ] = 1

    @property
    def random(self) -> bool:
        return self.neighbors > 1

    def __call__(self, x: Tensor, draw: RandomNumbers) -> Tensor:
        return straight_through(x, lambda image: self.quilted(image, draw))

    def quilted(self, x: Array, draw: RandomNumbers) -> Array:
        """[C, H, W] in [0, 1], sewn. Three channels are a colour image, any other number grey ones."""
        if len(x) == 3:
            return self._sewn(x, _bank("colour"), draw)
        return np.concatenate([self._sewn(plane[None], _bank("grey"), draw) for plane in x])

    def _sewn(self, x: Array, bank: Array, draw: RandomNumbers) -> Array:
        C, H, W = x.shape
        step = SIDE - OVERLAP
        rows, columns = (max(1, -(-(n - OVERLAP) // step)) for n in (H, W))
        # The last patch of a row or a column may reach beyond the border, where the image goes on as in a mirror.
        beyond = [max(0, n * step + OVERLAP - side) for n, side in ((rows, H), (columns, W))]
        padded = np.pad(x, ((0, 0), (0, beyond[0]), (0, beyond[1])), mode="symmetric")
        windows = np.lib.stride_tricks.sliding_window_view(padded, (SIDE, SIDE), (1, 2))[:, ::step, ::step]
        wanted = windows.transpose(1, 2, 3, 4, 0)  # [rows, columns, SIDE, SIDE, C]
        found = bank[_nearest(wanted.reshape(rows * columns, -1), bank, self.neighbors, draw)]
        patches = found.reshape(rows, columns, SIDE, SIDE, C)
        strips = sewn(patches.transpose(1, 0, 2, 3, 4))  # patches of a row, side by side: [rows, SIDE, width, C]
        whole = sewn(strips.transpose(0, 2, 1, 3)[:, None])[0]  # and the strips, one below the other, lying down
        return np.ascontiguousarray(whole.transpose(2, 1, 0)[:, :H, :W])


def sewn(patches: Array) -> Array:
    """Patches [m, n, L, S, C], n rows of m side by side: [n, L, width, C].

    Each covers OVERLAP columns of the one before it. There the two are cut along the seam on which they differ least
    (equation 1 of Efros & Freeman: the cheapest way down, e plus the least of the three above).
    """
    left, right = patches[:-1, ..., -OVERLAP:, :], patches[1:, ..., :OVERLAP, :]
    cost = ((left - right) ** 2).sum(-1)
    ways = seam(cost.reshape(-1, *cost.shape[2:])).reshape(cost.shape[:-1])
    joints = np.where((np.arange(OVERLAP) < ways[..., None])[..., None], left, right)
    # No patch is so narrow that its two seams meet.
    middles = patches[1:-1, ..., OVERLAP:-OVERLAP, :]
    parts = [patches[0, ..., :-OVERLAP, :]]
    for i, joint in enumerate(joints):
        parts += [joint, middles[i] if i < len(middles) else patches[-1, ..., OVERLAP:, :]]
    whole: Array = np.concatenate(parts, -2) if len(patches) > 1 else patches[0]
    return whole


def seam(cost: Array) -> Array:
    """The column, in each line, of the cheapest way down `cost` [n, L, V]: [n, L]. A step goes one aside at most."""
    n, L, V = cost.shape
    total = np.empty_like(cost)
    total[:, 0] = cost[:, 0]
    for line in range(1, L):
        total[:, line] = cost[:, line] + _least(total[:, line - 1])
    way = np.empty((n, L), np.int64)
    way[:, -1] = total[:, -1].argmin(-1)
    for line in range(L - 2, -1, -1):
        near = abs(np.arange(V) - way[:, line + 1, None]) <= 1
        way[:, line] = np.where(near, total[:, line], np.inf).argmin(-1)
    return way


def _least(total: Array) -> Array:
    """The least of each column and its neighbours, of `total` [n, V]."""
    wide = np.pad(total, ((0, 0), (1, 1)), constant_values=np.inf)
    least: Array = np.minimum(np.minimum(wide[:, :-2], wide[:, 1:-1]), wide[:, 2:])
    return least


def _nearest(wanted: Array, bank: Array, neighbors: int, draw: RandomNumbers) -> Array:
    """For each row of `wanted` [N, d] the place in `bank` [n, d] of the nearest, or of one of the nearest: [N]."""
    lengths = (bank**2).sum(1) / 2
    found = np.empty(len(wanted), np.int64)
    for start in range(0, len(wanted), 512):
        part = slice(start, start + 512)
        distance = lengths - wanted[part] @ bank.T  # half the squared distance, less what all have in common
        if neighbors == 1:
            found[part] = distance.argmin(1)
        else:
            among = np.sort(np.argpartition(distance, neighbors - 1, axis=1)[:, :neighbors], 1)
            chosen = draw.integers(0, neighbors, (len(among), 1))
            found[part] = np.take_along_axis(among, chosen, 1)[:, 0]
    return found


@cache
def _bank(kind: str) -> Array:
    """Float32 [n, 75] or [n, 25] in [0, 1]."""
    with np.load(BANK) as file:
        patches: Array = file[kind]
    return patches.reshape(len(patches), -1).astype(np.float32) / np.float32(255)
