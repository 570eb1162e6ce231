"""Which concepts the units of a layer detect, by masks that show where the concepts are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from rakinglight.card import Card
from rakinglight.errors import BadParameter
from rakinglight.geometry import Geometry
from rakinglight.noise import Noise
from rakinglight.parameters import SpatialLayer
from rakinglight.picture_parameters import array_of
from rakinglight.queries import Algorithm, Compute, Progress, State
from rakinglight.subject import Subject
from rakinglight.units import Found
from rakinglight.units.asking import outputs, waves
from rakinglight.units.fields import Axis, Fields, fields
from rakinglight.units.parameters import Concepts, DetectorIou, LabelMaps, Quantile
from rakinglight.units.top_patches import kept, largest

if TYPE_CHECKING:
    from torch import Tensor

Array = np.ndarray[Any, Any]
#: A picture as a door decodes it; as text it is not decoded yet.
Mask = Mapping[str, Any] | str

#: Values that are kept to know the thresholds by: 80 MB in float32, which a state has to hold.
MOST_VALUES = 20_000_000
#: As a share of a unit's values.
ROUNDING = 1e-6
#: Values of upsampled maps at a time: 8 units of 224 x 224 of 16 images.
AT_ONCE = 8_000_000
#: Below how many images the reply says how few they are.
FEW = 100
#: Detectors of which examples are shown, and images of each.
SHOWN, EXAMPLES = 8, 6


def dissection(
    subjects: Sequence[Subject],
    card: Card,
    noise: Noise,
    state: State | None = None,
    *,
    masks: LabelMaps,
    concepts: Concepts,
    layer: SpatialLayer = None,
    quantile: Quantile = 0.005,
    iou: DetectorIou = 0.04,
) -> Algorithm[Found]:
    """Name the concepts that the units of a layer detect, by masks that show where in the images these are.

    Bau et al., "Network Dissection: Quantifying Interpretability of Deep Visual Representations", CVPR 2017, section
    2.2. T_k is the threshold that the share `quantile` of all values of unit k reaches, over all places of all images.
    Its map is brought to the size of what the network sees, bilinearly, each value at the middle of its receptive
    field; M_k is where that reaches T_k, L_c where concept c is. Then, with sums over all images,

        IoU_{k,c} = sum |M_k and L_c| / sum |M_k or L_c|

    and a unit detects the concept of its largest IoU, if that is above `iou`. Where many values are equal, all that
    reach T_k count; but for the least of a unit's values, which is no sign of anything: a rectifier's zeros never do.

    state  from which to go on, as its Progress had it
    Returns `iou` [units, concepts], of each of `units` its threshold, its best concept and the IoU with that, and
    whether it is a detector; `histogram`, the detectors by concept; `examples`, of the surest detectors the images that
    excite them most, and where M_k is in those. Two rows an image, and one more for each of these.
    Raises BadParameter for masks that do not match the images.
    """
    import torch

    layer, state, n = layer or card.last_spatial_layer, state or {}, len(subjects)
    units, height, width = card.layers[layer]
    check_count(masks, n)

    def check() -> None:
        check_masks(card.input_shape, masks, concepts)
        _check_sizes(masks, subjects)

    yield Compute(check)
    high = max(1, math.floor(quantile * n * height * width))
    if high * units > MOST_VALUES:
        detail = f"With quantile {quantile:g}, {high} values of each of {units} units are kept, {MOST_VALUES} can be."
        raise BadParameter.at("/parameters/quantile", f"{detail} Take a smaller one, or a later layer.")
    looked = yield from fields(card, layer, noise)
    parts = waves(n, card, layer)

    top: Tensor | None = state.get("top")
    least: Tensor | None = state.get("least")
    best: tuple[Tensor | None, Tensor | None, Tensor | None] = state.get("best", (None, None, None))
    done: int = state.get("step", 0)
    for part in parts:
        if part.stop <= done:
            continue
        a = yield from outputs(subjects, part, layer)
        values = a.transpose(0, 1).flatten(1)
        top = values if top is None else torch.cat([top, values], 1)
        top = top.topk(min(high, top.shape[1]), 1).values
        least = values.amin(1) if least is None else torch.minimum(least, values.amin(1))
        best = kept(best, largest(a, part.start), EXAMPLES)
        yield Progress(part.stop, 2 * n, state={"top": top, "least": least, "best": list(best)})
    assert top is not None and least is not None
    T = top[:, -1]
    # What is interpolated between equal values differs from them by rounding.
    rounding = ROUNDING * torch.maximum(T.abs(), top[:, 0] - least)
    limit = torch.where(least < T, T - rounding, least + rounding)

    sums: Mapping[str, Tensor] = state.get("sums") or {
        "both": torch.zeros(units, len(concepts), dtype=torch.int64),
        "high": torch.zeros(units, dtype=torch.int64),
        "there": torch.zeros(len(concepts), dtype=torch.int64),
    }
    for part in parts:
        if n + part.stop <= done:
            continue
        a = yield from outputs(subjects, part, layer)
        labels = [seen_mask(card, masks[i]) for i in part]
        sums = yield Compute(partial(_added, sums, a, labels, limit, looked), stoppable=True)
        yield Progress(n + part.stop, 2 * n, state={"top": top, "least": least, "best": list(best), "sums": sums})
    summary = _told(layer, concepts, quantile, iou, T, sums, n)
    assert best[1] is not None
    summary["examples"] = yield from _examples(subjects, card, summary, best[1], limit, looked)
    return Found(summary, ())


def check_masks(_shape: tuple[int, int, int], masks: Sequence[Mask], concepts: Sequence[str]) -> None:
    """Raise BadParameter for a mask that is no label map, or has the number of a concept that there is not.

    Those that are not decoded yet are passed over: their time comes.
    """
    for i, mask in enumerate(masks):
        if isinstance(mask, str):
            continue
        labels, pointer = _labels(mask), f"/parameters/masks/{i}"
        if labels is None:
            detail = (
                "The mask has colours, and is to be grey: each pixel is the number of a concept. Save it as a grey PNG."
            )
            raise BadParameter.at(pointer, detail)
        if (most := int(labels.max(initial=0))) > len(concepts):
            detail = f"The mask has the value {most}, and concepts names {len(concepts)}, numbered from 1; 0 is none."
            raise BadParameter.at(pointer, f"{detail} Name more, or send a PNG: a JPEG blurs such numbers.")


def check_count(masks: Sequence[Any], images: int) -> None:
    """Raise BadParameter unless there are as many masks as images."""
    if len(masks) != images:
        detail = f"There are {len(masks)} masks for {images} images; send one an image, in their order."
        raise BadParameter.at("/parameters/masks", detail)


def _check_sizes(masks: Sequence[Any], subjects: Sequence[Subject]) -> None:
    for i, (subject, mask) in enumerate(zip(subjects, masks, strict=True)):
        labels, size = _labels(mask), tuple(subject.x.shape[1:])
        if labels is not None and labels.shape != size:
            have, want = (f"{h}×{w}" for h, w in (labels.shape, size))
            detail = f"The mask has {have} pixels, and its image {want}; send it in the size of the image."
            raise BadParameter.at(f"/parameters/masks/{i}", detail)


def seen_mask(card: Card, mask: Mask) -> Array:
    """uint8 [h, w]: the mask as the network would see it. Of its pixels the nearest stands for each, none is mixed."""
    labels = _labels(mask)
    assert labels is not None, "it has been checked"
    geometry = Geometry.of(labels.shape[0], labels.shape[1], card.input_shape, card.resize)
    top, left, h, w = geometry.crop
    (H, W), (resized_h, resized_w) = geometry.original, geometry.resized
    rows = np.floor((top + np.arange(h) + 0.5) * H / resized_h).astype(int).clip(0, H - 1)
    columns = np.floor((left + np.arange(w) + 0.5) * W / resized_w).astype(int).clip(0, W - 1)
    return np.asarray(labels[rows[:, None], columns])


def upsampling(axis: Axis, places: int, like: Tensor) -> Tensor:
    """[pixels, places]: bilinear along one axis, each place's value at the middle of its field, and constant beyond."""
    import torch

    centres = torch.tensor(axis.centres(places), dtype=torch.float64)
    at = torch.arange(axis.pixels, dtype=torch.float64)
    if places == 1:
        return like.new_ones(axis.pixels, 1)
    above = torch.searchsorted(centres, at).clamp(1, places - 1)
    share = ((at - centres[above - 1]) / (centres[above] - centres[above - 1])).clamp(0, 1)
    weights = torch.zeros(axis.pixels, places, dtype=torch.float64)
    weights[torch.arange(axis.pixels), above - 1] = 1 - share
    weights[torch.arange(axis.pixels), above] += share
    return weights.to(like)


