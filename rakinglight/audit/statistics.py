"""Shares of images, with the interval in which the true share lies. Needs no torch."""

from __future__ import annotations

import math
from collections.abc import Iterable
from statistics import NormalDist
from typing import Any

#: How sure an interval is.
CONFIDENCE = 0.95


def share(found: Iterable[bool]) -> dict[str, Any]:
    """How many of `found` are true, and the Wilson interval of their share.

    Returns {"value", "low", "high"} in [0, 1], and {"count", "of"}. Of no images nothing is known: from 0 to 1, and
    `value` is None.
    """
    listed = list(found)
    k, n = sum(listed), len(listed)
    low, high = wilson(k, n)
    return {"value": k / n if n else None, "low": low, "high": high, "count": k, "of": n}


def wilson(k: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a share of which `k` of `n` draws are (Wilson 1927; Brown, Cai and DasGupta 2001, eq. 4).

    Of the plain interval, k/n +- 1.96 standard errors, nothing is left at 0 and at n, where this one is still wide.
    `scipy.stats` has it too, and takes most of a second to be imported, by the client and the gateway as well.
    """
    if not n:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    p, z2 = k / n, z * z
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    # At the ends the formula is exact, and floating point is not.
    return (0.0 if k == 0 else middle - half), (1.0 if k == n else middle + half)
