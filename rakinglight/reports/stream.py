"""The detectors, run over the queries of an attack after the event, as one key would have sent them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from rakinglight.noticing import Detector, Watcher
from rakinglight.reports.theft import Watch

Array = np.ndarray[Any, Any]

#: Points of a chart of scores.
DRAWN = 150
#: Values that PRADA is given to keep at most: it keeps whole queries, and compares each with all of its class.
KEPT = 2**28


def watched(images: Array, labels: Array, everything: tuple[Array, Array] | None = None) -> list[Watch]:
    """What each detector makes of these queries, in order.

    images      uint8 [N, C, H, W]
    labels      int [N], which the model had told
    everything  the same of all that was sent, these among the rest: who watches the key sees the rest too
    """
    ours = "steps of one size from earlier queries, and walks along a border between classes (docs/noticing.md)"
    found = [_both("Our detector", ours, Detector, (images, labels), everything)]
    if images.size > KEPT:
        return found
    try:
        import scipy  # noqa: F401  it has the test
    except ImportError:
        return found
    from rakinglight.noticing.prada import Prada

    theirs = "whether the distances between queries of a class look normal (Juuti et al. 2019, as published)"
    if everything and everything[0].size > KEPT:
        everything = None
    return [*found, _both("PRADA", theirs, Prada, (images, labels), everything)]


def _both(
    name: str,
    meaning: str,
    watcher: Callable[[], Watcher],
    training: tuple[Array, Array],
    everything: tuple[Array, Array] | None,
) -> Watch:
    """What a new detector makes of the training queries, and another of everything."""
    of_training = _watched(name, meaning, watcher(), *training)
    if everything is None:
        return of_training
    of_all = _watched(name, meaning, watcher(), *everything)
    return replace(of_training, sent=of_all.queries, sent_alarm_at=of_all.alarm_at)


def _watched(name: str, meaning: str, watcher: Watcher, images: Array, labels: Array) -> Watch:
    alarm_at, scores = None, []
    every = max(1, len(images) // DRAWN)
    for image, label in zip(images, labels, strict=True):
        notice = watcher.see(image.astype(np.float32) / 255, int(label))
        if notice.alarm and alarm_at is None:
            alarm_at = notice.queries
        if notice.queries % every == 0:
            scores.append((notice.queries, notice.score))
    return Watch(name, meaning, len(images), alarm_at, scores, limit=1.0)
