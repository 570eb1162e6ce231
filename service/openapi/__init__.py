"""The OpenAPI 3.1 document, made from the catalogue, the settings and the errors, so that it keeps up with them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rakinglight import __version__, catalogue
from service.negotiation import JSON
from service.openapi.kept import dataset_paths, job_paths, perturbation_paths, substitute_paths
from service.openapi.keys import key_paths, ledger_paths
from service.openapi.operations import addressed, post, request_schemas
from service.openapi.parts import ANY_MODEL, ANY_ROUTE, MODEL, ROOT, VERSION, ok, problems
from service.schemas import SCHEMAS
from service.schemas.parts import Schema, record, reference
from service.settings import Settings


def document(settings: Settings) -> dict[str, Any]:
    """The whole document."""
    schemas = dict(SCHEMAS)
    paths: dict[str, Any] = _service_paths() | _model_paths() | job_paths() | dataset_paths(settings)
    paths |= perturbation_paths() | substitute_paths() | key_paths() | ledger_paths()
    for operation in catalogue.OPERATIONS.values():
        schemas |= request_schemas(operation)
        paths[f"{ROOT}/models/{{model}}/{operation.name}"] = {
            "post": post(operation, settings, operation.name, [MODEL])
        }
        paths[f"{ROOT}/models/{{model}}/versions/{{version}}/{operation.name}"] = {
            "post": post(operation, settings, f"{operation.name}_version", [MODEL, VERSION])
        }
    made = catalogue.operation("substitute")
    paths[f"{ROOT}/substitutes"]["post"] = addressed(made, settings, "make_substitute")
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
            {"name": "perturbations", "description": "What `universal` has made, applied by its id in `attack`."},
            {"name": "substitutes", "description": "What `substitute` has made: archives that the zoo can serve."},
            {"name": "keys", "description": "Who may ask what, and who asked. For who has the scope `admin`."},
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
                "X-Query-Budget-Remaining": {
                    "description": "Images that the key may still ask about. On every answer to a key with a budget.",
                    "schema": {"type": "integer", "minimum": 0},
                },
                "ETag": {"description": "Of the content, which never changes.", "schema": {"type": "string"}},
            },
        },
    }


def _model_paths() -> dict[str, Any]:
    def get(name: str, summary: str, schema: Schema, parameters: list[Schema], codes: Iterable[str]) -> Schema:
        return {
            "get": {
                "operationId": name,
                "tags": ["models"],
                "summary": summary,
                "parameters": parameters,
                "security": [{"key": []}, {}],
                "responses": {"200": ok(summary, {JSON: {"schema": schema}})} | problems(codes),
            }
        }

    every = record("", {"models": {"type": "array", "items": reference("Model")}})
    one = {"anyOf": [reference("Model"), reference("BlackBoxModel")]}
    path = f"{ROOT}/models"
    return {
        path: get("models", "All models.", every, [], ANY_ROUTE),
        f"{path}/{{model}}": get("model", "One model, in its newest version.", one, [MODEL], ANY_MODEL),
        f"{path}/{{model}}/versions/{{version}}": get(
            "model_version", "One version of a model.", one, [MODEL, VERSION], ANY_MODEL
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
                "responses": {"200": ok(summary, content)} | problems(codes),
            }
        }

    alive = record("", {"alive": {"const": True}})
    models = {"type": "array", "items": {"type": "string"}, "description": "For who shows a key, or needs none."}
    ready = record("", {"ready": {"const": True}, "models": models}, optional=["models"])
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
