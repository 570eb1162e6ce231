"""A run's own random numbers: the same for the same seed, whoever else is aboard and on whatever device."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


class Noise:
    """Drawn on the CPU in float32 and moved, so that a GPU sees the same numbers."""

    def __init__(self, seed: int) -> None:
        import torch

        self.seed = seed
        self._generator = torch.Generator().manual_seed(seed)

    def __repr__(self) -> str:
        return f"Noise(seed={self.seed})"

    @property
    def state(self) -> Tensor:
        """Where the draws have come to, uint8 [n]."""
        return self._generator.get_state()

    def go_on(self, state: Tensor) -> None:
        """Draw from where `state` was taken."""
        self._generator.set_state(state)

    def uniform(self, like: Tensor, low: float, high: float) -> Tensor:
        """Uniform on [low, high), in `like`'s shape, dtype and device."""
        import torch

        u = torch.rand(like.shape, generator=self._generator)
        return (low + (high - low) * u).to(like)

    def normal(self, like: Tensor) -> Tensor:
        """Standard normal, in `like`'s shape, dtype and device."""
        import torch

        return torch.randn(like.shape, generator=self._generator).to(like)
