"""The gradient of a class score: the first saliency map."""

from typing import TYPE_CHECKING

from rakinglight.maps import Map
from rakinglight.objectives import Objective
from rakinglight.queries import Algorithm, Gradient

if TYPE_CHECKING:
    from torch import Tensor


def gradient(x: "Tensor", score: Objective) -> "Algorithm[Map]":
    """The maximum over channels of |d score / d x|.

    Simonyan et al., "Deep Inside Convolutional Networks", ICLR 2014 workshop, section 3.1.

    x      [C, H, W], pixels in [0, 1]
    score  the objective that is explained, usually a class's logit
    Returns the map in units of score per full range of one pixel.
    """
    g = (yield Gradient(x, score)).gradient
    return Map.of_slope(g)
