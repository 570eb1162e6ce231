"""Projected gradient descent."""

from typing import TYPE_CHECKING

from rakinglight.noise import Noise
from rakinglight.norms import NORMS
from rakinglight.objectives import Goal
from rakinglight.parameters import Epsilon, NormChoice, RandomStart, Steps, StepSize
from rakinglight.queries import Algorithm, Gradient, Progress

if TYPE_CHECKING:
    from torch import Tensor


def pgd(
    x: "Tensor",
    goal: Goal,
    noise: Noise,
    *,
    norm: NormChoice = "linf",
    epsilon: Epsilon = 8 / 255,
    step_size: StepSize = 2 / 255,
    steps: Steps = 10,
    random_start: RandomStart = False,
) -> "Algorithm[Tensor]":
    """Steps up the loss, each projected back onto the ball around x.

    Madry et al., "Towards Deep Learning Models Resistant to Adversarial Attacks", ICLR 2018, section 2.1.

    x      [C, H, W], pixels in [0, 1]
    goal   the label to leave, or the target to reach
    noise  the run's own random numbers, for the start
    Returns an image of x's shape, within epsilon of x, pixels in [0, 1].
    """
    ball, J, eps, alpha = NORMS[norm], goal.loss, epsilon, step_size
    x_t = x
    if random_start:
        x_t = (x + ball.project(noise.uniform(x, -eps, eps), eps)).clamp(0, 1)
    for t in range(steps):
        value, g = yield Gradient(x_t, J)
        x_t = x_t + alpha * ball.direction(g)
        x_t = (x + ball.project(x_t - x, eps)).clamp(0, 1)
        yield Progress(t + 1, steps, float(value), best=x_t)
    return x_t
