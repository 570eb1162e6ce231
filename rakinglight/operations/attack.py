"""A change that fools the model, proven on the picture itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rakinglight.errors import BadParameter, BudgetSpent
from rakinglight.example import Example
from rakinglight.front_door import FrontDoor, Picture, Verdict
from rakinglight.method import Chosen
from rakinglight.objectives import Goal
from rakinglight.parameters import Adaptive, AttackTarget, Defenses, Draws, EarlyStop, Label, Rank, UseDetector
from rakinglight.queries import Algorithm, State
from rakinglight.relays import first, resumable, so_far
from rakinglight.subject import Subject
from rakinglight.trace import Trace

if TYPE_CHECKING:
    from torch import Tensor

#: What is said where the model's budget was spent: with a row left for the verdict, with none, with nothing found, and
#: where only a nearer picture was still looked for.
PROVEN = "The model's budget was spent in the search; this is the nearest that had been found."
UNPROVEN = (
    "The model's budget was spent in the search, and no row is left for the picture, the nearest that had been found: "
    "`after` was said of it before it was rounded, and nothing unproven is a success."
)
NOTHING = "The model's budget was spent before the search found anything: the picture is the image as it was sent."
CUT = "The model's budget was spent before all was tried that could make the picture a better one."


def attack(
    subject: Subject,
    method: Chosen[Tensor | Example],
    state: State | None = None,
    *,
    target: AttackTarget = None,
    label: Label = None,
    early_stop: EarlyStop = False,
    defense: Defenses = (),
    adaptive: Adaptive = True,
    draws: Draws = 10,
    detector: UseDetector = False,
) -> Algorithm[dict[str, Any]]:
    """Change the image a little so that the model is wrong, and prove it on the 8-bit picture.

    The attack works at the image's own size, through the model's resize and crop. Whether it succeeded is judged on the
    picture, alone, by the path that `classify` takes; what rounding broke is repaired before that, if it can be.

    It is judged behind the defence, if there is one: an adaptive attack was made on the defended model, any other on
    the model without. A random defence is drawn 20 times then: what it says is the mean over these.

    A detector is asked about what comes out, and no attack here knows of it.

    Of a search that sees no gradients the result tells how near it had come after how many queries. Where the model's
    budget is spent in the middle, the result is what was found by then, and no success if no row is left to prove it.

    state  from which to go on, as its Progress had it
    """
    state = state or {}
    x, fools = subject.x, method.method.fools
    judge = subject.behind(defense, draws)
    subject = judge if adaptive else subject  # as the attack sees it
    logits = state["logits"] if state else (yield from judge.scores(x))
    attacked = logits
    if defense and not adaptive:
        attacked = state["attacked"] if state else (yield from subject.scores(x))
    before = subject.prediction(logits)
    y = subject.class_index(Rank(rank=1) if label is None else label, logits)
    t = None if target is None else subject.class_index(target, logits)
    if t == y and fools:
        detail = f"The target and the label are both {subject.card.labels[y]!r}; a targeted attack needs another class."
        raise BadParameter.at("/parameters/target", detail)
    norm, epsilon = method.parameters.get("norm", "l2"), method.parameters.get("epsilon")
    goal = Goal(y, t)
    gradients = method.method.asks == "gradients"
    door = FrontDoor(subject, goal, norm, epsilon, gradients=gradients)
    trace = Trace(x, goal, norm, epsilon)

    def proven(row: Tensor) -> Algorithm[Tensor | None]:
        return row if (yield from door.accept(row)) is not None else None

    def begin(state: State | None) -> Algorithm[Tensor | Example]:
        offered = {"x": x, "goal": goal, "noise": subject.noise, "logits": attacked, "view_of": subject.view_of}
        offered["view"] = subject.view
        algorithm = trace.searching(method.begin(**offered, accept=proven, state=state), state)
        # What takes `accept` stops by itself, and knows better what it has found.
        stops = early_stop and fools and not method.takes("accept")
        return subject.through(_until(algorithm, goal, proven) if stops else algorithm)

    last = FrontDoor(judge, goal, norm, epsilon)

    def judged(x: Tensor, floats: Verdict | None = None, *, repair: bool = True) -> Algorithm[tuple[Verdict, Picture]]:
        floats = floats or (yield from trace.judging(door.exact(x)))
        picture = yield from trace.judging(door.prove(x, floats, repair=repair))
        if defense and (judge.chain.random or not adaptive):
            # What chose the picture must not judge it: not the model without, and of a random defence other draws.
            floats = yield from trace.judging(last.exact(x))
            picture = replace((yield from trace.judging(last.judged(picture.pixels))), cut=picture.cut)
        return floats, picture

    def remaining() -> Algorithm[tuple[Example, Verdict, Picture, str]]:
        """What the search had found when the budget was spent. A request of many rows is refused whole, so a few for
        the verdict may be left.
        """
        if trace.nearest is None or trace.answer is None:
            return Example(x), *(yield from last.presumed(x, logits)), NOTHING
        nearest = Example(trace.nearest)
        floats, picture = yield from last.presumed(nearest.x, trace.answer)
        try:
            return nearest, *(yield from judged(nearest.x, floats)), PROVEN
        except BudgetSpent:
            return nearest, floats, picture, UNPROVEN

    try:
        found, partial = yield from so_far(resumable(begin, state, "method", logits=logits, attacked=attacked))
        example = Example.of(found)
        floats, picture = yield from judged(example.x, repair=not partial)
        spent = CUT if door.spent else ""
    except BudgetSpent:
        if "queries" not in method.parameters:  # of what it found nobody has said anything
            raise
        partial = True
        example, floats, picture, spent = yield from remaining()
    asked = {"right": y == before["index"], "fools": fools, "detector": detector}
    result = {
        "prediction": before,
        "before": before,
        "label": subject.prediction(logits, y),
        "target": None if t is None else subject.prediction(logits, t),
        "already_misclassified": y != before["index"],
        **example.facts,
        **(yield from trace.judging(_said(last, picture.x, picture, **asked))),
        "adversarial": picture.pixels,
        "exact": {**(yield from trace.judging(_said(last, example.x, floats, **asked))), "image": example.x.numpy()},
    }
    if not gradients and "queries" in method.parameters:
        result |= trace.members
    if spent:
        result["note"] = spent
    elif epsilon is not None and norm == "linf" and epsilon < 1 / 255 - 1e-9:
        if fools:
            result["success"] = False
        result["note"] = f"epsilon {epsilon:g} is under 1/255, one grey level: no other 8-bit picture is in that ball."
    elif epsilon is not None and picture.distance["l0"] == 0 and "note" not in result:
        result["note"] = (
            f"Rounded to grey levels nothing is left of the perturbation; epsilon {epsilon:g} is too small."
        )
    elif epsilon is not None and not last.holds(picture.distance):
        result["note"] = (
            f"The image is not made of grey levels, and no 8-bit picture is within {epsilon:g} of it: this one is "
            f"{picture.distance[norm]:.3g} away."
        )
    if "broken_by" in result:
        # Found by none of them alone: floats that rounding undid, and that were repaired here.
        result["broken_by"] = (result["broken_by"] or "repair") if result["success"] else None
    if partial or picture.cut:
        result["partial"] = True
    return result


def _said(
    judge: FrontDoor, x: Tensor, verdict: Verdict, *, right: bool, fools: bool, detector: bool
) -> Algorithm[dict[str, Any]]:
    """What a result has of the verdict on x [C, H, W].

    right     whether the untouched image is classified rightly: of any other nothing is a success
    fools     whether the attack wants the model to be wrong: else there is no success to speak of
    detector  whether to ask the detector, for one row: what it rejects is no success either
    """
    rejected = detector and (yield from judge.rejects(x))
    said: dict[str, Any] = {"after": judge.subject.prediction(verdict.logits)}
    if fools:
        said["success"] = verdict.reached and right and not rejected
        if judge.subject.chain.random:
            said["success_rate"] = verdict.rate if right else 0.0
    if detector:
        said["rejected"] = rejected
    return {**said, "distance": verdict.distance}


def _until(
    algorithm: Algorithm[Tensor | Example], goal: Goal, accept: Callable[[Tensor], Algorithm[Tensor | None]]
) -> Algorithm[Tensor | Example]:
    """`algorithm`, or the first row that it asks about which reaches `goal` and which `accept` takes."""
    found, taken = yield from first(algorithm, goal, accept)
    best = found if taken is None else taken
    assert best is not None
    return best
