"""The gradient of a class score: the first saliency map."""

from typing import TYPE_CHECKING, NamedTuple

from rakinglight.objectives import Objective
from rakinglight.queries import Algorithm, Gradient

if TYPE_CHECKING:
    from torch import Tensor


class Map(NamedTuple):
    """An explanation: one number a pixel, and where there are signs, one a channel.

    map     [H, W], not scaled
    signed  [C, H, W], or None
    """

    map: "Tensor"
    signed: "Tensor | None" = None


def gradient(x: "Tensor", score: Objective) -> "Algorithm[Map]":
    """The maximum over channels of |d score / d x|.

    Simonyan et al., "Deep Inside Convolutional Networks", ICLR 2014 workshop, section 3.1.

    x      [C, H, W], pixels in [0, 1]
    score  the objective that is explained, usually a class's logit
    Returns the map in units of score per full range of one pixel.
    """
    _, g = yield Gradient(x, score)
    return Map(g.abs().amax(-3), signed=g)
