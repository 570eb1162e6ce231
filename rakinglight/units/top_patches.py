"""The patches of many images that excite a unit most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rakinglight.card import Card
from rakinglight.noise import Noise
from rakinglight.parameters import SpatialLayer
from rakinglight.queries import Algorithm, Progress, State, Stopped
from rakinglight.subject import Subject
from rakinglight.units import Found
from rakinglight.units.asking import outputs, waves
from rakinglight.units.fields import fields
from rakinglight.units.parameters import OneUnit, PatchCount

if TYPE_CHECKING:
    from torch import Tensor


def top_patches(
    subjects: Sequence[Subject],
    card: Card,
    noise: Noise,
    state: State | None = None,
    *,
    layer: SpatialLayer = None,
    unit: OneUnit = None,
    count: PatchCount = 9,
) -> Algorithm[Found]:
    """Show the patches of many images that excite a unit most.

    Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014, section 4: the nine largest
    activations of a unit, each cut to its receptive field. Of each image only the largest counts.

    state  from which to go on, as its Progress had it
    Returns of each unit `patches`, the strongest first: the image, the unit's activation and place there, and the box
    of its receptive field, [top, left, bottom, right] in pixels of what the network sees.
    """
    layer = layer or card.last_spatial_layer
    state = state or {}
    looked = yield from fields(card, layer, noise)
    best: Tensor | None = state.get("values")  # [k, units], the largest first
    images, places = state.get("images"), state.get("places")
    done, partial = state.get("step", 0), False
    for part in waves(len(subjects), card, layer):
        if part.stop <= done:
            continue
        try:
            a = yield from outputs(subjects, part, layer)
        except Stopped:
            if best is None:
                raise
            partial = True
            break
        a = a if unit is None else a[:, unit : unit + 1]
        best, images, places = kept((best, images, places), largest(a, part.start), count)
        done = part.stop
        yield Progress(done, len(subjects), state={"values": best, "images": images, "places": places})
    assert best is not None and images is not None and places is not None
    width = card.layers[layer][2]
    units = []
    for i, number in enumerate([unit] if unit is not None else range(best.shape[1])):
        patches = []
        for value, image, place in zip(best[:, i].tolist(), images[:, i].tolist(), places[:, i].tolist(), strict=True):
            at = divmod(place, width)
            patches.append({"image": image, "activation": value, "place": list(at), "box": list(looked.box(at))})
        units.append({"unit": number, "patches": patches})
    summary: dict[str, Any] = {"layer": layer, "images": done, "field": list(looked.size), "units": units}
    return Found(summary | ({"partial": True} if partial else {}))


def largest(a: Tensor, first: int) -> tuple[Tensor, Tensor, Tensor]:
    """Of outputs [n, units, h, w], each unit's largest value in each image, the image, and the place: [n, units]."""
    import torch

    values, places = a.flatten(2).max(2)
    images = torch.arange(first, first + len(a))[:, None].expand_as(places)
    return values, images, places


def kept(
    before: tuple[Tensor | None, Tensor | None, Tensor | None], found: tuple[Tensor, Tensor, Tensor], count: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The `count` largest of both for each unit, the largest first; of equal ones the earlier image's."""
    import torch

    values, images, places = (
        new if old is None else torch.cat([old, new]) for old, new in zip(before, found, strict=True)
    )
    order = values.argsort(dim=0, descending=True, stable=True)[:count]
    return values.gather(0, order), images.gather(0, order), places.gather(0, order)
