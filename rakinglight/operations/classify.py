"""What is in the image."""

from __future__ import annotations

from typing import Any

from rakinglight.parameters import LayerNames, TopK
from rakinglight.queries import Algorithm, Forward
from rakinglight.subject import Subject


def classify(subject: Subject, *, top_k: TopK = 5, layers: LayerNames = ()) -> Algorithm[dict[str, Any]]:
    """Name what is in the image: the best classes, and the activations of named layers."""
    x = subject.seen
    logits, _ = yield Forward(x)
    best = logits.argsort(descending=True, stable=True)[:top_k].tolist()
    predictions = [subject.prediction(logits, c) for c in best]
    if subject.card.tells_logits:
        predictions = [{**said, "logit": float(logits[said["index"]])} for said in predictions]
    result: dict[str, Any] = {"prediction": subject.prediction(logits), "predictions": predictions}
    if layers:  # asked apart: another backend may answer, and a prediction must not depend on what else is asked
        _, activations = yield Forward(x, layers)
        result["activations"] = {layer: a.numpy() for layer, a in activations.items()}
    return result
