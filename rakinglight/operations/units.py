"""What the units of a layer know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rakinglight.card import Card
from rakinglight.method import Chosen
from rakinglight.noise import Noise
from rakinglight.queries import Algorithm, Forward, State, wave
from rakinglight.relays import resumable
from rakinglight.subject import Subject
from rakinglight.units import Found, embedding, neighbors
from rakinglight.units.asking import seen
from rakinglight.units.dissection import check_count
from rakinglight.units.features import check_least

if TYPE_CHECKING:
    from torch import Tensor


def units(subjects: Sequence[Subject], method: Chosen[Found], state: State | None = None) -> Algorithm[dict[str, Any]]:
    """Look inside: what the units of a layer are looking for, what excites them, and what lies near what for them.

    state  from which to go on, as its Progress had it
    Returns {"results": one an image, "summary": what there is to say of all}.
    """
    state = state or {}
    card, known = subjects[0].card, {}
    if subjects[0].given:
        known["logits"] = state["logits"] if state else (yield from _logits(subjects))

    def begin(state: State | None) -> Algorithm[Found]:
        noise = Noise(subjects[0].noise.seed)
        return method.begin(subjects=subjects, card=card, noise=noise, state=state)

    found = yield from resumable(begin, state, "view", **known)
    each: Sequence[Mapping[str, Any]] = found.each or [{}] * len(subjects)
    said = [subject.prediction(own) for subject, own in zip(subjects, known.get("logits", ()), strict=False)]
    results = [{**({"prediction": said[i]} if said else {}), **own} for i, own in enumerate(each)]
    return {"results": results, "summary": {"view": method.method.name, **found.summary}}


def check_unit(parameters: dict[str, Any], card: Card) -> dict[str, Any]:
    """`parameters`. Raises BadParameter where nothing is known of the model's layers, or `layer` has no such unit."""
    card.check_code_layer(None, "/parameters/layer")
    if parameters.get("unit") is not None:
        card.check_unit(parameters["layer"] or card.code_layer, parameters["unit"])
    return parameters


def check_images(parameters: Mapping[str, Any], images: int) -> None:
    """Raise BadParameter where there are too few images for a view, or another number of masks."""
    if "concepts" in parameters:
        check_count(parameters["masks"], images)
    if "metric" in parameters:
        check_least(images, neighbors.LEAST)
    if "perplexity" in parameters:
        embedding.check_perplexity(parameters["perplexity"], images)


def _logits(subjects: Sequence[Subject]) -> Algorithm[Tensor]:
    """[n, K]: what the network says of each image, some at a time."""
    import torch

    n, size, found = len(subjects), wave(torch.empty(subjects[0].card.input_shape)), []
    for first in range(0, n, size):
        x = yield from seen(subjects, range(first, min(first + size, n)))
        found.append((yield Forward(x, seen=True)).logits)
    return torch.cat(found)
