"""A representation as a backend: its code stands where a network's logits do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from rakinglight.card import Card
from rakinglight.errors import BadParameter
from rakinglight.network import Ladder, Network
from rakinglight.queries import Rule, Scores, Slope
from rakinglight.representations import Representation

#: Pixels of all rows of a pass together, at most: a dense code of more takes longer than others should wait. And rows.
PIXELS, ROWS = 100_000, 16


class RepresentationBackend:
    """Answers `Forward` and `Gradient` by the code of each row."""

    def __init__(self, representation: Representation) -> None:
        self.representation = representation
        self.name = representation.name

    def forward(self, rows: Tensor, layers: tuple[str, ...] = (), *, short: bool = False) -> Scores:
        _check_layers(self.name, layers)
        with torch.no_grad():
            return Scores(torch.stack([self.representation.code(row) for row in rows]))

    def gradient(
        self,
        rows: Tensor,
        objective: Callable[[Any], Tensor],
        *,
        at: tuple[str, ...] = (),
        wrt: str | None = None,
        rules: Sequence[Rule] = (),
    ) -> Slope:
        _check_layers(self.name, (*at, *([wrt] if wrt else [])))
        x = rows.detach().clone().requires_grad_()
        codes = torch.stack([self.representation.code(row) for row in x])
        values = objective(codes)
        if not values.requires_grad:
            raise BadParameter(f"{self.name} has no derivative by the image; it can be compared by, and not inverted.")
        (g,) = torch.autograd.grad(values.sum(), x)
        return Slope(values.detach(), g.contiguous(), codes.detach())

    def randomized(self, share: float) -> RepresentationBackend:
        raise BadParameter(f"{self.name} has no weights that could be random.")


@lru_cache(maxsize=64)
def network_of(representation: Representation, shape: tuple[int, int, int]) -> Network:
    """`representation` as the engine asks it, for rows of `shape`, [C, H, W]. Raises BadParameter."""
    representation.check(shape)
    backend = RepresentationBackend(representation)
    card = Card(
        name=repr(representation),
        version="",
        input_shape=shape,
        mean=(),
        std=(),
        labels=(),
        sha256="",
        provenance="",
    )
    rows = max(1, min(ROWS, PIXELS // (shape[1] * shape[2])))
    ladder = Ladder(tuple(range(1, rows + 1)))  # each row is coded by itself: its bits are the same in any company
    return Network(card, backend, backend, ladder, ladder)


def _check_layers(name: str, layers: Sequence[str]) -> None:
    if layers:
        raise BadParameter(f"{name} is no network and has no layer {layers[0]!r}; leave it out.")
