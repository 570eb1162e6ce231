"""A network as the engine sees it: a card, who answers which query, and the row counts whose bits are known."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import inf
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from rakinglight.card import Card
from rakinglight.decoder import Decoder
from rakinglight.detector import Detector
from rakinglight.errors import InternalError
from rakinglight.objectives import CrossEntropy
from rakinglight.queries import Forward, Query, Rule, Scores, Slope
from rakinglight.rows import Patched

#: Row counts that the probe tries. A pass is padded to one of those that agree.
TRIED = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
#: Up to here all are tried, however long they take: which counts agree is for the bits to say, not for a busy moment.
ALWAYS_TRIED = 8
#: Up to here rows share a pass, even if it takes longer than it should.
ALWAYS_SHARED = 4
#: Turns that each backend has at the start, when the quickest is chosen.
TURNS = 5
#: Row counts of a pass of patched rows. The quickest is chosen of those that a pass has time for.
PATCHED_ROWS = (4, 16, 64)
#: Two ways to the same logits differ by rounding alone, as a share of what a patch changes; more is another answer.
ROUNDING = 1e-4
#: No pass is longer than this, so that nobody waits long for the next (`docs/design.md`).
PASS_S = 0.15

#: (question, measure) -> the answer that is on file for the question, else what `measure` finds, in plain values.
Known = Callable[[str, Callable[[], Any]], Any]


def measured_now(_question: str, measure: Callable[[], Any]) -> Any:
    """Nothing is known."""
    return measure()


class Scorer(Protocol):
    """Answers `Forward` for one network. Rows [n, C, H, W] in [0, 1]; a row's answer depends on that row alone.

    name  what a reply says of who answered
    """

    name: str

    def forward(self, rows: Tensor, layers: tuple[str, ...] = ()) -> Scores: ...


S = TypeVar("S", bound=Scorer)


class Backend(Scorer, Protocol):
    """Answers `Gradient` as well."""

    def gradient(
        self,
        rows: Tensor,
        objective: Callable[[Any], Tensor],
        *,
        at: tuple[str, ...] = (),
        wrt: str | None = None,
        rules: Sequence[Rule] = (),
    ) -> Slope:
        """The objective of each row, and its derivative by the row or by what the layer `wrt` puts out.

        at     layers: the objective is of their outputs, {layer: [n, ...]}, the pass ends there, and the logits of the
               answer are [n, 0]
        rules  one a row; none at all is the standard rule for all of them. Raises BadParameter where there is another
               rule and nothing in the network to which it would apply
        """
        ...

    def forward(self, rows: Tensor, layers: tuple[str, ...] = (), *, short: bool = False) -> Scores:
        """As every Scorer; where it is to be `short`, the pass ends at the last of `layers`, and logits are [n, 0]."""
        ...

    def randomized(self, share: float) -> Backend:
        """The same network with random weights in that share of its layers, from the last on."""
        ...


class PatchBackend(Protocol):
    """Answers for patched rows of one base image without whole passes."""

    name: str

    def forward(self, rows: Patched) -> Scores: ...

    def work(self, window: tuple[int, int]) -> float:
        """Multiply-adds that a row with this window takes, as a share of those of a whole pass."""
        ...


@dataclass(frozen=True)
class Patches:
    """Who answers patched rows, and when that pays.

    price  seconds that a multiply-add takes here, over what it takes in a whole pass: measured at load
    rows   of every pass. One count alone, so that a row's bits are the same in each
    """

    backend: PatchBackend
    price: float
    rows: int = 16

    def pays(self, window: tuple[int, int]) -> bool:
        """Whether patches of this size are answered sooner than by whole passes."""
        return self.backend.work(window) * self.price < 1


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


def _quickest_of(scorers: Sequence[Scorer], rows: Tensor) -> Scorer:
    """Who of `scorers` scores `rows` soonest."""
    seconds = _least_seconds([partial(scorer.forward, rows) for scorer in scorers], TURNS)
    return scorers[seconds.index(min(seconds))]


def _least_seconds(works: Sequence[Callable[[], object]], turns: int) -> list[float]:
    """The least that each of `works` takes. They take turns, so that a busy moment strikes them all."""
    seconds = [inf] * len(works)
    for _ in range(turns):
        for at, work in enumerate(works):
            begun = time.perf_counter()
            work()
            seconds[at] = min(seconds[at], time.perf_counter() - begun)
    return seconds


def _agree(few: tuple[Tensor, ...], many: tuple[Tensor, ...]) -> bool:
    return all(torch.equal(a, b[: len(a)]) for a, b in zip(few, many, strict=True))


def _at_the_borders(image: Tensor) -> Patched:
    """`image` with a patch of half its sides in each of its corners."""
    _, H, W = image.shape
    window = (H + 1) // 2, (W + 1) // 2
    corners = torch.cartesian_prod(torch.tensor([0, H - window[0]]), torch.tensor([0, W - window[1]]))
    return Patched(image, corners, window, torch.full_like(image, 0.5))


@dataclass(frozen=True)
class Network:
    """A card and its backends.

    gradient      None where no derivative can be had (an ONNX file)
    no_gradients  what is said where they are asked for, after the name, and there are none
    patches       who answers patched rows sooner than whole passes do; None where nobody does
    patches_note  what a reply says of how patched rows are answered, and why
    detector      of adversarial images, where it has one
    decoders      by layer: who gives back a picture for a code of it
    """

    card: Card
    forward: Scorer
    gradient: Backend | None
    forward_ladder: Ladder
    gradient_ladder: Ladder | None = None
    patches: Patches | None = None
    patches_note: str = "whole passes"
    detector: Detector | None = None
    decoders: Mapping[str, Decoder] = field(default_factory=dict)
    no_gradients: str = (
        "came as an ONNX file, and answers no gradients, nor can its weights be changed; classify and every method "
        "that asks for scores alone work. Give a recipe with safetensors for the rest."
    )

    @staticmethod
    def probed(
        card: Card,
        scorers: Sequence[Scorer],
        gradient: Backend | None = None,
        known: Known = measured_now,
    ) -> Network:
        """A network whose row counts were measured; `Forward` goes to the quickest of `scorers`.

        known  what was measured before (`rakinglight.probes`); without it all is measured now
        """
        image = torch.rand(card.input_shape, generator=torch.Generator().manual_seed(0))
        J = CrossEntropy(0)

        def scores(scorer: Scorer, rows: Tensor) -> tuple[Tensor, ...]:
            return (scorer.forward(rows).logits,)

        def slopes(backend: Backend, rows: Tensor) -> tuple[Tensor, ...]:
            return tuple(backend.gradient(rows, J))

        def ladder(answer: Callable[[S, Tensor], tuple[Tensor, ...]], who: S) -> Ladder:
            question = f"row counts of {answer.__name__} by {who.name}, lonely layers accompanied"
            return Ladder(tuple(known(question, lambda: Ladder.probe(partial(answer, who), image).counts)))

        names = [scorer.name for scorer in scorers]
        choose = partial(_quickest_of, scorers, image.expand(4, *image.shape))
        forward = scorers[names.index(known(f"quickest of {' and '.join(names)}", lambda: choose().name))]
        return Network(card, forward, gradient, ladder(scores, forward), ladder(slopes, gradient) if gradient else None)

    def with_patches(self, backend: PatchBackend, known: Known = measured_now) -> Network:
        """This network, with `backend` for patched rows where it was measured to answer them sooner than whole passes.

        The patch that is tried has a seventh of the image's sides: 32 of 224 pixels.
        """
        _, H, W = self.card.input_shape
        window = max(1, H // 7), max(1, W // 7)
        question = f"patched rows by {backend.name} incrementally, norms in place, and by {self.forward.name} whole"
        rows, patched_s, whole_s, apart = known(question, lambda: list(self._patched_row(backend, window)))
        fewer = f"{1 / backend.work(window):.1f} times fewer multiply-adds"
        size = "×".join(map(str, dict.fromkeys(window)))  # 32 for 32 by 32
        if not apart <= ROUNDING:  # NaN is another answer too
            note = f"whole passes: incremental ones by {backend.name} answered otherwise, by {apart:.1g} of the change"
            return replace(self, patches_note=note)
        if patched_s >= whole_s:
            note = f"whole passes, by {self.forward.name}: incremental ones would take {patched_s / whole_s:.1f} times"
            return replace(self, patches_note=f"{note} as long ({fewer} at window {size}, measured at load)")
        note = f"incremental, by {backend.name}: {fewer} and {whole_s / patched_s:.1f} times as quick as whole passes"
        return replace(
            self,
            patches=Patches(backend, patched_s / backend.work(window) / whole_s, rows),
            patches_note=f"{note} at window {size}, measured at load",
        )

    def _patched_row(self, backend: PatchBackend, window: tuple[int, int]) -> tuple[int, float, float, float]:
        """Rows of a pass, seconds that a row takes in it, seconds in a whole pass, and how far the logits are apart."""
        noise = torch.Generator().manual_seed(0)
        image = torch.rand(self.card.input_shape, generator=noise)
        room = torch.tensor(image.shape[1:]) - torch.tensor(window) + 1
        corners = (torch.rand(PATCHED_ROWS[-1], 2, generator=noise) * room).long()
        patched = Patched(image, corners, window, torch.full_like(image, 0.5))
        rows = patched[: self.forward_ladder.limit].made()

        def passing(n: int) -> Callable[[], Scores]:
            return partial(backend.forward, patched[:n])

        least = PATCHED_ROWS[0]
        tried = patched[:least], _at_the_borders(image)
        apart = torch.tensor([self._apart(backend, rows) for rows in tried]).max()  # which is NaN if one of them is
        (first_s,) = _least_seconds([passing(least)], 2)
        counts = [n for n in PATCHED_ROWS if n == least or first_s * n / least <= PASS_S]
        whole_s, *patched_s = _least_seconds([partial(self.forward.forward, rows), *map(passing, counts)], TURNS)
        row_s, n = min((seconds / n, n) for seconds, n in zip(patched_s, counts, strict=True))
        return n, row_s, whole_s / len(rows), float(apart)

    def _apart(self, backend: PatchBackend, patched: Patched) -> float:
        """How far two ways to the logits of `patched` are apart, as a share of the largest change by a patch."""
        whole = self.forward.forward(patched.made()).logits
        untouched = self.forward.forward(patched.base[None]).logits
        return float((backend.forward(patched).logits - whole).abs().max() / (whole - untouched).abs().max())

    def incremental(self, query: Query) -> bool:
        """Whether `query` is about patches, and they are answered without whole passes."""
        if self.patches is None or not isinstance(query, Forward) or not isinstance(query.rows, Patched):
            return False
        return not query.layers and not query.randomized and self.patches.pays(query.rows.window)

    def work(self, query: Query) -> float:
        """Multiply-adds that a row of `query` takes, as a share of those of a whole pass."""
        if self.incremental(query):
            assert self.patches is not None and isinstance(query.rows, Patched)
            return self.patches.backend.work(query.rows.window)
        return 1.0

    def ladder(self, query: Query) -> Ladder:
        """The row counts of the passes that answer `query`, at which a row's bits are known."""
        if self.incremental(query):
            assert self.patches is not None
            return Ladder((self.patches.rows,))
        if self.gradient_ladder is None or (isinstance(query, Forward) and not (query.layers or query.randomized)):
            return self.forward_ladder
        return self.gradient_ladder

    def scorer(self, query: Forward) -> Scorer:
        """Who answers `query` in whole passes.

        Activations come from torch where there is one: a network's ONNX graph has no output for each of its layers.
        """
        if self.gradient is None or not (query.layers or query.randomized):
            return self.forward
        return self.differentiator(query)

    def differentiator(self, query: Query) -> Backend:
        """Who answers `query`, where it takes more than scores."""
        assert self.gradient is not None
        return self.gradient.randomized(query.randomized) if query.randomized else self.gradient
