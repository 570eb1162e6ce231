"""A job as it is followed: what happens to it, as it happens, and at the end what came of it. Both doors tell it so."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from rakinglight.errors import EngineAway, StorageAway
from rakinglight.results import OVER
from service.core import DRAINING_RETRY_S, Core
from service.jobs.records import LOOK_S, Event, Jobs
from service.storage import Storage

#: Seconds for which a result that cannot be read is tried again. The events before it may come as late as they like.
PATIENCE_S = 30.0


async def is_told(core: Core, job: str, sees: str | None, after: int) -> bool:
    """Whether `job` is over and its last event not behind number `after`.

    Raises NotFound, Expired, BadParameter where it has had fewer events, and StorageAway.
    """
    storage = core.storage
    found = await storage.do(storage.jobs.get, job, sees)
    more = await storage.do(storage.jobs.events, job, sees, after, 1)
    return found["state"] in OVER and not more


async def followed(core: Core, job: str, sees: str | None, after: int) -> AsyncGenerator[Event, None]:
    """The events of `job` after number `after`, as they come; the last is a `problem` or a `result`.

    The data of a `result` is {"state", ...}: how the job ended, beside the members of its reply, whose arrays and
    pictures are raw. While the store is away nothing comes, and nothing is lost.
    Raises StorageAway where the result cannot be read for PATIENCE_S, and EngineAway once the service is going down.
    """
    storage = core.storage
    while True:
        news: Sequence[Event] = ()
        with suppress(StorageAway):
            news = await storage.do(storage.jobs.events, job, sees, after)
        for event in news:
            yield await _with_result(core, storage, event, job, sees) if event.kind == "result" else event
            if event.last:
                return
            after = event.number
        if not news:
            await _pause(core, after)


async def _with_result(core: Core, storage: Storage, event: Event, job: str, sees: str | None) -> Event:
    """`event`, with what came of the job."""
    latest = time.monotonic() + PATIENCE_S
    while True:
        try:
            return replace(event, data=await storage.do(_outcome, storage.jobs, job, sees))
        except StorageAway:
            if time.monotonic() > latest:
                raise
        await _pause(core, event.number - 1)


def _outcome(jobs: Jobs, job: str, sees: str | None) -> dict[str, Any]:
    return {"state": jobs.get(job, sees)["state"], **(jobs.results(job, sees) or {})}


async def _pause(core: Core, after: int) -> None:
    if core.draining:
        raise EngineAway(
            f"The service is going down; the job goes on when it is back. Follow it again after event {after}.",
            retry_after_s=DRAINING_RETRY_S,
        )
    await asyncio.sleep(LOOK_S)
