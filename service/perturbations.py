"""Universal perturbations: made by jobs of `universal`, kept under an id, and by that applied in `attack`."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import sqlalchemy as sa

from rakinglight.errors import Expired, NotFound, shown
from service.artifacts import Artifacts
from service.database import Database
from service.database.pages import Page
from service.database.schema import perturbations
from service.settings import Settings
from service.times import rfc3339

Array = np.ndarray[Any, Any]

_ID = re.compile(r"pert_[\w-]{20}", re.ASCII)
#: What a row says of how it came about, and a caller reads as it is.
_SAID = ("model", "method", "norm", "epsilon", "shape", "given", "held_out", "job")


def id_of(job: str) -> str:
    """Of the perturbation that `job` makes: the same, however often the job is taken up."""
    return f"pert_{job.removeprefix('job_')}"


class Perturbations:
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

    def keep(self, owner: str, v: Array, *, job: str, **said: Any) -> str:
        """Keep v, float32 [C, h, w], that `job` has made; its id. Kept again, it is there once, and for longer.

        said  model {"name", "version", "sha256"}, method, norm, epsilon, and the shares of images that it fools
        """
        new, now, file = id_of(job), self._clock(), io.BytesIO()
        expires_at = now + self._settings.dataset_s
        np.save(file, v, allow_pickle=False)
        artifact = self._artifacts.put(
            file.getvalue(), media_type="application/x-npy", holder=_holder(new), owner=owner, expires_at=expires_at
        )
        latest = {"artifact": artifact, "bytes": len(file.getvalue()), "expires_at": expires_at}
        row = {"id": new, "owner": owner, "shape": list(v.shape), "job": job, "created_at": now, **said, **latest}
        with self._database.transaction() as connection:
            self._database.upsert(connection, perturbations, row, latest)
        return new

    def get(self, perturbation: str, owner: str | None) -> dict[str, Any]:
        """The members of one. Raises NotFound, and Expired."""
        return _members(self._row(perturbation, owner))

    def read(self, perturbation: str, owner: str | None) -> Array:
        """One itself, float32 [C, h, w]. Raises NotFound, and Expired."""
        content = self._artifacts.read(self._row(perturbation, owner).artifact)
        return np.asarray(np.load(io.BytesIO(content), allow_pickle=False))

    def list(self, owner: str | None, page: Page) -> dict[str, Any]:
        """{"perturbations", "next_page_token"}: newest first. Raises BadParameter."""
        wanted = sa.select(perturbations).where(perturbations.c.expires_at > self._clock())
        wanted = wanted if owner is None else wanted.where(perturbations.c.owner == owner)
        with self._database.reading() as connection:
            rows, token = page.of(connection, wanted, perturbations)
        return {"perturbations": [_members(row) for row in rows], "next_page_token": token}

    def remove(self, perturbation: str, owner: str | None) -> None:
        """Forget one. Raises NotFound, and Expired."""
        self._row(perturbation, owner)
        with self._database.transaction() as connection:
            connection.execute(sa.delete(perturbations).where(perturbations.c.id == perturbation))
            self._artifacts.release(connection, _holder(perturbation))

    def sweep(self, now: float) -> int:
        """Forget those whose time has been over for as long as jobs are kept; how many. Until then who asks is told."""
        over = perturbations.c.expires_at <= now - self._settings.retention_s
        with self._database.transaction() as connection:
            gone = connection.scalars(sa.delete(perturbations).where(over).returning(perturbations.c.id)).all()
            for perturbation in gone:
                self._artifacts.release(connection, _holder(perturbation))
        return len(gone)

    def _row(self, perturbation: str, owner: str | None) -> sa.Row[Any]:
        wanted = sa.select(perturbations).where(perturbations.c.id == perturbation)
        wanted = wanted if owner is None else wanted.where(perturbations.c.owner == owner)
        row = None
        if _ID.fullmatch(perturbation):  # another may have characters that no database takes
            with self._database.reading() as connection:
                row = connection.execute(wanted).one_or_none()
        if row is None:
            raise NotFound(
                f"There is no perturbation {shown(perturbation)} of yours. `GET /api/v1/perturbations` lists yours."
            )
        if row.expires_at <= self._clock():
            raise Expired(f"{perturbation} expired {rfc3339(row.expires_at)}; make it anew.")
        return row


def _holder(perturbation: str) -> str:
    return f"perturbation:{perturbation}"


def _members(row: sa.Row[Any]) -> dict[str, Any]:
    """A perturbation as its caller reads it."""
    return {
        "id": row.id,
        **{name: getattr(row, name) for name in _SAID},
        "perturbation": {"href": f"/api/v1/artifacts/{row.artifact}", "sha256": row.artifact, "bytes": row.bytes},
        "created_at": rfc3339(row.created_at),
        "expires_at": rfc3339(row.expires_at),
    }
