"""JPEG compression."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from rakinglight import eight_bit
from rakinglight.defenses.defense import Array, Defense, RandomNumbers, straight_through

if TYPE_CHECKING:
    from torch import Tensor


class Jpeg(Defense):
    """Saved as a JPEG and read again: what high frequencies carry is rounded away.

    Dziugaite, Ghahramani & Roy, "A Study of the Effect of JPG Compression on Adversarial Images", 2016; Guo et al.,
    "Countering Adversarial Images Using Input Transformations", ICLR 2018, with quality 75.
    """

    name: Literal["jpeg"] = "jpeg"
    quality: Annotated[int, Field(strict=True, ge=1, le=100, description="As Pillow counts it: more is nearer.")] = 75

    def __call__(self, x: Tensor, draw: RandomNumbers) -> Tensor:
        return straight_through(x, self.compressed)

    def compressed(self, x: Array) -> Array:
        """[C, H, W] in [0, 1] as it is in the file. Three channels are a colour image, any other number grey ones."""
        pixels = eight_bit.from_float(x)
        if len(x) == 3:
            return eight_bit.to_float(self._again(pixels))
        return eight_bit.to_float(np.stack([self._again(plane) for plane in pixels.transpose(2, 0, 1)], -1))

    def _again(self, pixels: Array) -> Array:
        from PIL import Image

        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=self.quality)
        return np.asarray(Image.open(file))
