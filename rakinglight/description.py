"""What there is to know of a model before asking it something, as the contract's `GET /models/{model}` has it."""

from __future__ import annotations

from collections.abc import Mapping
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
        "detector": None if card.detector is None else {"false_positive_rate": card.detector},
        "labels": list(card.labels),
        "layers": [{"name": layer, "shape": list(shape)} for layer, shape in card.layers.items()],
        "operations": [_described(operation) for operation in OPERATIONS.values()],
    }


def card_of(described: Mapping[str, Any]) -> Card:
    """The card of a model that has been `described`, as who can only ask it for scores may have it: nothing within."""
    seen = described["input"]
    channels = seen["shape"][0]
    return Card(
        name=described["name"],
        version=described.get("version", ""),
        input_shape=tuple(seen["shape"]),
        mean=tuple(seen.get("mean", (0.0,) * channels)),
        std=tuple(seen.get("std", (1.0,) * channels)),
        labels=tuple(described["labels"]),
        sha256=described.get("sha256", ""),
        provenance=described.get("provenance", ""),
        resize=seen.get("resize", 0),
        differentiable=False,
    )


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
