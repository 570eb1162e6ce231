"""What there is to know of a model before asking it something, as the contract's `GET /models/{model}` has it."""

from __future__ import annotations

from typing import Any

from rakinglight.card import Card
from rakinglight.catalogue import OPERATIONS, Operation


def describe(card: Card) -> dict[str, Any]:
    """The model of `card`: origin, input, labels, layers, and what can be done with it."""
    return {
        "name": card.name,
        "version": card.version,
        "versions": [card.version],
        "sha256": card.sha256,
        "provenance": card.provenance,
        "input": {
            "shape": list(card.input_shape),
            "range": [0.0, 1.0],
            "resize": card.resize,
            "mean": list(card.mean),
            "std": list(card.std),
        },
        "differentiable": card.differentiable,
        "labels": list(card.labels),
        "layers": [{"name": layer, "shape": list(shape)} for layer, shape in card.layers.items()],
        "operations": [_described(operation) for operation in OPERATIONS.values()],
    }


def _described(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "name": operation.name,
        "summary": operation.summary,
        "scope": operation.scope,
        "include": list(operation.include),
        "picture": operation.picture,
        "methods": [
            {"name": m.name, "summary": m.summary, "parameters": operation.parameters(m).model_json_schema()}
            for m in operation.methods
        ],
    }
    if not operation.methods:
        described["parameters"] = operation.parameters(None).model_json_schema()
    return described
