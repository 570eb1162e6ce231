"""What stands around an algorithm: generators that pass on what another asks and what it is told.

From outside the two are one, so neither the algorithm nor the engine knows of it. `view.through` is another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from rakinglight.objectives import Goal
from rakinglight.queries import Algorithm, Compute, Forward, Gradient, Progress, Query, State, Stopped
from rakinglight.rows import made

if TYPE_CHECKING:
    from torch import Tensor

A = TypeVar("A")
R = TypeVar("R")


def relayed(
    algorithm: Algorithm[R],
    out: Callable[[Any], Any],
    back: Callable[[Any], Any] = lambda answer: answer,
    closed_by: tuple[type[BaseException], ...] = (GeneratorExit,),
) -> Algorithm[R]:
    """`algorithm`, with `out` between it and who answers, and `back` on the way home.

    What is thrown in goes through to it, and closing one closes the other: from outside the two are one.

    closed_by  what is not passed on, but closes it
    """

    def reply(asked: Any) -> Algorithm[Any]:
        return back((yield out(asked)))

    return replied(algorithm, reply, closed_by)


def addressed(algorithm: Algorithm[R], network: str) -> Algorithm[R]:
    """`algorithm`, its queries addressed to `network` unless they say otherwise."""

    def out(asked: Any) -> Any:
        return replace(asked, network=network) if isinstance(asked, Query) and asked.network is None else asked

    return relayed(algorithm, out)


def in_thread(algorithm: Algorithm[R]) -> Algorithm[R]:
    """`algorithm`, what it does between its queries done in a thread: for images so large that this takes a while."""
    answer: Any = None
    error: BaseException | None = None

    def step() -> tuple[bool, Any]:
        try:
            return False, algorithm.throw(error) if error else algorithm.send(answer)
        except StopIteration as done:
            return True, done.value

    while True:
        over, asked = yield Compute(step)  # closed here, it leaves the generator to the thread that is in it
        if over:
            return asked  # type: ignore[no-any-return]
        answer = error = None
        try:
            answer = yield asked
        except GeneratorExit:
            algorithm.close()
            raise
        except BaseException as e:
            error = e


def so_far(algorithm: Algorithm[R]) -> Algorithm[tuple[R, bool]]:
    """`algorithm`'s result, or, if it is stopped, what its last Progress would show; and whether it was stopped."""
    best: R | None = None

    def out(asked: Any) -> Any:
        nonlocal best
        if isinstance(asked, Progress) and asked.best is not None:
            best = asked.best
        return asked

    try:
        return (yield from relayed(algorithm, out)), False
    except Stopped:
        if best is None:
            raise
        return best, True


def resumable(begin: Callable[[State | None], Algorithm[R]], state: State, phase: str, **known: Any) -> Algorithm[R]:
    """The algorithm that `begin` begins, anew or from a state of its own, as one phase of a longer run.

    Its states go out as the whole run's: under the name of the `phase`, beside what is `known` by then. Where `state`,
    the whole run's, was taken in this phase, its Progress comes first, so that the run can be stopped at once.
    """
    last = state.get(phase)

    def out(asked: Any) -> Any:
        if not isinstance(asked, Progress) or asked.state is None:
            return asked
        said = {"step": asked.step, "of": asked.of, "objective": asked.objective, "best": asked.best}
        return replace(asked, state={**known, phase: {**asked.state, **said}})

    if last:
        yield Progress(last["step"], last["of"], last["objective"], last["best"])
    return (yield from relayed(begin(last), out))


def as_part(algorithm: Algorithm[R], place: int, of: int) -> Algorithm[R]:
    """`algorithm` as part `place` of `of`, of about the same length each: its Progress tells of the whole."""

    def out(asked: Any) -> Any:
        if not isinstance(asked, Progress):
            return asked
        return replace(asked, step=asked.step + place * asked.of, of=of * asked.of)

    return relayed(algorithm, out)


def first(
    algorithm: Algorithm[R], goal: Goal, accept: Callable[[Tensor], Algorithm[A | None]]
) -> Algorithm[tuple[R | None, A | None]]:
    """`algorithm`, ended at the first row that it asks about which reaches `goal` and which `accept` takes.

    accept  a row [C, H, W] -> what is made of it, or None: then the algorithm goes on. It may ask queries of its own
    Returns what the algorithm returned, if it came to its end; and what `accept` made, if it took a row.
    Every answer brings the logits of what was asked about, so looking costs nothing.
    """

    def reply(asked: Any) -> Algorithm[Any]:
        answer = yield asked
        if isinstance(asked, Forward | Gradient) and asked.network is None:
            logits = answer.logits[None] if asked.single else answer.logits
            for i in goal.reached(logits).nonzero()[:, 0].tolist():
                taken = yield from accept(made(asked.batch[i : i + 1])[0])
                if taken is not None:
                    raise _Taken(taken)
        return answer

    try:
        return (yield from replied(algorithm, reply, (GeneratorExit, _Taken))), None
    except _Taken as e:
        return None, e.args[0]


class _Taken(BaseException):
    """What `accept` made of a row; the algorithm does not hear of it."""


def silent(algorithm: Algorithm[R]) -> Algorithm[R]:
    """`algorithm` as a part of another, which alone tells of its progress."""

    def reply(asked: Any) -> Algorithm[Any]:
        return None if isinstance(asked, Progress) else (yield asked)

    return replied(algorithm, reply)


def replied(
    algorithm: Algorithm[R],
    reply: Callable[[Any], Algorithm[Any]],
    closed_by: tuple[type[BaseException], ...] = (GeneratorExit,),
) -> Algorithm[R]:
    """`algorithm`, to which `reply` says what it is told of all that it yields; it may ask queries of its own.

    closed_by  what is not passed on to the algorithm, but closes it
    """
    answer: Any = None
    error: BaseException | None = None
    while True:
        try:
            asked = algorithm.throw(error) if error else algorithm.send(answer)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]
        answer = error = None
        try:
            answer = yield from reply(asked)
        except closed_by:
            algorithm.close()
            raise
        except BaseException as e:
            error = e
