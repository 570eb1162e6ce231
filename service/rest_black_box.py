"""The black box, by REST: `classify`, and what a model is called. What goes out is said in `discretion`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from rakinglight import catalogue
from rakinglight.errors import Forbidden, NotAcceptable
from service import bodies, discretion
from service.doorway import Visit, named, unless_gone
from service.headers import idempotency_key
from service.negotiation import JSON, chosen

if TYPE_CHECKING:
    from service.core import Core

ROOT = "/api/v1"


def add_routes(app: FastAPI, core: Core) -> None:
    """Add all the routes that a service has which is a black box to everybody."""

    @app.get(f"{ROOT}/models/{{model}}")
    async def about(request: Request) -> Response:
        return model(core, request, request.state.visit)

    @app.post(f"{ROOT}/models/{{model}}/{discretion.OPERATION}")
    async def ask(request: Request) -> Response:
        return await classify(core, request, request.state.visit)


def model(core: Core, request: Request, visit: Visit) -> Response:
    """What a model is called, what it takes, and its labels."""
    name = request.path_params["model"]
    visit.operation, visit.model = "models", named(name, core.engine.models)
    visit.caller.require("query")
    _check_head(request)
    return JSONResponse(discretion.described(core.card(name)))


async def classify(core: Core, request: Request, visit: Visit) -> Response:
    """The cut answers to the images in `request`, which holds nothing else."""
    name = request.path_params["model"]
    visit.operation, visit.model = discretion.OPERATION, named(name, core.engine.models)
    visit.caller.require("query")
    _check_head(request)
    key = idempotency_key(request)
    with core.hold() as hold:
        raw = await bodies.read(request, core.settings, hold)
        images = await bodies.parse_images(raw, request.headers, catalogue.operation(discretion.OPERATION))
        asked = discretion.classified(core, visit, name, images, hold, idempotency_key=key)
        answer = await unless_gone(request.receive, asked)
    return Response(json.dumps(answer, separators=(",", ":")), media_type=JSON)


def _check_head(request: Request) -> None:
    """Raises Forbidden for what the head of a request asks beyond the answer in its one form."""
    bodies.check_alone(request.query_params)
    bodies.check_alone(name for name in ("Prefer",) if name in request.headers)
    try:
        chosen(request.headers.get("accept"), [JSON])
    except NotAcceptable:
        raise Forbidden(f"A black box answers with {JSON} alone; let Accept take that, or leave it out.") from None
