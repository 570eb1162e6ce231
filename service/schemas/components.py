"""Components that more than one answer refers to, and what there is to say of a model."""

from __future__ import annotations

from rakinglight.errors import CODES
from service.schemas.parts import (
    ARRAY,
    BOOLEAN,
    INLINE_PNG,
    INTEGER,
    INTEGERS,
    NUMBER,
    NUMBERS,
    SOME_NUMBER,
    SOME_TEXT,
    TEXT,
    Schema,
    record,
    reference,
)

_FIGURES: dict[str, Schema] = {
    "deletion": reference("Curve"),
    "insertion": reference("Curve"),
    "infidelity": record(
        "",
        {
            "value": NUMBER,
            "standard_error": NUMBER,
            "empty_map": {**NUMBER, "description": "That of a map of zeros."},
            "n_samples": INTEGER,
            "sd": NUMBER,
        },
    ),
    "max_sensitivity": record("", {"value": NUMBER, "radius": NUMBER, "n_samples": INTEGER}),
    "randomization": record(
        "",
        {
            "share": {**NUMBERS, "description": "Of the layers with weights, from the last on, that were random."},
            "rank_correlation": {"type": "array", "items": SOME_NUMBER},
        },
    ),
    "localization": record("", {"value": SOME_NUMBER, "area": NUMBER}),
    "pointing_game": record("", {"hit": BOOLEAN, "tolerance": NUMBER, "row": INTEGER, "column": INTEGER}),
}

