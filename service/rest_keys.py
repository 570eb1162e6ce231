"""Keys and the ledger, by REST: for who has the scope `admin`."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, SkipValidation

from rakinglight.errors import BadParameter
from service import bodies
from service.black_box.ledger import exported, filters_of
from service.doorway import Visit
from service.keys import Response as KeyResponse
from service.keys import Scope, View
from service.negotiation import JSON, LINES, chosen
from service.rest_storage import page_asked
from service.times import seconds_of

if TYPE_CHECKING:
    from service.core import Core

ROOT = "/api/v1"


#: `Keys` says of what is none which it may be, so nothing is said here.
_Integer = SkipValidation[int]


class NewKey(BaseModel):
    """What a new key is to be."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(description="1 to 32 of a-z, 0-9 and -: no other key that holds has it.")
    scopes: list[Scope] = Field(["query"], description="What it may do; `query` alone is a black box.")
    view: View | None = Field(None, description="What a black box shows; `label` unless it is said.")
    top_k: _Integer | None = Field(None, description="Classes that the view `top_k` shows; 5 unless it is said.")
    budget: _Integer | None = Field(
        None, description="Images that it may ask about, ever; any number unless it is said."
    )
    rate: _Integer | None = Field(None, description="Images a minute; any number unless it is said.")
    response: KeyResponse | None = Field(
        None, description="What is done once it is noticed to copy the model; `log` unless it is said."
    )
    expires_at: str | None = Field(None, description="RFC 3339; it holds for ever unless it is said.")


class TopUp(BaseModel):
    """What a key gets besides."""

    model_config = ConfigDict(extra="forbid", strict=True)

    images: _Integer = Field(description="That it may ask about beyond those that it had.")


def add_routes(app: FastAPI, core: Core) -> None:
    """Add the routes of keys and of the ledger."""
    _add_keys(app, core)
    _add_ledger(app, core)


def _visit(request: Request, operation: str) -> Visit:
    visit: Visit = request.state.visit
    visit.operation = operation
    visit.caller.require_admin()
    return visit


def _add_keys(app: FastAPI, core: Core) -> None:
    path = f"{ROOT}/keys"

    @app.post(path)
    async def make(request: Request) -> Response:
        _visit(request, "keys")
        with core.hold() as hold:
            said = await bodies.said(request, core.settings, hold, NewKey)
        wanted = made_of({name: value for name, value in said if value is not None})
        members, secret = await core.storage.do(lambda: core.black_box.keys.make(**wanted))
        return JSONResponse({**members, "secret": secret}, 201, {"Location": f"{path}/{members['id']}"})

    @app.get(path)
    async def keys(request: Request) -> Response:
        _visit(request, "keys")
        return JSONResponse(await core.storage.do(core.black_box.keys.list, page_asked(request)))

    @app.get(f"{path}/{{key}}")
    async def key(request: Request) -> Response:
        _visit(request, "keys")
        return JSONResponse(await core.storage.do(core.black_box.keys.get, request.path_params["key"]))

    @app.delete(f"{path}/{{key}}")
    async def revoke(request: Request) -> Response:
        _visit(request, "keys")
        return JSONResponse(await core.storage.do(core.black_box.keys.revoke, request.path_params["key"]))

    @app.post(f"{path}/{{key}}/top-up")
    async def top_up(request: Request) -> Response:
        _visit(request, "keys")
        with core.hold() as hold:
            said = await bodies.said(request, core.settings, hold, TopUp)
        name = request.path_params["key"]
        return JSONResponse(await core.storage.do(core.black_box.keys.top_up, name, said.images))

    @app.post(f"{path}/{{key}}/clear")
    async def clear(request: Request) -> Response:
        _visit(request, "keys")
        return JSONResponse(await core.storage.do(core.black_box.keys.clear, request.path_params["key"]))


def made_of(said: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `Keys.make` that a request says. Raises BadParameter for a time that is none."""
    wanted = dict(said)
    if "expires_at" in wanted:
        wanted["expires_at"] = seconds_of(wanted["expires_at"], "/expires_at")
    return wanted


# ── the ledger ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _add_ledger(app: FastAPI, core: Core) -> None:
    @app.get(f"{ROOT}/ledger")
    async def ledger(request: Request) -> Response:
        visit, filters = _visit(request, "ledger"), _filters(request)
        kind, book = chosen(request.headers.get("accept"), [JSON, LINES]), core.black_box.ledger
        if kind == JSON:
            page = page_asked(request)
            return JSONResponse(await core.storage.do(lambda: book.pages(page, **filters)))
        batches = exported(core, filters)
        # What keeps it from being read is told before the answer begins.
        first: Sequence[dict[str, Any]] = await anext(batches, ())
        if visit.head:
            await batches.aclose()
            return Response(media_type=LINES)
        return StreamingResponse(_lines(first, batches), media_type=LINES)


def _filters(request: Request) -> dict[str, Any]:
    """Which entries are wanted. Raises BadParameter for a name or a time that is none."""
    asked = request.query_params
    known = ("key", "operation", "since", "page_size", "page_token")
    for name in asked:
        if name not in known:
            raise BadParameter.at(f"/{name[:80]}", f"The ledger is asked by {', '.join(known)}; leave the rest out.")
    since = seconds_of(asked["since"], "/since") if "since" in asked else None
    return filters_of(asked.get("key"), asked.get("operation"), since)


async def _lines(
    first: Sequence[dict[str, Any]], others: AsyncGenerator[Sequence[dict[str, Any]], None]
) -> AsyncGenerator[str, None]:
    """Entries as JSON, one a line."""
    yield "".join(f"{json.dumps(entry)}\n" for entry in first)
    async for batch in others:
        yield "".join(f"{json.dumps(entry)}\n" for entry in batch)
