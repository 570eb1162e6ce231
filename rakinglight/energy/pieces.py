"""What is done to the picture between two steps, instead of a term or beside it.

Each takes the step's number from 1, the rows x [n, C, H, W] and the slope of the energy there, and gives the rows
(Yosinski et al. 2015, section 3). `mean`, [C, 1, 1], is the network's mean colour, which stands for nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rakinglight.fills import smoothed

if TYPE_CHECKING:
    from torch import Tensor

Piece = Callable[[int, "Tensor", "Tensor"], "Tensor"]


@dataclass(frozen=True)
class Blur:
    """A Gaussian of standard deviation `sigma` pixels, every so many steps: high frequencies need to be found anew."""

    sigma: float
    every: int

    def __call__(self, t: int, x: Tensor, g: Tensor) -> Tensor:
        from torch import stack

        return x if t % self.every or not self.sigma else stack([smoothed(row, self.sigma) for row in x])


@dataclass(frozen=True, eq=False)
class ClipSmallNorm:
    """Pixels whose colour is among the `share` nearest to nothing become nothing."""

    mean: Tensor
    share: float

    def __call__(self, t: int, x: Tensor, g: Tensor) -> Tensor:
        return _cleared(x, (x - self.mean).square().sum(1), self.share, self.mean)


@dataclass(frozen=True, eq=False)
class ClipSmallContribution:
    """Pixels become nothing whose colour changes the score least: |sum over channels of (x - mean) g|."""

    mean: Tensor
    share: float

    def __call__(self, t: int, x: Tensor, g: Tensor) -> Tensor:
        return _cleared(x, ((x - self.mean) * g).sum(1).abs(), self.share, self.mean)


def _cleared(x: Tensor, sizes: Tensor, share: float, mean: Tensor) -> Tensor:
    """The mean colour where `sizes` [n, H, W] are among the smallest `share` of their row, else x."""
    count = int(share * sizes[0].numel())
    if not count:
        return x
    limits = sizes.flatten(1).kthvalue(count).values
    return x.where((sizes > limits[:, None, None])[:, None], mean)
