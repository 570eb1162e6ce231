"""What stands for nothing: the images that a window is filled with, or that a path to the photograph begins at."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

    from rakinglight.noise import Noise

Fill = Literal["grey", "mean", "blur", "noise"]

#: Standard deviation of the blur, as a share of the shorter side: 22 pixels of 224, where shapes are gone and colours
#: are left.
BLUR = 0.1


def filled(x: Tensor, kind: Fill | float, noise: Noise) -> Tensor:
    """An image of x's shape and dtype in which the photograph is not to be seen.

    x      [C, H, W], pixels in [0, 1]
    kind   grey: 0.5. mean: x's mean colour. blur: x without its shapes (`BLUR`). noise: uniform on [0, 1).
           A number: that value
    noise  the run's own random numbers
    """
    import torch

    match kind:
        case "mean":
            return x.mean((-2, -1), keepdim=True).expand_as(x).contiguous()
        case "blur":
            return smoothed(x, BLUR * min(x.shape[-2:])).clamp(0, 1)  # of white it is a rounding more than white
        case "noise":
            return noise.uniform(x, 0, 1)
        case _:
            return torch.full_like(x, 0.5 if kind == "grey" else kind)


def smoothed(x: Tensor, sigma: float) -> Tensor:
    """The image x [C, H, W] under a Gaussian of standard deviation `sigma` in pixels, reflected at the borders.

    Cut at four standard deviations, or at the image's shorter side where that is nearer.
    """
    import torch
    from torch.nn.functional import conv2d, pad

    reach = min(math.ceil(4 * sigma), min(x.shape[-2:]) - 1)
    offsets = torch.arange(-reach, reach + 1, dtype=x.dtype, device=x.device)
    k = (-0.5 * (offsets / sigma) ** 2).exp()
    k = k / k.sum()
    planes = pad(x[:, None], (reach,) * 4, mode="reflect")
    return conv2d(conv2d(planes, k.view(1, 1, -1, 1)), k.view(1, 1, 1, -1))[:, 0]
