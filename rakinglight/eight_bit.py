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


def levels(x: Array, pixels: Array) -> Array:
    """By how many grey levels `pixels` [H, W, C] are above x [C, H, W]: float32 [C, H, W]."""
    difference: Array = pixels.transpose(2, 0, 1).astype(np.float32) - x * np.float32(255)
    return difference


def reach(x: Array, delta: Array, norm: NormName, radius: float) -> float:
    """How many times `delta` [C, H, W] can be added to x so that its picture is within `radius` of x.

    The largest such number, to one part in a thousand. Where x is not made of grey levels and its own picture is
    further than that, the number at which the picture begins to be another.
    """
    most, limit = max(float(np.abs(delta).max()) * 255, 1e-6), radius * 255 + 1e-4

    def holds(times: float) -> bool:
        moved = levels(x, from_float(x + np.float32(times) * delta))
        size = np.abs(moved).max() if norm == "linf" else np.sqrt((moved**2).sum(dtype=np.float64))
        return bool(size <= limit)

    low = 0.499 / most  # up to here nothing is rounded to another level
    high = 2 * low
    while holds(high) and high < 1000 * 255 / most:
        low, high = high, 2 * high
    while high > low * 1.001:
        middle = (low * high) ** 0.5
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def along(x: Array, x_adv: Array, norm: NormName, epsilon: float) -> Array:
    """The picture [H, W, C] furthest from x on the ray to `x_adv` and beyond, in the ball around x.

    In l2 a change of less than half a level everywhere is rounded to nothing, though the ball has room for its largest
    values as whole levels. In linf, where each value has room of its own, those of half the largest change go to the
    edge of the ball as well.
    """
    delta = x_adv - x
    if norm == "linf":
        far = 2 * epsilon / max(float(np.abs(delta).max()), 1e-9)
    else:
        far = 1.002 * reach(x, delta, norm, epsilon)  # just too far, so that of what is too much as little is cut off
    return inside_ball(x, np.clip(x + np.float32(far) * delta, 0, 1), norm, epsilon)


def stepped(x: Array, pixels: Array, g: Array, norm: NormName, epsilon: float, share: float) -> Array:
    """The picture [H, W, C] one step from `pixels` up the gradient g [C, H, W], in the ball around x.

    share  in linf: of the values that have room, that many go one level, those first of which g is largest. In l2: the
           length of the step in radii, before the change is made as long as the ball has room for
    """
    if norm == "l2":
        up = g.astype(np.float64)
        up *= epsilon / max(float(np.sqrt((up**2).sum())), 1e-300)
        return along(x, x + levels(x, pixels) / np.float32(255) + (share * up).astype(np.float32), norm, epsilon)
    here = to_float(pixels)
    there = to_float(inside_ball(x, here + np.sign(g).astype(np.float32) / np.float32(255), norm, epsilon))
    size = np.abs(np.where(there != here, g, 0))
    count = int(np.ceil(share * np.count_nonzero(size)))
    if count == 0:
        return pixels
    least = np.partition(size, size.size - count, axis=None)[size.size - count]
    return from_float(np.where((size >= least) & (size > 0), there, here))


def taken_back(x: Array, pixels: Array, worth: Array, allowance: float, share: float) -> Array:
    """`pixels` [H, W, C] with values taken one level back towards x [C, H, W]: those first that bring it nearer for
    the least worth.

    worth      [C, H, W], what a level of each value is worth; below zero it is better without
    allowance  how much worth may be lost together
    share      of the values that can be taken back, no more than that many are
    """
    moved = levels(x, pixels).ravel()
    saved = moved**2 - (np.abs(moved) - 1) ** 2  # by this much the squared distance falls
    able = np.flatnonzero(saved > 0.5)
    order = able[np.argsort(worth.ravel()[able] / saved[able], kind="stable")]
    spent = worth.ravel()[order].cumsum(dtype=np.float64)
    affordable = int(np.searchsorted(np.maximum.accumulate(spent), allowance, side="right"))
    count = min(affordable, int(np.ceil(share * len(able))))
    back = moved * 0
    back[order[:count]] = np.sign(moved[order[:count]])
    level: Array = pixels.transpose(2, 0, 1) - back.reshape(x.shape)
    return level.astype(np.uint8).transpose(1, 2, 0)
