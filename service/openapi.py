"""The OpenAPI 3.1 document, made from the catalogue, the settings and the errors, so that it keeps up with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

from rakinglight import __version__, catalogue
from rakinglight.catalogue import Operation
from rakinglight.errors import CODES
from rakinglight.plan import comparable
from service.bodies import DATASETS as UPLOADS
from service.bodies import Body
from service.database.pages import MOST, PAGE_SIZE
from service.datasets import NAME_LENGTH
from service.jobs import State
from service.negotiation import EVENTS, JSON, NPZ, PNG
from service.schemas import REFERENCE, RESULTS, SCHEMAS, Schema, record, reference, reply_name
from service.settings import Settings

ROOT = "/api/v1"

#: A picture of one grey pixel, for the examples.
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="

#: What any route may answer; then what those with a model in their path may; then those with a body.
ANY_ROUTE = ("UNREADABLE", "UNAUTHENTICATED", "FORBIDDEN", "INTERNAL")
ANY_MODEL = (*ANY_ROUTE, "NOT_FOUND")
ANY_OPERATION = (
    *ANY_MODEL, "NOT_ACCEPTABLE", "CONFLICT", "EXPIRED", "TOO_LARGE", "NOT_AN_IMAGE", "BAD_PARAMETER", "NOT_A_DATASET",
    "RUN_KILLS_WORKER", "OVERLOADED", "ENGINE_AWAY", "STORAGE_AWAY", "DEADLINE_EXCEEDED",
)  # fmt: skip
#: What any route to what is kept may answer; then what those do that name one thing.
ANY_KEPT = (*ANY_ROUTE, "STORAGE_AWAY")
ONE_KEPT = (*ANY_KEPT, "NOT_FOUND")


def document(settings: Settings) -> dict[str, Any]:
    """The whole document."""
    schemas = dict(SCHEMAS)
    paths: dict[str, Any] = _service_paths() | _model_paths() | _job_paths() | _dataset_paths(settings)
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
            {
                "name": "jobs",
                "description": "Requests whose answer is not waited for. They outlive their caller, and a restart.",
            },
            {"name": "datasets", "description": "Many images, sent once and used by their id."},
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
                "Location": {"description": "Where it is.", "schema": {"type": "string", "format": "uri-reference"}},
                "Preference-Applied": {"description": "RFC 7240.", "schema": {"const": "respond-async"}},
                "ETag": {"description": "Of the content, which never changes.", "schema": {"type": "string"}},
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
            "dataset": {"type": "string", "description": "Instead of images."},
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
            f"{settings.image_pixels} pixels. A job may be about up to {settings.many_images} images of a dataset. An "
            f"array or picture of more than {settings.inline_bytes} bytes comes as an Artifact. Needs a key with "
            f"the scope `{operation.scope}` where keys are used."
        ),
        "parameters": [*parameters, _PREFER, _IDEMPOTENCY_KEY],
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
        "responses": {
            "200": _ok("The answer, one result an image.", content),
            "202": _ok(
                "It was asked for with `Prefer: respond-async`, and is a job now.",
                {JSON: {"schema": reference("Job")}},
                "Location",
                "Preference-Applied",
            ),
        }
        | _problems(ANY_OPERATION),
    }


def _request_name(operation: Operation, kind: str) -> str:
    return "".join(word.title() for word in f"{operation.name}_{kind}_request".split("_"))


def _reply_name(operation: Operation) -> str:
    return reply_name(operation.name)


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
        "required": required,
        "oneOf": [{"required": ["images"]}, {"required": ["dataset"]}],
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


# ── what is kept ────────────────────────────────────────────────────────────────────────────────────────────────────


def _kept(
    name: str,
    tag: str,
    summary: str,
    responses: Schema,
    codes: Iterable[str],
    parameters: Sequence[Schema] = (),
    **more: Any,
) -> Schema:
    """A route to what is kept."""
    return {
        "operationId": name,
        "tags": [tag],
        "summary": summary,
        "parameters": list(parameters),
        "security": [{"key": []}, {}],
        **more,
        "responses": responses | _problems(codes),
    }


def _job_paths() -> dict[str, Any]:
    job, every = {JSON: {"schema": reference("Job")}}, {JSON: {"schema": reference("JobList")}}
    whole: Schema = {
        JSON: {"schema": reference("JobWithResult")},
        NPZ: {"schema": {"type": "string", "contentMediaType": NPZ}},
        PNG: {"schema": {"type": "string", "contentMediaType": PNG}},
    }  # fmt: skip
    events: Schema = {
        EVENTS: {
            "schema": {
                "type": "string",
                "description": "`progress` events (JobProgress), then one `result` or one `problem`. A result "
                "is the reply beside `state`, how the job ended: of a `cancelled` one entries may be null. Their "
                "ids count from 1. A `problem` without an id is the stream's own, and not the end of the job.",
            },
            "example": 'id: 7\nevent: progress\ndata: {"image": 0, "step": 1, "of": 10, "done": 0, "images": 1}\n\n',
        }
    }
    gone = (*ONE_KEPT, "EXPIRED")
    path, state = f"{ROOT}/jobs", _parameter("query", "state", {"enum": list(get_args(State))}, "Only those.")
    return {
        path: {
            "get": _kept(
                "jobs", "jobs", "Your jobs, newest first.", {"200": _ok("A page of them.", every)},
                (*ANY_KEPT, "BAD_PARAMETER"), [*_PAGE, state],
            ),
        },
        f"{path}/{{job}}": {
            "get": _kept(
                "job", "jobs", "How far a job is, or what came of it.", {"200": _ok("The job.", whole)},
                (*gone, "NOT_ACCEPTABLE", "TOO_LARGE"), [_JOB],
            ),
            "delete": _kept(
                "remove_job", "jobs", "Forget a job that is over, and let its artifacts go.", {"204": _done("Done.")},
                (*ONE_KEPT, "CONFLICT"), [_JOB],
            ),
        },
        f"{path}/{{job}}/events": {
            "get": _kept(
                "job_events", "jobs", "What happens to a job, from its beginning or from where you were.",
                {
                    "200": _ok("The events, as they come.", events),
                    "204": _done("It is over, and you have seen its last event."),
                },
                (*gone, "NOT_ACCEPTABLE", "BAD_PARAMETER"), [_JOB, _LAST_EVENT_ID],
            ),
        },
        f"{path}/{{job}}/cancel": {
            "post": _kept(
                "cancel_job", "jobs", "Have a job stop, and keep what it has reached.",
                {"200": _ok("The job, which ends soon; one that was over stays as it was.", job)}, gone, [_JOB],
            ),
        },
        f"{ROOT}/artifacts/{{sha256}}": {
            "get": _kept(
                "artifact", "jobs", "What was too large to stand in a reply: follow its href.",
                {"200": _ok("The file.", {kind: {} for kind in ("application/x-npy", PNG, NPZ)}, "ETag")},
                ONE_KEPT, [_SHA256],
            ),
        },
    }  # fmt: skip


def _dataset_paths(settings: Settings) -> dict[str, Any]:
    one, every = {JSON: {"schema": reference("Dataset")}}, {JSON: {"schema": reference("DatasetList")}}
    name = {"type": "string", "minLength": 1, "maxLength": NAME_LENGTH}
    file: Schema = {"type": "string", "contentMediaType": "application/octet-stream"}
    form = record("", {"file": file, "name": name}, optional=["name"])
    path = f"{ROOT}/datasets"
    return {
        path: {
            "post": _kept(
                "add_dataset", "datasets", "Upload a zip by class folder, or an NPZ: all of it is good, or none kept.",
                {"201": _ok("The dataset.", one, "Location")},
                (
                    *ANY_KEPT, "TOO_LARGE", "NOT_A_DATASET", "BAD_PARAMETER", "OVERLOADED", "ENGINE_AWAY",
                ),
                [_parameter("query", "name", name, "What it is called, unless the form says it.")],
                description=(
                    f"Up to {settings.dataset_bytes} bytes and {settings.dataset_images} images. A zip has one folder "
                    "a class; an NPZ has `images` [N, H, W, C] uint8 or [N, C, H, W] float32 in [0, 1], and `labels`."
                ),
                requestBody={
                    "required": True,
                    "content": {kind: {"schema": {}} for kind in UPLOADS} | {"multipart/form-data": {"schema": form}},
                },
            ),
            "get": _kept(
                "datasets", "datasets", "Yours, and those that everybody may use.",
                {"200": _ok("A page of them.", every)}, (*ANY_KEPT, "BAD_PARAMETER"), _PAGE,
            ),
        },
        f"{path}/{{dataset}}": {
            "get": _kept(
                "dataset", "datasets", "One dataset.", {"200": _ok("The dataset.", one)},
                (*ONE_KEPT, "TOO_LARGE", "NOT_A_DATASET"), [_DATASET],
            ),
            "delete": _kept(
                "remove_dataset", "datasets", "Forget a dataset. Jobs that need its images keep them.",
                {"204": _done("Done.")}, ONE_KEPT, [_DATASET],
            ),
        },
    }  # fmt: skip


# ── the parts ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _ok(description: str, content: Schema, *headers: str) -> Schema:
    return {**_done(description, *headers), "content": content}


def _done(description: str, *headers: str) -> Schema:
    """An answer without content."""
    names = ("X-Request-ID", *headers)
    return {
        "description": description,
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in names},
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
    return {**_parameter("path", name, {"type": "string"}, description), "required": True, "example": example}


def _parameter(place: str, name: str, schema: Schema, description: str) -> Schema:
    return {"name": name, "in": place, "description": description, "schema": schema}


_MODEL = _path_parameter("model", "A model's name.", "efficientnet-lite0")
_VERSION = _path_parameter("version", "One of its versions.", "1.0")
_JOB = _path_parameter("job", "A job's id.", "job_0123456789abcdefghij")
_DATASET = _path_parameter("dataset", "A dataset's id, or the name of a configured one.", "ds_0123456789abcdefghij")
_SHA256 = _path_parameter("sha256", "Of its content, in hexadecimal.", 64 * "0")
_PAGE = [
    _parameter(
        "query",
        "page_size",
        {"type": "integer", "minimum": 1, "maximum": MOST, "default": PAGE_SIZE},
        "Most of a page.",
    ),
    _parameter("query", "page_token", {"type": "string"}, "`next_page_token` of the page before."),
]
_PREFER = _parameter("header", "Prefer", {"type": "string"}, "`respond-async`: answer with a job and do not wait.")
_IDEMPOTENCY_KEY = _parameter(
    "header",
    "Idempotency-Key",
    {"type": "string", "pattern": "^[!-~]{1,255}$"},
    "Of a job: the same key and request again is the same job; the same key and another request is a 409.",
)
_LAST_EVENT_ID = _parameter(
    "header", "Last-Event-ID", {"type": "integer", "minimum": 0}, "The id of the last event that you have seen."
)
