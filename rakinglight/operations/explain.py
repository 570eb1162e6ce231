"""Which pixels a class score depends on, and how far such an answer can be trusted."""

from __future__ import annotations

import functools
from collections.abc import Collection, Sequence
from typing import Any

from rakinglight import eight_bit, trust
from rakinglight.maps import Map
from rakinglight.method import Chosen
from rakinglight.noise import Noise
from rakinglight.objectives import SCORES, Score
from rakinglight.parameters import Boxes, ClassReference, Figures, Rank, ScoreChoice, Target
from rakinglight.queries import Algorithm, Forward, State
from rakinglight.relays import resumable, so_far
from rakinglight.subject import Subject
from rakinglight.trust.boxes import inside


def saliency(
    subject: Subject,
    method: Chosen[Map],
    state: State | None = None,
    *,
    target: Target = None,
    score: ScoreChoice = "logit",
    evaluate: Figures = (),
    boxes: Boxes = (),
) -> Algorithm[dict[str, Any]]:
    """Show which pixels a class score depends on: a map of the image as the model saw it."""
    return _explained(subject, method, state, target, score, evaluate, boxes)


def occlusion(
    subject: Subject,
    method: Chosen[Map],
    state: State | None = None,
    *,
    target: Target = None,
    score: ScoreChoice = "probability",
    evaluate: Figures = (),
    boxes: Boxes = (),
) -> Algorithm[dict[str, Any]]:
    """Show which pixels a class score depends on by covering them: asks for scores alone, so any black box will do."""
    return _explained(subject, method, state, target, score, evaluate, boxes)


def _explained(
    subject: Subject,
    method: Chosen[Map],
    state: State | None,
    target: ClassReference | None,
    score: Score,
    evaluate: Collection[trust.Figure],
    boxes: Sequence[trust.Box],
) -> Algorithm[dict[str, Any]]:
    """Two phases, of which each can go on from its own states: the method, and the figures of its map."""
    state = state or {}
    inside(boxes, subject.view.geometry)  # raises BadParameter before a row is spent
    x = subject.seen
    logits = state["logits"] if state else (yield Forward(x)).logits
    c = subject.class_index(Rank(rank=1) if target is None else target, logits)

    def explain(x: Any, state: State | None = None) -> Algorithm[Map]:
        # Begun anew it draws the same noise: what differs between two maps is their image.
        noise, last_layer = Noise(subject.noise.seed), subject.card.last_spatial_layer
        return method.begin(x=x, score=SCORES[score](c), noise=noise, last_layer=last_layer, state=state)

    if "map" in state:
        found, partial = state["map"], False
    else:
        found, partial = yield from so_far(resumable(functools.partial(explain, x), state, "method", logits=logits))
    result = {
        "prediction": subject.prediction(logits),
        "target": subject.prediction(logits, c),
        "map": found.map.numpy(),
        "seen": eight_bit.from_float(x.numpy()),
        **{name: _plain(value) for name, value in found.facts.items()},
    }
    if found.signed is not None:
        result["signed_map"] = found.signed.numpy()
    if partial:
        result["note"] = "Time or rows ran out: the map is of what was asked by then, and no figures were made of it."
    elif evaluate:
        case = trust.Case(subject, x, c, score, found, explain, boxes)
        examine = functools.partial(trust.evaluate, case, evaluate)
        figures, partial = yield from so_far(resumable(examine, state, "figures", logits=logits, map=found))
        result["evaluation"] = figures
        if partial:
            result["note"] = f"Time or rows ran out: of the figures, {', '.join(figures) or 'none'} came about."
    if partial:
        result["partial"] = True
    return result


def _plain(value: Any) -> Any:
    return value.numpy() if hasattr(value, "numpy") else value
