"""The L-BFGS attack."""

import math
from collections.abc import Callable
from functools import partial
from math import sqrt
from typing import TYPE_CHECKING, Any

from rakinglight.bridge import bridged
from rakinglight.errors import BadParameter
from rakinglight.norms import NORMS, NormName
from rakinglight.objectives import Goal, Objective
from rakinglight.parameters import BinarySearchSteps, MostSteps, NormChoice
from rakinglight.queries import Algorithm, Gradient, Progress, State

if TYPE_CHECKING:
    from torch import Tensor

#: A minimisation ends at a step that lowers its function by less than this share: 1e-6 takes three times the rows and
#: comes no nearer by a thousandth.
FTOL = 1e-4


def check_norm(_shape: tuple[int, int, int], norm: NormName) -> None:
    """Raise BadParameter for any norm but l2."""
    if norm != "l2":
        detail = f"lbfgs looks for the smallest change in l2, the norm in its objective; {norm} is for deepfool."
        raise BadParameter.at("/parameters/norm", detail)


def lbfgs(
    x: "Tensor",
    goal: Goal,
    logits: "Tensor",
    state: State | None = None,
    *,
    norm: NormChoice = "l2",
    steps: MostSteps = 20,
    binary_search_steps: BinarySearchSteps = 10,
) -> "Algorithm[Tensor]":
    """The smallest change by which the model says the target, by L-BFGS within the box of pixels.

    Szegedy et al., "Intriguing Properties of Neural Networks", ICLR 2014, section 4.1: minimise c |r| + loss(x + r, t)
    for x + r in [0, 1], with a search for the c at which the result just reaches the target. As in Tabacof and Valle,
    "Exploring the Space of Adversarial Images", IJCNN 2016, section 2, the length is squared and the search is a
    bisection: c grows where the target was reached and falls where it was not. Each minimisation begins where the best
    so far is, and whatever it asks about counts, not its end alone.

    x       [C, H, W], pixels in [0, 1]
    goal    the target to reach; without one it is the likeliest class but the label, and any other class counts too
    logits  [K], of x
    state   from which to go on, as its Progress had it
    Returns an image of x's shape, pixels in [0, 1]: the nearest that reaches the goal, or where none did, the last.
    """
    C, H, W = x.shape
    check_norm((C, H, W), norm)
    if goal.reached(logits):
        return x
    best_first = logits.argsort(descending=True, stable=True).tolist()
    t = next(k for k in best_first if k != goal.label) if goal.target is None else goal.target
    J, size = Goal(goal.label, t).loss, NORMS[norm].size
    nearest: Tensor | None = None  # of all that reached the goal
    if state:
        nearest, last, c, low, high, done = (state[name] for name in ("nearest", "last", "c", "low", "high", "step"))
    else:
        value, g, _ = yield Gradient(x, J)
        # Were the loss linear, this c would end where nothing of it is left.
        c = float((g.double() ** 2).sum().clamp(min=1e-12) / (-2 * value.double()).clamp(min=1e-12))
        last, low, high, done = x, 0.0, math.inf, 0
    for k in range(done, binary_search_steps):
        start = last if nearest is None else nearest
        found, last, reached = yield from bridged(partial(minimized, x, start, c, J, goal, steps))
        low, high = (c, high) if reached else (low, c)
        if found is not None and (nearest is None or size(found - x) < size(nearest - x)):
            nearest = found
        c = sqrt(low * high) if low > 0 and high < math.inf else 10 * low if low else high / 10
        best = last if nearest is None else nearest
        kept = {"nearest": nearest, "last": last, "c": c, "low": low, "high": high}
        yield Progress(k + 1, binary_search_steps, float(size(best - x)), best=best, state=kept)
    return last if nearest is None else nearest


def minimized(
    x: "Tensor", start: "Tensor", c: float, J: Objective, goal: Goal, steps: int, ask: Callable[[Any], Any]
) -> "tuple[Tensor | None, Tensor, bool]":
    """Minimise c |r|^2 - J(x + r) from `start` on, in at most `steps` steps.

    Returns the nearest on the way that reached the goal, if any did; the end; and whether that reached it.
    """
    import torch
    from scipy.optimize import Bounds, minimize

    origin = x.flatten().numpy()
    nearest, shortest = None, math.inf
    end, least, there = start, math.inf, False

    # In NumPy: OpenMP, which torch adds up with, would keep a team of threads for each thread that ever called it.
    def loss(z: Any) -> tuple[float, Any]:
        nonlocal nearest, shortest, end, least, there
        seen = z.astype(origin.dtype)  # as the network takes it; SciPy works in float64
        x_z = torch.from_numpy(seen).reshape(x.shape)
        value, g, logits = ask(Gradient(x_z, J))
        r = seen.astype(float) - origin
        length, reached = float((r * r).sum()), bool(goal.reached(logits))
        if reached and length < shortest:
            nearest, shortest = x_z, length
        if (total := c * length - float(value)) < least:
            end, least, there = x_z, total, reached
        return total, 2 * c * r - g.flatten().numpy()

    options = {"maxiter": steps, "ftol": FTOL}
    begin = start.flatten().numpy().astype(float)
    minimize(loss, begin, jac=True, method="L-BFGS-B", bounds=Bounds(0, 1), options=options)
    return nearest, end, there
