"""What the service keeps, by REST: jobs, datasets, perturbations, artifacts. The other half of `rest`.

Each call names who asks (`Caller.sees`), and what is another's is a 404 like what never was.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, cast

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from rakinglight import catalogue, reply
from rakinglight.catalogue import Operation
from rakinglight.errors import BadParameter, NotFound, TooLarge, shown
from rakinglight.results import OVER, STATES, State
from service import bodies
from service.core import Core
from service.database.pages import PAGE_SIZE, Page
from service.doorway import Visit
from service.events import EventStream, Happened
from service.following import followed, is_told
from service.jobs.records import whole
from service.negotiation import EVENTS, JSON, NPZ, PNG, chosen

ROOT = "/api/v1"

Endpoint = Callable[[Request], Awaitable[Response]]


def add_routes(app: FastAPI, core: Core) -> None:
    """Add the routes of all that is kept."""
    _add_jobs(app, core)
    _add_datasets(app, core)
    _add_perturbations(app, core)
    _add_substitutes(app, core)
    _add_artifacts(app, core)


def _visit(request: Request, operation: str) -> Visit:
    visit: Visit = request.state.visit
    visit.operation = operation
    visit.caller.require_keeping()
    return visit


def page_asked(request: Request) -> Page:
    """The page that `request` asks for. Raises BadParameter."""
    size = request.query_params.get("page_size")
    if size is not None and not re.fullmatch(r"[0-9]{1,9}", size):
        raise BadParameter.at("/page_size", f"page_size is {shown(size)}; it is a whole number.")
    return Page(PAGE_SIZE if size is None else int(size), request.query_params.get("page_token") or None)


# ── jobs ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def accepted(job: Mapping[str, Any]) -> Response:
    """The answer to a request that became `job`."""
    headers = {"Location": f"{ROOT}/jobs/{job['id']}", "Preference-Applied": "respond-async"}
    return JSONResponse(dict(job), 202, headers)


def _add_jobs(app: FastAPI, core: Core) -> None:
    @app.get(f"{ROOT}/jobs")
    async def jobs(request: Request) -> Response:
        visit, page = _visit(request, "jobs"), page_asked(request)
        state = request.query_params.get("state")
        if state is not None and state not in STATES:
            raise BadParameter.at("/state", f"state is {shown(state)}; it is one of {', '.join(STATES)}.")
        storage = core.storage
        listed = await storage.do(storage.jobs.list, visit.caller.sees, page, cast("State | None", state))
        return JSONResponse(listed)

    @app.get(f"{ROOT}/jobs/{{job}}")
    async def job(request: Request) -> Response:
        visit = _visit(request, "jobs")
        kind = chosen(request.headers.get("accept"), [JSON, NPZ, PNG])
        found, results = await _found(core, request.path_params["job"], visit.caller.sees)
        content = await _encoded(core, found, results, kind)
        core.check_size(len(content))
        return Response(content, media_type=kind)

    @app.get(f"{ROOT}/jobs/{{job}}/events")
    async def events(request: Request) -> Response:
        visit, name = _visit(request, "jobs"), request.path_params["job"]
        chosen(request.headers.get("accept"), [EVENTS])
        after = request.headers.get("last-event-id") or "0"
        if not re.fullmatch(r"[0-9]{1,18}", after):
            raise BadParameter.at(
                "/Last-Event-ID", f"Last-Event-ID is {shown(after)}; it is the id of an event, a number."
            )
        sees, number = visit.caller.sees, int(after)
        if await is_told(core, name, sees, number):
            return Response(status_code=204)  # which tells a browser not to come back
        if visit.head:
            return Response(media_type=EVENTS)
        return EventStream(_happened(core, name, sees, number), visit, core.settings.heartbeat_s, resumable=True)

    @app.post(f"{ROOT}/jobs/{{job}}/cancel")
    async def cancel(request: Request) -> Response:
        visit, storage = _visit(request, "jobs"), core.storage
        return JSONResponse(await storage.do(storage.jobs.cancel, request.path_params["job"], visit.caller.sees))

    @app.delete(f"{ROOT}/jobs/{{job}}")
    async def remove(request: Request) -> Response:
        visit, storage = _visit(request, "jobs"), core.storage
        await storage.do(storage.jobs.remove, request.path_params["job"], visit.caller.sees)
        return Response(status_code=204)


async def _found(core: Core, job: str, sees: str | None) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """A job, and its reply if there is one."""
    storage = core.storage
    found = await storage.do(storage.jobs.get, job, sees)
    return found, await storage.do(storage.jobs.results, job, sees) if found["state"] in OVER else None


async def _encoded(core: Core, job: Mapping[str, Any], results: Mapping[str, Any] | None, kind: str) -> bytes:
    if kind == JSON:
        return await asyncio.to_thread(_json, whole(job, results))
    entries = [entry for entry in (results or {}).get("results", ()) if entry is not None]
    if not entries:
        raise NotFound(
            f"{job['id']} is {job['state']} and has no result yet; ask for application/json to see how far it is."
        )
    if kind == PNG:
        return await _picture(core, catalogue.operation(job["operation"]), entries, (results or {}).get("summary"))
    members = await _gathered(core, dict(results or {}))
    return await asyncio.to_thread(reply.to_npz, members.pop("results"), members)


def _json(value: Any) -> bytes:
    return json.dumps(reply.to_json(value), separators=(",", ":")).encode()


async def _picture(
    core: Core, operation: Operation, entries: Sequence[Mapping[str, Any]], summary: Mapping[str, Any] | None
) -> bytes:
    """The one picture of all `entries`, or the one that their `summary` has."""
    if summary and operation.picture in summary:
        summary = await _gathered(core, dict(summary))
        return await asyncio.to_thread(reply.picture, operation, (), summary=summary)
    if len(entries) > core.settings.images:
        raise TooLarge(
            f"The job has {len(entries)} results, and one picture shows {core.settings.images} at most; ask for "
            "application/json, which has the picture of each."
        )
    name = operation.picture
    if name is not None and all(name in entry for entry in entries):  # else it is told below
        drawn = await _gathered(core, [entry[name] for entry in entries])
        entries = [{**entry, name: one} for entry, one in zip(entries, drawn, strict=True)]
    return await asyncio.to_thread(reply.picture, operation, entries)


async def _gathered(core: Core, value: Any) -> Any:
    """`value`, with what lies in the store in its place. Raises TooLarge where all is more than a reply may have."""
    storage, limit = core.storage, core.settings.reply_bytes
    count = sum(reply.sizes(value)) + sum(reply.sizes(value, spilled=True))
    if count > limit:
        raise TooLarge(
            f"The arrays and pictures have {count} bytes together; the limit of a reply is {limit}. Ask for "
            "application/json, and fetch what it names by href."
        )
    return await storage.do(reply.gathered, value, storage.artifacts.read)


async def _happened(core: Core, job: str, sees: str | None, after: int) -> AsyncGenerator[Happened, None]:
    """The events of `job` after number `after`, as server-sent ones."""
    async with aclosing(followed(core, job, sees, after)) as events:
        async for event in events:
            data = await asyncio.to_thread(_json, event.data)
            yield Happened(event.number, event.kind, data.decode())


# ── datasets ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _add_datasets(app: FastAPI, core: Core) -> None:
    @app.post(f"{ROOT}/datasets")
    async def add(request: Request) -> Response:
        visit = _visit(request, "datasets")
        with core.hold() as hold:
            name, content = await bodies.upload(request, core.settings, hold)
            found = await core.storage.datasets.add(visit.caller.name, name, content)
        return JSONResponse(found, 201, {"Location": f"{ROOT}/datasets/{found['id']}"})

    @app.get(f"{ROOT}/datasets")
    async def datasets(request: Request) -> Response:
        visit, page = _visit(request, "datasets"), page_asked(request)
        return JSONResponse(await core.storage.datasets.list(visit.caller.sees, page.size, page.token))

    @app.get(f"{ROOT}/datasets/{{dataset}}")
    async def dataset(request: Request) -> Response:
        visit = _visit(request, "datasets")
        return JSONResponse(await core.storage.datasets.get(request.path_params["dataset"], visit.caller.sees))

    @app.delete(f"{ROOT}/datasets/{{dataset}}")
    async def remove(request: Request) -> Response:
        visit = _visit(request, "datasets")
        await core.storage.datasets.remove(request.path_params["dataset"], visit.caller.sees)
        return Response(status_code=204)


# ── perturbations ───────────────────────────────────────────────────────────────────────────────────────────────────


def _add_perturbations(app: FastAPI, core: Core) -> None:
    @app.get(f"{ROOT}/perturbations")
    async def perturbations(request: Request) -> Response:
        visit, page, storage = _visit(request, "perturbations"), page_asked(request), core.storage
        return JSONResponse(await storage.do(storage.perturbations.list, visit.caller.sees, page))

    @app.get(f"{ROOT}/perturbations/{{perturbation}}")
    async def perturbation(request: Request) -> Response:
        visit, name, storage = _visit(request, "perturbations"), request.path_params["perturbation"], core.storage
        return JSONResponse(await storage.do(storage.perturbations.get, name, visit.caller.sees))

    @app.delete(f"{ROOT}/perturbations/{{perturbation}}")
    async def remove(request: Request) -> Response:
        visit, name, storage = _visit(request, "perturbations"), request.path_params["perturbation"], core.storage
        await storage.do(storage.perturbations.remove, name, visit.caller.sees)
        return Response(status_code=204)


# ── substitutes ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _add_substitutes(app: FastAPI, core: Core) -> None:
    @app.get(f"{ROOT}/substitutes")
    async def substitutes(request: Request) -> Response:
        visit, page, storage = _visit(request, "substitutes"), page_asked(request), core.storage
        return JSONResponse(await storage.do(storage.substitutes.list, visit.caller.sees, page))

    @app.get(f"{ROOT}/substitutes/{{substitute}}")
    async def substitute(request: Request) -> Response:
        visit, name, storage = _visit(request, "substitutes"), request.path_params["substitute"], core.storage
        return JSONResponse(await storage.do(storage.substitutes.get, name, visit.caller.sees))

    @app.delete(f"{ROOT}/substitutes/{{substitute}}")
    async def remove(request: Request) -> Response:
        visit, name, storage = _visit(request, "substitutes"), request.path_params["substitute"], core.storage
        await storage.do(storage.substitutes.remove, name, visit.caller.sees)
        return Response(status_code=204)


# ── artifacts ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _add_artifacts(app: FastAPI, core: Core) -> None:
    @app.get(f"{ROOT}/artifacts/{{sha256}}")
    async def artifact(request: Request) -> Response:
        visit, sha256 = _visit(request, "artifacts"), request.path_params["sha256"]
        storage = core.storage
        found = await storage.do(storage.artifacts.found, sha256, visit.caller.sees)
        content = await storage.do(storage.artifacts.read, sha256)
        # What is there never changes under its hash; but whether it is still to be shown does.
        headers = {"ETag": f'"{sha256}"', "Cache-Control": "private, no-cache"}
        return Response(content, media_type=found.media_type, headers=headers)
