"""Substitutes: made by jobs of `substitute`, kept under an id as archives that the zoo can serve."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from rakinglight.errors import Expired, NotFound, shown
from service.artifacts import Artifacts
from service.database import Database
from service.database.pages import Page
from service.database.schema import substitutes
from service.settings import Settings
from service.times import rfc3339

_ID = re.compile(r"subs_[\w-]{20}", re.ASCII)
#: What a row says of how it came about, and a caller reads as it is.
_SAID = ("model", "architecture", "queries", "agreement", "job")


def id_of(job: str) -> str:
    """Of the substitute that `job` makes: the same, however often the job is taken up."""
    return f"subs_{job.removeprefix('job_')}"


class Substitutes:
    """Those in `database`. Its calls may take as long as the database does: call them in a thread.

    One is its owner's alone, and another's is a 404 like one that never was; an `owner` of None is an admin, who sees
    those of all. All may raise StorageAway.

    clock  tells the time, in seconds since 1970
    """

    def __init__(
        self, database: Database, artifacts: Artifacts, settings: Settings, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._database = database
        self._artifacts = artifacts
        self._settings = settings
        self._clock = clock

    def keep(self, owner: str, archive: bytes, *, job: str, **said: Any) -> str:
        """Keep the `archive` that `job` has made; its id. Kept again, it is there once, and for longer.

        said  model {"name", "version", "sha256"} that was asked, architecture, queries, and the agreement with it
        """
        new, now = id_of(job), self._clock()
        expires_at = now + self._settings.dataset_s
        artifact = self._artifacts.put(
            archive, media_type="application/zip", holder=_holder(new), owner=owner, expires_at=expires_at
        )
        latest = {"artifact": artifact, "bytes": len(archive), "expires_at": expires_at}
        row = {"id": new, "owner": owner, "job": job, "created_at": now, **said, **latest}
        with self._database.transaction() as connection:
            self._database.upsert(connection, substitutes, row, latest)
        return new

    def get(self, substitute: str, owner: str | None) -> dict[str, Any]:
        """The members of one. Raises NotFound, and Expired."""
        return _members(self._row(substitute, owner))

    def list(self, owner: str | None, page: Page) -> dict[str, Any]:
        """{"substitutes", "next_page_token"}: newest first. Raises BadParameter."""
        wanted = sa.select(substitutes).where(substitutes.c.expires_at > self._clock())
        wanted = wanted if owner is None else wanted.where(substitutes.c.owner == owner)
        with self._database.reading() as connection:
            rows, token = page.of(connection, wanted, substitutes)
        return {"substitutes": [_members(row) for row in rows], "next_page_token": token}

    def remove(self, substitute: str, owner: str | None) -> None:
        """Forget one. Raises NotFound, and Expired."""
        self._row(substitute, owner)
        with self._database.transaction() as connection:
            connection.execute(sa.delete(substitutes).where(substitutes.c.id == substitute))
            self._artifacts.release(connection, _holder(substitute))

    def sweep(self, now: float) -> int:
        """Forget those whose time has been over for as long as jobs are kept; how many. Until then who asks is told."""
        over = substitutes.c.expires_at <= now - self._settings.retention_s
        with self._database.transaction() as connection:
            gone = connection.scalars(sa.delete(substitutes).where(over).returning(substitutes.c.id)).all()
            for substitute in gone:
                self._artifacts.release(connection, _holder(substitute))
        return len(gone)

    def _row(self, substitute: str, owner: str | None) -> sa.Row[Any]:
        wanted = sa.select(substitutes).where(substitutes.c.id == substitute)
        wanted = wanted if owner is None else wanted.where(substitutes.c.owner == owner)
        row = None
        if _ID.fullmatch(substitute):  # another may have characters that no database takes
            with self._database.reading() as connection:
                row = connection.execute(wanted).one_or_none()
        if row is None:
            raise NotFound(
                f"There is no substitute {shown(substitute)} of yours. `GET /api/v1/substitutes` lists yours."
            )
        if row.expires_at <= self._clock():
            raise Expired(f"{substitute} expired {rfc3339(row.expires_at)}; make it anew.")
        return row


def _holder(substitute: str) -> str:
    return f"substitute:{substitute}"


def _members(row: sa.Row[Any]) -> dict[str, Any]:
    """A substitute as its caller reads it."""
    return {
        "id": row.id,
        **{name: getattr(row, name) for name in _SAID},
        "archive": {"href": f"/api/v1/artifacts/{row.artifact}", "sha256": row.artifact, "bytes": row.bytes},
        "created_at": rfc3339(row.created_at),
        "expires_at": rfc3339(row.expires_at),
    }
