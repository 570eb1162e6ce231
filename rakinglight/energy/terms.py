"""Regularisers: what pictures are like, each a scalar of every row.

They are normalised as in Mahendran and Vedaldi 2016, section 3.2: by the number of pixels, and by the value that is
usual in photographs. So a weight of 1 means the same at every size, and a photograph costs about 1. All take rows
[n, C, H, W] in [0, 1] and give [n]; "zero" is the network's mean colour.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor

#: B, the length of a usual pixel's colour, from the mean colour: 80 of 255 grey levels.
B = 80 / 255
#: V, the usual length of the slope of an image at a pixel.
V = B / 6.5


class Term(Protocol):
    """R: rows [n, C, H, W] -> [n], differentiable, no row touching another."""

    def __call__(self, x: Tensor) -> Tensor: ...


@dataclass(frozen=True, eq=False)
class AlphaNorm:
    """The alpha-norm, which keeps colours from growing: weight / (H W B^alpha) * sum over pixels of |x - mean|^alpha.

    |.| is the length of a pixel's colour. Mahendran and Vedaldi 2016, equation 4; alpha is 6 there.

    mean  [C, 1, 1]
    """

    mean: Tensor
    weight: float = 1.0
    alpha: float = 6.0

    def __call__(self, x: Tensor) -> Tensor:
        squares = (x - self.mean).square().sum(1) / B**2
        if self.alpha < 2:
            squares = squares + 1e-12  # where the image is nothing a root has no derivative
        return self.weight * squares.pow(self.alpha / 2).mean((1, 2))


@dataclass(frozen=True, eq=False)
class TotalVariation:
    """TV^beta, which keeps the image smooth: weight / (H W V^beta) * sum of (dx^2 + dy^2)^(beta / 2).

    dx and dy are the differences to the next pixel, 0 at the last; the sum is over pixels and channels. Mahendran and
    Vedaldi 2015, equation 4. beta is 2 in their experiments; with 1 edges stay, and so do spikes.
    """

    weight: float = 1.0
    beta: float = 2.0

    def __call__(self, x: Tensor) -> Tensor:
        from torch.nn.functional import pad

        dx = pad(x[..., :, 1:] - x[..., :, :-1], (0, 1))
        dy = pad(x[..., 1:, :] - x[..., :-1, :], (0, 0, 0, 1))
        squares = (dx.square() + dy.square()) / V**2
        if self.beta != 2:
            squares = (squares + 1e-12).pow(self.beta / 2)  # where the image is flat a root has no derivative
        return self.weight * squares.sum(1).mean((1, 2))


@dataclass(frozen=True, eq=False)
class Near:
    """Squared distance to an image, a mean over the values in units of B^2: weight * |x - x_0|^2 / (C H W B^2).

    x_0  [C, H, W]; with the mean colour it is the L2 term of Simonyan et al. 2014, equation 2
    """

    x_0: Tensor
    weight: float = 1.0

    def __call__(self, x: Tensor) -> Tensor:
        return self.weight * (x - self.x_0).square().mean((1, 2, 3)) / B**2


def natural(mean: Tensor, alpha: float, alpha_weight: float, beta: float, tv_weight: float) -> tuple[Term, ...]:
    """The two terms of Mahendran and Vedaldi, without those whose weight is 0."""
    norm, variation = AlphaNorm(mean, alpha_weight, alpha), TotalVariation(tv_weight, beta)
    return tuple(term for term in (norm, variation) if term.weight)


def restated(published: float, exponent: float, pixels: int, usual: float) -> float:
    """The weight here of a term that is published as `published` * sum |255 x|^exponent.

    The papers' first energies are sums over pixels of 0 to 255, ours are means in units of what is `usual` (B or V):
    published * 255^e * sum |x|^e = weight / (pixels * usual^e) * sum |x|^e.

    pixels  H W
    """
    return float(published * pixels * (255 * usual) ** exponent)
