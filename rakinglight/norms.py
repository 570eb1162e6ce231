"""The balls that attacks stay in. A norm knows its size, its steepest step, the way back, and a random point.

All take one image [C, H, W] or rows [n, C, H, W]; a row's result depends on that row alone. Units are those of the
pixels, [0, 1]: 8/255 is eight grey levels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from rakinglight.noise import Noise

if TYPE_CHECKING:
    from torch import Tensor

NormName = Literal["linf", "l2"]


class Norm(Protocol):
    def size(self, delta: Tensor) -> Tensor:
        """||delta|| of each image: [] or [n]."""

    def direction(self, g: Tensor) -> Tensor:
        """The delta of norm 1 that has the largest inner product with `g`."""

    def project(self, delta: Tensor, eps: float) -> Tensor:
        """The point of the ball of radius `eps` nearest to `delta`."""

    def random(self, noise: Noise, like: Tensor, eps: float) -> Tensor:
        """A point of the ball of radius `eps`, each as likely as any other, in `like`'s shape [C, H, W]."""


@dataclass(frozen=True)
class Linf:
    def size(self, delta: Tensor) -> Tensor:
        return delta.abs().flatten(-3).amax(-1)

    def direction(self, g: Tensor) -> Tensor:
        return g.sign()

    def project(self, delta: Tensor, eps: float) -> Tensor:
        return delta.clamp(-eps, eps)

    def random(self, noise: Noise, like: Tensor, eps: float) -> Tensor:
        return noise.uniform(like, -eps, eps)


@dataclass(frozen=True)
class L2:
    def size(self, delta: Tensor) -> Tensor:
        return (delta.flatten(-3) ** 2).sum(-1).sqrt()

    def direction(self, g: Tensor) -> Tensor:
        return unit(self, g)

    def project(self, delta: Tensor, eps: float) -> Tensor:
        size = self.size(delta)[..., None, None, None]
        return delta * (eps / size.clamp(min=1e-30)).clamp(max=1)

    def random(self, noise: Noise, like: Tensor, eps: float) -> Tensor:
        # Of n values, the share of a ball within radius r grows as r^n.
        radius = noise.uniform(like.new_empty(()), 0, 1) ** (1 / like.numel())
        return eps * radius * self.direction(noise.normal(like))


def unit(norm: Norm, g: Tensor) -> Tensor:
    """`g` itself, stretched to norm 1; a `g` of zero stays zero."""
    # Of a confident model g may be 1e-20, whose square float32 does not hold: the largest value becomes 1 first.
    # Then no norm is under 1 but that of a gradient of exactly zero, which has no direction and stays zero.
    u = g / Linf().size(g)[..., None, None, None].clamp(min=1e-37)
    return u / norm.size(u)[..., None, None, None].clamp(min=1)


NORMS: dict[NormName, Norm] = {"linf": Linf(), "l2": L2()}
