"""The doorway of REST: what happens to every request before and after its route.

It gets its request id, is let in or turned away, is counted and logged; and whatever goes wrong inside, wherever it is
raised, leaves as one problem in one form. Nothing else writes an error.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Container, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rakinglight.errors import Forbidden, InternalError, RakinglightError, Unauthenticated
from service import discretion
from service.core import Core
from service.keys import Caller, Keyring, check_place, one_of
from service.logs import request_id_of, trace_of

log = structlog.get_logger("rakinglight.rest")

T = TypeVar("T")

#: Open to everybody.
OPEN = frozenset({"/healthz", "/readyz"})
#: What a log says of a request whose caller hung up; nobody is there to receive it. The number is nginx's.
GONE = 499


#: Seconds after which to try again, where who refused did not know better.
RETRY_S = 5.0


class CallerGone(Exception):
    """The caller closed the connection before the answer."""


@dataclass
class Visit:
    """One request, as metrics and logs will tell of it.

    head       whether only the head of the answer is wanted
    black_box  whether the caller is shown a black box, and nothing else
    remaining  images that the caller's key may still ask about, where that is known; None where it has no budget
    """

    request_id: str
    head: bool = False
    caller: Caller = field(default_factory=lambda: Caller("", frozenset()))
    black_box: bool = False
    remaining: int | None = None
    operation: str | None = None
    method: str | None = None
    model: str | None = None
    code: str = "OK"
    status: int = 0
    cost: dict[str, float] = field(default_factory=dict)


class Doorway:
    """ASGI middleware around all routes."""

    def __init__(self, app: ASGIApp, *, core: Core, keyring: Keyring) -> None:
        self.app = app
        self.core = core
        self.keyring = keyring

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun, headers = time.monotonic(), Headers(scope=scope)
        verb = scope["method"]
        visit = Visit(request_id_of(headers.get("x-request-id")), head=verb == "HEAD")
        if visit.head:  # is GET, and the server leaves the body out
            scope = {**scope, "method": "GET"}
        scope.setdefault("state", {})["visit"] = visit

        async def stamped(message: Message) -> None:
            if message["type"] == "http.response.start":
                visit.status, said = message["status"], MutableHeaders(raw=message["headers"])
                stamp(said, visit)
                if (left := await discretion.remaining(self.core, visit)) is not None:
                    said["X-Query-Budget-Remaining"] = str(left)
            await send(message)

        with structlog.contextvars.bound_contextvars(
            request_id=visit.request_id, **trace_of(headers.get("traceparent"))
        ):
            try:
                visit.caller = await self._admitted(scope["path"], headers)
                visit.black_box = discretion.is_black_box(visit.caller, self.core.settings)
                self._check_reach(scope, visit)
                await self.app(scope, receive, stamped)
            except (CallerGone, ClientDisconnect):
                visit.code, visit.status = "CANCELLED", GONE
            except Exception as e:
                error = told(e, visit)
                if visit.status:  # half of an answer is out; only cutting the connection says that it is not whole
                    raise
                await problem(error, visit)(scope, receive, stamped)
            finally:
                self._record(scope, verb, visit, time.monotonic() - begun)

    async def _admitted(self, path: str, headers: Headers) -> Caller:
        authorization, settings = one_of(headers.getlist("authorization")), self.core.settings
        if self.keyring.open:
            check_place(headers.get("host"), headers.get("origin"), settings.allowed_hosts)
        if path in OPEN:
            # Who shows a key, or needs none, is told more; nobody is turned away.
            if authorization is not None or self.keyring.open:
                with suppress(RakinglightError):
                    return await self.keyring.admit(authorization)
            return Caller("", frozenset())
        if path == "/metrics" and authorization is None:
            if settings.black_box:
                raise Unauthenticated("Send a key with the scope 'metrics' as: Authorization: Bearer <key>.")
            if settings.open_metrics and settings.on_loopback:
                return Caller("", frozenset({"metrics"}))
        return await self.keyring.admit(authorization)

    def _check_reach(self, scope: Scope, visit: Visit) -> None:
        """Raises Forbidden where a black box is asked for what it does not answer. What is no route is a 404 to all."""
        if scope["path"] == "/metrics":  # who shows a key is held to it, on loopback, too
            visit.caller.require("metrics")
        if not visit.black_box:
            return
        reached = [r for r in scope["app"].routes if isinstance(r, Route) and r.matches(scope)[0] is not Match.NONE]
        allowed = discretion.ROUTES | ({"/metrics"} if "metrics" in visit.caller.scopes else set())
        if reached and not any(route.path in allowed for route in reached):
            raise Forbidden(discretion.REFUSAL)

    def _record(self, scope: Scope, verb: str, visit: Visit, seconds: float) -> None:
        said = {"operation": visit.operation, "method": visit.method, "model": visit.model}
        self.core.metrics.answered("rest", code=visit.code, seconds=seconds, **said)
        log.log(
            _LEVELS.get(visit.status // 100, 20),
            "request",
            verb=verb if verb in _VERBS else "other",
            route=getattr(scope.get("route"), "path", None),
            **{name: value for name, value in said.items() if value},
            status=visit.status,
            code=visit.code,
            duration_ms=round(1000 * seconds, 1),
            **visit.cost,
        )


#: Requests are told at the level of who should care: nobody, nobody, the operator.
_LEVELS = {2: 20, 4: 20, 5: 30}
_VERBS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def named(name: str, known: Container[str]) -> str:
    """`name`, if it is one of ours: what a caller wrote goes neither into logs nor into metrics."""
    return name if name in known else "unknown"


def problem(error: RakinglightError, visit: Visit) -> Response:
    """`error` as an RFC 9457 reply."""
    visit.code = error.code
    error = discretion.worded(error) if visit.black_box else error
    headers = {}
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if error.status == 503 or error.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s or RETRY_S)))
    content = json.dumps(error.problem() | {"request_id": visit.request_id})
    return Response(content, error.status, headers, "application/problem+json")


def told(e: Exception, visit: Visit) -> RakinglightError:
    """`e` as a caller may see it. What was not raised on purpose goes to the log and not to the caller."""
    if isinstance(e, RakinglightError) and e.status != InternalError.status:
        error = e
    else:
        log.error("failed", exc_info=e)
        error = InternalError(f"The service failed; its log says more under request id {visit.request_id}.")
    visit.code = error.code
    return error


def stamp(headers: MutableHeaders, visit: Visit) -> None:
    """Put on `headers` what every answer carries."""
    headers["X-Request-ID"] = visit.request_id
    headers["X-Content-Type-Options"] = "nosniff"
    headers.setdefault("Cache-Control", "no-store")


async def unless_gone(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """What `work` returns. If the caller hangs up first, `work` is cancelled and CallerGone raised."""

    async def hung_up() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    doing, gone = asyncio.ensure_future(work), asyncio.ensure_future(hung_up())
    try:
        await asyncio.wait({doing, gone}, return_when=asyncio.FIRST_COMPLETED)
        if doing.done():
            return doing.result()
        raise CallerGone
    finally:
        doing.cancel()
        gone.cancel()
        await asyncio.wait({doing, gone})
