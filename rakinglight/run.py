"""A run: one algorithm under way, and what the engine knows of it. Needs no torch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from rakinglight.errors import BadParameter, DeadlineExceeded, RakinglightError
from rakinglight.queries import Algorithm, Forward, Progress, Query, Scores, Slope, Stopped
from rakinglight.rows import Patched

R = TypeVar("R")


class Cancelled(Exception):
    """What `Run.result` raises when the run was cancelled."""


@dataclass
class Cost:
    """Rows that went through a network for one run: what everything here costs.

    patched_rows  those of `forward_rows` that were one image with a patch on it
    saved_rows  the multiply-adds that were not needed for `forward_rows`, where only what a patch changes was computed,
                counted in rows of whole passes
    """

    forward_rows: int = 0
    gradient_rows: int = 0
    patched_rows: int = 0
    saved_rows: float = 0.0

    @property
    def rows(self) -> int:
        return self.forward_rows + self.gradient_rows

    def to_json(self) -> dict[str, float]:
        """As a reply has it: what was saved only where anything was."""
        saved = {"saved_rows": self.saved_rows} if self.saved_rows else {}
        return {"forward_rows": self.forward_rows, "gradient_rows": self.gradient_rows, **saved}

    def __repr__(self) -> str:
        return f"{self.forward_rows} forward and {self.gradient_rows} gradient rows"


@dataclass(eq=False)
class Run(Generic[R]):
    """One algorithm under way.

    caller    whose it is: passes are dealt out round robin by caller
    deadline  on `time.monotonic`'s clock: then the run is told to stop
    max_rows  rows it may spend; `reserve` of them are kept for what it does after it was told to stop
    notify    called on the engine's thread, with a Progress, or with the run itself when it is over
    cost      what it has spent; of one that is taken up again, from the start

    The rest is the engine's: the query that waits, the answers that have come in for its first `served` rows, and how
    long the run has gone unserved (`tick`, on the engine's count).
    """

    algorithm: Algorithm[R]
    caller: str = ""
    deadline: float = math.inf
    max_rows: float = math.inf
    reserve: int = 0
    notify: Callable[[Progress | Run[R]], None] = lambda news: None
    cost: Cost = field(default_factory=Cost)

    query: Query | None = field(default=None, init=False)
    answers: list[Any] = field(default_factory=list, init=False)
    served: int = field(default=0, init=False)
    tick: int = field(default=0, init=False)
    stopped: Stopped | None = field(default=None, init=False)
    over: bool = field(default=False, init=False)
    error: BaseException | None = field(default=None, init=False)
    _value: R | None = field(default=None, init=False)

    def __repr__(self) -> str:
        state = "over" if self.over else f"asks {self.query}" if self.query else "has no question open"
        return f"<Run of {self.caller or 'nobody'}: {state}, spent {self.cost}>"

    @property
    def result(self) -> R:
        """What the algorithm returned. Raises what it raised, or Cancelled."""
        if self.error is not None:
            raise self.error
        return self._value  # type: ignore[return-value]

    @property
    def wanted(self) -> int:
        """Rows of the query that have no answer yet."""
        return len(self.query) - self.served if self.query else 0

    @property
    def rows_left(self) -> float:
        """Rows that it may still ask for."""
        return self.max_rows - self.cost.rows - (0 if self.stopped else self.reserve)

    def ask(self, query: Query | None) -> None:
        """Wait for the answer to `query`, or for none."""
        self.query, self.answers, self.served = query, [], 0

    def take(self, part: Scores | Slope, rows: int, work: float = 1.0) -> None:
        """Take in the answer for the next `rows` rows of the query.

        work  the multiply-adds that a row took, as a share of those of a whole pass
        """
        if isinstance(self.query, Forward):
            self.cost.forward_rows += rows
            self.cost.patched_rows += rows if isinstance(self.query.rows, Patched) else 0
            self.cost.saved_rows += rows * (1 - work)
        else:
            self.cost.gradient_rows += rows
        self.answers.append(part)
        self.served += rows

    @property
    def answer(self) -> Scores | Slope:
        """The answer to the query, whose rows may have been spread over several passes."""
        assert self.query is not None and self.wanted == 0
        whole: Scores | Slope = type(self.answers[0]).joined(self.answers)
        return whole.first() if self.query.single else whole

    def end(self, value: R | None = None, error: BaseException | None = None) -> None:
        """Be over, with a value or an error, and say so."""
        self.ask(None)
        self.over, self._value, self.error = True, value, error
        try:
            self.algorithm.close()
        finally:
            self.notify(self)

    def nothing_to_show(self, stopped: Stopped) -> RakinglightError:
        """Why a run that was told to stop has no answer."""
        if stopped.reason == "rows":
            detail = f"max_rows is {self.max_rows:g}, and that is spent before there is anything to show; give more."
            return BadParameter.at("/max_rows", detail)
        return DeadlineExceeded(
            f"The deadline came after {self.cost}, before there was anything to show; give a longer deadline_s."
        )
