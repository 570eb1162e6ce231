"""What a key sees of an answer: its view, from the least to the most.

    label    [{"index", "label"}]                       the best class
    top_k    [{"index", "label", "probability"}, …]     the k best
    rounded  the same of every class, in two decimals, and in an order that tells no more than they do
    full     the same of every class

Of more than MOST_CLASSES classes, so many of the best are every one here. Nothing else of an answer leaves a black box.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rakinglight.card import Card
from rakinglight.views import DECIMALS
from service.keys import View

#: Classes that `top_k` shows if nobody says how many.
TOP_K = 5
#: Most classes that a model names of one image.
MOST_CLASSES = 1000
#: Decimals of a probability that is rounded harder in any view.
FEWER_DECIMALS = 1


def wanted(card: Card, view: View, top_k: int) -> int:
    """How many of the best classes the model has to name for `view`: as many as `classify` names, if there are more."""
    classes = min(len(card.labels), MOST_CLASSES)
    return {"label": 1, "top_k": min(top_k, classes)}.get(view, classes)


def cut(
    predictions: Sequence[Mapping[str, Any]], view: View, top_k: int = TOP_K, *, harder: bool = False
) -> list[dict[str, Any]]:
    """What `view` shows of `predictions`, which are those of every class that it needs, the best first.

    top_k   classes that `top_k` shows
    harder  whether probabilities are rounded to one decimal, whichever the view

    A model that tells labels alone has no probability to show: of its answers the label is left.
    """
    told = [_told(said) for said in predictions]
    if view == "label" or "probability" not in told[0]:
        return [{name: told[0][name] for name in ("index", "label")}]
    shown = told[:top_k] if view == "top_k" else told
    if view != "rounded" and not harder:
        return shown
    decimals = FEWER_DECIMALS if harder else DECIMALS
    rounded = [{**said, "probability": round(said["probability"], decimals)} for said in shown]
    return sorted(rounded, key=lambda said: (-said["probability"], said["index"]))


def _told(said: Mapping[str, Any]) -> dict[str, Any]:
    """Without what no view shows, such as a logit."""
    return {name: said[name] for name in ("index", "label", "probability") if name in said}
