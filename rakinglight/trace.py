"""Success against queries: how near a search that sees no gradients had come, after how many rows.

It is looked up on the way: every row that is answered says whether it reaches the goal. Needs no torch to be imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from rakinglight.norms import NORMS, NormName
from rakinglight.objectives import Goal
from rakinglight.queries import Algorithm, Forward, Progress, Query
from rakinglight.relays import relayed
from rakinglight.rows import made

if TYPE_CHECKING:
    from torch import Tensor

R = TypeVar("R")

#: A point is kept where it is nearer than the one before it by this share: so there are some hundred at most.
NEARER = 0.03


class Trace:
    """After how many queries which distance was reached, for the first time and whenever it fell.

    epsilon   radius of the ball, in which alone a row counts; None: no ball
    queries   rows that the search had asked about, ascending
    distance  of the nearest of them that reached the goal, in the attack's norm; the last is exact, and between the
              others there are NEARER at least
    searched  rows that the search has asked about
    judged    rows by which pictures were judged and repaired
    nearest   [C, H, W]: that row, and `answer` [K], what the model said of it; None while none has reached the goal
    """

    def __init__(self, x: Tensor, goal: Goal, norm: NormName, epsilon: float | None = None) -> None:
        self.x, self.goal, self.norm, self.epsilon = x, goal, norm, epsilon
        self.queries: list[int] = []
        self.distance: list[float] = []
        self.searched = self.judged = 0
        self.nearest: Tensor | None = None
        self.answer: Tensor | None = None

    @property
    def state(self) -> dict[str, Any]:
        names = ("queries", "distance", "searched", "judged", "nearest", "answer")
        return {name: getattr(self, name) for name in names}

    @property
    def members(self) -> dict[str, Any]:
        """What a result says of it."""
        return {
            "trace": {"queries": list(self.queries), "distance": list(self.distance)},
            "search_queries": self.searched,
            "proof_queries": self.judged,
        }

    def searching(self, algorithm: Algorithm[R], state: Mapping[str, Any] | None) -> Algorithm[R]:
        """`algorithm`, its rows written down. Its states have the trace so far; `state` is one of these.

        What it asks about rows as the network sees them already is a verdict, and no part of the search.
        """
        if state and "trace" in state:
            for name, value in state["trace"].items():
                setattr(self, name, list(value) if isinstance(value, list) else value)
        asked: Query | None = None

        def out(what: Any) -> Any:
            nonlocal asked
            asked = what if isinstance(what, Forward) and what.network is None else None
            if isinstance(what, Progress) and what.state is not None:
                return replace(what, state={**what.state, "trace": self.state})
            return what

        def back(answer: Any) -> Any:
            if asked is None or answer is None:
                return answer
            if asked.seen:
                self.judged += len(asked)
                return answer
            logits = answer.logits[None] if asked.single else answer.logits
            for i in self.goal.reached(logits).nonzero()[:, 0].tolist():
                row = made(asked.batch[i : i + 1])[0]
                if self._note(self.searched + i + 1, float(NORMS[self.norm].size(row - self.x))):
                    self.nearest, self.answer = row.clone(), logits[i].clone()  # of their own: a view keeps all rows
            self.searched += len(asked)
            return answer

        return relayed(algorithm, out, back)

    def judging(self, algorithm: Algorithm[R]) -> Algorithm[R]:
        """`algorithm`, which judges a picture, its rows counted."""

        def out(asked: Any) -> Any:
            if isinstance(asked, Query):
                self.judged += len(asked)
            return asked

        return relayed(algorithm, out)

    def _note(self, queries: int, distance: float) -> bool:
        """Whether so near none had come before, after so many queries; then it is written down."""
        outside = self.epsilon is not None and distance > self.epsilon * (1 + 1e-5) + 1e-6
        if outside or (self.distance and distance >= self.distance[-1]):
            return False
        if len(self.distance) > 1 and self.distance[-1] > (1 - NEARER) * self.distance[-2]:
            self.queries[-1], self.distance[-1] = queries, distance
        else:
            self.queries.append(queries)
            self.distance.append(distance)
        return True
