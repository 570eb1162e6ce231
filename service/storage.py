"""What this service keeps: the database, and what lies in it and beside it. Absent or away, all else goes on."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Self

from rakinglight.errors import StorageAway
from service.artifacts import Artifacts
from service.database import Database
from service.datasets import Datasets
from service.decode import Decoder
from service.jobs import queue
from service.jobs.records import Jobs
from service.settings import Settings

log = logging.getLogger("rakinglight.storage")

#: Seconds between two tries to bring up a database that is away.
RETRY_S = 2.0


@dataclass(eq=False)
class Storage:
    """The parts, of one database."""

    database: Database
    artifacts: Artifacts
    datasets: Datasets
    jobs: Jobs

    @staticmethod
    def of(settings: Settings, decoder: Decoder) -> Storage:
        """As `settings` say. Nothing is asked of the database yet, which may be away."""
        database = Database.of(settings)
        artifacts = Artifacts.of(settings, database)
        datasets = Datasets(database, artifacts, settings, decoder)
        return Storage(
            database, artifacts, datasets, Jobs(database, artifacts, datasets, settings, queue.Queue(database))
        )

    async def ready(self) -> Self:
        """Bring the database up to date, as soon as it is there."""
        while True:
            try:
                await asyncio.to_thread(self.database.migrate)
                await asyncio.to_thread(queue.migrate, self.database)
            except StorageAway as e:
                log.warning("%s", e)
                await asyncio.sleep(RETRY_S)
            except Exception:
                log.exception("the database cannot be brought up to date; there are no jobs until it is")
                raise
            else:
                return self

    def close(self) -> None:
        """Let go of the connections."""
        self.database.close()
