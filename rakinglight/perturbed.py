"""What a universal perturbation does to many images: v [C, H, W] added to each, as the network sees it.

Needs no torch to be imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rakinglight.queries import Algorithm, Forward, wave

if TYPE_CHECKING:
    from torch import Tensor


def scores(x: Tensor, v: Tensor | float = 0.0, network: str | None = None) -> Algorithm[Tensor]:
    """The logits [n, K] of x + v, cut to [0, 1]; x is [n, C, H, W]. Some rows at a time, so that memory stays flat."""
    from torch import cat

    size, found = wave(x[0]), []
    for first in range(0, len(x), size):
        rows = (x[first : first + size] + v).clamp(0, 1)
        found.append((yield Forward(rows, network=network, seen=True)).logits)
    return cat(found)
