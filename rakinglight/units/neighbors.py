"""The images that are nearest to each other for a layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rakinglight.card import Card
from rakinglight.queries import Algorithm, Compute, State
from rakinglight.subject import Subject
from rakinglight.units import Found
from rakinglight.units.asking import feature_layer
from rakinglight.units.features import features
from rakinglight.units.parameters import Averaged, FeatureLayer, Metric, MetricChoice, NeighborCount

if TYPE_CHECKING:
    from torch import Tensor

#: Images that it takes.
LEAST = 2
#: Images whose distances to all others are made at once.
ROWS = 128


def neighbors(
    subjects: Sequence[Subject],
    card: Card,
    state: State | None = None,
    *,
    layer: FeatureLayer = None,
    metric: MetricChoice = "cosine",
    count: NeighborCount = 5,
    averaged: Averaged = False,
) -> Algorithm[Found]:
    """Show which of the other images are nearest to each, by what a layer puts out for them.

    Krizhevsky et al., "ImageNet Classification with Deep Convolutional Neural Networks", NeurIPS 2012, section 6.1: two
    images are alike for the network where its last hidden layer puts out alike.

    state  from which to go on, as its Progress had it
    Returns of each image `neighbors`, the nearest first: the other image, and the distance.
    """
    layer = feature_layer(card, layer)
    f = yield from features(subjects, card, layer, state or {}, averaged=averaged, least=LEAST)
    distances, order = yield Compute(lambda: nearest(f, metric, count), stoppable=True)
    each = [
        {"neighbors": [{"image": i, "distance": d} for i, d in zip(own_order, own, strict=True)]}
        for own_order, own in zip(order.tolist(), distances.tolist(), strict=True)
    ]
    return Found({"layer": layer, "metric": metric, "images": len(subjects), "features": f.shape[1]}, each)


def nearest(f: Tensor, metric: Metric, count: int) -> tuple[Tensor, Tensor]:
    """Of features [n, D], each image's `count` nearest others: their distances and their places, [n, count].

    Of others that are equally far, the earlier come first. Something that is zero throughout has the cosine 0 to all.
    """
    import torch

    n = len(f)
    f = f.double()
    if metric == "cosine":
        f = f / f.norm(dim=1, keepdim=True).clamp(min=1e-300)
    found = []
    for first in range(0, n, ROWS):
        own = f[first : first + ROWS]
        d = 1 - own @ f.T if metric == "cosine" else torch.cdist(own, f, compute_mode="donot_use_mm_for_euclid_dist")
        d = d.clamp(min=0)
        d[torch.arange(len(own)), torch.arange(first, first + len(own))] = torch.inf  # nobody is its own neighbour
        values, order = d.sort(dim=1, stable=True)
        found.append((values[:, : min(count, n - 1)], order[:, : min(count, n - 1)]))
    return torch.cat([values for values, _ in found]), torch.cat([order for _, order in found])
