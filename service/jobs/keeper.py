"""What is done once in a while: a sign of life, a look at the other workers', and the end of what is over.

Every worker does all of it; that two do the same at once hurts nobody. Whether another is dead is judged by its count,
which stands still, and by the own clock: those of two machines need not agree.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from rakinglight.errors import StorageAway
from service.database import Database
from service.database.schema import jobs, workers
from service.jobs.queue import WorkQueue
from service.storage import Storage

log = logging.getLogger("rakinglight.jobs")

#: Signs of life in the silence after which a worker is taken for dead.
BEATS = 5
#: Seconds between two sweeps.
SWEEP_S = 30.0


def enter(database: Database, name: str) -> None:
    """Become the worker called `name`, before any job is taken: from now on others notice when it dies."""
    with database.transaction() as connection:
        interrupt(connection, [name])  # what an earlier one of this name had under way
        _beat(connection, name)


@dataclass(frozen=True)
class Seen:
    """A worker's count, and when it was first seen at that, on `time.monotonic`'s clock."""

    beats: int
    since: float


class Keeper:
    """Of the worker called `name`."""

    def __init__(self, storage: Storage, queue: WorkQueue, *, name: str, takeover_s: float) -> None:
        self._storage = storage
        self._queue = queue
        self._name = name
        self._takeover_s = takeover_s
        self._seen: dict[str, Seen] = {}

    async def keep(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(_every(self._takeover_s / BEATS, self.beat_and_look))
            group.create_task(_every(SWEEP_S, self.sweep))

    def beat_and_look(self) -> None:
        """Give a sign of life, and take over from those who gave none. Raises StorageAway."""
        with self._storage.database.transaction() as connection:
            _beat(connection, self._name)
            counts = {row.name: row.beats for row in connection.execute(sa.select(workers))}
        if dead := [name for name in counts if name != self._name and self._is_dead(name, counts[name])]:
            self._take_over(dead)
        self._queue.recover_lost()

    def sweep(self) -> None:
        """Remove what is over. Raises StorageAway."""
        now = time.time()
        jobs_gone = self._storage.jobs.expire(now)
        datasets_gone = self._storage.datasets.sweep(now)
        perturbations_gone = self._storage.perturbations.sweep(now) + self._storage.substitutes.sweep(now)
        entries_gone = self._storage.ledger.sweep(now)
        files_gone = self._storage.artifacts.sweep(now)
        gone = jobs_gone, datasets_gone, perturbations_gone, entries_gone, files_gone
        if any(gone):
            said = "swept %d jobs, %d datasets, %d things that jobs made, %d entries of the ledger, %d artifacts"
            log.info(said, *gone)

    def _is_dead(self, name: str, beats: int) -> bool:
        now = time.monotonic()
        if name not in self._seen or self._seen[name].beats != beats:
            self._seen[name] = Seen(beats, now)
        return now - self._seen[name].since > self._takeover_s

    def _take_over(self, dead: Sequence[str]) -> None:
        log.warning("%s gave no sign of life for %g s; their jobs are given to others", dead, self._takeover_s)
        self._queue.recover(dead)  # before their rows go: who is cut off here is followed by another who looks
        with self._storage.database.transaction() as connection:
            interrupt(connection, dead)
            connection.execute(sa.delete(workers).where(workers.c.name.in_(dead)))
        for name in dead:
            del self._seen[name]


def interrupt(connection: sa.Connection, names: Sequence[str]) -> None:
    """Mark what workers of `names` had under way: nobody works on it for now."""
    connection.execute(
        sa.update(jobs).where(jobs.c.worker.in_(names), jobs.c.state == "running").values(state="interrupted")
    )


def _beat(connection: sa.Connection, name: str) -> None:
    now = time.time()
    beaten = sa.update(workers).where(workers.c.name == name).values(beats=workers.c.beats + 1, seen_at=now)
    if not connection.execute(beaten).rowcount:
        connection.execute(sa.insert(workers).values(name=name, beats=0, started_at=now, seen_at=now))


async def _every(seconds: float, work: Callable[[], None]) -> None:
    while True:
        try:
            await asyncio.to_thread(work)
        except StorageAway as e:
            log.warning("%s", e)
        await asyncio.sleep(seconds)
