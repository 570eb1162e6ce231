"""From a photograph to what the model sees: resize the shorter side, crop the middle. Needs no torch.

The resize is linear in the pixels, stays in floats from end to end, and antialiases (Pillow's triangle filter, which
torch calls bilinear with antialias). So `classify`, which applies it, and `attack`, which differentiates through it,
see the same image. It is separable: y = A x B^T with A [h, H] and B [w, W], the crop included.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from rakinglight import eight_bit


@dataclass(frozen=True)
class Geometry:
    """How an image of `original` size becomes the model's input.

    original  [H, W] of the image that came
    resized   [H, W] after the resize
    crop      [top, left, height, width] within the resized image: what the model sees
    """

    original: tuple[int, int]
    resized: tuple[int, int]
    crop: tuple[int, int, int, int]

    @staticmethod
    def of(height: int, width: int, input_shape: tuple[int, int, int], resize: int = 0) -> Geometry:
        """The geometry of an image `height` x `width` for a model. The model's own size is used pixel for pixel."""
        _, h, w = input_shape
        if (height, width) == (h, w):
            return Geometry((h, w), (h, w), (0, 0, h, w))
        scale = max(max(resize, h) / height, max(resize, w) / width)
        resized = max(h, round(height * scale)), max(w, round(width * scale))
        crop = (resized[0] - h) // 2, (resized[1] - w) // 2, h, w
        return Geometry((height, width), resized, crop)

    @property
    def identity(self) -> bool:
        """Whether the image is used pixel for pixel."""
        return self.original == self.resized == self.crop[2:]

    def matrices(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """A [h, H] and B [w, W], float64: the model sees A x B^T of each channel."""
        top, left, h, w = self.crop
        rows = _triangle(self.original[0], self.resized[0], top, h)
        columns = _triangle(self.original[1], self.resized[1], left, w)
        return rows, columns

    def picture(self, pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """What the model sees of `pixels`, to look at: uint8 [h, w, C], to within a grey level or two.

        pixels  uint8 [H, W, C], or float32 [C, H, W] in [0, 1]
        The same resize by Pillow, which takes milliseconds even of a large photograph. The model itself gets floats.
        """
        grey_levels = pixels if pixels.dtype == np.uint8 else eight_bit.from_float(pixels)
        if self.identity:
            return grey_levels
        top, left, h, w = self.crop
        down, across = self.original[0] / self.resized[0], self.original[1] / self.resized[1]
        box = (left * across, top * down, (left + w) * across, (top + h) * down)
        channels = [
            Image.fromarray(np.ascontiguousarray(channel)).resize((w, h), Image.Resampling.BILINEAR, box)
            for channel in grey_levels.transpose(2, 0, 1)
        ]
        return np.stack([np.asarray(channel) for channel in channels], axis=-1)

    def to_json(self) -> dict[str, list[int]]:
        return {"original": list(self.original), "resized": list(self.resized), "crop": list(self.crop)}


def _triangle(n_in: int, n_out: int, first: int, count: int) -> np.ndarray[Any, Any]:
    """[count, n_in]: of a resize from n_in to n_out pixels, what makes the `count` that begin at `first`.

    A triangle as wide as one output pixel (or one input pixel, if that is wider), rows summing to 1. Only what the crop
    keeps is made: an image of 10,000 x 1 has millions of pixels once its shorter side is resized.
    """
    scale = n_in / n_out
    reach = max(scale, 1.0)
    centre = (np.arange(first, first + count) + 0.5) * scale
    distance = np.abs(np.arange(n_in) + 0.5 - centre[:, None]) / reach
    weights = np.clip(1.0 - distance, 0.0, None)
    return np.asarray(weights / weights.sum(1, keepdims=True))
