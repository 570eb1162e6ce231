"""One energy for every picture that is made from nothing: what a network is to say of it, and what pictures are like.

    E(x) = loss(x) + sum of the terms R(x)            Mahendran and Vedaldi 2016, equation 1

`terms` has the regularisers, `canvas` what is drawn on, `descent` how a step is made of a slope, `pieces` what is done
to the picture between the steps, and `minimize` puts them together. A method is a loss and a choice of these.
"""

from rakinglight.energy.canvas import Canvas, Fourier, Pixels, canvas_of
from rakinglight.energy.descent import Adam, Descent, Momentum, descent_of
from rakinglight.energy.minimize import Ask, minimize
from rakinglight.energy.starts import begun
from rakinglight.energy.terms import AlphaNorm, Near, Term, TotalVariation, natural

__all__ = [
    "Adam",
    "AlphaNorm",
    "Ask",
    "Canvas",
    "Descent",
    "Fourier",
    "Momentum",
    "Near",
    "Pixels",
    "Term",
    "TotalVariation",
    "begun",
    "canvas_of",
    "descent_of",
    "minimize",
    "natural",
]
