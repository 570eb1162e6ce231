"""Dense SIFT: Lowe's descriptor on a grid."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from rakinglight.errors import BadParameter

if TYPE_CHECKING:
    from torch import Tensor

#: Bins of a descriptor: of angle in a whole turn, and of place down and across.
ANGLES, PLACES = 8, 4
#: Luminance of red, green and blue (ITU-R BT.601).
LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class DenseSift:
    """Descriptors of 4 x 4 bins of place and 8 of direction, of one size and upright, on a grid over the grey image.

    Lowe, "Distinctive Image Features from Scale-Invariant Keypoints", IJCV 2004, section 6, with bilinear shares in
    place and angle, cut at 0.2; on a grid as in Liu et al., "SIFT Flow", ECCV 2008, and as Mahendran and Vedaldi invert
    it (2015, section 4). By kornia. Where the image is flat a descriptor is 0, and so is its derivative.

    bin_size  of a bin of place, in pixels: a descriptor has 4 x 4 of them
    stride    from one descriptor to the next, in pixels
    """

    bin_size: int = 4
    stride: int = 4

    @property
    def name(self) -> str:
        return "dsift"

    def __post_init__(self) -> None:
        if min(self.bin_size, self.stride) < 1:
            raise BadParameter(
                f"dsift with bins of {self.bin_size} pixels and a stride of {self.stride} cannot be made: both are 1 "
                "or more."
            )

    def check(self, shape: tuple[int, int, int]) -> None:
        """Raise BadParameter for pictures [C, H, W] that are smaller than a descriptor."""
        least = PLACES * self.bin_size
        if min(shape[1:]) < least:
            raise BadParameter(
                f"Pictures of {shape[1]} by {shape[2]} pixels have no code by {self.name}, whose descriptors have "
                f"{least} by {least}; take a model that sees larger ones, or smaller bins."
            )

    def code(self, x: Tensor) -> Tensor:
        """The descriptors of x [C, H, W], [ANGLES * PLACES^2, rows, columns], laid flat: [D]."""
        return self.descriptors(x).flatten()

    def descriptors(self, x: Tensor) -> Tensor:
        """[ANGLES * PLACES^2, rows, columns]: each of length 1, or 0 where x [C, H, W] is flat."""
        found: Tensor = _kornia(self.bin_size, self.stride)(grey(x)[None])[0]
        return found


def grey(x: Tensor) -> Tensor:
    """[1, H, W]: the luminance of three channels, the mean of any other number."""
    if len(x) != 3:
        return x.mean(0, keepdim=True)
    return (x * x.new_tensor(LUMA).view(3, 1, 1)).sum(0, keepdim=True)


@lru_cache(maxsize=16)
def _kornia(bin_size: int, stride: int) -> Any:
    """Kornia's layers for this. The outermost bins reach half a bin beyond the border, where there is no slope."""
    from kornia.feature import DenseSIFTDescriptor

    layers = DenseSIFTDescriptor(ANGLES, PLACES, bin_size, rootsift=False, stride=stride, padding=0)
    return layers.eval().requires_grad_(False)
