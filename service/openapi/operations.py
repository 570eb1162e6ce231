"""The routes of the operations: what a request by each method holds, and what its reply."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rakinglight.catalogue import Operation
from rakinglight.plan import comparable
from service.bodies import Body
from service.negotiation import EVENTS, JSON, NPZ, PNG
from service.openapi.parts import ANY_OPERATION, IDEMPOTENCY_KEY, PREFER, ok, problems
from service.schemas.parts import REFERENCE, Schema, record, reference, reply_name
from service.schemas.results import RESULTS
from service.schemas.summaries import SUMMARIES
from service.settings import Settings

#: What an image may come as in a form.
_FORMATS = "image/png, image/jpeg, image/webp, image/bmp, image/gif"
#: Why the answer is a job, by how many of an operation's methods are always one.
_JOB = {
    "none": "It was asked for with `Prefer: respond-async`, and is a job now.",
    "some": "It takes its time, as {methods}, or was asked for with `Prefer: respond-async`, and is a job now.",
    "all": "It takes its time, and is always a job.",
}
#: A picture of one grey pixel, for the examples.
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="


def post(operation: Operation, settings: Settings, name: str, parameters: list[Schema]) -> Schema:
    kinds = [*(method.name if method else "" for method in operation.methods or (None,)), *_comparing(operation)]
    requests = [reference(_request_name(operation, kind)) for kind in kinds]
    body = requests[0] if len(requests) == 1 else {"anyOf": requests}
    files = {"type": "array", "items": {"type": "string", "contentMediaType": "application/octet-stream"}}
    form = {
        "type": "object",
        "properties": {
            "dataset": {"type": "string", "description": "Instead of images."},
            "image": files,
            **dict.fromkeys(operation.pictures, files),
            "method": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
            "request": {"type": "string", "contentMediaType": JSON, "description": "What a field cannot say."},
        },
        "additionalProperties": {
            "type": "string",
            "description": "seed, include and the like, or a parameter's value.",
        },
    }
    content: Schema = {
        JSON: {"schema": _answer(operation), "example": _reply_example(operation)},
        NPZ: {"schema": {"type": "string", "contentMediaType": NPZ}},
        EVENTS: {
            "schema": {
                "type": "string",
                "description": "`progress` events (Progress), then one `result` or one `problem`.",
            },
            "example": 'id: 1\nevent: progress\ndata: {"image": 0, "step": 1, "of": 10, "objective": 2.5}\n\n',
        },
    }
    count = sum(method.long for method in operation.methods)
    long = "none" if count == 0 else "all" if count == len(operation.methods) else "some"
    headers = ["X-Query-Budget-Remaining"] if operation.scope == "query" else []
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
            f"the scope `{operation.scope}` where keys are used{_other_scopes(operation)}."
        ),
        "parameters": [*parameters, PREFER, IDEMPOTENCY_KEY],
        "security": [{"key": []}, {}],
        "requestBody": {
            "required": True,
            "content": {
                JSON: {"schema": body, "example": _request_example(operation)},
                "multipart/form-data": {
                    "schema": form,
                    "encoding": {name: {"contentType": _FORMATS} for name in ("image", *operation.pictures)},
                },
            },
        },
        "responses": ({} if long == "all" else {"200": ok("The answer, one result an image.", content, *headers)})
        | {
            "202": ok(
                _JOB[long].format(methods=" and ".join(f"`{each.name}`" for each in operation.methods if each.long)),
                {JSON: {"schema": reference("Job")}},
                "Location",
                "Preference-Applied",
            ),
        }
        | problems(ANY_OPERATION),
    }


def addressed(operation: Operation, settings: Settings, name: str) -> Schema:
    """`post` on a path that names no model: the body does, and says all else that any body says."""
    whole, schemas = post(operation, settings, name, []), request_schemas(operation)
    model = {"type": "string", "description": "The name of the model that is meant."}
    requests = []
    for method in operation.methods:
        request = schemas[_request_name(operation, method.name)]
        properties, required = {"model": model, **request["properties"]}, ["model", *request["required"]]
        requests.append({**request, "title": f"Addressed{request['title']}"} | _said(properties, required))
    content = whole["requestBody"]["content"]
    example = {"model": "efficientnet-lite0", **content[JSON]["example"]}
    form = content["multipart/form-data"]
    schema = form["schema"] | _said({"model": model, **form["schema"]["properties"]}, ["model"])
    content = {
        JSON: {"schema": {"anyOf": requests}, "example": example},
        "multipart/form-data": form | {"schema": schema},
    }
    return whole | {"requestBody": {"required": True, "content": content}}


def _other_scopes(operation: Operation) -> str:
    """Which methods need another scope."""
    others = [method for method in operation.methods if method.scope not in (None, operation.scope)]
    return "".join(f", by `{method.name}` with `{method.scope}`" for method in others)


def _said(properties: Schema, required: list[str]) -> Schema:
    return {"properties": properties, "required": required}


def _answer(operation: Operation) -> Schema:
    """What is answered in JSON: by `classify`, a black box's caller is told less."""
    whole = reference(_reply_name(operation))
    return {"anyOf": [whole, reference("BlackBoxReply")]} if operation.name == "classify" else whole


def _request_name(operation: Operation, kind: str) -> str:
    return "".join(word.title() for word in f"{operation.name}_{kind}_request".split("_"))


def _reply_name(operation: Operation) -> str:
    return reply_name(operation.name)


def _comparing(operation: Operation) -> tuple[str, ...]:
    """The kinds of request that ask for several maps."""
    return ("methods", "compare") if comparable(operation) else ()


def request_schemas(operation: Operation) -> dict[str, Schema]:
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
        if method and not method.needs_image:
            del request["oneOf"], request["properties"]["images"]["minItems"]
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
            **({"summary": SUMMARIES[operation.name]} if operation.name in SUMMARIES else {}),
            "cost": reference("Cost"),
            "answered_by": reference("AnsweredBy"),
            "elapsed_ms": {"type": "number"},
            "request_id": {"type": "string"},
        },
        optional=compare,
    )


#: Of operations whose methods are not all alike, the method and the parameters of the example.
EXAMPLES: dict[str, tuple[str | None, Schema]] = {
    "attack": ("pgd", {"epsilon": "8/255", "steps": 10}),
    "inversion": ("invert", {}),
    "robustness": (None, {"labels": [3], "methods": ["fgsm", "pgd"], "epsilons": ["1/255", "4/255"]}),
}


def _example(operation: Operation) -> tuple[str | None, Schema]:
    """The method and the parameters of the example."""
    return EXAMPLES.get(operation.name, (operation.methods[-1].name if operation.methods else None, {}))


def _request_example(operation: Operation) -> Schema:
    method, parameters = _example(operation)
    said = {"method": method, "parameters": parameters}
    images = 2 if operation.name == "substitute" else 1  # one to begin with, and one to be judged by
    return {"images": [PIXEL] * images, **{name: value for name, value in said.items() if value}}


def _reply_example(operation: Operation) -> Schema:
    name, parameters = _example(operation)
    return {
        "model": {"name": "efficientnet-lite0", "version": "1.0", "sha256": "4c7f…"},
        "operation": operation.name,
        "method": name,
        "parameters": operation.read(operation.method(name), parameters).model_dump(mode="json"),
        "seed": 0,
        "results": [],
        "cost": {"forward_rows": 1, "gradient_rows": 1 if name else 0},
        "answered_by": {"forward": "onnxruntime", "gradient": "torch", "patched": None},
        "elapsed_ms": 41.2,
        "request_id": "3f0c4f6e2f5b4f0e9f0d6f1f2f3f4f5f",
    }
