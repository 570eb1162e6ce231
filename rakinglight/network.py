"""A network as the engine sees it: a card, who answers which query, and the row counts whose bits are known."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from rakinglight.card import Card
from rakinglight.objectives import CrossEntropy
from rakinglight.queries import Forward, Query, Rule, Scores, Slope

#: Row counts that the probe tries. A pass is padded to one of those that agree.
TRIED = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
#: No pass is longer than this, so that nobody waits long for the next (`docs/design.md`).
PASS_S = 0.15


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
        """Find the row counts that agree bit for bit, and among them the most rows that fit in a pass.

        answer  rows -> tensors, each with a row a row
        image   [C, H, W]: the rows are this image and variations of it

        Matrix libraries choose another kernel for another shape, and its sums are rounded in another order: on one CPU
        2, 3, 4, 6, 8 and 12 rows agreed, 1 did not, 16 and more were again another family. Of the families found, the
        one is taken whose best time a row is best; ties go to the one that wastes least on a single row.
        """
        families: list[list[int]] = []
        pictures: dict[int, tuple[Tensor, ...]] = {}
        seconds: dict[int, float] = {}
        variations = torch.stack([image.roll(shift, -1) for shift in range(TRIED[-1])])
        for n in TRIED:
            rows = variations[:n]
            first = answer(rows)
            begun = time.perf_counter()
            again = answer(rows.flip(0))
            seconds[n] = time.perf_counter() - begun
            if n > 1 and seconds[n] > longest_s:
                break
            if not all(torch.equal(a, b.flip(0)) for a, b in zip(first, again, strict=True)):
                continue  # here a row's place in the pass matters: never use this count
            pictures[n] = first
            for family in families:
                if _agree(pictures[family[-1]], first):
                    family.append(n)
                    break
            else:
                families.append([n])
        best = min(families, key=lambda family: (min(seconds[n] / n for n in family), family[0]))
        return Ladder(tuple(best))


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
    def probed(card: Card, forward: Backend, gradient: Backend | None = None) -> Network:
        """A network whose ladders were measured here and now."""
        image = torch.rand(card.input_shape, generator=torch.Generator().manual_seed(0))
        J = CrossEntropy(0)
        up = Ladder.probe(lambda rows: (forward.forward(rows).logits,), image)
        down = Ladder.probe(lambda rows: tuple(gradient.gradient(rows, J)), image) if gradient else None
        return Network(card, forward, gradient, up, down)

    def backend(self, query: Query) -> tuple[Backend, Ladder]:
        """Who answers `query`, and the row counts at which its bits are known.

        Activations come from torch where there is one: a network's ONNX graph has no output for each of its layers.
        """
        plain = isinstance(query, Forward) and not query.layers
        if plain or self.gradient is None or self.gradient_ladder is None:
            return self.forward, self.forward_ladder
        return self.gradient, self.gradient_ladder
