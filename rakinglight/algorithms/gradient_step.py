"""One step along the gradient itself."""

from typing import TYPE_CHECKING

from rakinglight.norms import NORMS, unit
from rakinglight.objectives import Goal
from rakinglight.parameters import Epsilon, NormChoice
from rakinglight.queries import Algorithm, Gradient

if TYPE_CHECKING:
    from torch import Tensor


def gradient_step(
    x: "Tensor", goal: Goal, *, norm: NormChoice = "linf", epsilon: Epsilon = 8 / 255
) -> "Algorithm[Tensor]":
    """One step of length epsilon along the gradient of the loss, without its sign.

    Rozsa et al., "Adversarial Diversity and Hard Positive Generation", CVPR workshops 2016, section 3: the fast
    gradient value. In linf the value that the loss depends on most moves by epsilon, the others in proportion; in l2 it
    is the step of `fgsm`.

    x     [C, H, W], pixels in [0, 1]
    goal  the label to leave, or the target to reach
    Returns an image of x's shape, within epsilon of x, pixels in [0, 1].
    """
    g = (yield Gradient(x, goal.loss)).gradient
    return (x + epsilon * unit(NORMS[norm], g)).clamp(0, 1)
