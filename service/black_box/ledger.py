"""The ledger: who asked what, and when. One entry an image that a black box was asked about, or that was attacked.

An entry has the SHA-256 of the image as it came, and the image only where the operator has set `ledger_images`. Where a
request may come again, under its Idempotency-Key, its entries have the answer as well, for `answers_s`.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import sqlalchemy as sa

from rakinglight.catalogue import OPERATIONS
from rakinglight.errors import BadParameter, NotFound, near, shown
from service.artifacts import Artifacts
from service.ask import Ask, Image
from service.database import Database
from service.database.pages import Page
from service.database.schema import keys, ledger, reservations
from service.settings import Settings
from service.times import rfc3339

if TYPE_CHECKING:
    from service.core import Core

#: Entries that an export reads at once, and that a sweep changes in one transaction.
BATCH = 1000
#: Entries whose sweep makes SQLite's log large, where their answers are.
MANY = 100
#: Seconds after which a reservation that nobody renews is swept; it has counted no more for long.
ABANDONED_S = 600.0
#: What a row says, and an admin reads as it is.
_SAID = (
    "id", "key", "caller", "operation", "model", "method", "purpose", "request_id", "idempotency_key", "image",
    "dataset", "kept", "charged",
)  # fmt: skip
_SHOWN = [ledger.c[name] for name in (*_SAID, "created_at", "digest")]
#: Whose the kept images are: nobody's but an admin's, since no caller has such a name.
OWNER = "ledger:"


@dataclass(frozen=True)
class Asked:
    """A request, as the ledger writes it down.

    key       `Caller.key_id`
    caller    the name
    model     {"name", "version", "sha256"}
    digests   the SHA-256 of each image; none where `dataset` is asked about
    """

    key: str
    caller: str
    operation: str
    model: Mapping[str, str]
    method: str | None
    purpose: str | None
    request_id: str
    digests: Sequence[str]
    dataset: str | None = None
    idempotency_key: str | None = None

    @staticmethod
    def of(
        ask: Ask, model: Mapping[str, str], *, method: str | None = None, idempotency_key: str | None = None
    ) -> Asked:
        """What `ask` is. It reads every byte of the images: call it in a thread."""
        digests = [hashlib.sha256(content(image)).hexdigest() for image in ask.images]
        said = ask.method if isinstance(ask.method, str) else None
        return Asked(
            ask.key, ask.caller, ask.operation, model, method or said, ask.purpose, ask.request_id, digests,
            ask.dataset, idempotency_key,
        )  # fmt: skip

    @property
    def images(self) -> int:
        """How many it is about, where they came with it."""
        return len(self.digests)

    @property
    def digest(self) -> str:
        """Equal for two requests that ask a black box for the same."""
        return hashlib.sha256(json.dumps([self.model["name"], *self.digests]).encode()).hexdigest()


class Ledger:
    """That in `database`. Its calls may take as long as the database does: call them in a thread.

    All may raise StorageAway.

    names  of the keys that are in no database
    clock  tells the time, in seconds since 1970
    """

    def __init__(
        self,
        database: Database,
        artifacts: Artifacts,
        settings: Settings,
        *,
        names: Collection[str] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._artifacts = artifacts
        self._settings = settings
        self._names = names
        self._clock = clock

    # ── writing ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def note(self, asked: Asked, images: Sequence[Image]) -> None:
        """Write down what was taken on, and costs no budget."""
        holder = self.keep(images)
        with self._database.transaction() as connection:
            self.write(connection, asked, charged=False, holder=holder)

    def keep(self, images: Sequence[Image]) -> str | None:
        """Keep `images` where the operator wants that, for an hour and, once they are written down, for longer.

        Returns who holds them.
        """
        if not (self._settings.ledger_images and images):
            return None
        holder = f"ledger:{secrets.token_urlsafe(15)}"
        for image in images:
            kind = "application/octet-stream" if isinstance(image, bytes) else "application/x-npy"
            until = self._clock() + self._settings.href_s
            self._artifacts.put(content(image), media_type=kind, holder=holder, owner=OWNER, expires_at=until)
        return holder

    def write(
        self,
        connection: sa.Connection,
        asked: Asked,
        *,
        charged: bool,
        holder: str | None = None,
        answers: Sequence[Any] | None = None,
    ) -> None:
        """Write `asked` down in the transaction of `connection`.

        holder   what `keep` returned for its images
        answers  what each image was told; kept where the request may come again
        """
        now, again = self._clock(), asked.idempotency_key is not None and answers is not None
        entry, shared = secrets.token_urlsafe(12), {
            "created_at": now,
            "key": asked.key,
            "caller": asked.caller,
            "operation": asked.operation,
            "model": dict(asked.model),
            "method": asked.method,
            "purpose": asked.purpose,
            "request_id": asked.request_id,
            "idempotency_key": asked.idempotency_key,
            "request": asked.digest if again else None,
            "dataset": asked.dataset,
            "charged": charged,
        }  # fmt: skip
        rows = [
            {
                **shared,
                "id": f"entry_{entry}_{i:06}",
                "image": i if asked.digests else None,
                "digest": digest,
                "kept": digest if holder else None,
                "answer": answers[i] if again and answers is not None else None,
            }
            for i, digest in enumerate(asked.digests or [None])
        ]
        connection.execute(sa.insert(ledger), rows)
        if holder:
            self._artifacts.expire(connection, holder, now + self._settings.ledger_s)

    # ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def pages(
        self, page: Page, *, key: str | None = None, operation: str | None = None, since: float | None = None
    ) -> dict[str, Any]:
        """{"entries", "next_page_token"}: newest first. Raises BadParameter, and NotFound for a key that never was.

        key        the id of a key of the database, or the name of a key: of its entries alone
        operation  of those about it alone
        since      of those from then on alone, seconds since 1970
        """
        with self._database.reading() as connection:
            self._check_known(connection, key)
            rows, token = page.of(connection, _wanted(key, operation, since), ledger)
        return {"entries": [_members(row) for row in rows], "next_page_token": token}

    def export(
        self, *, key: str | None = None, operation: str | None = None, since: float | None = None
    ) -> Iterator[dict[str, Any]]:
        """All entries of which `pages` would tell, oldest first, read some at a time. Raises NotFound at once."""
        with self._database.reading() as connection:
            self._check_known(connection, key)
        return self._oldest_first(_wanted(key, operation, since))

    def _oldest_first(self, wanted: sa.Select[Any]) -> Iterator[dict[str, Any]]:
        columns = sa.tuple_(ledger.c.created_at, ledger.c.id)
        wanted, last = wanted.order_by(ledger.c.created_at, ledger.c.id).limit(BATCH), None
        while True:
            with self._database.reading() as connection:
                rows = connection.execute(wanted if last is None else wanted.where(columns > last)).all()
            yield from map(_members, rows)
            if len(rows) < BATCH:
                return
            last = rows[-1].created_at, rows[-1].id

    def _check_known(self, connection: sa.Connection, key: str | None) -> None:
        """Raises NotFound where `key` is neither a key that was made, nor one of the file, nor anybody who asked."""
        if key is None or key in self._names:
            return
        made = sa.select(keys.c.id).where(sa.or_(keys.c.id == key, keys.c.name == key))
        has_asked = sa.select(ledger.c.id).where(sa.or_(ledger.c.key == key, ledger.c.caller == key))
        if not any(connection.execute(wanted.limit(1)).first() for wanted in (made, has_asked)):
            raise NotFound(
                f"{shown(key)} is neither the name nor the id of a key, nor of a revoked one, and no entry is of one. "
                "`GET /api/v1/keys` and `rakinglight keys list --all` list them."
            )

    # ── ending ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def sweep(self, now: float) -> int:
        """Remove entries, answers and reservations whose time is over at `now`; how many entries."""
        settings = self._settings
        old, over = ledger.c.created_at <= now - settings.answers_s, ledger.c.created_at <= now - settings.ledger_s
        told = self._in_slices(sa.update(ledger).values(answer=None), old, ledger.c.answer.is_not(None))
        gone = self._in_slices(sa.delete(ledger), over)
        with self._database.transaction() as connection:
            connection.execute(sa.delete(reservations).where(reservations.c.expires_at <= now - ABANDONED_S))
        if told + gone >= MANY:
            self._database.truncate_log()
        return gone

    def _in_slices(self, change: sa.Update | sa.Delete, *which: sa.ColumnElement[bool]) -> int:
        """Make `change` to the entries of `which`, so many at a time that others can write in between; how many."""
        changed = 0
        while True:
            some = sa.select(ledger.c.id).where(*which).limit(BATCH)
            with self._database.transaction() as connection:
                count = connection.execute(change.where(ledger.c.id.in_(some))).rowcount
            changed += count
            if count < BATCH:
                return changed


def filters_of(key: str | None, operation: str | None, since: float | None) -> dict[str, Any]:
    """What narrows the ledger. Raises BadParameter for what no entry has, and no database takes."""
    if key is not None and not re.fullmatch(r"[\w-]{1,100}", key, re.ASCII):
        raise BadParameter.at("/key", f"key is {shown(key)}, which is neither the id nor the name of a key.")
    if operation is not None and operation not in OPERATIONS:
        raise BadParameter.at("/operation", f"operation is {shown(operation)}: {near(operation, OPERATIONS)}")
    return {"key": key, "operation": operation, "since": since}


async def exported(core: Core, filters: Mapping[str, Any]) -> AsyncGenerator[Sequence[dict[str, Any]], None]:
    """All entries that are wanted, oldest first, some at once."""
    entries: Iterator[dict[str, Any]] = await core.storage.do(lambda: core.black_box.ledger.export(**filters))
    while batch := await core.storage.do(lambda: list(islice(entries, BATCH))):
        yield batch


def content(image: Image) -> bytes:
    """All of an image: the file, or an NPY of the exact tensor."""
    if isinstance(image, bytes):
        return image
    file = io.BytesIO()
    np.save(file, np.ascontiguousarray(image), allow_pickle=False)
    return file.getvalue()


def _wanted(key: str | None, operation: str | None, since: float | None) -> sa.Select[Any]:
    wanted = sa.select(*_SHOWN)  # an answer may be large, and is nobody's to see here
    if key is not None:
        wanted = wanted.where(sa.or_(ledger.c.key == key, ledger.c.caller == key))
    if operation is not None:
        wanted = wanted.where(ledger.c.operation == operation)
    return wanted if since is None else wanted.where(ledger.c.created_at >= since)


def _members(row: sa.Row[Any]) -> dict[str, Any]:
    """An entry as an admin reads it."""
    return {"at": rfc3339(row.created_at), **{name: getattr(row, name) for name in _SAID}, "sha256": row.digest}
