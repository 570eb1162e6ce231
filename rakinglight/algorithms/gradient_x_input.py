"""The gradient times the image."""

from typing import TYPE_CHECKING

from rakinglight.maps import Map
from rakinglight.objectives import Objective
from rakinglight.queries import Algorithm, Gradient

if TYPE_CHECKING:
    from torch import Tensor


def gradient_x_input(x: "Tensor", score: Objective) -> "Algorithm[Map]":
    """What each value adds to the score if it goes on as it does here all the way from black.

    Shrikumar et al., "Not Just a Black Box: Learning Important Features Through Propagating Activation Differences",
    arXiv 2016, section 2.2, who compare with it. Where all units are rectifiers without bias it tells the whole score.

    x      [C, H, W], pixels in [0, 1]
    score  the objective that is explained
    Returns the map in units of score.
    """
    g = (yield Gradient(x, score)).gradient
    return Map.of_shares(x * g, moved=x)
