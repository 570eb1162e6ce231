"""How views ask: many images some at a time, so that memory stays flat, and for one unit at one place."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rakinglight.card import Card
from rakinglight.queries import WAVE, WAVE_VALUES, Algorithm, Compute, Forward, Scores
from rakinglight.subject import Subject

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class UnitAt:
    """What one unit of a layer puts out at one place: the objective that a view climbs.

    place  its row and column; () where the layer has no height and width
    """

    layer: str
    unit: int
    place: tuple[int, ...] = ()

    def __call__(self, outputs: Mapping[str, Tensor]) -> Tensor:
        output = outputs[self.layer][:, self.unit]
        for at in self.place:
            output = output[:, at]
        return output


def waves(count: int, card: Card, layer: str) -> list[range]:
    """`count` images in parts, as many at once as can be had of them, and of what `layer` puts out for them."""
    values = max(math.prod(card.input_shape), math.prod(card.layers[layer]))
    size = max(8, min(WAVE, WAVE_VALUES // values))
    return [range(first, min(first + size, count)) for first in range(0, count, size)]


def seen(subjects: Sequence[Subject], part: Sequence[int]) -> Algorithm[Tensor]:
    """[n, C, H, W]: what the network sees of a part of the images."""
    import torch

    x: Tensor = yield Compute(lambda: torch.stack([subjects[i].seen for i in part]), stoppable=True)
    return x


def outputs(subjects: Sequence[Subject], part: Sequence[int], layer: str) -> Algorithm[Tensor]:
    """[n, ...]: what `layer` puts out for a part of the images."""
    x = yield from seen(subjects, part)
    scores: Scores = yield Forward(x, (layer,), seen=True, short=True)
    return scores.activations[layer]


def feature_layer(card: Card, layer: str | None) -> str:
    """`layer`, or where it is None the last that does not put out classes: what the classes are told by."""
    others = [name for name, shape in card.layers.items() if tuple(shape) != (len(card.labels),)]
    return layer or (others or list(card.layers))[-1]
