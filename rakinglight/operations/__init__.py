"""The operations: what a caller can have done to one image. Each is a run: an algorithm and what goes around it.

An operation's keyword-only arguments are its parameters, as an algorithm's are; the catalogue reads both from here.
What it returns is a tree of plain values and numpy arrays, which both doors encode and the client reads.
"""

from rakinglight.operations.attack import attack
from rakinglight.operations.classify import classify
from rakinglight.operations.explain import occlusion, saliency
from rakinglight.operations.inversion import inversion
from rakinglight.operations.robustness import robustness
from rakinglight.operations.substitute import substitute
from rakinglight.operations.units import units
from rakinglight.operations.universal import universal

__all__ = ["attack", "classify", "inversion", "occlusion", "robustness", "saliency", "substitute", "units", "universal"]
