"""One worker's go at a job: what it saves on the way, and the certainty that nobody else writes meanwhile.

A job may be taken from a worker that only seemed dead. So every write names the attempt that it belongs to; once the
job has begun another, those of the old one find nothing to write to and raise Superseded. Content goes to the store of
artifacts first, under its hash, and then one transaction refers to it: a write that is cut off, or made twice, leaves
nothing half.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from rakinglight import reply
from rakinglight.results import OVER, State
from rakinglight.wire import Frame
from service.artifacts import Artifacts
from service.ask import Ask
from service.database import Database
from service.database.schema import job_results, job_runs, jobs
from service.jobs import Holders, request
from service.jobs.records import REQUEST_TYPE, add_event, end

STATE_TYPE, ENTRY_TYPE = REQUEST_TYPE, "application/x-npz"
#: Times that a job may be taken up in a row without a new saved state; then it is what ends its workers.
STALLED_LIMIT = 20
#: Members of a reply that are known when all is over; its results are kept image by image.
CHANGING = frozenset({"results", "summary", "cost", "answered_by", "elapsed_ms"})


class Superseded(Exception):
    """The job is another worker's by now, or is gone: nothing more is to be done here."""


class Attempt:
    """The job that `begin` took up.

    dataset          the artifact of the dataset that it is about
    stalled          attempts in a row, this one included, since it last got any further
    seconds          that earlier attempts have worked on it
    cancel_requested whether its caller had wanted it to stop by then
    done             by image, of those that have their entry: {"cost", "answered_by"} of its runs together
    """

    def __init__(
        self,
        database: Database,
        artifacts: Artifacts,
        row: sa.Row[Any],
        *,
        saved: Mapping[int, str],
        done: Mapping[int, Mapping[str, Any]],
        retention_s: float,
    ) -> None:
        self._database = database
        self._artifacts = artifacts
        self._retention_s = retention_s
        self.job: str = row.id
        self.owner: str = row.owner
        self.number: int = row.attempt
        self.stalled: int = row.stalled
        self.model: Mapping[str, str] = row.model
        self.request_id: str = row.request_id
        self.seconds: float = row.seconds
        self.dataset: str | None = row.dataset
        self.cancel_requested: bool = row.cancel_requested
        self.done = dict(done)
        self._request: str = row.request
        self._reply: Mapping[str, Any] | None = row.reply
        self._saved = dict(saved)
        self._untold: Mapping[str, Any] | None = None
        self._over: set[int] = set()
        self._holders = Holders.of(self.job)
        # What is put is not referred to until its transaction; another of this attempt's would let go of it meanwhile.
        self._writing = threading.Lock()

    def __repr__(self) -> str:
        return f"<Attempt {self.number} of {self.job}: {len(self.done)} images done>"

    @staticmethod
    def begin(database: Database, artifacts: Artifacts, job: str, *, worker: str, retention_s: float) -> Attempt | None:
        """Take `job` up. None where it is over, or gone. Raises StorageAway."""
        with database.transaction() as connection:
            row = connection.execute(
                sa.update(jobs)
                .where(jobs.c.id == job, jobs.c.state.not_in(OVER))
                .values(
                    state="running",
                    attempt=jobs.c.attempt + 1,
                    stalled=jobs.c.stalled + 1,
                    worker=worker,
                    started_at=sa.func.coalesce(jobs.c.started_at, time.time()),
                )
                .returning(jobs)
            ).one_or_none()
            if row is None:
                return None
            runs = connection.execute(sa.select(job_runs).where(job_runs.c.job == job)).all()
            results = connection.execute(sa.select(job_results).where(job_results.c.job == job)).all()
        saved = {found.number: found.saved for found in runs}
        done = {found.image: {"cost": found.cost, "answered_by": found.answered_by} for found in results}
        return Attempt(database, artifacts, row, saved=saved, done=done, retention_s=retention_s)

    def ask(self) -> Ask:
        """What is asked. Raises StorageAway."""
        return request.from_bytes(self._artifacts.read(self._request))

    def newest(self, run: int) -> Frame | None:
        """The newest frame of `run` that an earlier attempt kept: `progress` with a state, or `result`."""
        return Frame.read(self._artifacts.read(self._saved[run])) if run in self._saved else None

    def wanted(self) -> bool:
        """Whether its caller still wants it. Raises Superseded."""
        with self._database.reading() as connection:
            cancelled = connection.execute(sa.select(jobs.c.cancel_requested).where(*self._mine)).scalar_one_or_none()
        if cancelled is None:
            raise Superseded
        return not cancelled

    def save(
        self,
        runs: Mapping[int, Frame],
        seconds: float,
        progress: Mapping[str, Any] | None,
        note: str | None,
        event: bool = True,
    ) -> None:
        """Keep the newest frames of `runs`, and tell of `progress` and of what is waited for.

        seconds  that all attempts have worked on it
        event    whether `progress` is an event, too; the last is one in any case
        """
        with self._writing:
            runs = {number: frame for number, frame in runs.items() if number not in self._over}
            kept = {number: self._put_state(frame) for number, frame in runs.items()}
            news: dict[str, Any] = {"seconds": seconds, "note": note}
            news |= {"stalled": 0} if runs else {}
            news |= {"progress": dict(progress)} if progress else {}
            with self._database.transaction() as connection:
                self._write(connection, **news)
                for number, sha256 in kept.items():
                    done = runs[number].kind == "result"
                    run = {"job": self.job, "number": number, "saved": sha256, "done": done}
                    self._database.upsert(connection, job_runs, run)
                if progress and event:
                    add_event(connection, self.job, "progress", progress)
                if kept:
                    self._let_go_of_states(connection)
            if progress:
                self._untold = None if event else progress

    def put_entry(
        self,
        image: int,
        entry: Mapping[str, Any],
        done: Mapping[str, Any],
        runs: Sequence[int],
        around: Mapping[str, Any],
    ) -> None:
        """Keep what was found in `image`; the states of its `runs` are not needed any more.

        done    {"cost", "answered_by"} of its runs together
        around  the reply's members, of which those that no image changes are kept with the first: an attempt that
                cannot even read what was asked still shows what others had found
        """
        with self._writing:
            sha256 = self.spill(reply.to_npz([entry]), ENTRY_TYPE)
            kept_reply = self._reply or {name: value for name, value in around.items() if name not in CHANGING}
            with self._database.transaction() as connection:
                self._write(connection, stalled=0, reply=kept_reply)
                self._database.upsert(
                    connection, job_results, {"job": self.job, "image": image, "entry": sha256, **done}
                )
                connection.execute(
                    sa.delete(job_runs).where(job_runs.c.job == self.job, job_runs.c.number.in_(list(runs)))
                )
                self._let_go_of_states(connection)
            self._reply = kept_reply
            self._over.update(runs)
            self.done[image] = done

    def spill(self, content: bytes, media_type: str) -> str:
        """Keep a part of a result that is too large to stand in it. Returns its SHA-256."""
        return self._artifacts.put(
            content, media_type=media_type, holder=self._holders.results, owner=self.owner, shown=True
        )

    def finish(
        self, state: State, *, problem: Mapping[str, Any] | None = None, spent: Mapping[str, Any] | None = None
    ) -> None:
        """Be over. `spent` are the members of the reply that tell what all images took; None where none is done."""
        with self._writing, self._database.transaction() as connection:
            self._write(connection)
            if self._untold:
                add_event(connection, self.job, "progress", self._untold)
            whole = {**self._reply, **spent} if self._reply and spent else None
            end(connection, self.job, state, self._retention_s, problem=problem, reply=whole)
            connection.execute(sa.delete(job_runs).where(job_runs.c.job == self.job))
            for holder in (self._holders.request, self._holders.states):
                self._artifacts.release(connection, holder)
            self._artifacts.expire(connection, self._holders.results, time.time() + self._retention_s)

    def interrupt(self) -> None:
        """Say that nobody works on it for now: in good order, which is not counted against it."""
        with self._writing, self._database.transaction() as connection:
            counted = sa.case((jobs.c.stalled > 0, jobs.c.stalled - 1), else_=0)  # 0 where it just got further
            self._write(connection, state="interrupted", stalled=counted)

    # ── the parts ───────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def _mine(self) -> tuple[sa.ColumnElement[bool], ...]:
        return jobs.c.id == self.job, jobs.c.attempt == self.number, jobs.c.state == "running"

    def _put_state(self, frame: Frame) -> str:
        # Where the transaction that refers to it never comes, it goes with the next that lets go of states.
        return self._artifacts.put(
            bytes(frame), media_type=STATE_TYPE, holder=self._holders.states, owner=self.owner, shown=False
        )

    def _write(self, connection: sa.Connection, **values: Any) -> None:
        """Set columns of the job, in its own attempt alone."""
        written = sa.update(jobs).where(*self._mine).values({"attempt": self.number, **values})
        if connection.execute(written).rowcount != 1:
            raise Superseded

    def _let_go_of_states(self, connection: sa.Connection) -> None:
        """Release those from which no run goes on any more."""
        needed = sa.select(job_runs.c.saved).where(job_runs.c.job == self.job)
        self._artifacts.release(connection, self._holders.states, but=needed)
