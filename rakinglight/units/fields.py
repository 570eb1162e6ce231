"""Receptive fields: which pixels a place of a layer can depend on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rakinglight.card import Card
from rakinglight.noise import Noise
from rakinglight.queries import Algorithm, Gradient, Slope

if TYPE_CHECKING:
    from torch import Tensor

#: Images of noise by which a field is measured: what none of them moves is taken to be outside. A maximum passes the
#: slope of one pixel alone, so one image would show too small a field.
PROBES = 8

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Axis:
    """The fields along one axis: place i looks at the pixels from first + i * stride up to end + i * stride.

    pixels   of the image along it
    anchored  whether the field's ends were seen inside the image, so that its middle is known
    """

    first: float
    end: float
    stride: float
    pixels: int
    anchored: bool = True

    def span(self, place: int) -> tuple[int, int]:
        """From which pixel to before which, inside the image."""
        low, high = self.first + place * self.stride, self.end + place * self.stride
        return max(0, math.floor(low)), min(self.pixels, math.ceil(high))

    def centres(self, places: int) -> list[float]:
        """The middle of each place's field, in pixels; evenly spread over the image where that is not known."""
        if self.anchored:
            return [(self.first + self.end - 1) / 2 + i * self.stride for i in range(places)]
        return [(i + 0.5) * self.pixels / places - 0.5 for i in range(places)]

    @staticmethod
    def fitted(spans: Mapping[int, tuple[int, int]], places: int, pixels: int) -> Axis:
        """The axis of so many `places` of which some's spans were measured: place -> [low, high), cut at the borders.

        An end that lies at the border may have been cut, and says nothing. Where too little is left to go by, a field
        is the whole image.
        """
        lows = {i: low for i, (low, _) in spans.items() if low > 0}
        highs = {i: high for i, (_, high) in spans.items() if high < pixels}
        several = next((ends for ends in (lows, highs) if len(ends) > 1), None)
        if several is None:
            if places == len(spans) == 1:
                ((low, high),) = spans.values()
                return Axis(low, high, 0.0, pixels)
            return Axis(0, pixels, 0.0, pixels, anchored=False)
        a, b = min(several), max(several)
        stride = (several[b] - several[a]) / (b - a)
        firsts = [low - i * stride for i, low in lows.items()]
        ends = [high - i * stride for i, high in highs.items()]
        # An end that was never seen is beyond the border for every place.
        first = min(firsts) if firsts else -(places - 1) * stride
        end = max(ends) if ends else pixels
        return Axis(first, end, stride, pixels, anchored=bool(firsts and ends))


@dataclass(frozen=True)
class Fields:
    """The receptive fields of a layer's places."""

    rows: Axis
    columns: Axis

    def box(self, place: Sequence[int]) -> Box:
        """[top, left, bottom, right] in pixels of what the network sees, for the unit at `place`."""
        (top, bottom), (left, right) = self.rows.span(place[0]), self.columns.span(place[1])
        return top, left, bottom, right

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of a field that no border cuts."""
        return tuple(min(axis.pixels, math.ceil(axis.end - axis.first)) for axis in (self.rows, self.columns))  # type: ignore[return-value]


@dataclass(frozen=True)
class Mixed:
    """All units of a layer at one place, in a mixture that does not cancel."""

    layer: str
    place: tuple[int, int]
    weights: Tensor

    def __call__(self, outputs: Mapping[str, Tensor]) -> Tensor:
        output = outputs[self.layer][:, :, self.place[0], self.place[1]]
        return output @ self.weights.to(output)


def fields(card: Card, layer: str, noise: Noise) -> Algorithm[Fields]:
    """The receptive fields of `layer`, measured: where the derivative by images of noise is not zero.

    Of four places along the diagonal: the two first, which show where a field ends, and the two last, which show where
    it begins. In a network whose layers are local and the same everywhere the others follow from them.
    """
    import torch

    units, height, width = card.layers[layer]
    places = list(dict.fromkeys(zip(_probed(height), _probed(width), strict=True)))
    x = noise.uniform(torch.empty(PROBES, *card.input_shape), 0, 1)
    weights = noise.normal(torch.empty(units))
    spans: tuple[dict[int, tuple[int, int]], dict[int, tuple[int, int]]] = ({}, {})
    asked = [Mixed(layer, place, weights) for place in places for _ in x]
    slope: Slope = yield Gradient(x.repeat(len(places), 1, 1, 1), asked, at=(layer,), seen=True)
    for place, g in zip(places, slope.gradient.view(len(places), PROBES, *card.input_shape), strict=True):
        moved = g.abs().amax((0, 1))
        for axis in (0, 1):
            there = moved.amax(1 - axis).nonzero()[:, 0]
            if len(there):
                low, high = int(there[0]), int(there[-1]) + 1
                before = spans[axis].get(place[axis], (low, high))
                spans[axis][place[axis]] = min(low, before[0]), max(high, before[1])
    _, H, W = card.input_shape
    return Fields(Axis.fitted(spans[0], height, H), Axis.fitted(spans[1], width, W))


def _probed(count: int) -> list[int]:
    """Four of `count` places, in order; some of them the same where there are fewer."""
    return [0, min(1, count - 1), max(0, count - 2), count - 1]
