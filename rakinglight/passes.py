"""One pass through one network: who sits in it, and how rows become answers and answers become theirs again."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from rakinglight.network import Network
from rakinglight.queries import Forward, Gradient, Query, Scores, Slope, rows_of
from rakinglight.rows import Lazy, Patched, made
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
    def rows(self) -> Tensor | Lazy:
        return self.query.batch[self.start : self.stop]


def key(query: Query, network: Network) -> tuple[object, ...]:
    """Queries that are equal in this may share a pass through `network`.

    The backward rule is not in it: that is each row's own. Patches that are answered without whole passes go alone,
    with what is known of their base.
    """
    how: tuple[object, ...] = ()
    if isinstance(query, Forward):
        how = query.layers, query.short
    elif isinstance(query, Gradient):
        how = query.at, query.wrt
    alone = id(query) if network.incremental(query) else None
    return network.card.name, type(query), how, query.randomized, alone, tuple(query.rows.shape[-3:]), query.rows.dtype


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
    count = network.ladder(query).padded(sum(map(len, seats)))

    answer: Scores | Slope
    if network.incremental(query):
        (seat,) = seats
        assert network.patches is not None and isinstance(seat.rows, Patched)
        answer = network.patches.backend.forward(seat.rows.padded(count))
    else:
        answer = _whole(seats, _padded(torch.cat([made(seat.rows) for seat in seats]), count), network)

    found, at = [], 0
    for seat in seats:
        found.append(answer.cut(at, at + len(seat)))
        at += len(seat)
    return found


def _whole(seats: Sequence[Seat], rows: Tensor, network: Network) -> Scores | Slope:
    """The answer of one whole pass of `rows`, which are those of all `seats` and padding."""
    query = seats[0].query
    if isinstance(query, Forward):
        if query.short:
            return network.differentiator(query).forward(rows, query.layers, short=True)
        return network.scorer(query).forward(rows, query.layers)
    assert isinstance(query, Gradient)
    rules = [seat.query.rule for seat in seats if isinstance(seat.query, Gradient) for _ in range(len(seat))]
    rules += ["standard"] * (len(rows) - len(rules))
    backend = network.differentiator(query)
    objective = partial(side_by_side, seats, len(rows))
    return backend.gradient(rows, objective, at=query.at, wrt=query.wrt, rules=rules)


def _padded(rows: Tensor, count: int) -> Tensor:
    """`count` rows: these, and the last of them again."""
    return torch.cat([rows, rows[-1:].expand(count - len(rows), *rows.shape[1:])]) if count > len(rows) else rows


def side_by_side(seats: Sequence[Seat], n: int, said: Any) -> Tensor:
    """The objectives of several runs as one, [n]: each is of its own rows alone, and padding is worth nothing.

    said  what all n rows came to: logits [n, K], or the outputs of layers
    """
    values, at = [], 0
    for seat in seats:
        assert isinstance(seat.query, Gradient)
        values.append(seat.query.values(rows_of(said, at, at + len(seat)), seat.start, seat.stop))
        at += len(seat)
    return torch.cat([*values, values[0].new_zeros(n - at)])
