"""The insertion curve."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from rakinglight.queries import Algorithm
from rakinglight.trust.exchange import exchanged

if TYPE_CHECKING:
    from torch import Tensor

    from rakinglight.trust import Case

#: Side of the blur's kernel, and the standard deviation of the bell that is folded into it, in pixels.
KERNEL, SIGMA = 11, 5.0


def insertion(case: Case) -> Algorithm[dict[str, Any]]:
    """How fast the class comes as pixels are put into a blurred image, the most important first. A large area is good.

    Petsiuk et al., "RISE: Randomized Input Sampling for Explanation of Black-box Models", BMVC 2018, section 4.1.
    """
    return exchanged(case, blurred(case.x, case.subject.card.mean), case.x)


def blurred(x: Tensor, mean: tuple[float, ...]) -> Tensor:
    """The image x [C, H, W] behind the blur of the authors' code, which sees the model's mean colour around the image.

    mean  of each channel: they blur what is normalised and pad it with zeros
    """
    from torch.nn.functional import conv2d

    k, around = x.new_tensor(kernel()), x.new_tensor(mean)[:, None, None]
    vertical = conv2d((x - around)[:, None], k[None, None, :, None], padding=(KERNEL // 2, 0))
    return conv2d(vertical, k[None, None, None, :], padding=(0, KERNEL // 2))[:, 0] + around


def kernel() -> list[float]:
    """One side of the blur's kernel, which is separable; sums to one.

    The authors blur a single one in a field of 11 x 11 pixels with mirrors at its borders, and take what is in the
    field: a bell cut off at four standard deviations, whose tails are folded back. It is flatter than a bell.
    """
    reach, centre, period = round(4 * SIGMA), KERNEL // 2, 2 * KERNEL
    bell = [math.exp(-((d / SIGMA) ** 2) / 2) for d in range(-reach, reach + 1)]
    # The one in the middle, and all of its images in the two mirrors.
    images = [p + period * n for p in (centre, -1 - centre) for n in range(-2, 3)]
    return [sum(bell[d + reach] for p in images if abs(d := p - i) <= reach) / sum(bell) for i in range(KERNEL)]
