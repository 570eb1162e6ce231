"""The filters of a layer that is linear in the image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rakinglight.card import Card
from rakinglight.errors import BadParameter
from rakinglight.noise import Noise
from rakinglight.queries import Algorithm, Gradient, Progress, Slope
from rakinglight.units import Found
from rakinglight.units.asking import UnitAt, waves
from rakinglight.units.parameters import FilterLayer

if TYPE_CHECKING:
    from torch import Tensor

#: Where no layer is named, so many are looked at.
FIRST = 8
#: Two slopes of a linear layer differ by rounding alone, as a share of the largest; a bent one's by about 1.
ROUNDING = 1e-3
#: How far the two images are from the mean colour, in the network's own units: on opposite sides, and so far that a
#: rectifier which passes one of them stops the other.
FAR = 10.0


def filters(card: Card, noise: Noise, *, layer: FilterLayer = None) -> Algorithm[Found]:
    """Show the weights of the first layer: what each of its units is looking for in a few pixels.

    Krizhevsky et al., "ImageNet Classification with Deep Convolutional Neural Networks", NeurIPS 2012, figure 3.

    The derivative of a linear unit by the image is its kernel, exactly, where it stands; so one row a unit asks any
    network for its filters, and a second, far from the first, for whether it is linear at all.

    Returns `weights` [units, C, h, w], as they meet what the network sees, which is (x - mean) / std.
    Raises BadParameter for a layer that is not linear in the image.
    """
    spatial = [name for name, shape in card.layers.items() if len(shape) == 3 and max(shape[1:]) > 1]
    weights, name = None, ""
    for name in [layer] if layer else spatial[:FIRST]:
        found = yield from _kernels(card, name, noise)
        weights = found if weights is None else weights
        # A layer that only pads has one pixel a channel, and the first convolution is behind it.
        if found is not None and found[0, 0].numel() > 1:
            weights = found
            break
    if weights is None:
        detail = f"{layer!r} of {card.name} is not linear in the image, and so it has no filters that could be shown"
        detail = f"{detail}; leave layer out, and the first that has is taken."
        if not layer:
            detail = f"None of the first layers of {card.name} is linear in the image; name one that is."
        raise BadParameter.at("/parameters/layer", detail)
    return Found({"layer": name, "weights": weights.numpy()})


def _kernels(card: Card, layer: str, noise: Noise) -> Algorithm[Tensor | None]:
    """The kernels of `layer` [units, C, h, w], the least box that holds all of them; None where it is not linear."""
    import torch

    units, height, width = card.layers[layer]
    std = torch.tensor(card.std)[:, None, None]
    step = noise.normal(torch.empty(card.input_shape)) * std * FAR
    pair = torch.tensor(card.mean)[:, None, None] + torch.stack([step, -step])
    slopes, boxes = [], []
    parts = waves(units, card, layer)
    for part in parts:
        asked = [UnitAt(layer, unit, (height // 2, width // 2)) for unit in part for _ in pair]
        slope: Slope = yield Gradient(pair.repeat(len(part), 1, 1, 1), asked, at=(layer,), seen=True)
        here, there = slope.gradient[0::2], slope.gradient[1::2]
        if float((here - there).abs().max()) > ROUNDING * float(here.abs().max()):
            return None
        rows, columns = (here.abs().amax((0, 1, axis)).nonzero()[:, 0] for axis in (3, 2))
        if not len(rows):
            continue  # these units look at nothing
        box = int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1
        boxes.append(box)
        slopes.append((box, part, here[:, :, box[0] : box[2], box[1] : box[3]].clone()))
        yield Progress(part.stop, units)
    if not boxes:
        return None
    top, left = min(box[0] for box in boxes), min(box[1] for box in boxes)
    bottom, right = max(box[2] for box in boxes), max(box[3] for box in boxes)
    g = torch.zeros(units, card.input_shape[0], bottom - top, right - left)
    for (y, x, _, _), part, kernel in slopes:
        h, w = kernel.shape[2:]
        g[part.start : part.stop, :, y - top : y - top + h, x - left : x - left + w] = kernel
    return g * std
