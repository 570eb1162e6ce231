"""Median filtering."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import AfterValidator, Field

from rakinglight.defenses.defense import Defense, RandomNumbers

if TYPE_CHECKING:
    from torch import Tensor


def _odd(window: int) -> int:
    if window % 2 == 0:
        raise ValueError("it has a middle, so it is odd: 3, 5, 7")
    return window


class MedianBlur(Defense):
    """Each value replaced by the median of those around it, each channel by itself.

    Xu, Evans & Qi, "Feature Squeezing: Detecting Adversarial Examples in Deep Neural Networks", NDSS 2018, section
    III.B. At the borders the image goes on as in a mirror, as in `scipy.ndimage.median_filter`. The median is one of
    the values, and its derivative is that value's: an adaptive attack gets the true one.
    """

    name: Literal["median_blur"] = "median_blur"
    window: Annotated[
        int,
        Field(strict=True, ge=3, le=9, description="Side of the window in pixels, odd."),
        AfterValidator(_odd),
    ] = 3

    def __call__(self, x: Tensor, draw: RandomNumbers) -> Tensor:
        import torch

        C, H, W = x.shape
        k, around = self.window, self.window // 2
        rows, columns = (torch.from_numpy(np.pad(np.arange(n), around, mode="symmetric")) for n in (H, W))
        windows = x[:, rows][:, :, columns].unfold(1, k, 1).unfold(2, k, 1)  # [C, H, W, k, k]
        return windows.reshape(C, H, W, k * k).median(-1).values
