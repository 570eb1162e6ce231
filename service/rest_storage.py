"""What the service keeps, by REST: jobs, datasets, artifacts. The other half of `rest`.

Each call names who asks (`Caller.sees`), and what is another's is a 404 like what never was.
"""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, BinaryIO, cast

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from rakinglight import catalogue, reply
from rakinglight.catalogue import Operation
from rakinglight.errors import BadParameter, EngineAway, NotFound, StorageAway, TooLarge, shown
from service import bodies
from service.core import DRAINING_RETRY_S, Core
from service.database.pages import PAGE_SIZE, Page
from service.doorway import Visit
from service.events import EventStream, Happened
from service.jobs import OVER, STATES, State
from service.jobs.records import LOOK_S, Event, Jobs, whole
from service.negotiation import EVENTS, JSON, NPZ, PNG, chosen

ROOT = "/api/v1"
#: An upload up to this size stays in memory.
IN_MEMORY = 2**20

Endpoint = Callable[[Request], Awaitable[Response]]


def add_routes(app: FastAPI, core: Core) -> None:
    """Add the routes of all that is kept."""
    _add_jobs(app, core)
    _add_datasets(app, core)
    _add_artifacts(app, core)


def _visit(request: Request, operation: str) -> Visit:
    visit: Visit = request.state.visit
    visit.operation = operation
    visit.caller.require_keeping()
    return visit


def _page(request: Request) -> Page:
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
        visit, page = _visit(request, "jobs"), _page(request)
        state = request.query_params.get("state")
        if state is not None and state not in STATES:
            raise BadParameter.at("/state", f"state is {shown(state)}; it is one of {', '.join(STATES)}.")
        listed = core.storage.jobs.list
        return JSONResponse(await asyncio.to_thread(listed, visit.caller.sees, page, cast("State | None", state)))

    @app.get(f"{ROOT}/jobs/{{job}}")
    async def job(request: Request) -> Response:
        visit = _visit(request, "jobs")
        kind = chosen(request.headers.get("accept"), [JSON, NPZ, PNG])
        found, results = await _found(core, request.path_params["job"], visit.caller.sees)
        content = await asyncio.to_thread(_encoded, core, found, results, kind)
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
        jobs, sees, number = core.storage.jobs, visit.caller.sees, int(after)
        found = await asyncio.to_thread(jobs.get, name, sees)
        more = await asyncio.to_thread(jobs.events, name, sees, number, 1)
        if found["state"] in OVER and not more:  # which tells a browser not to come back
            return Response(status_code=204)
        if visit.head:
            return Response(media_type=EVENTS)
        return EventStream(_followed(core, name, sees, number), visit, core.settings.heartbeat_s, resumable=True)

    @app.post(f"{ROOT}/jobs/{{job}}/cancel")
    async def cancel(request: Request) -> Response:
        visit = _visit(request, "jobs")
        return JSONResponse(
            await asyncio.to_thread(core.storage.jobs.cancel, request.path_params["job"], visit.caller.sees)
        )

    @app.delete(f"{ROOT}/jobs/{{job}}")
    async def remove(request: Request) -> Response:
        visit = _visit(request, "jobs")
        await asyncio.to_thread(core.storage.jobs.remove, request.path_params["job"], visit.caller.sees)
        return Response(status_code=204)


async def _found(core: Core, job: str, sees: str | None) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """A job, and its reply if there is one."""
    jobs = core.storage.jobs
    found = await asyncio.to_thread(jobs.get, job, sees)
    return found, await asyncio.to_thread(jobs.results, job, sees) if found["state"] in OVER else None


def _encoded(core: Core, job: Mapping[str, Any], results: Mapping[str, Any] | None, kind: str) -> bytes:
    if kind == JSON:
        return json.dumps(reply.to_json(whole(job, results)), separators=(",", ":")).encode()
    entries = [entry for entry in (results or {}).get("results", ()) if entry is not None]
    if not entries:
        raise NotFound(
            f"{job['id']} is {job['state']} and has no result yet; ask for application/json to see how far it is."
        )
    if kind == PNG:
        return _picture(core, catalogue.operation(job["operation"]), entries)
    assert results is not None
    return reply.to_npz(results["results"], {name: value for name, value in results.items() if name != "results"})


def _picture(core: Core, operation: Operation, entries: Sequence[Mapping[str, Any]]) -> bytes:
    """The one picture of all `entries`, of which large ones lie in the store."""
    if len(entries) > core.settings.images:
        raise TooLarge(
            f"The job has {len(entries)} results, and one picture shows {core.settings.images} at most; ask for "
            "application/json, which has the picture of each."
        )

    def fetched(name: str, value: Any) -> Any:
        stored = name == operation.picture and isinstance(value, Mapping)
        return core.storage.artifacts.read(value["sha256"]) if stored else value

    return reply.picture(operation, [{name: fetched(name, v) for name, v in entry.items()} for entry in entries])


async def _followed(core: Core, job: str, sees: str | None, after: int) -> AsyncGenerator[Happened, None]:
    """The events of `job` after number `after`, as they come. While the store is away, none come, and none are lost."""
    jobs = core.storage.jobs
    while True:
        news: Sequence[Event] = ()
        with suppress(StorageAway):
            news, result = await asyncio.to_thread(_news, jobs, job, sees, after)
        for happened in news:
            after = happened.number
            data = result if happened.kind == "result" else json.dumps(happened.data)
            yield Happened(after, happened.kind, data)
            if happened.last:
                return
        if core.draining:
            raise EngineAway(
                "The service is going down; the job goes on when it is back.", retry_after_s=DRAINING_RETRY_S
            )
        await asyncio.sleep(LOOK_S)


def _news(jobs: Jobs, job: str, sees: str | None, after: int) -> tuple[Sequence[Event], str]:
    """What happened after number `after`, and the result as JSON text, if that is the end."""
    news = jobs.events(job, sees, after)
    over = bool(news) and news[-1].kind == "result"
    return news, json.dumps(reply.to_json(jobs.results(job, sees))) if over else ""


# ── datasets ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _add_datasets(app: FastAPI, core: Core) -> None:
    @app.post(f"{ROOT}/datasets")
    async def add(request: Request) -> Response:
        visit = _visit(request, "datasets")
        with core.hold() as hold, tempfile.SpooledTemporaryFile(IN_MEMORY) as file:
            name = await bodies.upload(request, core.settings, hold, cast("BinaryIO", file))
            file.seek(0)
            found = await core.storage.datasets.add(visit.caller.name, name, cast("Any", file))
        return JSONResponse(found, 201, {"Location": f"{ROOT}/datasets/{found['id']}"})

    @app.get(f"{ROOT}/datasets")
    async def datasets(request: Request) -> Response:
        visit, page = _visit(request, "datasets"), _page(request)
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


# ── artifacts ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _add_artifacts(app: FastAPI, core: Core) -> None:
    @app.get(f"{ROOT}/artifacts/{{sha256}}")
    async def artifact(request: Request) -> Response:
        visit, sha256 = _visit(request, "artifacts"), request.path_params["sha256"]
        artifacts = core.storage.artifacts
        found = await asyncio.to_thread(artifacts.found, sha256, visit.caller.sees)
        content = await asyncio.to_thread(artifacts.read, sha256)
        # What is there never changes under its hash; but whether it is still to be shown does.
        headers = {"ETag": f'"{sha256}"', "Cache-Control": "private, no-cache"}
        return Response(content, media_type=found.media_type, headers=headers)
