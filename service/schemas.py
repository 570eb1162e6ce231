"""The parts of the OpenAPI document that no parameter model says: what answers are made of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, get_args

from rakinglight import catalogue
from rakinglight.errors import CODES
from service.jobs import State
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


_INTEGERS: Schema = {"type": "array", "items": {"type": "integer"}}
_INTEGER: Schema = {"type": "integer"}
_NUMBER: Schema = {"type": "number"}
_SOME_NUMBER: Schema = {"type": ["number", "null"]}
_NUMBERS: Schema = {"type": "array", "items": {"type": "number"}}
_TEXT: Schema = {"type": "string"}
_SOME_TEXT: Schema = {"type": ["string", "null"]}
_BOOLEAN: Schema = {"type": "boolean"}
_TIME: Schema = {"type": "string", "format": "date-time"}
_SOME_TIME: Schema = {"type": ["string", "null"], "format": "date-time"}
_INLINE_PNG: Schema = {"type": "string", "contentEncoding": "base64", "contentMediaType": PNG}
_PREDICTION = reference("Prediction")
#: In a reply, what is too large to stand in it has an href.
_PNG: Schema = {"anyOf": [_INLINE_PNG, reference("Artifact")]}
_ARRAY: Schema = {"anyOf": [reference("Array"), reference("Artifact")]}
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

_NEXT: Schema = {**_SOME_TEXT, "description": "`page_token` of the next page; null on the last."}

_ANY_REPLY: Schema = {
    "anyOf": [reference(reply_name(name)) for name in catalogue.OPERATIONS],
    "description": "What the request would have been answered at once.",
}

#: All of a job but what came of it.
_JOB: dict[str, Schema] = {
    "id": _TEXT,
    "state": {
        "enum": list(get_args(State)),
        "description": "`interrupted`: its worker ended; it goes on as soon as another takes it up.",
    },
    "operation": _TEXT,
    "model": reference("ModelReference"),
    "method": _SOME_TEXT,
    "images": {**_INTEGER, "description": "How many it is about."},
    "asked": {
        "type": "object",
        "description": "What tells jobs apart: `parameters`, `compare`, `seed`, `dataset`, as said.",
    },
    "purpose": _SOME_TEXT,
    "request_id": {**_TEXT, "description": "Of the request that submitted it."},
    "attempts": {**_INTEGER, "description": "Times that a worker has taken it up."},
    "cancel_requested": _BOOLEAN,
    "progress": {"anyOf": [reference("JobProgress"), {"type": "null"}]},
    "note": {**_SOME_TEXT, "description": "What it waits for, if something that it needs is away."},
    "problem": {"anyOf": [reference("Problem"), {"type": "null"}]},
    "created_at": _TIME,
    "started_at": _SOME_TIME,
    "ended_at": _SOME_TIME,
    "expires_at": {**_SOME_TIME, "description": "Until when it is kept; null while it is not over."},
}

_OF_DATASET: dict[str, Schema] = {
    "id": _TEXT,
    "name": _TEXT,
    "kind": {"enum": ["zip", "npz", "folder"]},
    "configured": {**_BOOLEAN, "description": "By the operator: then everybody may use it."},
}
_DATASET: dict[str, Schema] = {
    **_OF_DATASET,
    "images": {**_INTEGER, "description": "How many."},
    "classes": {"type": "array", "items": record("", {"name": _TEXT, "images": _INTEGER})},
    "bytes": _INTEGER,
    "created_at": _TIME,
    "expires_at": _TIME,
}
_UNUSABLE = record(
    "A configured one that cannot be used.",
    {**_OF_DATASET, "problem": {"type": "object", "description": "Why, as in Problem."}},
)

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
    "Artifact": record(
        "In place of an array or a picture that is too large for a reply: an array is a .npy file there, a picture a "
        "PNG. Of a job it can be fetched as long as the job is kept, of another reply for about an hour.",
        {
            "href": {**_TEXT, "format": "uri-reference"},
            "sha256": {**_TEXT, "pattern": "^[0-9a-f]{64}$"},
            "bytes": {**_INTEGER, "description": "Of the file."},
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
                **_INLINE_PNG,
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
    "JobProgress": record(
        "How far the newest run is.",
        {
            "image": {**_INTEGER, "description": "Its place in the request, from 0."},
            "step": _INTEGER,
            "of": _INTEGER,
            "objective": _SOME_NUMBER,
            "map": {**_INTEGER, "description": "Its place among those that are compared, from 0."},
            "done": {**_INTEGER, "description": "Images that have their result."},
            "images": {**_INTEGER, "description": "Images in all."},
        },
        optional=("objective", "map"),
    ),
    "PartialReply": record(
        "What a job had reached: a reply in which null stands for the result of an image that has none.",
        {
            "model": reference("ModelReference"),
            "operation": _TEXT,
            "method": _SOME_TEXT,
            "parameters": {"type": "object"},
            "compare": {"type": "array", "items": {"type": "object"}},
            "seed": _INTEGER,
            "results": {"type": "array", "items": {"type": ["object", "null"]}},
            "cost": reference("Cost"),
            "answered_by": reference("AnsweredBy"),
            "elapsed_ms": _NUMBER,
            "request_id": _TEXT,
        },
        optional=("compare",),
    ),
    "Job": record("A request whose answer is not waited for.", _JOB),
    "JobWithResult": record(
        "A job, and once it is over what came of it: its `result`, or if it did not come to its end what it had "
        "reached.",
        {**_JOB, "result": _ANY_REPLY, "partial_result": reference("PartialReply")},
        optional=("result", "partial_result"),
    ),
    "JobList": record(
        "Newest first.",
        {"jobs": {"type": "array", "items": reference("Job")}, "next_page_token": _NEXT},
    ),
    "Dataset": record(
        "Many images, most often with the class of each. One that the operator configured has no bytes and no times.",
        _DATASET,
        optional=("bytes", "created_at", "expires_at"),
    ),
    "DatasetList": record(
        "The configured ones, then the others, newest first.",
        {
            "datasets": {"type": "array", "items": {"anyOf": [reference("Dataset"), _UNUSABLE]}},
            "next_page_token": _NEXT,
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
