"""Jobs as callers see them: submitted, looked at, followed, cancelled, removed.

What a caller may not see is not there: every call names its owner, and another's job is a 404 like one that never was.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from rakinglight import catalogue, reply
from rakinglight.errors import BadParameter, Conflict, Expired, JobCancelled, NotFound, Overloaded, shown
from rakinglight.results import OVER, State
from service.artifacts import Artifacts
from service.ask import Ask
from service.database import Database
from service.database.pages import Page
from service.database.schema import holds, job_events, job_results, job_runs, jobs, workers
from service.datasets import Datasets
from service.jobs import Holders, request
from service.jobs.queue import Queue
from service.settings import Settings
from service.times import rfc3339

#: Seconds after which it is worth submitting again where too many jobs wait.
RETRY_S = 30.0
#: The problem of a job that was cancelled and has nothing to show.
CANCELLED = JobCancelled("The job was cancelled before there was anything to show.").problem()
#: Seconds between two looks for news of a job that is followed.
LOOK_S = 0.2
REQUEST_TYPE = "application/x-rakinglight-frame"
_ID, _ID_LENGTH = re.compile(r"job_[\w-]{20}", re.ASCII), 24


@dataclass(frozen=True)
class Event:
    """Something that happened to a job. Events of a job are numbered from 1, without a gap.

    kind  `progress`, or as the last one `result` or `problem`; what came of it, the job itself has
    """

    number: int
    kind: str
    data: Mapping[str, Any]

    @property
    def last(self) -> bool:
        return self.kind != "progress"


class Jobs:
    """The jobs in `database`. Its calls may take as long as the database does: call them in a thread.

    An `owner` of None is an admin, who sees those of all.
    """

    def __init__(
        self, database: Database, artifacts: Artifacts, datasets: Datasets, settings: Settings, queue: Queue
    ) -> None:
        self._database = database
        self._artifacts = artifacts
        self._datasets = datasets
        self._settings = settings
        self._queue = queue

    # ── submitting ──────────────────────────────────────────────────────────────────────────────────────────────────

    def submit(
        self,
        ask: Ask,
        *,
        owner: str,
        model: Mapping[str, Any],
        method: str | None,
        images: int,
        dataset: str | None = None,
        idempotency_key: str | None = None,
    ) -> dict[str, Any]:
        """Have `ask`, which was found good, done. Returns the job, or the one that the same key had submitted before.

        model    name, version and sha256 of the model that was checked against
        method   by which, as metrics and lists tell
        images   how many it is about
        dataset  the id of one that must not go before the job has ended
        Raises Conflict where the key came with another request, Overloaded, and StorageAway.
        """
        if idempotency_key and (earlier := self.earlier(ask, owner, idempotency_key)):
            return earlier
        digest = request.digest(ask)
        sees = None if ask.sees_all else owner
        job = f"job_{secrets.token_urlsafe(15)}"
        holder, now = Holders.of(job).request, time.time()
        kept = self._artifacts.put(
            request.to_bytes(ask),
            media_type=REQUEST_TYPE,
            holder=holder,
            owner=owner,
            shown=False,
            expires_at=now + self._settings.href_s,  # where the row is never written, nobody needs it
        )
        try:
            with self._database.transaction() as connection:
                self._check_room(connection, owner)
                connection.execute(
                    sa.insert(jobs).values(
                        id=job,
                        owner=owner,
                        state="queued",
                        operation=ask.operation,
                        model=dict(model),
                        method=method,
                        asked=request.asked(ask),
                        purpose=ask.purpose,
                        request_id=ask.request_id,
                        request=kept,
                        digest=digest,
                        idempotency_key=idempotency_key,
                        images=images,
                        created_at=now,
                    )
                )
                self._artifacts.expire(connection, holder, None)
                if dataset is not None:
                    file = self._datasets.hold(connection, dataset, sees, holder)
                    connection.execute(sa.update(jobs).where(jobs.c.id == job).values(dataset=file))
                self._queue.enqueue(connection, job)
        except sa.exc.IntegrityError:
            # The same key, a moment earlier.
            if idempotency_key and (earlier := self.earlier(ask, owner, idempotency_key)):
                return earlier
            raise
        return self.get(job, owner)

    def earlier(self, ask: Ask, owner: str, key: str) -> dict[str, Any] | None:
        """The job that `owner` submitted under `key`. Raises Conflict where that did not ask for the same as `ask`."""
        with self._database.reading() as connection:
            wanted = sa.select(jobs.c.id, jobs.c.digest).where(jobs.c.owner == owner, jobs.c.idempotency_key == key)
            found = connection.execute(wanted).one_or_none()
        if found is None:
            return None
        if found.digest != request.digest(ask):
            raise Conflict(
                f"The Idempotency-Key {key[:80]!r} came with another request before, which is {found.id}; a new "
                "request needs a new key."
            )
        return self.get(found.id, owner)

    def _check_room(self, connection: sa.Connection, owner: str) -> None:
        waiting = sa.select(sa.func.count()).where(jobs.c.owner == owner, jobs.c.state.not_in(OVER))
        count, limit = connection.execute(waiting).scalar_one(), self._settings.queued_jobs
        if count >= limit:
            raise Overloaded(
                f"{count} jobs of yours wait or run, and {limit} may; wait for some, or cancel them.",
                retry_after_s=RETRY_S,
            )

    # ── looking ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def get(self, job: str, owner: str | None) -> dict[str, Any]:
        """All there is to know of `job` but its results, which `results` has. Raises NotFound, and Expired."""
        with self._database.reading() as connection:
            return _members(_row(connection, job, owner))

    def results(self, job: str, owner: str | None) -> dict[str, Any] | None:
        """The reply of `job`, as a synchronous one would be; arrays and pictures are raw. None while there is nothing.

        Of a job that did not come to its end, images without an answer are None.
        """
        with self._database.reading() as connection:
            row = _row(connection, job, owner)
            if row.state not in OVER or row.reply is None:
                return None
            wanted = sa.select(job_results.c.image, job_results.c.entry).where(job_results.c.job == job)
            entries = {found.image: found.entry for found in connection.execute(wanted)}
        if not entries:
            return None
        read = [
            reply.from_npz(self._artifacts.read(entries[image]))["results"][0] if image in entries else None
            for image in range(row.images)
        ]
        members = dict(row.reply)
        asked = catalogue.operation(row.operation), read, members["parameters"], members.pop("include", None)
        results, summary = reply.summarized(*asked)
        return {**members, "results": results, **({"summary": summary} if summary else {})}

    def events(self, job: str, owner: str | None, after: int, limit: int = 500) -> Sequence[Event]:
        """What happened after event `after`, 0 for all. Raises NotFound, Expired, and BadParameter."""
        with self._database.reading() as connection:
            row = _row(connection, job, owner)
            if after > row.last_event:
                raise BadParameter.at(
                    "/Last-Event-ID",
                    f"The last event that was seen is said to be {after}, and {job} has had {row.last_event}; give the "
                    "id of one that came, or none for all.",
                )
            wanted = (
                sa.select(job_events)
                .where(job_events.c.job == job, job_events.c.number > after)
                .order_by(job_events.c.number)
                .limit(limit)
            )
            return [Event(row.number, row.kind, row.data) for row in connection.execute(wanted)]

    def list(self, owner: str | None, page: Page, state: State | None = None) -> dict[str, Any]:
        """A page of the jobs, newest first."""
        wanted = sa.select(jobs).where(jobs.c.expired.is_(False))
        wanted = wanted if owner is None else wanted.where(jobs.c.owner == owner)
        wanted = wanted if state is None else wanted.where(jobs.c.state == state)
        with self._database.reading() as connection:
            rows, token = page.of(connection, wanted, jobs)
        return {"jobs": [_members(row) for row in rows], "next_page_token": token}

    def counts(self) -> dict[str, int]:
        """How many jobs there are of each state, for monitoring."""
        with self._database.reading() as connection:
            wanted = (
                sa.select(jobs.c.state, sa.func.count().label("how_many"))
                .where(jobs.c.expired.is_(False))
                .group_by(jobs.c.state)
            )
            return {row.state: row.how_many for row in connection.execute(wanted)}

    def workers(self) -> int:
        """How many workers gave a sign of life lately, for monitoring."""
        with self._database.reading() as connection:
            lately = workers.c.seen_at > time.time() - self._settings.takeover_s
            return int(connection.execute(sa.select(sa.func.count()).where(lately)).scalar_one())

    # ── ending ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def cancel(self, job: str, owner: str | None) -> dict[str, Any]:
        """Ask whoever does `job` to stop; one that nobody has begun is over at once. What is over stays as it is."""
        with self._database.transaction() as connection:
            row = _row(connection, job, owner, for_update=True)
            if row.state == "queued" and row.attempt == 0:
                problem = {**CANCELLED, "request_id": row.request_id}
                end(connection, job, "cancelled", self._settings.retention_s, problem=problem)
                self._artifacts.release(connection, Holders.of(job).request)
            elif row.state not in OVER:
                connection.execute(sa.update(jobs).where(jobs.c.id == job).values(cancel_requested=True))
        return self.get(job, owner)

    def remove(self, job: str, owner: str | None) -> None:
        """Forget `job` and let its artifacts go. Raises Conflict while it is under way."""
        with self._database.reading() as connection:
            row = _row(connection, job, owner, expired=True)
        if row.state not in OVER:
            raise Conflict(f"{job} is {row.state}; cancel it first, and remove it when it is over.")
        self._queue.forget([job])  # before the row goes: who fails here tries again
        with self._database.transaction() as connection:
            self._release(connection, job)
            connection.execute(sa.delete(jobs).where(jobs.c.id == job))

    def expire(self, now: float) -> int:
        """Let go of what jobs have found whose time is over; of each, a word remains for as long again. How many."""
        with self._database.reading() as connection:
            due = connection.scalars(
                sa.select(jobs.c.id).where(jobs.c.expires_at <= now, jobs.c.expired.is_(False)).limit(1000)
            ).all()
        if due:
            self._queue.forget(due)
        with self._database.transaction() as connection:
            for job in due:
                self._release(connection, job)
                for table in (job_runs, job_results, job_events):
                    connection.execute(sa.delete(table).where(table.c.job == job))
                connection.execute(sa.update(jobs).where(jobs.c.id == job).values(expired=True, reply=None))
            gone = now - self._settings.retention_s
            connection.execute(sa.delete(jobs).where(jobs.c.expired.is_(True), jobs.c.expires_at <= gone))
            self._release_left_behind(connection)
        return len(due)

    def _release_left_behind(self, connection: sa.Connection) -> None:
        """Let go of what a worker put that did not know yet that its job was over: such holds would last for ever."""
        job = sa.func.substr(holds.c.holder, len("job:") + 1, _ID_LENGTH)
        left_behind = (
            sa.select(holds.c.holder, jobs.c.id, jobs.c.expires_at)
            .distinct()
            .select_from(holds.outerjoin(jobs, jobs.c.id == job))
            .where(holds.c.holder.startswith("job:"), holds.c.expires_at.is_(None))
            .where(jobs.c.id.is_(None) | jobs.c.state.in_(OVER))
        )
        for row in connection.execute(left_behind).all():
            if row.id is None:
                self._artifacts.release(connection, row.holder)
            else:
                self._artifacts.expire(connection, row.holder, row.expires_at)

    def _release(self, connection: sa.Connection, job: str) -> None:
        for holder in Holders.of(job):
            self._artifacts.release(connection, holder)


def end(
    connection: sa.Connection,
    job: str,
    state: State,
    retention_s: float,
    *,
    problem: Mapping[str, Any] | None = None,
    reply: Mapping[str, Any] | None = None,
) -> None:
    """Write down that `job` is over, in the transaction of `connection`, and as its last event."""
    now = time.time()
    connection.execute(
        sa.update(jobs)
        .where(jobs.c.id == job)
        .values(
            state=state, problem=problem, reply=reply, note=None, ended_at=now, expires_at=now + retention_s,
        )
    )  # fmt: skip
    add_event(connection, job, "problem" if problem else "result", problem or {})


def add_event(connection: sa.Connection, job: str, kind: str, data: Mapping[str, Any]) -> None:
    """Write down what happened, under the next number."""
    number = connection.execute(
        sa.update(jobs).where(jobs.c.id == job).values(last_event=jobs.c.last_event + 1).returning(jobs.c.last_event)
    ).scalar_one()
    connection.execute(sa.insert(job_events).values(job=job, number=number, kind=kind, data=dict(data), at=time.time()))


def _row(
    connection: sa.Connection, job: str, owner: str | None, *, for_update: bool = False, expired: bool = False
) -> sa.Row[Any]:
    """The row of `job`, if `owner` may see it."""
    wanted = sa.select(jobs).where(jobs.c.id == job)
    wanted = wanted if owner is None else wanted.where(jobs.c.owner == owner)
    row = None
    if _ID.fullmatch(job):  # another may have characters that no database takes
        row = connection.execute(wanted.with_for_update() if for_update else wanted).one_or_none()
    if row is None:
        raise NotFound(f"There is no job {shown(job)}. `GET /api/v1/jobs` lists yours.")
    if row.expired and not expired:
        raise Expired(f"{job} ended {rfc3339(row.ended_at)} and expired {rfc3339(row.expires_at)}; submit it anew.")
    return row


def _members(row: sa.Row[Any]) -> dict[str, Any]:
    """A job as its caller reads it."""
    return {
        "id": row.id,
        "state": row.state,
        "operation": row.operation,
        "model": row.model,
        "method": row.method,
        "images": row.images,
        "asked": row.asked,
        "purpose": row.purpose,
        "request_id": row.request_id,
        "attempts": row.attempt,
        "cancel_requested": row.cancel_requested,
        "progress": row.progress,
        "note": row.note,
        "problem": row.problem,
        "created_at": rfc3339(row.created_at),
        "started_at": rfc3339(row.started_at),
        "ended_at": rfc3339(row.ended_at),
        "expires_at": rfc3339(row.expires_at),
    }


def whole(job: Mapping[str, Any], results: Mapping[str, Any] | None) -> dict[str, Any]:
    """A job with what came of it: `result`, or `partial_result` where it did not come to its end."""
    if results is None:
        return dict(job)
    return {**job, ("result" if job["state"] == "succeeded" else "partial_result"): results}
