"""The closed form for a linear classifier."""

from typing import TYPE_CHECKING

from rakinglight.norms import NORMS, Norm
from rakinglight.objectives import Ahead, Goal
from rakinglight.parameters import Candidates, NormChoice, Overshoot
from rakinglight.queries import Algorithm, Compute, Gradient

if TYPE_CHECKING:
    from torch import Tensor

#: Newton steps to a boundary. Each but the last finds values that have come to 0 or 1; most images need under ten.
NEWTON = 50


def linear(
    x: "Tensor",
    goal: Goal,
    logits: "Tensor",
    *,
    norm: NormChoice = "l2",
    candidates: Candidates = 10,
    overshoot: Overshoot = 0.02,
) -> "Algorithm[Tensor]":
    """The nearest point beyond the nearest boundary, as if the model were linear: exact if it is.

    Moosavi-Dezfooli et al., "DeepFool: A Simple and Accurate Method to Fool Deep Neural Networks", CVPR 2016, section
    3.1, equations 7 and 8, and section 3.3 for linf; here within the box of pixels, which the paper leaves out. One
    step of `deepfool`, which goes on from where this one ends.

    x       [C, H, W], pixels in [0, 1]
    goal    the label to leave, or the target to reach: then the boundary is that between it and the model's answer,
            beyond which a third class may be
    logits  [K], of x
    Returns an image of x's shape, pixels in [0, 1]; x itself where the goal is reached already.
    """
    if goal.reached(logits):
        return x
    f, w = yield from boundaries(x, goal, logits, rivals(goal, logits, candidates))
    length, r = yield Compute(lambda: least_changes(x, f, w, NORMS[norm]))
    nearest: Tensor = r[length.argmin()]
    return (x + (1 + overshoot) * nearest).clamp(0, 1)


def rivals(goal: Goal, logits: "Tensor", candidates: int) -> list[int]:
    """The classes that may win instead of the label: of the `candidates` best of logits [K] all others; the target."""
    if goal.target is not None:
        return [goal.target]
    best = logits.argsort(descending=True, stable=True).tolist()
    return [k for k in best if k != goal.label][: candidates - 1]


def boundaries(x: "Tensor", goal: Goal, logits: "Tensor", classes: list[int]) -> "Algorithm[tuple[Tensor, Tensor]]":
    """How far each of `classes` is ahead at x, f' [n], and the slope of that, w' [n, C, H, W].

    logits  [K], of x
    """
    # Away from the label, the label is what must be overtaken; towards a target, whoever is first now.
    winner = goal.label if goal.target is None else int(logits.argmax())
    f, w, _ = yield Gradient(x.expand(len(classes), *x.shape), [Ahead(k, winner) for k in classes])
    return f, w


def least_changes(x: "Tensor", f: "Tensor", w: "Tensor", ball: Norm) -> "tuple[Tensor, Tensor]":
    """The norms [n] and the values [n, C, H, W] of the least r with w.r = -f and x + r in [0, 1], a row of w each.

    f  [n], at most 0
    Where the box holds no such r, the norm is infinity and r goes as far as the box does.

    Of all r of norm s within the box, clip(s d) with d the steepest direction has the largest w.r (equation 8, and 11
    and 12 in other norms, cut off at the box). That is concave in s and made of straight pieces, so Newton's method
    from s = 0 comes to the s sought from below, in at most as many steps as there are pieces.
    """
    import torch

    def sums(values: "Tensor") -> "Tensor":
        return values.double().flatten(1).sum(1)

    d = ball.direction(w)
    room = torch.where(d > 0, 1 - x, torch.where(d < 0, -x, 0))  # to where the box ends, on the way along d
    s, lacking = torch.zeros_like(f, dtype=torch.float64), -f.double()
    for _ in range(NEWTON):
        along = s[:, None, None, None].to(x) * d
        free = along.abs() < room.abs()
        missing = lacking - sums(w * torch.where(free, along, room))
        slope = sums(w * d * free)
        further = missing.clamp(min=0) / slope
        if not (further > 1e-6 * s).any():
            break
        s = s + torch.where(slope > 0, further, torch.inf)
    along = s[:, None, None, None].to(x) * d
    return s, torch.where(along.abs() < room.abs(), along, room)
