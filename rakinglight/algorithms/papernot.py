"""A substitute for a network that only answers, by augmentation along the signs of its own Jacobian."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from rakinglight.errors import BudgetSpent
from rakinglight.noise import Noise
from rakinglight.parameters import (
    ArchitectureChoice,
    BatchSize,
    Doublings,
    Epochs,
    FlipEvery,
    JacobianStep,
    LearningRate,
    ReservoirSize,
    Rounds,
    SubstituteSide,
)
from rakinglight.queries import Algorithm, Compute, Forward, Progress, Scores, State, Stopped, wave
from rakinglight.relays import relayed
from rakinglight.substitutes.allowance import sizes
from rakinglight.substitutes.lesson import Lesson
from rakinglight.substitutes.student import Student

if TYPE_CHECKING:
    from torch import Tensor

#: (the student, the point of the curve so far) -> adds what it finds to the point, with a Progress after each figure.
Judge = Callable[[Student, dict[str, Any]], Algorithm[None]]


def papernot(
    x: "Tensor",
    o: "Tensor",
    noise: Noise,
    judge: Judge,
    signs: Literal["jacobian", "random"] = "jacobian",
    soft: bool = False,
    limit: int | None = None,
    state: State | None = None,
    *,
    architecture: ArchitectureChoice = "convolutional",
    side: SubstituteSide = None,
    rounds: Rounds = 4,
    step: JacobianStep = -0.1,
    flip_every: FlipEvery = 4,
    doublings: Doublings = 6,
    reservoir: ReservoirSize = 400,
    epochs: Epochs = 10,
    learning_rate: LearningRate = 2e-3,
    batch_size: BatchSize = 128,
) -> "Algorithm[dict[str, Any]]":
    """Train a small network on what the oracle says of a few images, and of steps along the network's own Jacobian.

    Papernot et al., "Practical Black-Box Attacks against Machine Learning", ASIA CCS 2017, section 4, algorithm 1:

        S_{rho+1} = { x + lambda_rho sgn(J_F[O(x)]) : x in S_rho }  u  S_rho,  lambda_rho = lambda (-1)^(rho // tau)

    with O the oracle and J_F[k] the derivative of F's logit k by the pixels; and Papernot et al., "Transferability in
    Machine Learning", 2016, section 5: after sigma rounds only kappa images are stepped from, drawn by a reservoir. The
    paper has lambda_{rho+1}; here the first tau steps have one sign, as in the authors' program. As there, a lambda
    below 0 begins down the logit that the oracle's label has, towards the boundary.

    Every image that is asked about is a picture of eight bits: lambda counts in whole grey levels, and what leaves
    [0, 1] is cut. F goes on learning from round to round; it looks at images averaged over small squares, so that a
    step has one sign in each.

    x        uint8 [s, C, H, W], the seeds S_0
    o        [s, K], the logits that the oracle gave them
    noise    the run's own random numbers: first weights, order of the images, reservoir
    judge    is asked after every round
    signs    the Jacobian's, or, for a control, random ones
    soft     whether F learns from the oracle's probabilities, and not from its labels
    limit    images that the oracle may be asked about here
    state    from which to go on, as its Progress had it
    Returns {"curve": a point for each round, {"round", "queries"} and what `judge` added; "weights" of F; "queries",
    the images that the oracle labelled, seeds and all; "stopped_by": "rounds", "queries" where `limit` came first,
    "budget" where the oracle would answer no more, "deadline" or "rows" where the run was told to stop}. Raises Stopped
    where that came before F was judged.
    """
    state = state or {}
    _, C, H, W = x.shape
    F = Student(architecture, (C, H, W), o.shape[1], side, noise, state.get("student"))
    lesson = Lesson(F, x, noise, soft=soft, state=state)
    if not state:
        lesson.hear(o)
    sizing = {"rounds": rounds, "doublings": doublings, "reservoir": reservoir}
    counts, whole = (sizes(len(x), most, **sizing) for most in (limit, None))
    ends = [epochs * -(-n // batch_size) for n in counts]  # of the steps of Adam in each round
    wave_of, stopped_by = wave(x[0]), "rounds" if counts == whole else "queries"

    def progress() -> Progress:
        agreed = [point["agreement"]["value"] for point in lesson.curve if "agreement" in point]
        step_now = sum(ends[: lesson.round]) + lesson.learnt
        return Progress(min(step_now, sum(ends)), sum(ends), agreed[-1] if agreed else None, state=lesson.state)

    def told(asked: Any) -> Any:
        """The judge's progress is ours."""
        return progress() if isinstance(asked, Progress) else asked

    try:
        while True:
            rho, n = lesson.round, counts[lesson.round]
            while len(lesson.small) < len(lesson.album):
                yield Compute(partial(lesson.look, wave_of), stoppable=True)
            if len(lesson.album) < n:
                parents = lesson.drawn(n - len(lesson.album))
                lambda_rho = step * (-1) ** ((rho - 1) // flip_every)
                for first in range(0, len(parents), wave_of):
                    some = parents[first : first + wave_of]
                    yield Compute(partial(lesson.step_from, some, lambda_rho, at_random=signs == "random"))
                continue
            while len(lesson.told) < n and stopped_by != "budget":
                try:
                    yield from _ask(lesson, min(n, len(lesson.told) + wave_of))
                except BudgetSpent:
                    stopped_by = "budget"
                yield progress()
            while lesson.learnt < ends[rho]:
                yield Compute(partial(lesson.learn, ends[rho], learning_rate, batch_size), stoppable=True)
                yield progress()
            if len(lesson.curve) == rho:
                lesson.curve.append({"round": rho, "queries": len(lesson.told)})
            yield from relayed(judge(F, lesson.curve[rho]), told)
            if rho + 1 == len(counts) or stopped_by == "budget":
                break
            lesson.round, lesson.learnt = rho + 1, 0
    except BudgetSpent:
        stopped_by = "budget"
    except Stopped as e:
        if not any("agreement" in point for point in lesson.curve):
            raise
        stopped_by = e.reason
    return {"curve": lesson.curve, "weights": F.weights, "queries": len(lesson.told), "stopped_by": stopped_by}


def _ask(lesson: Lesson, last: int) -> Algorithm[None]:
    """Ask the oracle about the next images, up to number `last`; where its budget does not reach, about fewer.

    Raises BudgetSpent where it does not reach for one.
    """
    first = len(lesson.told)
    levels = yield Compute(partial(lesson.album.pictures, first, last))
    while True:
        try:
            scores: Scores = yield Forward(levels.float() / 255, seen=True)
        except BudgetSpent:
            if len(levels) == 1:
                raise
            levels = levels[: len(levels) // 2]
        else:
            lesson.hear(scores.logits)
            return
