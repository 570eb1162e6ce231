"""Eight-bit pictures: the only images that a camera, a file or another service will ever hand to the model.

Integers are uint8 [H, W, C], floats are float32 [C, H, W] in [0, 1]. Needs no torch.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rakinglight.norms import NormName

Array = np.ndarray[Any, Any]


def to_float(pixels: Array) -> Array:
    """[H, W, C] uint8 -> [C, H, W] float32. The one place where grey levels become numbers."""
    x: Array = np.ascontiguousarray(pixels.transpose(2, 0, 1)).astype(np.float32) / np.float32(255)
    return x


def from_float(x: Array) -> Array:
    """[C, H, W] in [0, 1] -> the nearest [H, W, C] uint8."""
    grey: Array = np.rint(np.clip(x, 0, 1) * 255).astype(np.uint8)
    return grey.transpose(1, 2, 0)


def inside_ball(x: Array, x_adv: Array, norm: NormName, epsilon: float) -> Array:
    """The 8-bit picture [H, W, C] nearest to `x_adv` that is within `epsilon` of `x`, where there is one.

    In linf the ball is a box, and rounding stays in its whole levels. In l2 the values that rounding pushed out
    furthest are taken one level back, until the ball holds. If `x` itself is not made of grey levels and epsilon is
    under one, there may be none; then it is the picture nearest to `x`.
    """
    base, wanted = x * np.float32(255), x_adv * np.float32(255)
    radius = epsilon * 255 + 1e-4  # float32 pixels are off their level by up to 1e-5 of one
    if norm == "linf":
        low, high = np.ceil(np.clip(base - radius, 0, 255)), np.floor(np.clip(base + radius, 0, 255))
        level = np.where(low <= high, np.clip(np.rint(wanted), low, high), np.rint(base))
    else:
        level = np.rint(np.clip(wanted, 0, 255))
        # Once is enough if x is made of grey levels: one level back is nearer to x than `wanted` was.
        while (excess := ((level - base) ** 2).sum(dtype=np.float64) - radius**2) > 0:
            away = level - base
            back = level - np.sign(away)  # one level towards x
            saved = away**2 - (back - base) ** 2
            if not (saved > 0).any():
                break
            # Those first that rounding moved out furthest: taking them back costs the perturbation least.
            order = np.argsort(-np.where(saved > 0, np.abs(level - base) - np.abs(wanted - base), -np.inf), axis=None)
            gains = saved.ravel()[order].clip(0)
            taken = order[: int(np.searchsorted(gains.cumsum(dtype=np.float64), excess)) + 1]
            level.ravel()[taken] = np.where(saved.ravel()[taken] > 0, back.ravel()[taken], level.ravel()[taken])
    return np.asarray(level, dtype=np.uint8).transpose(1, 2, 0)
