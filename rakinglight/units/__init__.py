"""Views of what the units of a layer know: of their weights, of what excites them, of what lies near what for them.

A view is a method of `operations.units`, one file each. It is about all images of a call together, takes what it names
of `subjects`, `card`, `noise` and `state`, and returns what it `Found`: numbers. Pictures are made of these at the door
(`units.sheets`), as everywhere. Importing this needs no torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, eq=False)
class Found:
    """What a view has to say: plain values and arrays by the names that they have in a reply.

    summary  of all images together
    each     of each image, in their order; empty where there is nothing to say of any
    """

    summary: Mapping[str, Any]
    each: Sequence[Mapping[str, Any]] = field(default=())
