"""What a layer puts out for an image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rakinglight.card import Card
from rakinglight.errors import BadParameter
from rakinglight.parameters import SpatialLayer
from rakinglight.queries import Algorithm, Progress
from rakinglight.subject import Subject
from rakinglight.units import Found
from rakinglight.units.asking import outputs, waves
from rakinglight.units.parameters import OneUnit

#: Values of all maps together: 32 MB in float32, half of what a reply may have.
MOST_VALUES = 8_000_000
#: So many units are named of each image, the most excited first.
NAMED = 10


def activations(
    subjects: Sequence[Subject], card: Card, *, layer: SpatialLayer = None, unit: OneUnit = None
) -> Algorithm[Found]:
    """Show what a layer puts out for an image: one map a unit.

    Yosinski et al., "Understanding Neural Networks Through Deep Visualization", ICML workshops 2015, section 2.

    Returns of each image `maps` [units, h, w], and `strongest`, the units with the largest values and the place of
    those.
    Raises BadParameter where all maps together would be more than a reply holds.
    """
    layer = layer or card.last_spatial_layer
    units, height, width = card.layers[layer]
    values = len(subjects) * math.prod((1 if unit is not None else units, height, width))
    if values > MOST_VALUES:
        limit = MOST_VALUES // (height * width)
        detail = (
            f"{len(subjects)} images have {len(subjects) * units} maps of {height}×{width} at {layer!r}, and a reply "
            f"holds {limit}; name a unit, a later layer, or send fewer images."
        )
        raise BadParameter.at("/parameters/unit" if unit is None else "/parameters/layer", detail)
    each: list[dict[str, Any]] = []
    for part in waves(len(subjects), card, layer):
        a = yield from outputs(subjects, part, layer)
        a = a if unit is None else a[:, unit : unit + 1]
        each += [{"maps": one.numpy().copy(), "strongest": _strongest(one, unit or 0)} for one in a]
        yield Progress(part.stop, len(subjects))
    return Found({"layer": layer, **({} if unit is None else {"unit": unit})}, each)


def _strongest(maps: Any, first: int) -> list[dict[str, Any]]:
    """The units whose largest value is largest, of maps [units, h, w] of which the first is that of unit `first`."""
    width = maps.shape[2]
    values, places = maps.flatten(1).max(1)
    order = values.argsort(dim=0, descending=True, stable=True)[:NAMED]
    return [
        {"unit": first + i, "activation": float(values[i]), "place": list(divmod(int(places[i]), width))}
        for i in order.tolist()
    ]
