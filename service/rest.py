"""The REST door: reads a request, calls the core, writes the answer. The routes are those of `docs/rest.md`.

    bodies.read ──> bodies.parse ──> core.begin ──> core.finish ──> JSON, NPZ or PNG
                                               └──> core.follow ──> server-sent events

`doorway.Doorway` stands around all of it: keys, request ids, errors, logs and metrics are there.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import ExitStack, aclosing
from functools import cache
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.routing import Match

from rakinglight import __version__, catalogue, reply
from rakinglight.catalogue import Operation
from rakinglight.errors import (
    BadParameter,
    EngineAway,
    FieldError,
    MethodNotAllowed,
    NotAcceptable,
    NotFound,
    RakinglightError,
    StorageAway,
    Unreadable,
)
from rakinglight.plan import Reply
from service import bodies, openapi, rest_black_box, rest_keys, rest_storage
from service.ask import Ask
from service.core import Core, Progress
from service.docs_page import page
from service.doorway import Doorway, Visit, named, problem, unless_gone
from service.events import EventStream, Happened
from service.headers import idempotency_key, wants_job
from service.keys import Keyring
from service.negotiation import EVENTS, JSON, NPZ, PNG, chosen
from service.rest_storage import accepted

log = structlog.get_logger("rakinglight.rest")

ROOT = "/api/v1"
#: Seconds after which it is worth asking again whether a starting service is ready.
READY_RETRY_S = 2.0

Endpoint = Callable[[Request], Awaitable[Response]]


def application(core: Core, keyring: Keyring) -> FastAPI:
    """The ASGI application of `core`. Engine and decoder are started and stopped by who made them."""
    app = FastAPI(
        title="rakinglight",
        version=__version__,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # its records may hold bodies and keys
    )
    # Made when it is first asked for: it takes longer than all the rest.
    app.openapi = cache(lambda: openapi.document(core.settings))  # type: ignore[method-assign]
    app.add_exception_handler(HTTPException, _not_routed)
    app.add_exception_handler(RequestValidationError, _not_valid)
    app.add_middleware(Doorway, core=core, keyring=keyring)
    _add_health_routes(app, core)
    if core.settings.black_box:  # nothing else is there, whoever asks
        rest_black_box.add_routes(app, core)
        return app
    _add_description_routes(app)
    _add_model_routes(app, core)
    rest_storage.add_routes(app, core)
    rest_keys.add_routes(app, core)
    return app


def visit_of(request: Request) -> Visit:
    """What the doorway knows of `request`."""
    visit: Visit = request.state.visit
    return visit


# ── the service itself ──────────────────────────────────────────────────────────────────────────────────────────────


def _add_health_routes(app: FastAPI, core: Core) -> None:
    @app.get("/healthz")
    async def healthz(request: Request) -> Response:
        visit_of(request).operation = "health"
        return JSONResponse({"alive": True})

    @app.get("/readyz")
    async def readyz(request: Request) -> Response:
        visit = visit_of(request)
        visit.operation = "health"
        # Of the models, and of what keeps them, only who may see them hears; a stranger may be a black box's caller.
        sees = bool(visit.caller.scopes) and not visit.black_box
        if not core.ready:
            reason = f"Not ready: {core.reason}" if sees else "Not ready; who shows a key is told why."
            raise EngineAway(reason, retry_after_s=READY_RETRY_S)
        return JSONResponse({"ready": True} | ({"models": sorted(core.engine.models)} if sees else {}))

    @app.get("/metrics")
    async def metrics(request: Request) -> Response:
        visit_of(request).operation = "metrics"
        text, content_type = await core.metrics.exposition(request.headers.get("accept"))
        return Response(text, headers={"Content-Type": content_type})


def _add_description_routes(app: FastAPI) -> None:
    @app.get("/openapi.json")
    async def openapi_json(request: Request) -> Response:
        visit_of(request).operation = "docs"
        return JSONResponse(await asyncio.to_thread(app.openapi))

    @app.get("/docs")
    async def docs(request: Request) -> Response:
        visit_of(request).operation = "docs"
        html, policy = page(await asyncio.to_thread(app.openapi))
        return HTMLResponse(html, headers={"Content-Security-Policy": policy})


# ── models ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _add_model_routes(app: FastAPI, core: Core) -> None:
    @app.get(f"{ROOT}/models")
    async def models(request: Request) -> Response:
        visit_of(request).operation = "models"
        return JSONResponse({"models": core.models()})

    @app.get(f"{ROOT}/models/{{model}}")
    @app.get(f"{ROOT}/models/{{model}}/versions/{{version}}")
    async def model(request: Request) -> Response:
        visit = visit_of(request)
        visit.operation, visit.model = "models", named(request.path_params["model"], core.engine.models)
        if visit.black_box:
            return rest_black_box.model(core, request, visit)
        return JSONResponse(core.model(request.path_params["model"], request.path_params.get("version")))

    for operation in catalogue.OPERATIONS.values():
        endpoint = _asking(core, operation)
        app.post(f"{ROOT}/models/{{model}}/{operation.name}")(endpoint)
        app.post(f"{ROOT}/models/{{model}}/versions/{{version}}/{operation.name}")(endpoint)
    # What makes something that is kept is asked for there as well; the body says then of which model.
    app.post(f"{ROOT}/substitutes")(_asking(core, catalogue.operation("substitute")))


def _asking(core: Core, operation: Operation) -> Endpoint:
    """The endpoint that asks `operation` of the model in the path, or, where there is none, in the body.

    Of a black box the doorway lets through `classify` alone.
    """
    offered = [JSON, NPZ, *([PNG] if operation.picture else []), EVENTS]

    async def endpoint(request: Request) -> Response:
        visit = visit_of(request)
        visit.operation, model = operation.name, request.path_params.get("model")
        visit.model = None if model is None else named(model, core.engine.models)
        visit.caller.require_any(operation.scopes)
        if visit.black_box:
            return await rest_black_box.classify(core, request, visit)
        if later := wants_job(request):
            visit.caller.require_keeping()
        kind = chosen(request.headers.get("accept"), offered)
        if model is not None:
            core.card(model, request.path_params.get("version"))
        with ExitStack() as stack:
            hold = stack.enter_context(core.hold())
            raw = await bodies.read(request, core.settings, hold)
            ask = await _ask(core, raw, request, operation, kind)
            if isinstance(ask.method, str):
                visit.method = named(ask.method, operation.by_name)
            visit.caller.require(operation.scope_of(ask.method))
            if not later and (later := operation.is_long(ask.method)):
                visit.caller.require_keeping()
            if later:
                return accepted(await core.submit(ask, hold, idempotency_key=idempotency_key(request)))
            work = await unless_gone(request.receive, core.begin(ask, hold))
            visit.method = work.method
            if kind == EVENTS:
                events = _events(core, core.follow(work), visit)
                return EventStream(events, visit, core.settings.heartbeat_s, held=stack.pop_all())
            answer = await unless_gone(request.receive, core.finish(work))
            visit.cost = dict(answer.cost)
            content = await _encoded(core, answer, operation, kind, visit)
            core.check_size(len(content))
            return Response(content, media_type=kind)

    endpoint.__name__ = operation.name
    return endpoint


async def _ask(core: Core, raw: bytes, request: Request, operation: Operation, kind: str) -> Ask:
    model, visit = request.path_params.get("model"), visit_of(request)
    if model is None:
        model, body, images = await bodies.parse_addressed(raw, request.headers, operation)
        visit.model = named(model, core.engine.models)
        core.card(model)
    else:
        body, images = await bodies.parse(raw, request.headers, operation)
    include = body.include
    if kind == PNG:
        assert operation.picture is not None
        if include is not None and operation.picture not in include:
            raise NotAcceptable(f"image/png is the {operation.picture!r}, and include leaves it out; put it in.")
        include = [operation.picture]
    if body.dataset is not None:
        visit.caller.require_keeping()
    return Ask(
        model=model,
        version=request.path_params.get("version"),
        operation=operation.name,
        method=body.method,
        parameters=body.parameters,
        compare=body.compare,
        images=images,
        include=include,
        seed=body.seed,
        dataset=body.dataset,
        deadline_s=body.deadline_s,
        max_rows=body.max_rows,
        purpose=body.purpose,
        request_id=visit.request_id,
        caller=visit.caller.name,
        key=visit.caller.key_id,
        sees_all=visit.caller.sees is None,
    )


async def _events(
    core: Core, news: AsyncGenerator[Progress | Reply, None], visit: Visit
) -> AsyncGenerator[Happened, None]:
    """`news` as events."""
    number = 0
    async with aclosing(news):
        async for one in news:
            number += 1
            if isinstance(one, Progress):
                yield Happened(number, "progress", json.dumps(reply.to_json(one.members())))
            else:
                visit.cost = dict(one.cost)
                yield Happened(number, "result", (await _json(core, one, visit)).decode())


async def _encoded(core: Core, answer: Reply, operation: Operation, kind: str, visit: Visit) -> bytes:
    if kind == JSON:
        return await _json(core, answer, visit)
    if kind == PNG:
        return await asyncio.to_thread(reply.picture, operation, answer.results, summary=answer.summary)
    members = answer.members()
    core.check_weight(members)
    return await asyncio.to_thread(reply.to_npz, members.pop("results"), members)


async def _json(core: Core, answer: Reply, visit: Visit) -> bytes:
    members = await _spilled(core, answer.members(), visit)
    core.check_weight(members)
    return await asyncio.to_thread(lambda: json.dumps(reply.to_json(members), separators=(",", ":")).encode())


async def _spilled(core: Core, members: Mapping[str, Any], visit: Visit) -> Any:
    """`members`, in which what is large has an href for a while; if nothing can be kept now, as they are."""
    caller, limit = visit.caller, core.settings.inline_bytes
    # Who cannot keep could not follow the href; and what has nothing large is not to wait for the store.
    if not caller.keeps or all(size <= limit for size in reply.sizes(members)):
        return members

    def put(content: bytes, media_type: str) -> str:
        return core.storage.artifacts.put(
            content,
            media_type=media_type,
            # With the owner: another's request may have the same id, and the same content.
            holder=f"reply:{caller.name}/{visit.request_id}",
            owner=caller.name,
            expires_at=time.time() + core.settings.href_s,
        )

    try:
        return await core.storage.do(reply.spilled, members, limit, put)
    except StorageAway as e:
        log.warning("nothing_kept", reason=str(e))
        return members


# ── what the framework finds wrong ──────────────────────────────────────────────────────────────────────────────────


async def _not_routed(request: Request, e: Exception) -> Response:
    """A path or a verb that no route has."""
    assert isinstance(e, HTTPException)
    error: RakinglightError
    headers = dict(e.headers or {})
    if e.status_code == 404:
        error = NotFound(f"There is no route {request.url.path[:200]!r}; /docs names those that there are.")
    elif e.status_code == 405:
        headers["Allow"] = ", ".join(_methods(request))
        error = MethodNotAllowed(f"{request.method[:20]} is not answered here, only {headers['Allow']}.")
    else:
        error = Unreadable(str(e.detail)[:200])
    answer = problem(error, visit_of(request))
    answer.headers.update(headers)
    return answer


def _methods(request: Request) -> list[str]:
    """The verbs of all routes of the path; the framework tells those of the first alone."""
    routes = [route for route in request.app.routes if route.matches(request.scope)[0] is not Match.NONE]
    return sorted({verb for route in routes for verb in getattr(route, "methods", None) or ()})


async def _not_valid(request: Request, e: Exception) -> Response:
    """A path that the framework itself finds fault with; bodies never come to it."""
    assert isinstance(e, RequestValidationError)
    found = [FieldError("/" + "/".join(map(str, error["loc"])), str(error["msg"])) for error in e.errors()]
    return problem(BadParameter("; ".join(error.detail for error in found), errors=found), visit_of(request))