def _labels(mask: Mask) -> Array | None:
    """[H, W], the numbers of a label map; None where it has colours."""
    assert not isinstance(mask, str), "a door has decoded it"
    array = array_of(mask)
    if array.dtype != np.uint8:  # an exact tensor, with values in [0, 1]
        array = np.round(array.transpose(1, 2, 0) * 255).astype(np.uint8)
    return array[..., 0] if bool((array == array[..., :1]).all()) else None


def _added(
    sums: Mapping[str, Tensor], a: Tensor, labels: Sequence[Array], limit: Tensor, looked: Fields
) -> dict[str, Tensor]:
    """`sums` with what a few images add: outputs [n, units, h, w], high above `limit` [units], and their masks."""
    import torch

    both, high, there = sums["both"].clone(), sums["high"].clone(), sums["there"].clone()
    rows, columns = _both(looked, a)
    size = max(1, AT_ONCE // (len(rows) * len(columns)))
    for maps, label in zip(a, labels, strict=True):
        found = torch.from_numpy(label.astype(np.int64)).flatten()
        L = torch.nn.functional.one_hot(found, len(there) + 1)[:, 1:].to(a.dtype)  # [pixels, concepts]
        there += L.sum(0).long()
        for first in range(0, len(maps), size):
            S = rows @ maps[first : first + size] @ columns.T
            M = S.gt(limit[first : first + size, None, None]).flatten(1)
            high[first : first + size] += M.sum(1)
            both[first : first + size] += (M.to(a.dtype) @ L).round().long()
    return {"both": both, "high": high, "there": there}


def _examples(
    subjects: Sequence[Subject], card: Card, summary: Mapping[str, Any], best: Tensor, limit: Tensor, looked: Fields
) -> Algorithm[list[dict[str, Any]]]:
    """Of the detectors with the largest IoU, the images that excite each most, and where its map is high there.

    best  int64 [k, units], those images
    """
    import torch

    layer = summary["layer"]
    detectors = [unit for unit in summary["units"] if unit["detector"]]
    surest = sorted(detectors, key=lambda unit: -unit["iou"])[:SHOWN]
    wanted = sorted({i for unit in surest for i in best[:, unit["unit"]].tolist()})
    high: dict[tuple[int, int], Tensor] = {}
    for part in waves(len(wanted), card, layer):
        images = wanted[part.start : part.stop]
        a = yield from outputs(subjects, images, layer)
        rows, columns = _both(looked, a)
        for unit in surest:
            k = unit["unit"]
            S = rows @ a[:, k] @ columns.T
            high |= {(k, i): M for i, M in zip(images, S.gt(limit[k]), strict=True)}
    return [
        {
            "unit": unit["unit"],
            "images": (chosen := best[:, unit["unit"]].tolist()),
            "high": torch.stack([high[unit["unit"], i] for i in chosen]).to(torch.uint8).numpy(),
        }
        for unit in surest
    ]


def _both(looked: Fields, a: Tensor) -> tuple[Tensor, Tensor]:
    """By what the rows, and the columns, of outputs [n, units, h, w] are brought to the size of the image."""
    return upsampling(looked.rows, a.shape[2], a), upsampling(looked.columns, a.shape[3], a)


def _told(
    layer: str, concepts: Sequence[str], quantile: float, iou: float, T: Tensor, sums: Mapping[str, Tensor], n: int
) -> dict[str, Any]:
    both = sums["both"].double()
    either = sums["high"][:, None] + sums["there"] - sums["both"]
    found = (both / either.clamp(min=1)).numpy()
    best = found.argmax(1)
    units = [
        {
            "unit": k,
            "threshold": float(T[k]),
            "concept": concepts[c],
            "iou": float(found[k, c]),
            "detector": bool(found[k, c] > iou),
        }
        for k, c in enumerate(best.tolist())
    ]
    detected = [str(unit["concept"]) for unit in units if unit["detector"]]
    summary: dict[str, Any] = {
        "layer": layer,
        "images": n,
        "quantile": quantile,
        "iou_above": iou,
        "iou": found.astype(np.float32),
        "units": units,
        "detectors": len(detected),
        "histogram": {concept: detected.count(concept) for concept in concepts},
        "pixels": dict(zip(concepts, sums["there"].tolist(), strict=True)),
    }
    if n < FEW:
        summary["note"] = f"{n} images are few: a unit may be high in them by chance. Send hundreds."
    return summary
