"""Waiting for what is away: the engine, the database, a disk that is full. Meanwhile the job says so."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from rakinglight.errors import Unavailable

log = logging.getLogger("rakinglight.jobs")

T = TypeVar("T")

#: The first pause before what is away is tried again, and the longest.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 5.0
#: Seconds for which a job that was cancelled still tries to show what it has reached, where something is away.
PATIENCE_S = 10.0


class Cancelled(Exception):
    """The caller wants no more of it."""


class Patience:
    """Of `job`, several tasks of which may wait at once, each for something else."""

    def __init__(self, job: str) -> None:
        self._job = job
        self._until = math.inf
        self._away: dict[asyncio.Task[Any] | None, str] = {}

    @property
    def note(self) -> str | None:
        """What the task waits for that began to wait last; None where none waits."""
        return next(reversed(self._away.values()), None)

    def say(self, e: Unavailable) -> None:
        """The task that calls waits, for what `e` says is away."""
        task, note = asyncio.current_task(), str(e)
        if note not in self._away.values():
            log.warning("%s waits: %s", self._job, note)
        self._away[task] = note

    def there(self) -> None:
        """What the task that calls waited for is there."""
        self._away.pop(asyncio.current_task(), None)

    def end_soon(self) -> None:
        """The caller has cancelled."""
        self._until = time.monotonic() + PATIENCE_S

    async def storing(self, work: Callable[[], T]) -> T:
        """As `waiting`, of `work` that is done in a thread."""
        return await self.waiting(lambda: asyncio.to_thread(work))

    async def waiting(self, work: Callable[[], Awaitable[T]]) -> T:
        """The result of `work`, tried until what it needs is there; Cancelled, where the caller no longer waits."""

        def say(e: Unavailable) -> None:
            self.say(e)
            if time.monotonic() > self._until:
                raise Cancelled

        try:
            return await insisting(work, say)
        finally:
            self.there()


async def insisting(work: Callable[[], Awaitable[T]], say: Callable[[Unavailable], None] = lambda e: None) -> T:
    """The result of `work`, tried again while what it needs is away; `say` is told each time."""
    pause = FIRST_PAUSE_S
    while True:
        try:
            return await work()
        except Unavailable as e:
            say(e)
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_S)
