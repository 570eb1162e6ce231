"""A bridge for what calls back: a library's optimiser, which wants a function, asks the engine as an algorithm does."""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from rakinglight.queries import Algorithm

R = TypeVar("R")


class Closed(Exception):
    """Raised where a query was made of a run that is over."""


def bridged(work: Callable[[Callable[[Any], Any]], R]) -> Algorithm[R]:
    """`work` as an algorithm. It runs in a thread of its own and is given `ask`, by which it has what it would yield.

    `ask(query)` returns the answer, or raises what is thrown in. Once the algorithm is closed, every `ask` raises
    Closed, and the thread is over before `close` returns. One of the two sides waits while the other works, so the bits
    are those of one thread.
    """
    said: SimpleQueue[tuple[str, Any]] = SimpleQueue()  # by `work`: a question, or how it ended
    told: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()
    over = False

    def ask(query: Any) -> Any:
        if over:
            raise Closed
        said.put(("asked", query))
        answer, error = told.get()
        if error:
            raise error
        return answer

    def run() -> None:
        try:
            said.put(("done", work(ask)))
        except BaseException as e:
            said.put(("failed", e))

    thread = Thread(target=run, name="bridge", daemon=True)
    thread.start()
    try:
        while True:
            what, value = said.get()
            if what == "done":
                return value  # type: ignore[no-any-return]
            if what == "failed":
                raise value
            try:
                answer, error = (yield value), None
            except GeneratorExit:
                raise
            except BaseException as e:
                answer, error = None, e
            told.put((answer, error))
    finally:
        over = True
        told.put((None, Closed()))  # to the question that is open, if one is
        thread.join()
