"""Natural evolution strategies: projected gradient descent on gradients that are estimated from scores."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rakinglight.algorithms.square import any_row
from rakinglight.example import Example
from rakinglight.noise import Noise
from rakinglight.norms import NORMS
from rakinglight.objectives import Goal, Margin, Objective
from rakinglight.parameters import Epsilon, Momentum, NormChoice, NSamples, Queries, Sigma, TenthStepSize
from rakinglight.queries import Algorithm, Forward, Progress, State, wave

if TYPE_CHECKING:
    from torch import Tensor

#: Said of an image that stayed where it was.
FLAT = (
    "Every estimate of the gradient was 0, and the image is untouched: noise of sigma {:g} changes no score. Take a "
    "larger sigma where images are rounded; where scores are, square, or hop_skip_jump, which needs labels alone."
)


def nes(
    x: "Tensor",
    goal: Goal,
    noise: Noise,
    state: State | None = None,
    accept: "Callable[[Tensor], Algorithm[Any | None]]" = any_row,
    *,
    norm: NormChoice = "linf",
    epsilon: Epsilon = 8 / 255,
    queries: Queries = 5000,
    n_samples: NSamples = 25,
    sigma: Sigma = 0.001,
    step_size: TenthStepSize = None,
    momentum: Momentum = 0.9,
) -> "Algorithm[Tensor | Example]":
    """Steps up a gradient that is estimated from the scores of noisy copies, each projected back onto the ball.

    Ilyas, Engstrom, Athalye and Lin, "Black-box Adversarial Attacks with Limited Queries and Information", ICML 2018,
    algorithm 1 and section 3.1. Of each draw of noise there are two copies, one with it and one without as much, so an
    estimate is 2 n_samples rows; one more says whether the point is there. Estimates are averaged with momentum, as the
    authors' program has it. Away from a label the margin is climbed, as by `square`: of a sure model the differences of
    the cross-entropy are less than float32 holds. It ends at the first point that reaches the goal and is accepted.

    x       [C, H, W], pixels in [0, 1]
    goal    the label to leave, or the target to reach
    noise   the run's own random numbers
    state   from which to go on, as its Progress had it
    accept  takes a row [C, H, W] that reaches the goal, or gives None for it: then it goes on. What it asks itself is
            not counted among the queries
    Returns an image of x's shape, within epsilon of x, pixels in [0, 1]. It is x, with a `note`, where every estimate
    was 0, as behind a view that rounds by more than sigma changes.
    """
    from torch import cat

    ball, eps, n = NORMS[norm], epsilon, n_samples
    eta = eps / 10 if step_size is None else step_size
    L: Objective = Margin(goal.label) if goal.target is None else goal.loss
    x_t, g_t, spent, x_best, L_best = x, x * 0, 0, x, -math.inf
    if state:
        x_t, g_t, spent, x_best, L_best = (state[name] for name in ("x_t", "g_t", "step", "best", "objective"))
        noise.go_on(state["noise"])
    while spent < queries:
        logits = (yield Forward(x_t)).logits
        spent += 1
        if spent > 1 and goal.reached(logits) and (yield from accept(x_t)) is not None:
            return x_t
        if (L_t := float(L(logits[None]))) > L_best:
            x_best, L_best = x_t, L_t
        pairs, g, most = min(n, (queries - spent - 1) // 2), x * 0, max(wave(x) // 2, 1)
        if pairs < 1:
            break
        for first in range(0, pairs, most):
            u = noise.normal(x.expand(min(most, pairs - first), *x.shape))
            values = L((yield Forward(cat([x_t + sigma * u, x_t - sigma * u]).clamp(0, 1))).logits)
            g = g + ((values[: len(u)] - values[len(u) :])[:, None, None, None] * u).sum(0)
        spent += 2 * pairs
        g_t = momentum * g_t + (1 - momentum) * g / (2 * pairs * sigma)
        x_t = x_t + eta * ball.direction(g_t)
        x_t = (x + ball.project(x_t - x, eps)).clamp(0, 1)
        yield Progress(spent, queries, L_best, best=x_best, state={"x_t": x_t, "g_t": g_t, "noise": noise.state})
    flat = spent > 1 and not (g_t.any() or (x_t != x).any())
    return Example(x, {"note": FLAT.format(sigma)}) if flat else x_best
