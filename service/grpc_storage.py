"""What the service keeps, by gRPC: jobs, datasets, perturbations, artifacts. The other half of `grpc_door`, which
frames each call.

Each call is given the core, its request (an upload, each of its messages as it comes) and who asks. It answers with the
plain values that fill the response; one that streams, with one such after the other. What is another's is not found,
like what never was.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any, cast

from rakinglight.errors import BadParameter, TooLarge, Unreadable
from rakinglight.results import OVER, STATES, State
from service import messages
from service.core import Core
from service.database.pages import PAGE_SIZE, Page
from service.doorway import Visit
from service.following import followed, is_told
from service.jobs.records import whole

Values = Mapping[str, Any]

#: Most bytes of an artifact in one message: many clients take four times that, unless they are told otherwise.
CHUNK = 2**20


# ── jobs ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def _list_jobs(core: Core, request: Any, visit: Visit) -> Values:
    page = Page(request.page_size or PAGE_SIZE, request.page_token or None)
    state = messages.named(request.DESCRIPTOR.fields_by_name["state"].enum_type, request.state)
    if state not in (*STATES, "unspecified"):
        raise BadParameter.at("/state", f"state is {state}, which is none of {', '.join(STATES)}.")
    wanted = None if state == "unspecified" else cast("State", state)
    storage = core.storage
    return await storage.do(storage.jobs.list, visit.caller.sees, page, wanted)


async def _get_job(core: Core, request: Any, visit: Visit) -> Values:
    storage, sees = core.storage, visit.caller.sees
    job = await storage.do(storage.jobs.get, request.id, sees)
    results = await storage.do(storage.jobs.results, request.id, sees) if job["state"] in OVER else None
    return whole(job, None if results is None else messages.job_result(results))


async def _watch_job(core: Core, request: Any, visit: Visit) -> AsyncGenerator[Values, None]:
    sees, after = visit.caller.sees, request.after
    if after < 0:
        raise BadParameter.at("/after", f"after is {after}; it is the number of an event, or 0.")
    if await is_told(core, request.id, sees, after):
        return
    async with aclosing(followed(core, request.id, sees, after)) as events:
        async for event in events:
            data = dict(event.data)
            if event.kind == "result":
                yield {"number": event.number, "state": data.pop("state"), "result": messages.job_result(data)}
            else:
                yield {"number": event.number, event.kind: data}


async def _cancel_job(core: Core, request: Any, visit: Visit) -> Values:
    storage = core.storage
    return await storage.do(storage.jobs.cancel, request.id, visit.caller.sees)


async def _delete_job(core: Core, request: Any, visit: Visit) -> Values:
    storage = core.storage
    await storage.do(storage.jobs.remove, request.id, visit.caller.sees)
    return {}


# ── datasets ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def _create_dataset(core: Core, chunks: AsyncIterator[Any], visit: Visit) -> Values:
    settings, name, file = core.settings, "", io.BytesIO()
    limit = settings.dataset_bytes
    with core.hold() as hold:
        try:
            async with asyncio.timeout(settings.upload_s):
                async for chunk in chunks:
                    if chunk.name and (name or file.tell()):
                        raise BadParameter.at(
                            "/name", "name comes late or twice; it stands in the first message alone."
                        )
                    name = name or chunk.name
                    if file.tell() + len(chunk.data) > limit:
                        raise TooLarge(f"The file has more than {limit} bytes, the limit. Send several datasets.")
                    hold.add(len(chunk.data))
                    file.write(chunk.data)
        except TimeoutError:
            received = f"Only {file.tell()} bytes of the dataset came within {settings.upload_s:g} s."
            raise Unreadable(received) from None
        return await core.storage.datasets.add(visit.caller.name, name or "dataset", file.getvalue())


async def _list_datasets(core: Core, request: Any, visit: Visit) -> Values:
    page = request.page_size or PAGE_SIZE, request.page_token or None
    return await core.storage.datasets.list(visit.caller.sees, *page)


async def _get_dataset(core: Core, request: Any, visit: Visit) -> Values:
    return await core.storage.datasets.get(request.id, visit.caller.sees)


async def _delete_dataset(core: Core, request: Any, visit: Visit) -> Values:
    await core.storage.datasets.remove(request.id, visit.caller.sees)
    return {}


# ── perturbations ───────────────────────────────────────────────────────────────────────────────────────────────────


async def _list_perturbations(core: Core, request: Any, visit: Visit) -> Values:
    storage, page = core.storage, Page(request.page_size or PAGE_SIZE, request.page_token or None)
    listed = await storage.do(storage.perturbations.list, visit.caller.sees, page)
    return {**listed, "perturbations": [_without_href(one) for one in listed["perturbations"]]}


async def _get_perturbation(core: Core, request: Any, visit: Visit) -> Values:
    storage = core.storage
    return _without_href(await storage.do(storage.perturbations.get, request.id, visit.caller.sees))


def _without_href(perturbation: Values) -> Values:
    """`perturbation`, its file named by its hash alone, as GetArtifact takes it."""
    file = {name: value for name, value in perturbation["perturbation"].items() if name != "href"}
    return {**perturbation, "perturbation": file}


async def _delete_perturbation(core: Core, request: Any, visit: Visit) -> Values:
    storage = core.storage
    await storage.do(storage.perturbations.remove, request.id, visit.caller.sees)
    return {}


# ── substitutes ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def _list_substitutes(core: Core, request: Any, visit: Visit) -> Values:
    storage, page = core.storage, Page(request.page_size or PAGE_SIZE, request.page_token or None)
    listed = await storage.do(storage.substitutes.list, visit.caller.sees, page)
    return {**listed, "substitutes": [_by_hash(one) for one in listed["substitutes"]]}


async def _get_substitute(core: Core, request: Any, visit: Visit) -> Values:
    storage = core.storage
    return _by_hash(await storage.do(storage.substitutes.get, request.id, visit.caller.sees))


def _by_hash(substitute: Values) -> Values:
    """`substitute`, its archive named by its hash alone, as GetArtifact takes it."""
    return {**substitute, "archive": {k: v for k, v in substitute["archive"].items() if k != "href"}}


async def _delete_substitute(core: Core, request: Any, visit: Visit) -> Values:
    storage = core.storage
    await storage.do(storage.substitutes.remove, request.id, visit.caller.sees)
    return {}


# ── artifacts ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def _get_artifact(core: Core, request: Any, visit: Visit) -> AsyncGenerator[Values, None]:
    storage = core.storage
    found = await storage.do(storage.artifacts.found, request.sha256, visit.caller.sees)
    content = await storage.do(storage.artifacts.read, request.sha256)
    yield {"media_type": found.media_type, "bytes": len(content), "data": content[:CHUNK]}
    for start in range(CHUNK, len(content), CHUNK):
        yield {"data": content[start : start + CHUNK]}


#: The calls of the proto that are answered here.
CALLS: Mapping[str, Callable[[Core, Any, Visit], Awaitable[Values] | AsyncGenerator[Values, None]]] = {
    "ListJobs": _list_jobs,
    "GetJob": _get_job,
    "WatchJob": _watch_job,
    "CancelJob": _cancel_job,
    "DeleteJob": _delete_job,
    "CreateDataset": _create_dataset,
    "ListDatasets": _list_datasets,
    "GetDataset": _get_dataset,
    "DeleteDataset": _delete_dataset,
    "ListPerturbations": _list_perturbations,
    "GetPerturbation": _get_perturbation,
    "DeletePerturbation": _delete_perturbation,
    "ListSubstitutes": _list_substitutes,
    "GetSubstitute": _get_substitute,
    "DeleteSubstitute": _delete_substitute,
    "GetArtifact": _get_artifact,
}
