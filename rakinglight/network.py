"""A network as the engine sees it: a card, who answers which query, and the row counts whose bits are known."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Any, Protocol

import torch
from torch import Tensor

from rakinglight.card import Card
from rakinglight.errors import InternalError
from rakinglight.objectives import CrossEntropy
from rakinglight.queries import Forward, Query, Rule, Scores, Slope

#: Row counts that the probe tries. A pass is padded to one of those that agree.
TRIED = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
#: Up to here all are tried, however long they take: which counts agree is for the bits to say, not for a busy moment.
ALWAYS_TRIED = 8
#: Up to here rows share a pass, even if it takes longer than it should.
ALWAYS_SHARED = 4
#: Turns that each backend has at the start, when the quickest is chosen.
TURNS = 5
#: No pass is longer than this, so that nobody waits long for the next (`docs/design.md`).
PASS_S = 0.15

#: (question, measure) -> the answer that is on file for the question, else what `measure` finds, in plain values.
Known = Callable[[str, Callable[[], Any]], Any]


def measured_now(_question: str, measure: Callable[[], Any]) -> Any:
    """Nothing is known."""
    return measure()


class Backend(Protocol):
    """Answers for one network. Rows [n, C, H, W] in [0, 1]; a row's answer depends on that row alone.

    name  what a reply says of who answered
    """

    name: str

    def forward(self, rows: Tensor, layers: tuple[str, ...] = ()) -> Scores: ...

    def gradient(self, rows: Tensor, objective: Callable[[Tensor], Tensor], rule: Rule = "standard") -> Slope: ...


@dataclass(frozen=True)
class Ladder:
    """Row counts, ascending, at which a row's answer has the same bits."""

    counts: tuple[int, ...]

    @property
    def limit(self) -> int:
        """The most rows of one pass."""
        return self.counts[-1]

    def padded(self, n: int) -> int:
        """The smallest count that holds `n` rows."""
        return self.counts[bisect_left(self.counts, n)]

    @staticmethod
    def probe(answer: Callable[[Tensor], tuple[Tensor, ...]], image: Tensor, longest_s: float = PASS_S) -> Ladder:
        """Find row counts that agree bit for bit, up to the most rows that a pass has time for.

        answer  rows -> tensors, each with a row a row
        image   [C, H, W]: the rows are this image and variations of it

        Matrix libraries choose another kernel for another shape, and its sums are rounded in another order: on one CPU
        2, 3, 4, 6, 8 and 12 rows agreed, 1 did not, 16 and more were again another family. The family taken is the one
        that eight rows belong to. Bits alone choose it, so that every start on a machine chooses alike; time says only
        how far up to go. Raises InternalError where a network never answers the same rows alike.
        """
        variations = torch.stack([image.roll(shift, -1) for shift in range(TRIED[-1])])
        found: dict[int, tuple[Tensor, ...]] = {}
        seconds: dict[int, float] = {}
        for n in TRIED:
            rows = variations[:n]
            first = answer(rows)
            again, seconds[n] = _quickest(answer, rows.flip(0))
            if n > ALWAYS_TRIED and seconds[n] > longest_s:
                break
            if all(torch.equal(a, b.flip(0)) for a, b in zip(first, again, strict=True)):
                found[n] = first  # else a row's place in the pass matters, and this count is never used
        if not found:
            raise InternalError("The network answers the same rows otherwise each time; is it in eval mode?")
        chosen = max((n for n in found if n <= ALWAYS_TRIED), default=min(found))
        family = [n for n in found if _agree(*sorted((found[n], found[chosen]), key=lambda answers: len(answers[0])))]
        in_time = [n for n in family if n <= ALWAYS_SHARED or seconds[n] <= longest_s]
        return Ladder(tuple(in_time or family[:1]))


def _quickest(answer: Callable[[Tensor], tuple[Tensor, ...]], rows: Tensor) -> tuple[tuple[Tensor, ...], float]:
    """The answer to `rows`, and the least of two times for it in seconds: other work on the machine only adds."""
    times = []
    for _ in range(2):
        begun = time.perf_counter()
        found = answer(rows)
        times.append(time.perf_counter() - begun)
    return found, min(times)


def _quickest_of(backends: Sequence[Backend], rows: Tensor) -> Backend:
    """The backend that scores `rows` soonest. They take turns, so that a busy moment strikes them all."""
    seconds = {backend.name: inf for backend in backends}
    for _ in range(TURNS):
        for backend in backends:
            begun = time.perf_counter()
            backend.forward(rows)
            seconds[backend.name] = min(seconds[backend.name], time.perf_counter() - begun)
    return min(backends, key=lambda backend: seconds[backend.name])


def _agree(few: tuple[Tensor, ...], many: tuple[Tensor, ...]) -> bool:
    return all(torch.equal(a, b[: len(a)]) for a, b in zip(few, many, strict=True))


@dataclass(frozen=True)
class Network:
    """A card and its backends. `gradient` is None where no derivative can be had (an ONNX file)."""

    card: Card
    forward: Backend
    gradient: Backend | None
    forward_ladder: Ladder
    gradient_ladder: Ladder | None = None

    @staticmethod
    def probed(
        card: Card,
        backends: Sequence[Backend],
        gradient: Backend | None = None,
        known: Known = measured_now,
    ) -> Network:
        """A network whose row counts were measured; `Forward` goes to the quickest of `backends`.

        known  what was measured before (`rakinglight.probes`); without it all is measured now
        """
        image = torch.rand(card.input_shape, generator=torch.Generator().manual_seed(0))
        J = CrossEntropy(0)

        def scores(backend: Backend, rows: Tensor) -> tuple[Tensor, ...]:
            return (backend.forward(rows).logits,)

        def slopes(backend: Backend, rows: Tensor) -> tuple[Tensor, ...]:
            return tuple(backend.gradient(rows, J))

        def ladder(answer: Callable[[Backend, Tensor], tuple[Tensor, ...]], backend: Backend) -> Ladder:
            question = f"row counts of {answer.__name__} by {backend.name}, lonely layers accompanied"
            return Ladder(tuple(known(question, lambda: Ladder.probe(partial(answer, backend), image).counts)))

        names = [backend.name for backend in backends]
        choose = partial(_quickest_of, backends, image.expand(4, *image.shape))
        forward = backends[names.index(known(f"quickest of {' and '.join(names)}", lambda: choose().name))]
        return Network(card, forward, gradient, ladder(scores, forward), ladder(slopes, gradient) if gradient else None)

    def backend(self, query: Query) -> tuple[Backend, Ladder]:
        """Who answers `query`, and the row counts at which its bits are known.

        Activations come from torch where there is one: a network's ONNX graph has no output for each of its layers.
        """
        plain = isinstance(query, Forward) and not query.layers
        if plain or self.gradient is None or self.gradient_ladder is None:
            return self.forward, self.forward_ladder
        return self.gradient, self.gradient_ladder
