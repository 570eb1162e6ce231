"""What is in the image."""

from __future__ import annotations

from typing import Any

from rakinglight import defended
from rakinglight.parameters import Defenses, LayerNames, TopK, UseDetector
from rakinglight.queries import Algorithm, Forward
from rakinglight.subject import Subject


def classify(
    subject: Subject,
    *,
    top_k: TopK = 5,
    layers: LayerNames = (),
    defense: Defenses = (),
    detector: UseDetector = False,
) -> Algorithm[dict[str, Any]]:
    """Name what is in the image: the best classes, and the activations of named layers.

    Behind a defence it names what is in the image that the defence leaves. Of several copies, such as crops, the
    probability is the mean, the logit its logarithm, and the activations are the first one's.
    """
    subject = subject.behind(defense)
    if subject.chain:
        (images,) = yield from defended.shown(subject.view, subject.chain, subject.x)
        logits = defended.together((yield Forward(images)).logits)
        x = images[0]
    else:
        x = subject.seen
        logits = (yield Forward(x)).logits
    best = logits.argsort(descending=True, stable=True)[:top_k].tolist()
    predictions = [subject.prediction(logits, c) for c in best]
    if subject.card.tells == "logits":
        predictions = [{**said, "logit": float(logits[said["index"]])} for said in predictions]
    result: dict[str, Any] = {"prediction": subject.prediction(logits), "predictions": predictions}
    if layers:  # asked apart: another backend may answer, and a prediction must not depend on what else is asked
        _, activations = yield Forward(x, layers)
        result["activations"] = {layer: a.numpy() for layer, a in activations.items()}
    if detector:
        result["detector"] = yield from subject.detected(x)
    return result
