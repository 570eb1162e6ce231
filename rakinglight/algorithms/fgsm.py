"""The fast gradient sign method."""

from typing import TYPE_CHECKING

from rakinglight.norms import NORMS
from rakinglight.objectives import Goal
from rakinglight.parameters import Epsilon, NormChoice
from rakinglight.queries import Algorithm, Gradient

if TYPE_CHECKING:
    from torch import Tensor


def fgsm(x: "Tensor", goal: Goal, *, norm: NormChoice = "linf", epsilon: Epsilon = 8 / 255) -> "Algorithm[Tensor]":
    """One step of length epsilon up the loss.

    Goodfellow et al., "Explaining and Harnessing Adversarial Examples", ICLR 2015, section 4. In l2 the step is along
    the gradient itself instead of its sign.

    x     [C, H, W], pixels in [0, 1]
    goal  the label to leave, or the target to reach
    Returns an image of x's shape, within epsilon of x, pixels in [0, 1].
    """
    g = (yield Gradient(x, goal.loss)).gradient
    return (x + epsilon * NORMS[norm].direction(g)).clamp(0, 1)
