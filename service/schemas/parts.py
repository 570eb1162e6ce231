"""What schemas are made of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from service.negotiation import PNG

Schema = dict[str, Any]

REFERENCE = "#/components/schemas/{model}"


def reference(name: str) -> Schema:
    return {"$ref": REFERENCE.format(model=name)}


def reply_name(operation: str) -> str:
    """The component that is the reply of `operation`."""
    return f"{operation.title()}Reply"


def record(description: str, properties: Schema, optional: Iterable[str] = ()) -> Schema:
    """An object that has all of `properties`, save perhaps those that are `optional`, and no others."""
    left_out = set(optional)
    schema: Schema = {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in left_out],
        "additionalProperties": False,
    }
    return {"description": description, **schema} if description else schema


INTEGER: Schema = {"type": "integer"}
INTEGERS: Schema = {"type": "array", "items": INTEGER}
NUMBER: Schema = {"type": "number"}
SOME_NUMBER: Schema = {"type": ["number", "null"]}
NUMBERS: Schema = {"type": "array", "items": NUMBER}
TEXT: Schema = {"type": "string"}
SOME_TEXT: Schema = {"type": ["string", "null"]}
BOOLEAN: Schema = {"type": "boolean"}
BOOLEANS: Schema = {"type": "array", "items": BOOLEAN}
TIME: Schema = {**TEXT, "format": "date-time"}
SOME_TIME: Schema = {**SOME_TEXT, "format": "date-time"}
INLINE_PNG: Schema = {**TEXT, "contentEncoding": "base64", "contentMediaType": PNG}
PREDICTION = reference("Prediction")
#: In a reply, what is too large to stand in it has an href.
PICTURE: Schema = {"anyOf": [INLINE_PNG, reference("Artifact")]}
ARRAY: Schema = {"anyOf": [reference("Array"), reference("Artifact")]}
SOME_PREDICTION: Schema = {"anyOf": [PREDICTION, {"type": "null"}]}
