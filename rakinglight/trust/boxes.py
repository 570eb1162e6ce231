"""Where a thing is to be seen: boxes on the image that came, brought to what the model saw. Needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rakinglight.errors import BadParameter
from rakinglight.geometry import Geometry

#: top, left, bottom, right in pixels; the last two are the first row and column outside.
Box = tuple[int, int, int, int]


def check_boxes(boxes: Sequence[Box]) -> None:
    """Raise BadParameter where a box holds no pixel."""
    for box in boxes:
        top, left, bottom, right = box
        if bottom <= top or right <= left:
            raise BadParameter.at(
                "/parameters/boxes",
                f"The box {list(box)} is empty; it is [top, left, bottom, right], the last two the first row and "
                "column outside, so they are larger than the first two.",
            )


def inside(boxes: Sequence[Box], geometry: Geometry) -> np.ndarray[Any, Any]:
    """Which pixels of what the model saw have their centre in one of `boxes`: bool [h, w].

    Raises BadParameter for a box that is not within the image, or of which the crop leaves nothing.
    """
    found = np.zeros(geometry.crop[2:], bool)
    for box in boxes:
        H, W = geometry.original
        top, left, bottom, right = box
        if bottom > H or right > W:
            raise BadParameter.at(
                "/parameters/boxes",
                f"The box {list(box)} goes beyond the image, which is {H} pixels high and {W} wide; boxes are "
                "[top, left, bottom, right] in pixels of the image as it came.",
            )
        rows, columns = _centres(geometry)
        within = ((top <= rows) & (rows < bottom))[:, None] & ((left <= columns) & (columns < right))
        if not within.any():
            raise BadParameter.at(
                "/parameters/boxes",
                f"Of the box {list(box)} the model sees nothing: it is given the middle of the image alone (`geometry` "
                "in the reply of classify says what); crop the image around the thing, or leave the box out.",
            )
        found |= within
    return found


def _centres(geometry: Geometry) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Where the centres of the rows and columns that the model saw lie in the image that came, in its pixels."""
    top, left, h, w = geometry.crop
    (H, W), (resized_h, resized_w) = geometry.original, geometry.resized
    return (top + np.arange(h) + 0.5) * H / resized_h, (left + np.arange(w) + 0.5) * W / resized_w
