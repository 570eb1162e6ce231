"""Inversions of different callers in one engine: sixteen at once, beside one alone.

Each is `invert` from noise of its own, of an image of its own. How many times as quick says what merging is worth:
above 2.00, sixteen take less than half of sixteen times one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from benchmarks.contenders import Asked, Contender, Pixels, in_process
from model_store import digits
from rakinglight.network import Network

#: What is asked of the digits' network, and of the large one, where a step takes a hundred times as long.
SMALL: Mapping[str, Any] = {"layer": "s4", "steps": 100}
LARGE: Mapping[str, Any] = {"layer": "blocks.10", "steps": 10}


def inversions(network: Network, parameters: Mapping[str, Any], many: int) -> list[Contender]:
    """One alone, who is the reference, and `many` at once."""
    asked = Asked("inversion", "invert", parameters)
    return [replace(in_process(network, "invert", asked, images), reference=images == 1) for images in (1, many)]


def of_digits(count: int) -> list[Pixels]:
    """The first `count` of the test, [H, W, 1]."""
    return list(digits.pictures("test")[0][:count].transpose(0, 2, 3, 1))
