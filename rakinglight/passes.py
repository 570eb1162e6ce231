"""One pass through one network: who sits in it, and how rows become answers and answers become theirs again."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rakinglight.network import Network
from rakinglight.queries import Forward, Gradient, Query, Scores, Slope
from rakinglight.run import Run


@dataclass(frozen=True)
class Seat:
    """A run's place in a pass: rows `start` to `stop` of its query."""

    run: Run[Any]
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def query(self) -> Query:
        assert self.run.query is not None
        return self.run.query

    @property
    def rows(self) -> Tensor:
        return self.query.batch[self.start : self.stop]


def key(query: Query) -> tuple[object, ...]:
    """Queries to one network that are equal in this may share a pass."""
    how = query.layers if isinstance(query, Forward) else query.rule if isinstance(query, Gradient) else None
    return type(query), how, query.rows.shape[-3:], query.rows.dtype


def deal(asking: Iterable[Run[Any]], limit: int) -> list[Seat]:
    """Deal `limit` rows like cards: one to each caller in turn, and within a caller one to each run in turn.

    A query of 8,000 rows takes what is left over by the small ones, and nobody's many runs crowd out another's one.
    """
    hands: dict[str, deque[Run[Any]]] = {}
    for run in asking:
        hands.setdefault(run.caller, deque()).append(run)
    dealt: Counter[Run[Any]] = Counter()
    while limit and hands:
        for caller in list(hands)[:limit]:
            run = hands[caller].popleft()
            dealt[run] += 1
            limit -= 1
            if dealt[run] < run.wanted:
                hands[caller].append(run)
            elif not hands[caller]:
                del hands[caller]
    return [Seat(run, run.served, run.served + n) for run, n in dealt.items()]


def answers(seats: Sequence[Seat], network: Network) -> list[Scores | Slope]:
    """Pass the rows of all `seats` through `network` at once, padded to a count whose bits are known; seat by seat."""
    query = seats[0].query
    backend, ladder = network.backend(query)
    rows = torch.cat([seat.rows for seat in seats])
    if padding := ladder.padded(len(rows)) - len(rows):
        rows = torch.cat([rows, rows[-1:].expand(padding, *rows.shape[1:])])

    answer: Scores | Slope
    if isinstance(query, Forward):
        answer = backend.forward(rows, query.layers)
    else:
        assert isinstance(query, Gradient)
        answer = backend.gradient(rows, lambda logits: side_by_side(seats, logits), query.rule)

    found, at = [], 0
    for seat in seats:
        found.append(answer.cut(at, at + len(seat)))
        at += len(seat)
    return found


def side_by_side(seats: Sequence[Seat], logits: Tensor) -> Tensor:
    """The objectives of several runs as one, [n]: each is of its own rows alone, and padding is worth nothing."""
    values, at = [], 0
    for seat in seats:
        assert isinstance(seat.query, Gradient)
        values.append(seat.query.objective(logits[at : at + len(seat)]))
        at += len(seat)
    return torch.cat([*values, logits.new_zeros(len(logits) - at)])
