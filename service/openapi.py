"""The OpenAPI 3.1 document, made from the catalogue, the settings and the errors, so that it keeps up with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rakinglight import __version__, catalogue
from rakinglight.catalogue import Operation
from rakinglight.errors import CODES
from rakinglight.plan import comparable
from service.bodies import Body
from service.negotiation import EVENTS, JSON, NPZ, PNG
from service.schemas import REFERENCE, RESULTS, SCHEMAS, Schema, record, reference
from service.settings import Settings

ROOT = "/api/v1"

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
    schemas = dict(SCHEMAS)
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
    kinds = [*(method.name if method else "" for method in operation.methods or (None,)), *_comparing(operation)]
    requests = [reference(_request_name(operation, kind)) for kind in kinds]
    body = requests[0] if len(requests) == 1 else {"anyOf": requests}
    form = {
        "type": "object",
        "properties": {
            "image": {"type": "array", "items": {"type": "string", "contentMediaType": "application/octet-stream"}},
            "method": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
            "request": {"type": "string", "contentMediaType": JSON, "description": "What a field cannot say."},
        },
        "additionalProperties": {
            "type": "string",
            "description": "seed, include and the like, or a parameter's value.",
        },
    }
    content: Schema = {
        JSON: {"schema": reference(_reply_name(operation)), "example": _reply_example(operation)},
        NPZ: {"schema": {"type": "string", "contentMediaType": NPZ}},
        EVENTS: {
            "schema": {
                "type": "string",
                "description": "`progress` events (Progress), then one `result` or one `problem`.",
            },
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


def _request_name(operation: Operation, kind: str) -> str:
    return "".join(word.title() for word in f"{operation.name}_{kind}_request".split("_"))


def _reply_name(operation: Operation) -> str:
    return f"{operation.name.title()}Reply"


def _comparing(operation: Operation) -> tuple[str, ...]:
    """The kinds of request that ask for several maps."""
    return ("methods", "compare") if comparable(operation) else ()


def _request_schemas(operation: Operation) -> dict[str, Schema]:
    """A component for the request by each method, for their parameters, and what those refer to."""
    schemas: dict[str, Schema] = {}
    entries: list[Schema] = []
    for method in operation.methods or (None,):
        parameters = operation.parameters(method).model_json_schema(ref_template=REFERENCE)
        schemas |= parameters.pop("$defs", {})
        schemas[parameters["title"]] = parameters
        named = {"const": method.name, "description": method.summary} if method else {"type": "null"}
        first = method is None or method is operation.methods[0]
        request = _request(
            operation,
            method.name if method else "",
            method.summary if method else operation.summary,
            {"method": named, "parameters": reference(parameters["title"])},
            required=[] if first else ["method"],
        )
        schemas[request["title"]] = request
        entry = {"method": named, "parameters": reference(parameters["title"])}
        if "target" in parameters["properties"]:
            entry["target"] = {**parameters["properties"]["target"], "description": "Instead of that of parameters."}
        entries.append(record("", entry, optional=["parameters", "target", *(["method"] if first else [])]))
    if comparable(operation):
        names = {"type": "array", "items": {"enum": [method.name for method in operation.methods]}, "minItems": 1}
        every = {"type": "object", "description": "Each method takes those that it has."}
        compare = {"type": "array", "items": {"anyOf": entries}, "minItems": 1}
        nothing = {"type": "object", "maxProperties": 0}
        for request in (
            _request(
                operation,
                "methods",
                "The maps of several methods side by side.",
                {"method": names, "parameters": every},
                required=["method"],
            ),
            _request(
                operation,
                "compare",
                "Several maps of each image side by side: of methods, classes, scores or any other parameters.",
                {"compare": compare, "method": {"type": "null"}, "parameters": nothing},
                required=["compare"],
            ),
        ):
            schemas[request["title"]] = request
    schemas[_reply_name(operation)] = _reply(operation)
    return schemas


def _request(
    operation: Operation, kind: str, description: str, said: Mapping[str, Schema], required: Sequence[str]
) -> Schema:
    """The component of a request that says `said` in its own way."""
    request = Body.model_json_schema(ref_template=REFERENCE)
    properties = {name: schema for name, schema in request["properties"].items() if name != "compare"}
    properties |= said
    properties["images"] = {**properties["images"], "minItems": 1, "items": reference("Image")}
    properties["include"]["anyOf"][0]["items"] = {"enum": list(operation.include)}
    return request | {
        "title": _request_name(operation, kind),
        "description": description,
        "properties": properties,
        "required": ["images", *required],
    }


def _reply(operation: Operation) -> Schema:
    methods: list[str | None] = [method.name for method in operation.methods]
    compare: dict[str, Schema] = {}
    if comparable(operation) or not methods:
        methods.append(None)
    if comparable(operation):
        entry = record("", {"method": {"enum": methods[:-1]}, "parameters": {"type": "object"}})
        said = (
            "Where several maps were asked for: posted back instead of `method` and `parameters`, it repeats the call."
        )
        compare["compare"] = {"type": "array", "items": entry, "description": said}
    return record(
        "The answer.",
        {
            "model": reference("ModelReference"),
            "operation": {"const": operation.name},
            "method": {"enum": methods},
            "parameters": {
                "type": "object",
                "description": "Every one: posted back with `method` and `seed`, they repeat the call.",
            },
            **compare,
            "seed": {"type": "integer", "description": "The request's."},
            "results": {"type": "array", "items": RESULTS[operation.name], "description": "One an image, in order."},
            "cost": reference("Cost"),
            "answered_by": reference("AnsweredBy"),
            "elapsed_ms": {"type": "number"},
            "request_id": {"type": "string"},
        },
        optional=compare,
    )


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
        "answered_by": {"forward": "onnxruntime", "gradient": "torch", "patched": None},
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

    one = reference("Model")
    every = record("", {"models": {"type": "array", "items": one}})
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

    alive = record("", {"alive": {"const": True}})
    ready = record("", {"ready": {"const": True}, "models": {"type": "array", "items": {"type": "string"}}})
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
            "content": {"application/problem+json": {"schema": reference("Problem")}},
        }
    return answers


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
