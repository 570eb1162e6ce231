"""Features: what a layer puts out for an image, as one vector."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rakinglight.card import Card
from rakinglight.errors import BadParameter
from rakinglight.queries import Algorithm, Progress, State
from rakinglight.subject import Subject
from rakinglight.units.asking import outputs, waves

if TYPE_CHECKING:
    from torch import Tensor

#: Values of all images' features together: 80 MB in float32, which a state has to hold.
MOST_VALUES = 20_000_000


def features(
    subjects: Sequence[Subject], card: Card, layer: str, state: State, *, averaged: bool, least: int
) -> Algorithm[Tensor]:
    """float32 [n, D]: what `layer` puts out for each image, all places or with `averaged` their mean.

    state  from which to go on, as its Progress had it
    least  images that it takes
    Raises BadParameter where there are fewer, and where the features are more than are kept in memory.
    """
    import torch

    n, shape = len(subjects), card.layers[layer]
    check_least(n, least)
    size = shape[0] if averaged else math.prod(shape)
    if n * size > MOST_VALUES:
        remedy = "send fewer images or name a later layer" if averaged else "ask for averaged, or name a later layer"
        detail = f"{n} images have {n} x {size} features at {layer!r}, and {MOST_VALUES} can be kept; {remedy}."
        raise BadParameter.at("/parameters/layer", detail)
    found: list[Tensor] = [state["features"]] if "features" in state else []
    done = state.get("step", 0) if found else 0
    for part in waves(n, card, layer):
        if part.stop <= done:
            continue
        a = yield from outputs(subjects, part, layer)
        found.append(a.flatten(2).mean(2) if averaged and a.ndim > 2 else a.flatten(1))
        yield Progress(part.stop, n, state={"features": torch.cat(found)})
    return torch.cat(found)


def check_least(images: int, least: int) -> None:
    """Raise BadParameter for fewer images than it takes."""
    if images < least:
        count = f"{images} image has" if images == 1 else f"{images} images have"
        raise BadParameter.at("/images", f"{count} no neighbourhoods to look at; send {least} or more.")
