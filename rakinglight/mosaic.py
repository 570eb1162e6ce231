"""A grid of photographs of known classes, to see whether a map finds the one that it is asked about. Needs no torch.

    pixels, boxes = mosaic([cat, coffee, coffee, cat], side=224)
    model.saliency(pixels, "grad_cam", target="espresso", evaluate=["localization"], boxes=boxes[1:3])

Made at the side of what a model sees, it comes to the model pixel for pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps

if TYPE_CHECKING:
    from rakinglight.trust.boxes import Box

Pixels = np.ndarray[Any, Any]


def mosaic(images: Sequence[Pixels], side: int) -> tuple[Pixels, list[Box]]:
    """Four or nine `images`, in reading order, each cropped to its middle square and resized to its place.

    Boehle et al., "Convolutional Dynamic Alignment Networks for Interpretable Classifications", CVPR 2021, section 4.2,
    play their localisation game on such grids.

    images  uint8 [H, W, C] or [H, W], of one number of channels
    side    of the mosaic, in pixels: two or three times that of a place
    Returns the mosaic, uint8 [side, side, C] or [side, side], and the box of each image: [top, left, bottom, right].
    Raises ValueError.
    """
    across = isqrt(len(images))
    if len(images) not in (4, 9):
        raise ValueError(f"A mosaic has 4 or 9 images, not {len(images)}; one may come more than once.")
    if side < across or side % across:
        raise ValueError(f"{side} pixels are not {across} equal parts; take {max(1, side // across) * across}.")
    place = side // across
    tiles = [_fitted(image, place) for image in images]
    rows = [np.concatenate(tiles[first : first + across], axis=1) for first in range(0, len(tiles), across)]
    corners = [(place * (i // across), place * (i % across)) for i in range(len(tiles))]
    return np.concatenate(rows), [(top, left, top + place, left + place) for top, left in corners]


def _fitted(image: Pixels, side: int) -> Pixels:
    """The middle square of `image`, `side` pixels high and wide."""
    alone = image.reshape(image.shape[:2]) if image.shape[2:] == (1,) else image  # Pillow's grey has no channels
    square = ImageOps.fit(Image.fromarray(alone), (side, side), Image.Resampling.LANCZOS)
    return np.asarray(square).reshape(side, side, *image.shape[2:])
