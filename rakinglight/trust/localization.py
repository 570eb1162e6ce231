"""Localisation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rakinglight.queries import Algorithm, Progress
from rakinglight.trust.boxes import inside

if TYPE_CHECKING:
    from rakinglight.trust import Case


def localization(case: Case) -> Algorithm[dict[str, Any]]:
    """The share of the map's positive part that lies in the boxes. On a grid of images, the score of the grid game.

    Boehle et al., "Convolutional Dynamic Alignment Networks for Interpretable Classifications", CVPR 2021, section 4.2.
    `rakinglight.mosaic` makes such grids.

    Returns `value` in [0, 1], None where nothing is positive; and `area`, the boxes' share of what the model saw, which
    is what a map that is the same everywhere has.
    """
    within = inside(case.boxes, case.subject.view.geometry)
    positive = case.found.map.numpy().clip(min=0).astype(np.float64)
    whole = float(positive.sum())
    yield Progress(1, 1)
    value = float(positive[within].sum()) / whole if whole else None
    return {"value": value, "area": float(within.mean())}
