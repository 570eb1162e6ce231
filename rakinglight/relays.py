"""What stands around an algorithm: generators that pass on what another asks and what it is told.

From outside the two are one, so neither the algorithm nor the engine knows of it. `view.through` is another.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar

from rakinglight.queries import Algorithm, Compute, Forward, Progress, Scores, State, Stopped

R = TypeVar("R")


def relayed(
    algorithm: Algorithm[R],
    out: Callable[[Any], Any],
    back: Callable[[Any], Any] = lambda answer: answer,
) -> Algorithm[R]:
    """`algorithm`, with `out` between it and who answers, and `back` on the way home.

    What is thrown in goes through to it, and closing one closes the other: from outside the two are one.
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
            answer = back((yield out(asked)))
        except GeneratorExit:
            algorithm.close()
            raise
        except BaseException as e:
            error = e


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


def insisting(query: Forward) -> Algorithm[Scores]:
    """The answer to `query`, asked again if the run is told to stop: the reserve is there for it."""
    while True:
        with suppress(Stopped):
            scores: Scores = yield query
            return scores
