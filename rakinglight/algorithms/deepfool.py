"""DeepFool."""

from typing import TYPE_CHECKING

from rakinglight.algorithms.linear import boundaries, rivals
from rakinglight.norms import NORMS
from rakinglight.objectives import Goal
from rakinglight.parameters import Candidates, MostSteps, NormChoice, Overshoot
from rakinglight.queries import Algorithm, Forward, Progress, State

if TYPE_CHECKING:
    from torch import Tensor

#: By which each step is longer: what the box cuts off a step would else leave the last ones ever nearer to the boundary
#: and never beyond it.
FURTHER = 1e-4


def deepfool(
    x: "Tensor",
    goal: Goal,
    logits: "Tensor",
    state: State | None = None,
    *,
    norm: NormChoice = "l2",
    candidates: Candidates = 10,
    overshoot: Overshoot = 0.02,
    steps: MostSteps = 50,
) -> "Algorithm[Tensor]":
    """Steps to the nearest boundary, the model made linear anew at each, until one is crossed.

    Moosavi-Dezfooli et al., "DeepFool: A Simple and Accurate Method to Fool Deep Neural Networks", CVPR 2016, algorithm
    2, and section 3.3 for linf. As the authors' code has it, only the likeliest classes are looked at, each point asked
    about is `overshoot` beyond the sum of the steps, and each step is a little longer than the paper's. Every point is
    cut off at the box of pixels.

    x       [C, H, W], pixels in [0, 1]
    goal    the label to leave, or the target to reach: then each step is to the boundary between it and who is first
    logits  [K], of x
    state   from which to go on, as its Progress had it
    Returns an image of x's shape, pixels in [0, 1], the first that reaches the goal, or the last; x where it is reached
    already.
    """
    ball, classes = NORMS[norm], rivals(goal, logits, candidates)
    x_i, r, done = x, x * 0, 0
    if state:
        x_i, r, logits, done = state["best"], state["r"], state["logits"], state["step"]
    for i in range(done, steps):
        if goal.reached(logits):
            break
        f, w = yield from boundaries(x_i, goal, logits, classes)
        d = ball.direction(w)
        length = f.abs() / (w * d).flatten(1).sum(1).clamp(min=1e-30)  # of the step to each boundary, |f'| / ||w'||_q
        nearest = length.argmin()
        r = r + (length[nearest] + FURTHER) * d[nearest]
        x_i = (x + (1 + overshoot) * r).clamp(0, 1)
        logits = (yield Forward(x_i)).logits
        yield Progress(i + 1, steps, float(ball.size(x_i - x)), best=x_i, state={"r": r, "logits": logits})
    return x_i
