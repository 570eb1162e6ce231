"""The deconvolutional network."""

from typing import TYPE_CHECKING

from rakinglight.maps import Map
from rakinglight.objectives import Objective
from rakinglight.queries import Algorithm, Gradient

if TYPE_CHECKING:
    from torch import Tensor


def deconvnet(x: "Tensor", score: Objective) -> "Algorithm[Map]":
    """The gradient, rectified on its way back instead of being passed where the forward pass was positive.

    Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014, section 2.1.
    What it knows of the picture comes through max pooling, which passes back to where the maximum was; the rectifiers
    forget where they were positive. So of a network of convolutions and rectifiers without it, such as
    EfficientNet-Lite0, the map of a logit is the same whatever the picture.

    x      [C, H, W], pixels in [0, 1]
    score  the objective that is explained
    Returns the map in units of score per full range of one pixel.
    """
    g = (yield Gradient(x, score, rule="deconvnet")).gradient
    return Map.of_slope(g)
