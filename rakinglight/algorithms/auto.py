"""AutoAttack: several attacks that fail for different reasons, one after the other."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rakinglight.algorithms.apgd import apgd
from rakinglight.algorithms.square import any_row, square
from rakinglight.example import Example
from rakinglight.noise import Noise
from rakinglight.objectives import Goal
from rakinglight.parameters import Epsilon, MostSteps, NormChoice, Queries, TargetClasses
from rakinglight.queries import Algorithm, Progress, State
from rakinglight.relays import first, relayed

if TYPE_CHECKING:
    from torch import Tensor


def no_row(_row: "Tensor") -> "Algorithm[None]":
    """Takes none: who stands around the search has been asked before."""
    yield from ()


def auto(
    x: "Tensor",
    goal: Goal,
    noise: Noise,
    logits: "Tensor",
    state: State | None = None,
    accept: "Callable[[Tensor], Algorithm[Any | None]]" = any_row,
    *,
    norm: NormChoice = "linf",
    epsilon: Epsilon = 8 / 255,
    steps: MostSteps = 100,
    target_classes: TargetClasses = 9,
    queries: Queries = 5000,
) -> "Algorithm[Example]":
    """APGD up the cross-entropy, APGD towards each of the best other classes, then Square; ends at the first success.

    Croce and Hein, "Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free attacks",
    ICML 2020, section 5: their ensemble without FAB. The targeted ones climb the difference-of-logits ratio. With a
    target of its own, all three go towards it.

    x       [C, H, W], pixels in [0, 1]
    goal    the label to leave, or the target to reach
    noise   the run's own random numbers, for the starts and the squares
    logits  [K], of x: which of the other classes are best
    state   from which to go on, as its Progress had it
    accept  takes a row [C, H, W] that reaches the goal, or gives None for it: then the search goes on
    Returns the image that was taken, and `broken_by`: "apgd_ce", "apgd_dlr_targeted" or "square"; where none was, the
    one that came nearest to the goal by its margin, and None. It lies within epsilon of x, pixels in [0, 1].
    """
    alike: dict[str, Any] = {"norm": norm, "epsilon": epsilon}
    y, t = goal.label, goal.target
    order = logits.argsort(descending=True, stable=True).tolist()
    targets = [c for c in order if c != y][:target_classes] if t is None else [t]

    def ascent(goal: Goal, loss: Any) -> "Callable[[State | None], Algorithm[Tensor]]":
        return lambda state: apgd(x, goal, noise, state, loss=loss, steps=steps, **alike)

    def search(state: State | None) -> "Algorithm[Tensor]":
        return square(x, goal, noise, state, no_row, queries=queries, **alike)

    attacks = [
        ("apgd_ce", steps + 1, ascent(goal, "cross_entropy")),
        *(("apgd_dlr_targeted", steps + 1, ascent(Goal(y, c), "dlr")) for c in targets),
        ("square", queries, search),
    ]
    of = sum(length for _, length, _ in attacks)
    x_best, margin, begun, inner = x, -math.inf, 0, None
    if state:
        x_best, margin, begun, inner = state["best"], state["objective"], state["begun"], state["attack"]

    def watched(number: int, state: State | None) -> "Algorithm[Tensor]":
        """An attack, whose progress is that of all; what comes nearest to the goal is kept."""
        rows = x
        before = sum(length for _, length, _ in attacks[:number])

        def out(asked: Any) -> Any:
            nonlocal rows
            if isinstance(asked, Progress):
                known = {"step": asked.step, "objective": asked.objective, "best": asked.best}
                kept = {"begun": number, "attack": {**(asked.state or {}), **known}}
                return Progress(before + asked.step, of, margin, best=x_best, state=kept)
            rows = asked.rows
            return asked

        def back(answer: Any) -> Any:
            nonlocal x_best, margin
            if answer is not None and (found := float(goal.margin(answer.logits[None]))) > margin:
                x_best, margin = rows, found
            return answer

        return relayed(attacks[number][2](state), out, back)

    def taking(row: "Tensor") -> "Algorithm[Tensor | None]":
        return row if (yield from accept(row)) is not None else None

    for number in range(begun, len(attacks)):
        _, taken = yield from first(watched(number, inner), goal, taking)
        inner = None
        if taken is not None:
            return Example(taken, {"broken_by": attacks[number][0]})
    return Example(x_best, {"broken_by": None})
