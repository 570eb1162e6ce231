"""Guided backpropagation."""

from typing import TYPE_CHECKING

from rakinglight.maps import Map
from rakinglight.objectives import Objective
from rakinglight.queries import Algorithm, Gradient

if TYPE_CHECKING:
    from torch import Tensor


def guided_backprop(x: "Tensor", score: Objective) -> "Algorithm[Map]":
    """The gradient, of which each rectifier passes back only what raises the score.

    Springenberg et al., "Striving for Simplicity: The All Convolutional Net", ICLR 2015 workshop, section 3.4. Sharp to
    look at, and nearly the same for a network with random last layers: `evaluate` with `randomization` shows it.

    x      [C, H, W], pixels in [0, 1]
    score  the objective that is explained
    Returns the map in units of score per full range of one pixel.
    """
    g = (yield Gradient(x, score, rule="guided")).gradient
    return Map.of_slope(g)
