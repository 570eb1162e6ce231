"""The pointing game."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rakinglight.queries import Algorithm, Progress
from rakinglight.trust.boxes import inside

if TYPE_CHECKING:
    from rakinglight.trust import Case

#: Pixels by which the largest value may miss a box, on an image of SIDE pixels.
TOLERANCE, SIDE = 15, 224


def pointing_game(case: Case) -> Algorithm[dict[str, Any]]:
    """Whether the largest value of the map lies on the thing.

    Zhang et al., "Top-down Neural Attention by Excitation Backprop", ECCV 2016, with its tolerance of 15 pixels, here
    in proportion to the shorter side of what the model sees: 15 at 224 px, 2.1 at 32 px.

    Returns `hit`, the `tolerance` in pixels, and the `row` and `column` of the largest value in what the model saw, the
    first in reading order where there are several.
    """
    within, values = inside(case.boxes, case.subject.view.geometry), case.found.map.numpy()
    row, column = (int(i) for i in np.unravel_index(values.argmax(), values.shape))
    tolerance = TOLERANCE * min(values.shape) / SIDE
    rows, columns = np.nonzero(within)
    distance = np.hypot(rows - row, columns - column).min()
    yield Progress(1, 1)
    return {"hit": bool(distance < tolerance), "tolerance": round(tolerance, 2), "row": row, "column": column}
