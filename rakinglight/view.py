"""A view stands between a run's image and the network: the algorithm works at the image's own size, the engine sees the
model's.

`through` changes what an algorithm asks on the way out and what it is told on the way back, so neither the algorithm
nor the engine knows of it, and images of different sizes share a pass.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from rakinglight.geometry import Geometry
from rakinglight.queries import Algorithm, Gradient, Query
from rakinglight.relays import relayed
from rakinglight.rows import made

if TYPE_CHECKING:
    from torch import Tensor

R = TypeVar("R")


class View:
    """The model's own resize and crop: y = A x B^T, and its transpose for gradients."""

    def __init__(self, geometry: Geometry, like: Tensor) -> None:
        import torch

        self.geometry = geometry
        A, B = geometry.matrices()
        self.A = torch.from_numpy(A).to(like)
        self.B = torch.from_numpy(B).to(like)

    def __call__(self, x: Tensor) -> Tensor:
        """What the model sees of x [..., H, W]: [..., h, w], in [0, 1] if x is."""
        return x if self.geometry.identity else (self.A @ x @ self.B.T).clamp(0, 1)

    def pullback(self, g: Tensor) -> Tensor:
        """The gradient at the image, given the gradient g [..., h, w] at what the model sees."""
        return g if self.geometry.identity else self.A.T @ g @ self.B


def through(view: View, algorithm: Algorithm[R]) -> Algorithm[R]:
    """`algorithm`, seeing the network through `view`."""
    by_pixels = True  # whether the derivative that is asked for is by the image's pixels, and not by a layer

    def out(asked: Any) -> Any:
        nonlocal by_pixels
        if not isinstance(asked, Query) or asked.seen:
            by_pixels = False
            return asked
        by_pixels = isinstance(asked, Gradient) and asked.wrt is None
        return replace(asked, rows=view(made(asked.rows)), seen=True)

    def back(answer: Any) -> Any:
        return answer._replace(gradient=view.pullback(answer.gradient)) if by_pixels else answer

    return relayed(algorithm, out, back)
