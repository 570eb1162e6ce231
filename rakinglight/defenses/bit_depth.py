"""Bit-depth reduction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from rakinglight.defenses.defense import Array, Defense, RandomNumbers, straight_through

if TYPE_CHECKING:
    from torch import Tensor


class BitDepth(Defense):
    """Rounded to few levels.

    Xu, Evans & Qi, "Feature Squeezing: Detecting Adversarial Examples in Deep Neural Networks", NDSS 2018, section
    III.A: x' = round((2^i - 1) x) / (2^i - 1). Guo et al., ICLR 2018, with 3 bits.
    """

    name: Literal["bit_depth"] = "bit_depth"
    bits: Annotated[int, Field(strict=True, ge=1, le=8, description="A channel has 2 to the power of it levels.")] = 3

    def __call__(self, x: Tensor, draw: RandomNumbers) -> Tensor:
        return straight_through(x, self.rounded)

    def rounded(self, x: Array) -> Array:
        """[C, H, W] in [0, 1] in 2^i levels."""
        top = np.float32(2**self.bits - 1)
        levels: Array = np.rint(x * top) / top
        return levels
