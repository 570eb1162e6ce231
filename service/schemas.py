"""The parts of the OpenAPI document that no parameter model says: what answers are made of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rakinglight.errors import CODES
from service.negotiation import PNG

Schema = dict[str, Any]

REFERENCE = "#/components/schemas/{model}"


def reference(name: str) -> Schema:
    return {"$ref": REFERENCE.format(model=name)}


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


_INTEGERS: Schema = {"type": "array", "items": {"type": "integer"}}
_INTEGER: Schema = {"type": "integer"}
_NUMBER: Schema = {"type": "number"}
_SOME_NUMBER: Schema = {"type": ["number", "null"]}
_NUMBERS: Schema = {"type": "array", "items": {"type": "number"}}
_PNG: Schema = {"type": "string", "contentEncoding": "base64", "contentMediaType": PNG}
_ARRAY, _PREDICTION = reference("Array"), reference("Prediction")
_SOME_PREDICTION: Schema = {"anyOf": [_PREDICTION, {"type": "null"}]}
_SAID_OF_ATTACK: Schema = {"after": _PREDICTION, "success": {"type": "boolean"}, "distance": reference("Distance")}

_FIGURES: dict[str, Schema] = {
    "deletion": reference("Curve"),
    "insertion": reference("Curve"),
    "infidelity": record(
        "",
        {
            "value": _NUMBER,
            "standard_error": _NUMBER,
            "empty_map": {**_NUMBER, "description": "That of a map of zeros."},
            "n_samples": _INTEGER,
            "sd": _NUMBER,
        },
    ),
    "max_sensitivity": record("", {"value": _NUMBER, "radius": _NUMBER, "n_samples": _INTEGER}),
    "randomization": record(
        "",
        {
            "share": {**_NUMBERS, "description": "Of the layers with weights, from the last on, that were random."},
            "rank_correlation": {"type": "array", "items": _SOME_NUMBER},
        },
    ),
    "localization": record("", {"value": _SOME_NUMBER, "area": _NUMBER}),
    "pointing_game": record(
        "", {"hit": {"type": "boolean"}, "tolerance": _NUMBER, "row": _INTEGER, "column": _INTEGER}
    ),
}

SCHEMAS: dict[str, Schema] = {
    "Problem": {
        **record(
            "RFC 9457.",
            {
                "type": {"type": "string", "format": "uri"},
                "title": {"type": "string"},
                "status": {"type": "integer"},
                "detail": {"type": "string", "description": "The value, the limit and the remedy."},
                "code": {"enum": sorted(CODES)},
                "request_id": {"type": "string"},
                "errors": {
                    "type": "array",
                    "items": record("", {"pointer": {"type": "string"}, "detail": {"type": "string"}}),
                },
                "retry_after_s": {"type": "number"},
            },
            optional=("errors", "retry_after_s"),
        )
    },
    "Image": {
        "anyOf": [
            {"type": "string", "contentEncoding": "base64", "description": "A PNG, JPEG, WebP, BMP or GIF file."},
            reference("Array"),
        ]
    },
    "Array": record(
        "Numbers: the base64 of their little-endian bytes in C order.",
        {
            "dtype": {"enum": ["float32", "float64", "float16", "uint8", "int32", "int64", "bool"]},
            "shape": {"type": "array", "items": {"type": "integer", "minimum": 1}},
            "data": {"type": "string", "contentEncoding": "base64"},
        },
    ),
    "Prediction": record(
        "What the model gives to one class.",
        {
            "index": {"type": "integer"},
            "label": {"type": "string"},
            "probability": {"type": "number"},
            "logit": {"type": "number", "description": "Among the predictions of classify."},
        },
        optional=("logit",),
    ),
    "Geometry": record(
        "How the image became the model's input: sizes are [height, width].",
        {"original": _INTEGERS, "resized": _INTEGERS, "crop": {**_INTEGERS, "description": "top, left, height, width"}},
    ),
    "Distance": record(
        "linf and l2 in units of [0, 1] over all values; l0 is the number of pixels that changed.",
        {"linf": {"type": "number"}, "l2": {"type": "number"}, "l0": {"type": "integer"}},
    ),
    "Cost": record(
        "Rows that went through the network.",
        {
            "forward_rows": {"type": "integer"},
            "gradient_rows": {"type": "integer"},
            "saved_rows": {
                "type": "number",
                "description": "The forward rows' multiply-adds that were not needed, in rows: only what a patch "
                "changes was computed.",
            },
        },
        optional=("saved_rows",),
    ),
    "AnsweredBy": record(
        "Which backend answered.",
        {
            "forward": {"type": ["string", "null"]},
            "gradient": {"type": ["string", "null"]},
            "patched": {"type": ["string", "null"], "description": "How images with a patch on them are answered."},
        },
        optional=("forward", "gradient", "patched"),
    ),
    "Progress": record(
        "How far the run of one image is.",
        {
            "image": {"type": "integer", "description": "Its place in the request, from 0."},
            "step": {"type": "integer"},
            "of": {"type": "integer"},
            "objective": {"type": ["number", "null"]},
            "map": {
                "type": "integer",
                "description": "Its place among those that are compared, from 0.",
            },
            "picture": {
                **_PNG,
                "description": "The map so far, over the image: about once a second, where the reply has an overlay.",
            },
        },
        optional=("map", "picture"),
    ),
    "Scaling": record(
        "How raw values became the colours of an overlay.",
        {
            "scale": {"type": "string"},
            "low": {"type": "number", "description": "The raw value at the lower end of the colours."},
            "high": {"type": "number"},
            "largest": {"type": "number", "description": "The largest size of any raw value."},
            "colours": {"type": "string", "description": "Their name, as matplotlib and cmap know them."},
        },
    ),
    "Curve": record(
        "The class's probability as pixels are exchanged, those first of which the map says most.",
        {
            "area": {"type": "number", "description": "Below the curve, in [0, 1]."},
            "curve": _ARRAY,
            "score": {"type": "string"},
        },
    ),
    "Evaluation": record(
        "Figures that say how far to trust the map: those that `evaluate` names.",
        _FIGURES,
        optional=_FIGURES,
    ),
    "ModelReference": record(
        "Which weights answered.",
        {"name": {"type": "string"}, "version": {"type": "string"}, "sha256": {"type": "string"}},
    ),
    "Model": record(
        "All that there is to know of a model before asking it something.",
        {
            "name": {"type": "string"},
            "version": {"type": "string"},
            "versions": {"type": "array", "items": {"type": "string"}},
            "sha256": {"type": "string", "description": "Of the weights."},
            "provenance": {"type": "string"},
            "input": record(
                "Values are in `range`; an image is resized to `resize` (its shorter side) and cropped to `shape`; the "
                "network sees (x - mean) / std.",
                {
                    "shape": _INTEGERS,
                    "range": _NUMBERS,
                    "resize": {"type": "integer"},
                    "mean": _NUMBERS,
                    "std": _NUMBERS,
                },
            ),
            "differentiable": {
                "type": "boolean",
                "description": "False for an ONNX file: no method that needs gradients.",
            },
            "labels": {"type": "array", "items": {"type": "string"}},
            "layers": {"type": "array", "items": record("", {"name": {"type": "string"}, "shape": _INTEGERS})},
            "operations": {"type": "array", "items": {"type": "object"}},
            "limits": {"type": "object", "additionalProperties": {"type": "number"}},
        },
    ),
}


def _explained(facts: dict[str, Schema]) -> Schema:
    """What an entry of `results` holds that explains: one map, or where several are compared, all of them."""
    geometry = {"prediction": _PREDICTION, "geometry": reference("Geometry")}
    one = {
        "target": _PREDICTION,
        "map": {**_ARRAY, "description": "[H, W], as large as what the model saw; not scaled."},
        "signed_map": {**_ARRAY, "description": "[C, H, W], where the method has one."},
        "scaling": reference("Scaling"),
        "evaluation": reference("Evaluation"),
        "curves": {**_PNG, "description": "Deletion and insertion, where they were evaluated."},
        "partial": {"type": "boolean", "description": "Time or rows ran out; this is what was reached."},
        "note": {"type": "string", "description": "What a reader should know, such as why there are no figures."},
        **facts,
    }
    named = {"method": {"type": "string"}, "parameters": {"type": "object"}}
    maps = {"type": "array", "items": record("", named | one, optional=one.keys() - {"target"})}
    overlays = {"overlay": _PNG, "partial": one["partial"]}
    return {
        "anyOf": [
            record("", geometry | one | overlays, optional=(one | overlays).keys() - {"target"}),
            record("Where several are compared.", geometry | {"maps": maps} | overlays, optional=overlays),
        ]
    }


#: What one entry of `results` holds. `include` may leave some of it out.
RESULTS: dict[str, Schema] = {
    "classify": record(
        "",
        {
            "prediction": _PREDICTION,
            "predictions": {"type": "array", "items": _PREDICTION},
            "activations": {"type": "object", "additionalProperties": _ARRAY},
            "geometry": reference("Geometry"),
        },
        optional=("activations",),
    ),
    "saliency": _explained(
        {
            "cells": {**_ARRAY, "description": "[h, w], of grad_cam: the map as large as its layer."},
            "layer": {"type": "string", "description": "Of grad_cam."},
            "score_difference": {**_NUMBER, "description": "The image's score less the baseline's."},
            "completeness_gap": {**_NUMBER, "description": "The map's sum less the score difference."},
            "sigma": {**_NUMBER, "description": "Standard deviation of the noise."},
            "n_samples": _INTEGER,
            "first_order": {**_NUMBER, "description": "What the gradient adds to the map's sum."},
            "second_order": {**_NUMBER, "description": "What the curvature adds to it."},
            "standard_error": {**_SOME_NUMBER, "description": "Of `second_order`; null after one sample."},
        }
    ),
    "occlusion": _explained(
        {
            "grid": {**_ARRAY, "description": "The score with the window at each place, [gh, gw] or one a channel."},
            "window": {**_INTEGER, "description": "Its side as it was, in pixels."},
            "stride": {**_INTEGER, "description": "As it was, in pixels."},
            "score_whole": {**_NUMBER, "description": "The score of the untouched image."},
            "masks_used": _INTEGER,
            "standard_error": {**_SOME_NUMBER, "description": "The largest of any pixel; null after one mask."},
        }
    ),
    "attack": record(
        "",
        {
            "prediction": _PREDICTION,
            "before": _PREDICTION,
            "label": _PREDICTION,
            "target": _SOME_PREDICTION,
            "already_misclassified": {"type": "boolean"},
            **_SAID_OF_ATTACK,
            "adversarial": {**_PNG, "description": "Posted back to classify, it gives `after`."},
            "exact": record(
                "The same before rounding to 8 bits; of a large image without its tensor, unless `include` names it.",
                {**_SAID_OF_ATTACK, "image": _ARRAY},
                optional=("image",),
            ),
            "perturbation": record("The change, made visible.", {"picture": _PNG, "factor": {"type": "number"}}),
            "queries": {"type": "integer", "description": "Rows that this image sent through the network."},
            "partial": {"type": "boolean", "description": "Time or rows ran out; this is what was reached."},
            "note": {"type": "string"},
            "geometry": reference("Geometry"),
        },
        optional=("adversarial", "exact", "perturbation", "partial", "note"),
    ),
}
