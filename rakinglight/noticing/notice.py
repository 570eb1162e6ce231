"""What those who watch a key have in common."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Notice:
    """What is thought of a key after a query.

    score    0 is nothing, 1 is what alarms
    alarm    whether it is taken for an attacker's
    queries  that were seen
    """

    score: float
    alarm: bool
    queries: int


class Watcher(Protocol):
    """Looks at what one key asks."""

    def see(self, x: Array, label: int) -> Notice:
        """Take note of a query, float32 [C, H, W] in [0, 1] as the network saw it, and of the label it was told."""
        ...


def first_alarm(watcher: Watcher, images: Iterable[Array], labels: Iterable[int]) -> int | None:
    """At which of these queries, from 1, the alarm is raised; None where it never is."""
    seen = (watcher.see(x, int(label)) for x, label in zip(images, labels, strict=True))
    return next((notice.queries for notice in seen if notice.alarm), None)
