"""What this service keeps: the database, and what lies in it and beside it. Absent or away, all else goes on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from rakinglight.errors import StorageAway
from service.artifacts import Artifacts
from service.black_box.budget import Budget
from service.black_box.keys import Keys
from service.black_box.ledger import Ledger
from service.database import SOON_S, Database, P, T
from service.datasets import Datasets
from service.decode import Decoder
from service.jobs import queue
from service.jobs.records import Jobs
from service.keys import Keyring
from service.perturbations import Perturbations
from service.settings import Settings
from service.substitutes import Substitutes

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
    perturbations: Perturbations
    substitutes: Substitutes
    keys: Keys
    ledger: Ledger
    budget: Budget

    @staticmethod
    def of(settings: Settings, decoder: Decoder, *, wait_s: float = SOON_S) -> Storage:
        """As `settings` say. Nothing is asked of the database yet, which may be away.

        wait_s  how long a writer waits for the one before; `PATIENT_S` where no caller waits for it
        """
        database = Database.of(settings, wait_s=wait_s)
        artifacts = Artifacts.of(settings, database)
        datasets = Datasets(database, artifacts, settings, decoder)
        jobs = Jobs(database, artifacts, datasets, settings, queue.Queue(database))
        perturbations = Perturbations(database, artifacts, settings)
        substitutes = Substitutes(database, artifacts, settings)
        names = Keyring(settings.keys).names
        keys = Keys(database, taken=names)
        ledger = Ledger(database, artifacts, settings, names=names)
        budget = Budget(database, ledger)
        return Storage(database, artifacts, datasets, jobs, perturbations, substitutes, keys, ledger, budget)

    async def do(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`function(*args, **kwargs)`, which uses one of the parts, in a thread: see `Database.do`. Raises StorageAway.

        The default threads of the event loop are others' too, and a database that is locked would hold them up.
        """
        return await self.database.do(function, *args, **kwargs)

    async def ready(self) -> Self:
        """Bring the database up to date, as soon as it is there.

        Raises ValueError for one that a newer version of this program has migrated: no waiting mends that.
        """
        while True:
            try:
                await self.do(self.database.migrate)
                await self.do(queue.migrate, self.database)
            except StorageAway as e:
                log.warning("%s", e)
                await asyncio.sleep(RETRY_S)
            except ValueError:
                raise
            except Exception:
                log.exception("the database cannot be brought up to date; there are no jobs until it is")
                raise
            else:
                return self

    def close(self) -> None:
        """Let go of the connections."""
        self.database.close()
