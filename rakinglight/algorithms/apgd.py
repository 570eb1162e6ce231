"""Projected gradient ascent that finds its own step sizes."""

import math
from typing import TYPE_CHECKING

from rakinglight.noise import Noise
from rakinglight.norms import NORMS
from rakinglight.objectives import DifferenceOfLogitsRatio, Goal
from rakinglight.parameters import AttackLossChoice, Epsilon, NormChoice, RandomStart, Restarts, Steps
from rakinglight.queries import Algorithm, Gradient, Progress, State

if TYPE_CHECKING:
    from torch import Tensor

#: How much of a step is the gradient's; the rest is the step before.
ALPHA = 0.75
#: The share of steps between two checkpoints that have to gain something.
RHO = 0.75


def apgd(
    x: "Tensor",
    goal: Goal,
    noise: Noise,
    state: State | None = None,
    *,
    norm: NormChoice = "linf",
    epsilon: Epsilon = 8 / 255,
    loss: AttackLossChoice = "cross_entropy",
    steps: Steps = 100,
    restarts: Restarts = 1,
    random_start: RandomStart = True,
) -> "Algorithm[Tensor]":
    """Steps up the loss that begin long, keep some of their direction, and are halved where they gain too little.

    Croce and Hein, "Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free attacks",
    ICML 2020, algorithm 1 and section 4. Where the paper's text and the authors' program differ, it is as the program,
    by which their figures were made: a checkpoint w_j comes as soon as w_j steps are done, condition 1 holds at
    equality too, the very first step has gained where its loss is above zero, and condition 2 never holds at the first
    checkpoint.

    x      [C, H, W], pixels in [0, 1]
    goal   the label to leave, or the target to reach
    noise  the run's own random numbers, for the starts
    state  from which to go on, as its Progress had it
    Returns an image of x's shape, within epsilon of x, pixels in [0, 1]: of those seen the one with the largest loss,
    and one that reached the goal before any that did not.
    """
    ball, eps, N, W = NORMS[norm], epsilon, steps, checkpoints(steps)
    f = goal.loss if loss == "cross_entropy" else DifferenceOfLogitsRatio(goal.label, goal.target)

    def P(z: "Tensor") -> "Tensor":  # noqa: N802  the paper's letter
        return (x + ball.project(z - x, eps)).clamp(0, 1)

    done, best, x_adv = 0, (False, -math.inf), x
    if state:
        done, best, x_adv = state["step"], (state["reached"], state["objective"]), state["best"]
        x_k, x_last, g, f_k, eta, x_max, g_max, f_max, f_check, gains, halved = state["ascent"]
        noise.go_on(state["noise"])
    for t in range(done, restarts * (N + 1)):
        restart, k = divmod(t, N + 1)
        if k == 0:
            x_k = x_last = P(x + ball.random(noise, x, eps)) if random_start or restart else x
            eta, f_max = 2 * eps, -math.inf
        else:
            alpha = ALPHA if k > 1 else 1.0  # line 2: the first step has none before it
            z = P(x_k + eta * ball.direction(g))  # line 6
            x_k, x_last = P(x_k + alpha * (z - x_k) + (1 - alpha) * (x_k - x_last)), x_k  # line 7
        f_last = f_k if k > 1 else 0.0
        value, g, logits = yield Gradient(x_k, f)
        f_k = float(value)
        if f_k > f_max:
            x_max, g_max, f_max = x_k, g, f_k
        found = (bool(goal.reached(logits)), f_k)
        if found > best:
            best, x_adv = found, x_k
        if k == 0:
            gains, f_check, halved = 0, f_max, True
        else:
            gains += f_k > f_last
        if k in W:
            halved = gains <= RHO * W[k] or (not halved and f_max == f_check)  # conditions 1 and 2
            if halved:
                eta, x_k, g = eta / 2, x_max, g_max
            gains, f_check = 0, f_max
        ascent = [x_k, x_last, g, f_k, eta, x_max, g_max, f_max, f_check, gains, halved]
        kept = {"ascent": ascent, "reached": best[0], "noise": noise.state}
        yield Progress(t + 1, restarts * (N + 1), best[1], best=x_adv, state=kept)
    return x_adv


def checkpoints(N: int) -> dict[int, int]:
    """The steps w_j after which N steps are looked back upon, and how many there were since the one before.

    Section 3.2: the shares p_j of N are 0 and 0.22, then each is farther by 0.03 less than the last, by 0.06 at least;
    in whole steps, as the authors' program counts them.
    """
    since = max(22 * N // 100, 1)
    k, W = since, {}
    while k <= N:
        W[k] = since
        since = max(since - max(3 * N // 100, 1), max(6 * N // 100, 1))
        k += since
    return W