COMPONENTS: dict[str, Schema] = {
    "Problem": {
        **record(
            "RFC 9457.",
            {
                "type": {**TEXT, "format": "uri"},
                "title": TEXT,
                "status": INTEGER,
                "detail": {**TEXT, "description": "The value, the limit and the remedy."},
                "code": {"enum": sorted(CODES)},
                "request_id": TEXT,
                "errors": {
                    "type": "array",
                    "items": record("", {"pointer": TEXT, "detail": TEXT}),
                },
                "retry_after_s": NUMBER,
            },
            optional=("errors", "retry_after_s"),
        )
    },
    "Image": {
        "anyOf": [
            {**TEXT, "contentEncoding": "base64", "description": "A PNG, JPEG, WebP, BMP or GIF file."},
            reference("Array"),
        ]
    },
    "Array": record(
        "Numbers: the base64 of their little-endian bytes in C order.",
        {
            "dtype": {"enum": ["float32", "float64", "float16", "uint8", "int32", "int64", "bool"]},
            "shape": {"type": "array", "items": {**INTEGER, "minimum": 1}},
            "data": {**TEXT, "contentEncoding": "base64"},
        },
    ),
    "Artifact": record(
        "In place of an array or a picture that is too large for a reply: an array is a .npy file there, a picture a "
        "PNG. Of a job it can be fetched as long as the job is kept, of another reply for about an hour.",
        {
            "href": {**TEXT, "format": "uri-reference"},
            "sha256": {**TEXT, "pattern": "^[0-9a-f]{64}$"},
            "bytes": {**INTEGER, "description": "Of the file."},
        },
    ),
    "Prediction": record(
        "What the model gives to one class.",
        {
            "index": INTEGER,
            "label": TEXT,
            "probability": NUMBER,
            "logit": {**NUMBER, "description": "Among the predictions of classify."},
        },
        optional=("logit",),
    ),
    "Geometry": record(
        "How the image became the model's input: sizes are [height, width].",
        {"original": INTEGERS, "resized": INTEGERS, "crop": {**INTEGERS, "description": "top, left, height, width"}},
    ),
    "Distance": record(
        "linf and l2 in units of [0, 1] over all values; l0 is the number of pixels that changed.",
        {"linf": NUMBER, "l2": NUMBER, "l0": INTEGER},
    ),
    "Cost": record(
        "Rows that went through the network.",
        {
            "forward_rows": INTEGER,
            "gradient_rows": INTEGER,
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
            "forward": SOME_TEXT,
            "gradient": SOME_TEXT,
            "patched": {**SOME_TEXT, "description": "How images with a patch on them are answered."},
        },
        optional=("forward", "gradient", "patched"),
    ),
    "Progress": record(
        "How far the run of one image is.",
        {
            "image": {**INTEGER, "description": "Its place in the request, from 0."},
            "step": INTEGER,
            "of": INTEGER,
            "objective": SOME_NUMBER,
            "map": {
                "type": "integer",
                "description": "Its place among those that are compared, from 0.",
            },
            "picture": {
                **INLINE_PNG,
                "description": "The map so far, over the image: about once a second, where the reply has an overlay.",
            },
        },
        optional=("map", "picture"),
    ),
    "Scaling": record(
        "How raw values became the colours of an overlay.",
        {
            "scale": TEXT,
            "low": {**NUMBER, "description": "The raw value at the lower end of the colours."},
            "high": NUMBER,
            "largest": {**NUMBER, "description": "The largest size of any raw value."},
            "colours": {**TEXT, "description": "Their name, as matplotlib and cmap know them."},
        },
    ),
    "Curve": record(
        "The class's probability as pixels are exchanged, those first of which the map says most.",
        {
            "area": {**NUMBER, "description": "Below the curve, in [0, 1]."},
            "curve": ARRAY,
            "score": TEXT,
        },
    ),
    "Evaluation": record(
        "Figures that say how far to trust the map: those that `evaluate` names.",
        _FIGURES,
        optional=_FIGURES,
    ),
    "Share": record(
        "A share of images, and the 95 % interval of what it is of all images (Wilson 1927).",
        {
            "value": {**SOME_NUMBER, "description": "null of no images."},
            "low": NUMBER,
            "high": NUMBER,
            "count": INTEGER,
            "of": INTEGER,
        },
    ),
    "ModelReference": record(
        "Which weights answered.",
        {"name": TEXT, "version": TEXT, "sha256": TEXT},
    ),
    "BlackBoxModel": record(
        "All that a black box's caller is told of a model.",
        {"name": TEXT, "input": record("", {"shape": INTEGERS}), "labels": {"type": "array", "items": TEXT}},
    ),
    "BlackBoxReply": record(
        "What `classify` answers to a key with the scope `query` alone.",
        {
            "model": record("", {"name": TEXT}),
            "request_id": TEXT,
            "results": {
                "type": "array",
                "items": record("", {"predictions": {"type": "array", "items": reference("CutPrediction")}}),
                "description": "One an image, in order.",
            },
        },
    ),
    "CutPrediction": record(
        "One class, as far as the key's view shows it.",
        {"index": INTEGER, "label": TEXT, "probability": NUMBER},
        optional=("probability",),
    ),
    "Model": record(
        "All that there is to know of a model before asking it something.",
        {
            "name": TEXT,
            "version": TEXT,
            "versions": {"type": "array", "items": TEXT},
            "sha256": {**TEXT, "description": "Of the weights."},
            "provenance": TEXT,
            "input": record(
                "Values are in `range`; an image is resized to `resize` (its shorter side) and cropped to `shape`; the "
                "network sees (x - mean) / std.",
                {
                    "shape": INTEGERS,
                    "range": NUMBERS,
                    "resize": INTEGER,
                    "mean": NUMBERS,
                    "std": NUMBERS,
                },
            ),
            "differentiable": {
                "type": "boolean",
                "description": "False for an ONNX file: no method that needs gradients.",
            },
            "detector": {
                "anyOf": [
                    record(
                        "Of adversarial images.",
                        {"false_positive_rate": {**NUMBER, "description": "Of clean images, as measured in training."}},
                    ),
                    {"type": "null"},
                ],
                "description": "null: it has none.",
            },
            "labels": {"type": "array", "items": TEXT},
            "layers": {"type": "array", "items": record("", {"name": TEXT, "shape": INTEGERS})},
            "operations": {"type": "array", "items": {"type": "object"}},
            "limits": {"type": "object", "additionalProperties": NUMBER},
        },
    ),
}
