"""Projected gradient descent."""

from typing import TYPE_CHECKING

from rakinglight.noise import Noise
from rakinglight.norms import NORMS
from rakinglight.objectives import Goal
from rakinglight.parameters import Epsilon, NormChoice, RandomStart, Restarts, SomeStepSize, Steps
from rakinglight.queries import Algorithm, Forward, Gradient, Progress, State

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
    step_size: SomeStepSize = None,
    steps: Steps = 10,
    random_start: RandomStart = False,
    restarts: Restarts = 1,
) -> "Algorithm[Tensor]":
    """Steps up the loss, each projected back onto the ball around x.

    Madry et al., "Towards Deep Learning Models Resistant to Adversarial Attacks", ICLR 2018, section 2.1, and section 5
    for the restarts: of several starts the one that ends with the largest loss counts.

    x      [C, H, W], pixels in [0, 1]
    goal   the label to leave, or the target to reach
    noise  the run's own random numbers, for the starts
    state  from which to go on, as its Progress had it
    Returns an image of x's shape, within epsilon of x, pixels in [0, 1].
    """
    ball, J, eps, T = NORMS[norm], goal.loss, epsilon, steps
    alpha = 2.5 * eps / T if step_size is None else step_size
    x_t, best, largest, done = x, x, float("-inf"), 0
    if state:
        x_t, best, largest, done = state["x_t"], state["best"], state["largest"], state["step"]
        noise.go_on(state["noise"])
    for step in range(done, restarts * T):
        restart, t = divmod(step, T)
        if t == 0:
            x_t = (x + ball.random(noise, x, eps)).clamp(0, 1) if random_start or restart else x
        value, g, _ = yield Gradient(x_t, J)
        x_t = x_t + alpha * ball.direction(g)
        x_t = (x + ball.project(x_t - x, eps)).clamp(0, 1)
        if restart == 0:
            best = x_t
        if restarts > 1 and t == T - 1:
            reached = float(J((yield Forward(x_t)).logits[None]))
            if reached > largest:
                best, largest = x_t, reached
        kept = {"x_t": x_t, "largest": largest, "noise": noise.state}
        yield Progress(step + 1, restarts * T, float(value), best=best, state=kept)
    return best
