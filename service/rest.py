"""The REST door: reads a request, calls the core, writes the answer. The routes are those of `docs/rest.md`.

    bodies.read ──> bodies.parse ──> core.begin ──> core.finish ──> JSON, NPZ or PNG
                                               └──> core.follow ──> server-sent events

`doorway.Doorway` stands around all of it: keys, request ids, errors, logs and metrics are there.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Container, Mapping
from contextlib import ExitStack, aclosing
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

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
    Unreadable,
)
from rakinglight.plan import Reply
from service import bodies, openapi
from service.core import Ask, Core, Progress
from service.docs_page import page
from service.doorway import Doorway, Visit, problem, told, unless_gone
from service.keys import Keyring
from service.negotiation import EVENTS, JSON, NPZ, PNG, chosen

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
    document = openapi.document(core.settings)
    app.openapi = lambda: document  # type: ignore[method-assign]
    app.add_exception_handler(HTTPException, _not_routed)
    app.add_exception_handler(RequestValidationError, _not_valid)
    app.add_middleware(Doorway, core=core, keyring=keyring)
    _add_service_routes(app, core, document)
    _add_model_routes(app, core)
    return app


def visit_of(request: Request) -> Visit:
    """What the doorway knows of `request`."""
    visit: Visit = request.state.visit
    return visit


def _named(name: str, known: Container[str]) -> str:
    """`name`, if it is one of ours: what a caller wrote goes neither into logs nor into metrics."""
    return name if name in known else "unknown"


# ── the service itself ──────────────────────────────────────────────────────────────────────────────────────────────


def _add_service_routes(app: FastAPI, core: Core, document: Mapping[str, Any]) -> None:
    @app.get("/healthz")
    async def healthz(request: Request) -> Response:
        visit_of(request).operation = "health"
        return JSONResponse({"alive": True})

    @app.get("/readyz")
    async def readyz(request: Request) -> Response:
        visit_of(request).operation = "health"
        if not core.ready:
            raise EngineAway(f"Not ready: {core.reason}", retry_after_s=READY_RETRY_S)
        return JSONResponse({"ready": True, "models": sorted(core.engine.models)})

    @app.get("/metrics")
    async def metrics(request: Request) -> Response:
        visit_of(request).operation = "metrics"
        text, content_type = await core.metrics.exposition(request.headers.get("accept"))
        return Response(text, headers={"Content-Type": content_type})

    @app.get("/openapi.json")
    async def openapi_json(request: Request) -> Response:
        visit_of(request).operation = "docs"
        return JSONResponse(document)

    @app.get("/docs")
    async def docs(request: Request) -> Response:
        visit_of(request).operation = "docs"
        html, policy = page(document)
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
        visit.operation, visit.model = "models", _named(request.path_params["model"], core.engine.models)
        return JSONResponse(core.model(request.path_params["model"], request.path_params.get("version")))

    for operation in catalogue.OPERATIONS.values():
        endpoint = _asking(core, operation)
        app.post(f"{ROOT}/models/{{model}}/{operation.name}")(endpoint)
        app.post(f"{ROOT}/models/{{model}}/versions/{{version}}/{operation.name}")(endpoint)


def _asking(core: Core, operation: Operation) -> Endpoint:
    """The endpoint that asks `operation` of a model."""
    offered = [JSON, NPZ, *([PNG] if operation.picture else []), EVENTS]

    async def endpoint(request: Request) -> Response:
        visit = visit_of(request)
        visit.operation, visit.model = operation.name, _named(request.path_params["model"], core.engine.models)
        visit.caller.require(operation.scope)
        kind = chosen(request.headers.get("accept"), offered)
        core.card(request.path_params["model"], request.path_params.get("version"))
        with ExitStack() as stack:
            hold = stack.enter_context(core.hold())
            raw = await bodies.read(request, core.settings, hold)
            ask = await _ask(raw, request, operation, kind)
            if isinstance(ask.method, str):
                visit.method = _named(ask.method, operation.by_name)
            work = await unless_gone(request.receive, core.begin(ask, hold))
            visit.method = work.method
            if kind == EVENTS:
                return EventStream(core.follow(work), visit, core.settings.heartbeat_s, stack.pop_all())
            answer = await unless_gone(request.receive, core.finish(work))
            visit.cost = dict(answer.cost)
            content = await asyncio.to_thread(_encoded, answer, operation, kind)
            core.check_size(len(content))
            return Response(content, media_type=kind)

    endpoint.__name__ = operation.name
    return endpoint


async def _ask(raw: bytes, request: Request, operation: Operation, kind: str) -> Ask:
    body, images = await bodies.parse(raw, request.headers, operation)
    include = body.include
    if kind == PNG:
        assert operation.picture is not None
        if include is not None and operation.picture not in include:
            raise NotAcceptable(f"image/png is the {operation.picture!r}, and include leaves it out; put it in.")
        include = [operation.picture]
    visit = visit_of(request)
    return Ask(
        model=request.path_params["model"],
        version=request.path_params.get("version"),
        operation=operation.name,
        method=body.method,
        parameters=body.parameters,
        compare=body.compare,
        images=images,
        include=include,
        seed=body.seed,
        deadline_s=body.deadline_s,
        max_rows=body.max_rows,
        purpose=body.purpose,
        request_id=visit.request_id,
        caller=visit.caller.name,
    )


def _encoded(answer: Reply, operation: Operation, kind: str) -> bytes:
    if kind == PNG:
        return reply.picture(operation, answer.results)
    if kind == NPZ:
        members = answer.members()
        return reply.to_npz(members.pop("results"), members)
    return _json(answer)


def _json(answer: Reply) -> bytes:
    return json.dumps(reply.to_json(answer.members()), separators=(",", ":")).encode()


# ── progress ────────────────────────────────────────────────────────────────────────────────────────────────────────


class EventStream(Response):
    """Server-sent events: `progress` as it comes, at the end one `result` or one `problem`.

    held  is given back when the stream ends
    """

    def __init__(
        self, news: AsyncGenerator[Progress | Reply, None], visit: Visit, heartbeat_s: float, held: ExitStack
    ) -> None:
        super().__init__(media_type=EVENTS, headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self.news = news
        self.visit = visit
        self.heartbeat_s = heartbeat_s
        self.held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self.held:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await unless_gone(receive, self._pour(send))

    async def _pour(self, send: Send) -> None:
        async with aclosing(self._events()) as events:
            async for event in events:
                await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _events(self) -> AsyncGenerator[bytes, None]:
        number = 0
        async with aclosing(self.news) as news, aclosing(_with_silence(news, self.heartbeat_s)) as heard:
            try:
                async for one in heard:
                    number += 1
                    if one is None:
                        yield b": still at it\n\n"
                    elif isinstance(one, Progress):
                        yield _event(number, "progress", json.dumps(reply.to_json(one.members())))
                    else:
                        self.visit.cost = dict(one.cost)
                        text = (await asyncio.to_thread(_json, one)).decode()
                        yield _event(number, "result", text)
            except Exception as e:
                error = told(e, self.visit)
                yield _event(number + 1, "problem", json.dumps(error.problem() | {"request_id": self.visit.request_id}))


async def _with_silence(
    news: AsyncGenerator[Progress | Reply, None], longest_s: float
) -> AsyncGenerator[Progress | Reply | None, None]:
    """`news`, with None whenever there was none for `longest_s` seconds."""
    while True:
        waiting = asyncio.ensure_future(anext(news, _OVER))
        try:
            while not (await asyncio.wait({waiting}, timeout=longest_s))[0]:
                yield None
            if isinstance(one := waiting.result(), _Over):
                return
            yield one
        finally:
            waiting.cancel()
            await asyncio.wait({waiting})


class _Over:
    """What comes after the last of the news."""


_OVER = _Over()


def _event(number: int, name: str, text: str) -> bytes:
    return f"id: {number}\nevent: {name}\ndata: {text}\n\n".encode()


# ── what the framework finds wrong ──────────────────────────────────────────────────────────────────────────────────


async def _not_routed(request: Request, e: Exception) -> Response:
    """A path or a verb that no route has."""
    assert isinstance(e, HTTPException)
    error: RakinglightError
    if e.status_code == 404:
        error = NotFound(f"There is no route {request.url.path[:200]!r}; /docs names those that there are.")
    elif e.status_code == 405:
        allowed = (e.headers or {}).get("Allow", "")
        error = MethodNotAllowed(f"{request.method[:20]} is not answered here, only {allowed}.")
    else:
        error = Unreadable(str(e.detail)[:200])
    answer = problem(error, visit_of(request))
    answer.headers.update(e.headers or {})
    return answer


async def _not_valid(request: Request, e: Exception) -> Response:
    """A path that the framework itself finds fault with; bodies never come to it."""
    assert isinstance(e, RequestValidationError)
    found = [FieldError("/" + "/".join(map(str, error["loc"])), str(error["msg"])) for error in e.errors()]
    return problem(BadParameter("; ".join(error.detail for error in found), errors=found), visit_of(request))
