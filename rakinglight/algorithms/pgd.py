"""Projected gradient descent."""

from typing import TYPE_CHECKING

from rakinglight.noise import Noise
from rakinglight.norms import NORMS
from rakinglight.objectives import Goal
from rakinglight.parameters import Epsilon, NormChoice, RandomStart, Steps, StepSize
from rakinglight.queries import Algorithm, Gradient, Progress, State

if TYPE_CHECKING:
    from torch import Tensor


def pgd(
    x: "Tensor",
    goal: Goal,
    noise: Noise,
    state: State | None = None,
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
    state  from which to go on, as its Progress had it
    Returns an image of x's shape, within epsilon of x, pixels in [0, 1].
    """
    ball, J, eps, alpha = NORMS[norm], goal.loss, epsilon, step_size
    x_t, done = x, 0
    if state:
        x_t, done = state["best"], state["step"]
    elif random_start:
        x_t = (x + ball.project(noise.uniform(x, -eps, eps), eps)).clamp(0, 1)
    for t in range(done, steps):
        value, g = yield Gradient(x_t, J)
        x_t = x_t + alpha * ball.direction(g)
        x_t = (x + ball.project(x_t - x, eps)).clamp(0, 1)
        yield Progress(t + 1, steps, float(value), best=x_t, state={})
    return x_t
