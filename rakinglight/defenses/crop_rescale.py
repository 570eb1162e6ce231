"""Cropping and rescaling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from rakinglight.defenses.defense import Defense, RandomNumbers

if TYPE_CHECKING:
    from torch import Tensor


class CropRescale(Defense):
    """Random parts of the image, each enlarged to the whole; the prediction is the mean over them.

    Guo et al., "Countering Adversarial Images Using Input Transformations", ICLR 2018, with 30 crops of 90 of 224
    pixels. Enlarging is bilinear, so an adaptive attack gets the true derivative.
    """

    name: Literal["crop_rescale"] = "crop_rescale"
    crops: Annotated[int, Field(strict=True, ge=1, le=100, description="How many crops the prediction is of.")] = 30
    side: Annotated[float, Field(gt=0, le=1, description="Side of a crop, as a share of the image's.")] = 0.4

    @property
    def random(self) -> bool:
        return self.side < 1

    @property
    def copies(self) -> int:
        return self.crops if self.random else 1

    def __call__(self, x: Tensor, draw: RandomNumbers) -> Tensor:
        from torch.nn.functional import interpolate

        H, W = x.shape[-2:]
        h, w = max(1, round(self.side * H)), max(1, round(self.side * W))
        top, left = (int(draw.integers(0, room + 1)) for room in (H - h, W - w))
        crop = x[None, :, top : top + h, left : left + w]
        return interpolate(crop, size=(H, W), mode="bilinear", align_corners=False)[0]
