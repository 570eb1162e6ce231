"""Who does which job, and who does it instead when that one dies: DBOS (https://docs.dbos.dev), behind five verbs.

    Queue.enqueue ──> a row in the caller's own transaction ──> WorkQueue: one worker gets it, `do(id)` is called
    WorkQueue.recover(dead workers): what they had is enqueued again; a worker that starts recovers what had its name
    WorkQueue.recover_lost: the same for what this worker took and did not get

A job is one DBOS workflow of the same id. What DBOS knows of it is that it is to be done; what it asked for, how far it
is and what came of it is ours (`records`, `attempt`), because it is large, is shown to callers, and outlives the work.

Of DBOS's private parts this takes `_sys_db`: its `get_pending_workflows` and `reenqueue_for_recovery`, since what DBOS
offers in public recovers the own name at a start and no other's, and its `_retry_connection_errors`. They may change
with any release, so pyproject.toml takes one minor version; the tests of this module say whether the next will do.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from service.database import Database

if TYPE_CHECKING:  # it takes a third of a second to import, and the gateway needs it first for a job
    from dbos import DBOSClient, DBOSConfig

#: DBOS does not recover what another version has begun. What a job needs is in its own rows, which migrations carry
#: over, so all releases are one version to it.
VERSION = "1"
APPLICATION, QUEUE, WORKFLOW = "rakinglight", "jobs", "do"
#: Seconds between two looks for work.
LOOK_S = 0.25


def migrate(database: Database) -> None:
    """Make DBOS's own tables, or bring them up to date."""
    from dbos import DBOS

    _quieten()
    with database.guarded():
        DBOS.migrate(database.engine.url.render_as_string(hide_password=False))


class Queue:
    """For those who submit jobs, and for whoever opens it to them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @cached_property
    def _client(self) -> DBOSClient:
        from dbos import DBOSClient

        _quieten()
        return DBOSClient(
            system_database_engine=self._database.engine,
            application_name=APPLICATION,
            lazy=True,
            retry_connection_errors=False,
        )

    def enqueue(self, connection: sa.Connection, job: str) -> None:
        """Have `job` done, once the transaction of `connection` is committed."""
        self._client.enqueue_in_transaction(
            connection,
            {"workflow_name": WORKFLOW, "queue_name": QUEUE, "workflow_id": job, "app_version": VERSION},
            job,
        )

    def open(self, concurrency: int) -> None:
        """Have it, where each worker is given so many jobs at once. Raises StorageAway."""
        with self._database.guarded():
            self._client.register_queue(
                QUEUE, worker_concurrency=concurrency, polling_interval_sec=LOOK_S, on_conflict="always_update"
            )

    def forget(self, jobs: Sequence[str]) -> None:
        """Take `jobs` off the queue, and drop what is known of them."""
        with self._database.guarded():
            self._client.delete_workflows(list(jobs))


class WorkQueue:
    """For a worker. There can be one in a process, since DBOS is one for a process.

    worker       its name: what had the same name before is taken up again
    concurrency  jobs that it is given at once
    do           does a job, given its id, in a thread of its own; where it returns or raises, the job is done with
    """

    def __init__(self, database: Database, *, worker: str, concurrency: int, do: Callable[[str], None]) -> None:
        from dbos import DBOS

        config: DBOSConfig = {
            "name": APPLICATION,
            "system_database_url": database.engine.url.render_as_string(hide_password=False),
            "system_database_engine": database.engine,
            "application_version": VERSION,
            "executor_id": worker,
            "use_listen_notify": False,
            "notification_listener_polling_interval_sec": LOOK_S,  # for nothing, but DBOS ends no sooner
            "run_migrations": False,
            "log_level": "WARNING",
        }
        self._database = database
        self._worker = worker
        self._given: list[str] = []
        self._missing: set[str] = set()

        def given(job: str) -> None:
            self._given.append(job)
            try:
                do(job)
            finally:
                self._given.remove(job)

        # Before the launch, or the queue would be noticed a second after it, which is when DBOS looks for new ones.
        Queue(database).open(concurrency)
        dbos = DBOS(config=config)
        _quieten()
        DBOS.workflow(name=WORKFLOW, max_recovery_attempts=None)(given)
        DBOS.launch()
        self._tables: Any = dbos._sys_db
        # It would sleep for up to a minute and a half after the database is back. What fails instead is found lost.
        self._tables._retry_connection_errors = False

    def recover(self, workers: Iterable[str]) -> None:
        """Enqueue again what `workers`, who are dead, had taken. It may be said twice. Raises StorageAway."""
        for worker in workers:
            self._enqueue_again(self._taken_by(worker), worker)

    def recover_lost(self) -> None:
        """Enqueue again what this worker took and did not get, because the database went away in between.

        What is missing is lost when it is still missing at the next call. Raises StorageAway.
        """
        missing = self._taken_by(self._worker) - set(self._given)
        self._enqueue_again(missing & self._missing, self._worker)
        self._missing = missing

    def _taken_by(self, worker: str) -> set[str]:
        with self._database.guarded():
            return {found.workflow_id for found in self._tables.get_pending_workflows(worker, VERSION)}

    def _enqueue_again(self, jobs: Iterable[str], worker: str) -> None:
        with self._database.guarded():
            for job in jobs:
                self._tables.reenqueue_for_recovery(job, [worker], QUEUE)


def _quieten() -> None:
    """DBOS tells of itself at every start, and in a form of its own; what goes wrong is still told, in ours."""
    logger = logging.getLogger("dbos")
    logger.setLevel(logging.WARNING)
    logger.handlers.clear()
