"""The OpenAPI 3.1 document, made from the catalogue, the settings and the errors, so that it keeps up with them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rakinglight import __version__, catalogue
from rakinglight.catalogue import Operation
from rakinglight.errors import CODES
from rakinglight.method import Method
from service.bodies import Body
from service.negotiation import EVENTS, JSON, NPZ, PNG
from service.settings import Settings

Schema = dict[str, Any]

ROOT = "/api/v1"
_REFERENCE = "#/components/schemas/{model}"

#: A picture of one grey pixel, for the examples.
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="

#: What any route may answer; then what those with a model in their path may; then those with a body.
ANY_ROUTE = ("UNREADABLE", "UNAUTHENTICATED", "FORBIDDEN", "INTERNAL")
ANY_MODEL = (*ANY_ROUTE, "NOT_FOUND")
ANY_OPERATION = (
    *ANY_MODEL, "NOT_ACCEPTABLE", "TOO_LARGE", "NOT_AN_IMAGE", "BAD_PARAMETER", "RUN_KILLS_WORKER", "OVERLOADED",
    "ENGINE_AWAY", "DEADLINE_EXCEEDED",
)  # fmt: skip


def document(settings: Settings) -> dict[str, Any]:
    """The whole document."""
    schemas = dict(_SCHEMAS)
    paths: dict[str, Any] = _service_paths() | _model_paths()
    for operation in catalogue.OPERATIONS.values():
        schemas |= _request_schemas(operation)
        paths[f"{ROOT}/models/{{model}}/{operation.name}"] = {
            "post": _post(operation, settings, operation.name, [_MODEL])
        }
        paths[f"{ROOT}/models/{{model}}/versions/{{version}}/{operation.name}"] = {
            "post": _post(operation, settings, f"{operation.name}_version", [_MODEL, _VERSION])
        }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "rakinglight",
            "version": __version__,
            "summary": "See what a deployed vision model looks at, and how it breaks.",
            "description": "Errors are problems (RFC 9457) with a `code`. X-Request-ID is taken or made, and returned.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [
            {"name": "operations", "description": "What can be asked of a model."},
            {"name": "models", "description": "Which models there are."},
            {"name": "service", "description": "Health, metrics and this description."},
        ],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "Needed where a key is configured."}
            },
            "headers": {
                "X-Request-ID": {"description": "The request's id, given or made.", "schema": {"type": "string"}},
                "Retry-After": {"description": "Seconds after which to try again.", "schema": {"type": "integer"}},
            },
        },
    }


# ── the operations ──────────────────────────────────────────────────────────────────────────────────────────────────


def _post(operation: Operation, settings: Settings, name: str, parameters: list[Schema]) -> Schema:
    requests = [_reference(_request_name(operation, method)) for method in operation.methods or (None,)]
    body = requests[0] if len(requests) == 1 else {"anyOf": requests}
    form = {
        "type": "object",
        "properties": {
            "image": {"type": "array", "items": {"type": "string", "contentMediaType": "application/octet-stream"}},
            "method": {"type": "string"},
            "request": {"type": "string", "contentMediaType": JSON, "description": "What a field cannot say."},
        },
        "additionalProperties": {
            "type": "string",
            "description": "seed, include and the like, or a parameter's value.",
        },
    }
    content: Schema = {
        JSON: {"schema": _reference(_reply_name(operation)), "example": _reply_example(operation)},
        NPZ: {"schema": {"type": "string", "contentMediaType": NPZ}},
        EVENTS: {
            "schema": {"type": "string", "description": "`progress` events, then one `result` or one `problem`."},
            "example": 'id: 1\nevent: progress\ndata: {"image": 0, "step": 1, "of": 10, "objective": 2.5}\n\n',
        },
    }
    if operation.picture:
        content[PNG] = {"schema": {"type": "string", "contentMediaType": PNG}}
    return {
        "operationId": name,
        "tags": ["operations"],
        "summary": operation.summary,
        "description": (
            f"Up to {settings.images} images and {settings.body_bytes} bytes a request; an image has up to "
            f"{settings.image_pixels} pixels. Needs a key with the scope `{operation.scope}` where keys are used."
        ),
        "parameters": parameters,
        "security": [{"key": []}, {}],
        "requestBody": {
            "required": True,
            "content": {
                JSON: {"schema": body, "example": _request_example(operation)},
                "multipart/form-data": {
                    "schema": form,
                    "encoding": {"image": {"contentType": "image/png, image/jpeg, image/webp, image/bmp, image/gif"}},
                },
            },
        },
        "responses": {"200": _ok("The answer, one result an image.", content)} | _problems(ANY_OPERATION),
    }


def _request_name(operation: Operation, method: Method[Any] | None) -> str:
    return "".join(word.title() for word in f"{operation.name}_{method.name if method else ''}_request".split("_"))


def _reply_name(operation: Operation) -> str:
    return f"{operation.name.title()}Reply"


def _request_schemas(operation: Operation) -> dict[str, Schema]:
    """A component for the request by each method, for their parameters, and what those refer to."""
    schemas: dict[str, Schema] = {}
    for method in operation.methods or (None,):
        parameters = operation.parameters(method).model_json_schema(ref_template=_REFERENCE)
        schemas |= parameters.pop("$defs", {})
        schemas[parameters["title"]] = parameters
        request = Body.model_json_schema(ref_template=_REFERENCE)
        properties = request["properties"]
        properties["images"] = {**properties["images"], "minItems": 1, "items": _reference("Image")}
        properties["parameters"] = _reference(parameters["title"])
        properties["include"]["anyOf"][0]["items"] = {"enum": list(operation.include)}
        if method is None:
            properties["method"] = {"type": "null"}
        else:
            properties["method"] = {"const": method.name, "description": method.summary}
        first = method is None or method is operation.methods[0]
        request |= {
            "title": _request_name(operation, method),
            "required": ["images"] if first else ["images", "method"],
        }
        request["description"] = method.summary if method else operation.summary
        schemas[request["title"]] = request
    schemas[_reply_name(operation)] = _object(
        "The answer.",
        {
            "model": _reference("ModelReference"),
            "operation": {"const": operation.name},
            "method": {"enum": [m.name for m in operation.methods] or [None]},
            "parameters": {
                "type": "object",
                "description": "Every one: posted back with `method` and `seed`, they repeat the call.",
            },
            "seed": {"type": "integer", "description": "The request's."},
            "results": {"type": "array", "items": _RESULTS[operation.name], "description": "One an image, in order."},
            "cost": _reference("Cost"),
            "answered_by": _reference("AnsweredBy"),
            "elapsed_ms": {"type": "number"},
            "request_id": {"type": "string"},
        },
    )
    return schemas


def _request_example(operation: Operation) -> Schema:
    example: Schema = {"images": [PIXEL]}
    if operation.methods:
        example["method"] = operation.methods[-1].name
    if operation.name == "attack":
        example["parameters"] = {"epsilon": "8/255", "steps": 10}
    return example


def _reply_example(operation: Operation) -> Schema:
    method = operation.methods[-1] if operation.methods else None
    return {
        "model": {"name": "efficientnet-lite0", "version": "1.0", "sha256": "4c7f…"},
        "operation": operation.name,
        "method": method.name if method else None,
        "parameters": operation.parameters(method)().model_dump(mode="json"),
        "seed": 0,
        "results": [],
        "cost": {"forward_rows": 1, "gradient_rows": 1 if method else 0},
        "answered_by": {"forward": "onnxruntime", "gradient": "torch"},
        "elapsed_ms": 41.2,
        "request_id": "3f0c4f6e2f5b4f0e9f0d6f1f2f3f4f5f",
    }


# ── the other routes ────────────────────────────────────────────────────────────────────────────────────────────────


def _model_paths() -> dict[str, Any]:
    def get(name: str, summary: str, schema: Schema, parameters: list[Schema], codes: Iterable[str]) -> Schema:
        return {
            "get": {
                "operationId": name,
                "tags": ["models"],
                "summary": summary,
                "parameters": parameters,
                "security": [{"key": []}, {}],
                "responses": {"200": _ok(summary, {JSON: {"schema": schema}})} | _problems(codes),
            }
        }

    one = _reference("Model")
    every = _object("", {"models": {"type": "array", "items": one}})
    path = f"{ROOT}/models"
    return {
        path: get("models", "All models.", every, [], ANY_ROUTE),
        f"{path}/{{model}}": get("model", "One model, in its newest version.", one, [_MODEL], ANY_MODEL),
        f"{path}/{{model}}/versions/{{version}}": get(
            "model_version", "One version of a model.", one, [_MODEL, _VERSION], ANY_MODEL
        ),
    }


def _service_paths() -> dict[str, Any]:
    def get(name: str, summary: str, content: Schema, codes: Iterable[str], *, guarded: bool) -> Schema:
        return {
            "get": {
                "operationId": name,
                "tags": ["service"],
                "summary": summary,
                "security": [{"key": []}, {}] if guarded else [],
                "responses": {"200": _ok(summary, content)} | _problems(codes),
            }
        }

    alive = _object("", {"alive": {"const": True}})
    ready = _object("", {"ready": {"const": True}, "models": {"type": "array", "items": {"type": "string"}}})
    text = {"schema": {"type": "string"}}
    health = ("FORBIDDEN", "INTERNAL")
    return {
        "/healthz": get("healthz", "The process lives.", {JSON: {"schema": alive}}, health, guarded=False),
        "/readyz": get(
            "readyz", "Every model has answered a probe.", {JSON: {"schema": ready}}, (*health, "ENGINE_AWAY"),
            guarded=False,
        ),
        "/metrics": get(
            "metrics", "Metrics for Prometheus.", {"text/plain": text, "application/openmetrics-text": text}, ANY_ROUTE,
            guarded=True,
        ),
        "/openapi.json": get(
            "openapi", "This document.", {JSON: {"schema": {"type": "object"}}}, ANY_ROUTE, guarded=True
        ),
        "/docs": get("docs", "This document, to read.", {"text/html": text}, ANY_ROUTE, guarded=True),
    }  # fmt: skip


# ── the parts ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _ok(description: str, content: Schema) -> Schema:
    return {
        "description": description,
        "headers": {"X-Request-ID": {"$ref": "#/components/headers/X-Request-ID"}},
        "content": content,
    }


def _problems(codes: Iterable[str]) -> dict[str, Schema]:
    """A response for each status that `codes` come with."""
    by_status: dict[int, list[str]] = {}
    for code in codes:
        by_status.setdefault(CODES[code].status, []).append(code)
    answers: dict[str, Schema] = {}
    for status, said in sorted(by_status.items()):
        headers = {"X-Request-ID": {"$ref": "#/components/headers/X-Request-ID"}}
        if status == 503:
            headers["Retry-After"] = {"$ref": "#/components/headers/Retry-After"}
        answers[str(status)] = {
            "description": "; ".join(f"`{code}`: {CODES[code].title}" for code in said),
            "headers": headers,
            "content": {"application/problem+json": {"schema": _reference("Problem")}},
        }
    return answers


def _reference(name: str) -> Schema:
    return {"$ref": _REFERENCE.format(model=name)}


def _object(description: str, properties: Schema, optional: Iterable[str] = ()) -> Schema:
    """An object that has all of `properties`, save perhaps those that are `optional`, and no others."""
    left_out = set(optional)
    schema: Schema = {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in left_out],
        "additionalProperties": False,
    }
    return {"description": description, **schema} if description else schema


def _path_parameter(name: str, description: str, example: str) -> Schema:
    schema = {"type": "string"}
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": description,
        "schema": schema,
        "example": example,
    }


_MODEL = _path_parameter("model", "A model's name.", "efficientnet-lite0")
_VERSION = _path_parameter("version", "One of its versions.", "1.0")

_INTEGERS: Schema = {"type": "array", "items": {"type": "integer"}}
_NUMBERS: Schema = {"type": "array", "items": {"type": "number"}}
_PNG: Schema = {"type": "string", "contentEncoding": "base64", "contentMediaType": PNG}
_ARRAY, _PREDICTION = _reference("Array"), _reference("Prediction")
_SOME_PREDICTION: Schema = {"anyOf": [_PREDICTION, {"type": "null"}]}
_SAID_OF_ATTACK: Schema = {"after": _PREDICTION, "success": {"type": "boolean"}, "distance": _reference("Distance")}

_SCHEMAS: dict[str, Schema] = {
    "Problem": {
        **_object(
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
                    "items": _object("", {"pointer": {"type": "string"}, "detail": {"type": "string"}}),
                },
                "retry_after_s": {"type": "number"},
            },
            optional=("errors", "retry_after_s"),
        )
    },
    "Image": {
        "anyOf": [
            {"type": "string", "contentEncoding": "base64", "description": "A PNG, JPEG, WebP, BMP or GIF file."},
            _reference("Array"),
        ]
    },
    "Array": _object(
        "Numbers: the base64 of their little-endian bytes in C order.",
        {
            "dtype": {"enum": ["float32", "float64", "float16", "uint8", "int32", "int64", "bool"]},
            "shape": {"type": "array", "items": {"type": "integer", "minimum": 1}},
            "data": {"type": "string", "contentEncoding": "base64"},
        },
    ),
    "Prediction": _object(
        "What the model gives to one class.",
        {
            "index": {"type": "integer"},
            "label": {"type": "string"},
            "probability": {"type": "number"},
            "logit": {"type": "number", "description": "Among the predictions of classify."},
        },
        optional=("logit",),
    ),
    "Geometry": _object(
        "How the image became the model's input: sizes are [height, width].",
        {"original": _INTEGERS, "resized": _INTEGERS, "crop": {**_INTEGERS, "description": "top, left, height, width"}},
    ),
    "Distance": _object(
        "linf and l2 in units of [0, 1] over all values; l0 is the number of pixels that changed.",
        {"linf": {"type": "number"}, "l2": {"type": "number"}, "l0": {"type": "integer"}},
    ),
    "Cost": _object(
        "Rows that went through the network.",
        {"forward_rows": {"type": "integer"}, "gradient_rows": {"type": "integer"}},
    ),
    "AnsweredBy": _object(
        "Which backend answered.",
        {"forward": {"type": ["string", "null"]}, "gradient": {"type": ["string", "null"]}},
        optional=("forward", "gradient"),
    ),
    "ModelReference": _object(
        "Which weights answered.",
        {"name": {"type": "string"}, "version": {"type": "string"}, "sha256": {"type": "string"}},
    ),
    "Model": _object(
        "All that there is to know of a model before asking it something.",
        {
            "name": {"type": "string"},
            "version": {"type": "string"},
            "versions": {"type": "array", "items": {"type": "string"}},
            "sha256": {"type": "string", "description": "Of the weights."},
            "provenance": {"type": "string"},
            "input": _object(
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
            "layers": {"type": "array", "items": _object("", {"name": {"type": "string"}, "shape": _INTEGERS})},
            "operations": {"type": "array", "items": {"type": "object"}},
            "limits": {"type": "object", "additionalProperties": {"type": "number"}},
        },
    ),
}

#: What one entry of `results` holds. `include` may leave some of it out.
_RESULTS: dict[str, Schema] = {
    "classify": _object(
        "",
        {
            "prediction": _PREDICTION,
            "predictions": {"type": "array", "items": _PREDICTION},
            "activations": {"type": "object", "additionalProperties": _ARRAY},
            "geometry": _reference("Geometry"),
        },
        optional=("activations",),
    ),
    "saliency": _object(
        "",
        {
            "prediction": _PREDICTION,
            "target": _PREDICTION,
            "map": {**_ARRAY, "description": "[H, W], as large as what the model saw; not scaled."},
            "signed_map": _ARRAY,
            "overlay": _PNG,
            "geometry": _reference("Geometry"),
        },
        optional=("map", "signed_map", "overlay"),
    ),
    "attack": _object(
        "",
        {
            "prediction": _PREDICTION,
            "before": _PREDICTION,
            "label": _PREDICTION,
            "target": _SOME_PREDICTION,
            "already_misclassified": {"type": "boolean"},
            **_SAID_OF_ATTACK,
            "adversarial": {**_PNG, "description": "Posted back to classify, it gives `after`."},
            "exact": _object(
                "The same before rounding to 8 bits; of a large image without its tensor, unless `include` names it.",
                {**_SAID_OF_ATTACK, "image": _ARRAY},
                optional=("image",),
            ),
            "perturbation": _object("The change, made visible.", {"picture": _PNG, "factor": {"type": "number"}}),
            "queries": {"type": "integer", "description": "Rows that this image sent through the network."},
            "partial": {"type": "boolean", "description": "Time or rows ran out; this is what was reached."},
            "note": {"type": "string"},
            "geometry": _reference("Geometry"),
        },
        optional=("adversarial", "exact", "perturbation", "partial", "note"),
    ),
}
