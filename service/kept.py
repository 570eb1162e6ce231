"""What jobs make for later: kept under an id until its time is over, each its owner's alone."""

from __future__ import annotations

import builtins
import re
import time
from collections.abc import Callable
from typing import Any, ClassVar

import sqlalchemy as sa

from rakinglight.errors import Expired, NotFound, shown
from service.artifacts import Artifacts
from service.database import Database
from service.database.pages import Page
from service.settings import Settings
from service.times import rfc3339


class Kept:
    """Those of one kind in `database`. Its calls may take as long as the database does: call them in a thread.

    One is its owner's alone, and another's is a 404 like one that never was; an `owner` of None is an admin, who sees
    those of all. All may raise StorageAway.

    clock  tells the time, in seconds since 1970

    Of a kind:
    noun        what one is called; with an s, what its table and its route are
    prefix      of its ids
    table       with the columns id, owner, job, artifact, bytes, created_at, expires_at, and those of `said`
    media_type  of the artifact
    member      under which a caller finds the artifact
    said        what a row says of how it came about, and a caller reads as it is
    """

    noun: ClassVar[str]
    prefix: ClassVar[str]
    table: ClassVar[sa.Table]
    media_type: ClassVar[str]
    member: ClassVar[str]
    said: ClassVar[tuple[str, ...]]

    def __init__(
        self, database: Database, artifacts: Artifacts, settings: Settings, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._database = database
        self._artifacts = artifacts
        self._settings = settings
        self._clock = clock

    def _id_of(self, job: str) -> str:
        """Of the one that `job` makes: the same, however often the job is taken up."""
        return f"{self.prefix}_{job.removeprefix('job_')}"

    def put(self, owner: str, content: bytes, *, job: str, **said: Any) -> str:
        """Keep the `content` that `job` has made; its id. Kept again, it is there once, and for longer.

        said  the members of `said` but the job
        """
        new, now = self._id_of(job), self._clock()
        expires_at = now + self._settings.dataset_s
        artifact = self._artifacts.put(
            content, media_type=self.media_type, holder=self._holder(new), owner=owner, expires_at=expires_at
        )
        latest = {"artifact": artifact, "bytes": len(content), "expires_at": expires_at}
        row = {"id": new, "owner": owner, "job": job, "created_at": now, **said, **latest}
        with self._database.transaction() as connection:
            self._database.upsert(connection, self.table, row, latest)
        return new

    def get(self, one: str, owner: str | None) -> dict[str, Any]:
        """The members of one. Raises NotFound, and Expired."""
        return self._members(self._row(one, owner))

    def content(self, one: str, owner: str | None) -> bytes:
        """One itself. Raises NotFound, and Expired."""
        return self._artifacts.read(self._row(one, owner).artifact)

    def list(self, owner: str | None, page: Page) -> dict[str, Any]:
        """{"<noun>s", "next_page_token"}: newest first. Raises BadParameter."""
        wanted = self._wanted(owner).where(self.table.c.expires_at > self._clock())
        with self._database.reading() as connection:
            rows, token = page.of(connection, wanted, self.table)
        return {f"{self.noun}s": [self._members(row) for row in rows], "next_page_token": token}

    def remove(self, one: str, owner: str | None) -> None:
        """Forget one. Raises NotFound, and Expired."""
        self._row(one, owner)
        with self._database.transaction() as connection:
            self._forget(connection, self.table.c.id == one)

    def sweep(self, now: float) -> int:
        """Forget those whose time has been over for as long as jobs are kept; how many. Until then who asks is told."""
        with self._database.transaction() as connection:
            return len(self._forget(connection, self.table.c.expires_at <= now - self._settings.retention_s))

    def _forget(self, connection: sa.Connection, which: sa.ColumnElement[bool]) -> builtins.list[str]:
        gone = [*connection.scalars(sa.delete(self.table).where(which).returning(self.table.c.id))]
        for one in gone:
            self._artifacts.release(connection, self._holder(one))
        return gone

    def _wanted(self, owner: str | None) -> sa.Select[Any]:
        wanted = sa.select(self.table)
        return wanted if owner is None else wanted.where(self.table.c.owner == owner)

    def _row(self, one: str, owner: str | None) -> sa.Row[Any]:
        row = None
        if re.fullmatch(rf"{self.prefix}_[\w-]{{20}}", one, re.ASCII):  # another may have what no database takes
            with self._database.reading() as connection:
                row = connection.execute(self._wanted(owner).where(self.table.c.id == one)).one_or_none()
        if row is None:
            raise NotFound(f"There is no {self.noun} {shown(one)} of yours. `GET /api/v1/{self.noun}s` lists yours.")
        if row.expires_at <= self._clock():
            raise Expired(f"{one} expired {rfc3339(row.expires_at)}; make it anew.")
        return row

    def _holder(self, one: str) -> str:
        return f"{self.noun}:{one}"

    def _members(self, row: sa.Row[Any]) -> dict[str, Any]:
        """One as its caller reads it."""
        return {
            "id": row.id,
            **{name: getattr(row, name) for name in self.said},
            self.member: {"href": f"/api/v1/artifacts/{row.artifact}", "sha256": row.artifact, "bytes": row.bytes},
            "created_at": rfc3339(row.created_at),
            "expires_at": rfc3339(row.expires_at),
        }
