"""A unit's activation projected back to the pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rakinglight.card import Card
from rakinglight.errors import BadParameter
from rakinglight.noise import Noise
from rakinglight.queries import Algorithm, Forward, Gradient, Progress, Scores, Slope
from rakinglight.subject import Subject
from rakinglight.units import Found
from rakinglight.units.asking import UnitAt, seen, waves
from rakinglight.units.fields import Fields, fields
from rakinglight.units.parameters import StrongestUnit, UnitLayer

if TYPE_CHECKING:
    from torch import Tensor

#: Values of all projections together: 32 MB in float32, half of what a reply may have.
MOST_VALUES = 8_000_000


def deconv(
    subjects: Sequence[Subject], card: Card, noise: Noise, *, layer: UnitLayer = None, unit: StrongestUnit = None
) -> Algorithm[Found]:
    """Show what in an image a unit answers to: its largest activation, projected back to the pixels.

    Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014, section 2.1: all other
    activations of the layer are set to zero, and the one that is left is passed down, through maxima by the switches
    that the image set, through rectifiers by what is positive of the signal, through filters transposed. Plain
    backpropagation differs at the rectifiers alone: it asks there what was positive of the image (Simonyan et al.,
    "Deep Inside Convolutional Networks", ICLR 2014 workshop, section 4). So both are made, times the activation, and
    `correlation` says how far they are one.

    Returns of each image the `unit`, its largest `activation` and the `place` and `box` of that, `projection` and
    `gradient` [C, h, w], and the correlation of their values within the box; None where either is zero throughout.
    """
    layer, n = layer or card.code_layer, len(subjects)
    shape = card.layers[layer]
    if 2 * n * math.prod(card.input_shape) > MOST_VALUES:
        most = MOST_VALUES // (2 * math.prod(card.input_shape))
        raise BadParameter.at("/images", f"{n} images have more projections than a reply holds; send {most} at most.")
    extent = len(shape) == 3 and max(shape[1:]) > 1
    looked: Fields | None = (yield from fields(card, layer, noise)) if extent else None
    each: list[dict[str, Any]] = []
    for part in waves(n, card, layer):
        x = yield from seen(subjects, part)
        scores: Scores = yield Forward(x, (layer,), seen=True, short=True)
        peaks = [_peak(layer, a, unit) for a in scores.activations[layer]]
        asked = [peak for peak, _ in peaks]
        projected: Slope = yield Gradient(x, asked, at=(layer,), seen=True, rule="deconvnet")
        plain: Slope = yield Gradient(x, asked, at=(layer,), seen=True)
        for i, (peak, a) in enumerate(peaks):
            # Both are as strong as the signal that is passed down, so it may as well be passed down as 1.
            one, other = a * projected.gradient[i], a * plain.gradient[i]
            box = looked.box(peak.place) if looked else (0, 0, *card.input_shape[1:])
            each.append(
                {
                    "unit": peak.unit,
                    "activation": a,
                    "place": list(peak.place),
                    "box": list(box),
                    "projection": one.numpy(),
                    "gradient": other.numpy(),
                    "correlation": _correlation(one, other, box),
                }
            )
        yield Progress(part.stop, n)
    return Found({"layer": layer, "images": n}, each)


def _peak(layer: str, a: Tensor, unit: int | None) -> tuple[UnitAt, float]:
    """Where `unit`, or with None any, is excited most, in what the layer put out for one image; and how much."""
    chosen = a if unit is None else a[unit : unit + 1]
    rest = int(chosen.flatten().argmax())
    place: list[int] = []
    for count in reversed(chosen.shape[1:]):
        rest, at = divmod(rest, count)
        place.insert(0, at)
    return UnitAt(layer, rest if unit is None else unit, tuple(place)), float(chosen.max())


def _correlation(one: Tensor, other: Tensor, box: Sequence[int]) -> float | None:
    """Pearson's, of the values within the box; None where one of them has none."""
    top, left, bottom, right = box
    pair = [g[:, top:bottom, left:right].double().flatten() for g in (one, other)]
    a, b = (g - g.mean() for g in pair)
    size = float(a.norm() * b.norm())
    return float(a @ b) / size if size > 0 else None
