"""Where a picture begins that is made from nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from rakinglight.energy.terms import B

if TYPE_CHECKING:
    from torch import Tensor

    from rakinglight.noise import Noise

Beginning = Literal["noise", "zeros"]


def begun(kind: Beginning, mean: Tensor, like: Tensor, n: int, noise: Noise) -> Tensor:
    """Rows [n, C, H, W] to begin at.

    zeros  the network's mean colour. All rows are alike then
    noise  Gaussian around it, of a photograph's usual strength: a pixel's colour is B from the mean, as a root of the
           mean square (Mahendran and Vedaldi 2015, section 3.3, scale their noise so too)

    mean  [C, 1, 1]
    like  an image [C, H, W] of the size that is wanted
    """
    flat = mean.to(like).expand(n, *like.shape)
    if kind == "zeros":
        return flat.clone()
    strength = float(B * like.shape[0] ** -0.5)
    return (flat + strength * noise.normal(flat)).clamp(0, 1)
