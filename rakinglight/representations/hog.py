"""Histograms of oriented gradients."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from rakinglight.errors import BadParameter

if TYPE_CHECKING:
    from torch import Tensor

BlockNorm = Literal["L2-Hys", "L2"]
Bins = Literal["bilinear", "hard"]
#: What keeps a block without any slope from being divided by zero, and where L2-Hys cuts: as scikit-image has them.
EPSILON, CUT = 1e-5, 0.2


@dataclass(frozen=True)
class Hog:
    """How strong slopes are in each direction, cell by cell, in units of what is around: block by block.

    Dalal and Triggs, "Histograms of Oriented Gradients for Human Detection", CVPR 2005, with their 9 directions of 20
    degrees, cells of 8 x 8 pixels and blocks of 2 x 2 cells, every block beside the next. There is no smoothing and no
    Gaussian window, as in `skimage.feature.hog`, of which this is the same with hard bins, number by number.

    orientations     directions in half a turn: slopes up and down are one
    pixels_per_cell  height and width; pixels beyond the last whole cell only have a part in slopes
    cells_per_block  height and width
    block_norm       L2: a block's length becomes 1. L2-Hys: then it is cut at 0.2, and made 1 again (Lowe 2004)
    bins             hard: a slope counts in the bin that its direction falls in, and a turn is not seen until it falls
                     in the next. bilinear: it counts in the two that are nearest, in shares, so that the derivative
                     knows of turns: the HOGb of Mahendran and Vedaldi 2015, section 4
    """

    orientations: int = 9
    pixels_per_cell: tuple[int, int] = (8, 8)
    cells_per_block: tuple[int, int] = (2, 2)
    block_norm: BlockNorm = "L2-Hys"
    bins: Bins = "bilinear"

    @property
    def name(self) -> str:
        return "hog"

    def __post_init__(self) -> None:
        sizes = (self.orientations, *self.pixels_per_cell, *self.cells_per_block)
        if min(sizes) < 1:
            raise BadParameter(
                f"hog of {self.orientations} orientations, cells of {_by(self.pixels_per_cell)} pixels and blocks of "
                f"{_by(self.cells_per_block)} cells cannot be made: each of these is 1 or more."
            )

    @property
    def least(self) -> tuple[int, int]:
        """Height and width of the smallest picture that has a code: one block."""
        height, width = (p * c for p, c in zip(self.pixels_per_cell, self.cells_per_block, strict=True))
        return max(2, height), max(2, width)

    def check(self, shape: tuple[int, int, int]) -> None:
        """Raise BadParameter for pictures [C, H, W] that are smaller than a block."""
        if shape[1] < self.least[0] or shape[2] < self.least[1]:
            raise BadParameter(
                f"Pictures of {_by(shape[1:])} pixels have no code by hog, whose blocks have {_by(self.least)}; "
                "take a model that sees larger ones, or smaller cells."
            )

    def grid(self, shape: tuple[int, int, int]) -> tuple[int, int, int, int, int]:
        """Blocks down and across, cells of a block down and across, orientations: the code of a picture [C, H, W]."""
        cells = (side // p for side, p in zip(shape[1:], self.pixels_per_cell, strict=True))
        rows, columns = (n - c + 1 for n, c in zip(cells, self.cells_per_block, strict=True))
        return rows, columns, *self.cells_per_block, self.orientations

    def code(self, x: Tensor) -> Tensor:
        """The blocks of x [C, H, W], [rows, columns, cells down, cells across, orientations], laid flat: [D].

        Of several channels the one with the steepest slope counts, pixel by pixel. Where there is no slope, which has
        no direction, the derivative is 0.
        """
        slopes = _steepest(x)
        cells = self._cells(self._votes(*slopes))
        down, across = self.cells_per_block
        return self._normed(cells.unfold(0, down, 1).unfold(1, across, 1).permute(0, 1, 3, 4, 2)).flatten()

    def _votes(self, g_y: Tensor, g_x: Tensor) -> Tensor:
        """What each pixel's slope adds to each orientation: [orientations, H, W]."""
        import torch

        squares = g_y.square() + g_x.square()
        there = squares > torch.finfo(squares.dtype).tiny
        # Neither the root nor the angle has a derivative at 0: what is not there is computed of a slope of 1.
        strength = torch.where(there, torch.where(there, squares, 1).sqrt(), 0)
        every = torch.arange(self.orientations, device=g_y.device)[:, None, None]
        if self.bins == "hard":
            return strength * (self._bins(g_y, g_x) == every)
        angle = torch.atan2(g_y, torch.where(there, g_x, 1)) % math.pi
        place = angle * (self.orientations / math.pi) - 0.5  # a bin's own direction is its middle
        before = place.detach().floor()
        share = place - before
        lower = before.long() % self.orientations == every
        upper = (before.long() + 1) % self.orientations == every
        return strength * ((1 - share) * lower + share * upper)

    def _bins(self, g_y: Tensor, g_x: Tensor) -> Tensor:
        """The bin that each slope's direction falls in, [H, W].

        By NumPy, as scikit-image has it: a diagonal of 8-bit pixels lies on a border between bins where there are 4, 8
        or 12 of them, and the last bit of the angle decides.
        """
        import numpy as np
        import torch

        y, x = (g.detach().cpu().numpy().astype(np.float64) for g in (g_y, g_x))
        angle = np.rad2deg(np.arctan2(y, x)) % 180
        ends = 180 / self.orientations * np.arange(1, self.orientations)
        return torch.from_numpy(np.digitize(angle, ends)).to(g_y.device)

    def _cells(self, votes: Tensor) -> Tensor:
        """Their mean over each whole cell: [cells down, cells across, orientations]."""
        from torch.nn.functional import avg_pool2d

        return avg_pool2d(votes[None], self.pixels_per_cell)[0].permute(1, 2, 0)

    def _normed(self, blocks: Tensor) -> Tensor:
        blocks = _unit(blocks)
        return _unit(blocks.clamp(max=CUT)) if self.block_norm == "L2-Hys" else blocks


def _steepest(x: Tensor) -> tuple[Tensor, Tensor]:
    """Slopes down and across, each [H, W]: central differences, 0 at the border, of the channel where they are most."""
    from torch import hypot
    from torch.nn.functional import pad

    g_y = pad(x[:, 2:] - x[:, :-2], (0, 0, 1, 1))
    g_x = pad(x[..., 2:] - x[..., :-2], (1, 1))
    which = hypot(g_y.detach(), g_x.detach()).argmax(0, keepdim=True)
    return g_y.gather(0, which)[0], g_x.gather(0, which)[0]


def _unit(blocks: Tensor) -> Tensor:
    return blocks / (blocks.square().sum((2, 3, 4), keepdim=True) + EPSILON**2).sqrt()


def _by(sides: tuple[int, ...]) -> str:
    return " by ".join(map(str, sides))
