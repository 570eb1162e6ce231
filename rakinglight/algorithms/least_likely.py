"""The iterative least-likely class method."""

from typing import TYPE_CHECKING

from rakinglight.algorithms.pgd import pgd
from rakinglight.noise import Noise
from rakinglight.objectives import Goal
from rakinglight.parameters import Epsilon, NormChoice, SomeStepSize, Steps
from rakinglight.queries import Algorithm, State

if TYPE_CHECKING:
    from torch import Tensor


def least_likely(
    x: "Tensor",
    goal: Goal,
    noise: Noise,
    state: State | None = None,
    *,
    norm: NormChoice = "linf",
    epsilon: Epsilon = 8 / 255,
    step_size: SomeStepSize = None,
    steps: Steps = 10,
) -> "Algorithm[Tensor]":
    """Steps towards the class that the model finds least likely.

    Kurakin et al., "Adversarial Examples in the Physical World", ICLR workshops 2017, section 2.3: projected gradient
    descent towards that class, from the image itself. At 8/255 the paper takes ten steps of 1/255.

    x      [C, H, W], pixels in [0, 1]
    goal   the target to reach, which is the model's last answer unless the caller names another
    noise  the run's own random numbers, of which none is drawn
    state  from which to go on, as its Progress had it
    Returns an image of x's shape, within epsilon of x, pixels in [0, 1].
    """
    return (yield from pgd(x, goal, noise, state, norm=norm, epsilon=epsilon, step_size=step_size, steps=steps))
