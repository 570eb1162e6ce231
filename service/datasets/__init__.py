"""Datasets: many images, most often with the class of each, sent once and used by name.

dataset.py    what one is, wherever it lies
reading.py    from a stranger's file to a dataset, or to the reason why it is none
archive.py    zip archives from strangers
zips.py, arrays.py, folders.py   the three that there are: a zip, an NPZ, and a folder of the operator's
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import sqlalchemy as sa

from rakinglight.errors import (
    BadParameter,
    Expired,
    Forbidden,
    NotFound,
    RakinglightError,
    StorageAway,
    TooLarge,
    shown,
)
from service.artifacts import Artifacts
from service.database import Database
from service.database.pages import PAGE_SIZE, Page
from service.database.schema import datasets
from service.datasets import reading
from service.datasets.dataset import Dataset, Image, Outline
from service.datasets.folders import KEPT, Folders
from service.decode import Decoder
from service.settings import Settings
from service.times import rfc3339

#: Most characters of a name.
NAME_LENGTH = 200
#: Of each kind that is uploaded, how it was written.
MEDIA_TYPES = {"zip": "application/zip", "npz": "application/x-npz"}

#: All that a caller reads of a dataset; `items`, which may be long, only counted.
_MEMBERS = (
    datasets.c.id,
    datasets.c.name,
    datasets.c.kind,
    datasets.c.bytes,
    datasets.c.classes,
    datasets.c.created_at,
    datasets.c.expires_at,
    sa.func.json_array_length(datasets.c["items"], type_=sa.Integer).label("images"),
)


class Datasets:
    """Those that were uploaded, and those that the operator configured.

    An uploaded one is its owner's alone, and another's is a 404 like one that never was; an `owner` of None is an
    admin, who sees those of all. A configured one is everybody's, and its id is its name. All may raise StorageAway.

    clock  tells the time, in seconds since 1970
    """

    def __init__(
        self,
        database: Database,
        artifacts: Artifacts,
        settings: Settings,
        decoder: Decoder,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._artifacts = artifacts
        self._settings = settings
        self._decoder = decoder
        self._clock = clock
        self._folders = Folders(settings)

    async def add(self, owner: str, name: str, content: bytes) -> dict[str, Any]:
        """Keep the dataset that is `content`, a zip or an NPZ, if all of it is good; its members.

        Raises NotADataset and TooLarge, naming what is at fault, and BadParameter for the name; then nothing is stored.
        """
        _check_name(name)
        with await asyncio.to_thread(reading.read, content, self._settings) as dataset:
            await self._check(dataset)
            return await self._database.do(self._store, owner, name, dataset, content)

    async def get(self, dataset: str, owner: str | None) -> dict[str, Any]:
        """The members of a dataset: id, name, kind, images (how many), classes [{name, images}], bytes, and times.

        A configured one has no bytes and no times, but `configured`. Raises NotFound; of a configured folder that
        cannot be used NotADataset, TooLarge or StorageAway.
        """
        if dataset in self._folders:
            return await self._database.do(self._configured, dataset)
        return _members(await self._database.do(self._row, dataset, owner, *_MEMBERS))

    async def list(
        self, owner: str | None, page_size: int = PAGE_SIZE, page_token: str | None = None
    ) -> dict[str, Any]:
        """{"datasets", "next_page_token"}: newest first; the configured ones stand before the others of the first page.

        A configured one that cannot be used has a `problem` in place of what is not known. Raises BadParameter.
        """
        page = Page(page_size, page_token)
        return await self._database.do(self._list, owner, page)

    async def remove(self, dataset: str, owner: str | None) -> None:
        """Forget a dataset. Jobs that need its images keep them. Raises NotFound; Forbidden for a configured one."""
        if dataset in self._folders:
            raise Forbidden(f"The dataset {shown(dataset)} was configured by the operator and is not removed here.")
        await self._database.do(self._remove, dataset, owner)

    async def open(self, dataset: str, owner: str | None) -> Dataset:
        """A dataset, to read its images. Raises as `get` does. Close it, unless it has to last."""
        if dataset in self._folders:
            return await self._database.do(self._folders.open, dataset)
        row = await self._database.do(self._row, dataset, owner, datasets.c.artifact)
        return await self.reopen(row.artifact)

    async def outline(self, dataset: str, owner: str | None) -> Dataset:
        """How many images a dataset has, and what they show, without reading any. Raises as `get` does."""
        if dataset in self._folders:
            return await self._database.do(self._folders.open, dataset)
        items = datasets.c["items"].label("images")
        row = await self._database.do(self._row, dataset, owner, datasets.c.classes, items)
        return Outline([found["name"] for found in row.classes], [(name, place) for name, place in row.images])

    async def reopen(self, kept: str) -> Dataset:
        """The dataset of which `hold` gave `kept`, though it may be removed or expired by now.

        Raises Conflict where it is a configured one that has changed since, NotFound where it is none any more.
        """
        if kept.startswith(KEPT):
            return await self._database.do(self._folders.reopen, kept)
        content = await self._database.do(self._artifacts.read, kept)
        return await asyncio.to_thread(reading.read, content, self._settings)

    # ── for threads ─────────────────────────────────────────────────────────────────────────────────────────────────

    def hold(self, connection: sa.Connection, dataset: str, owner: str | None, holder: str) -> str:
        """Let `holder` keep a dataset, in the transaction of `connection`; by what `reopen` finds it again.

        That is the artifact of its file, and of a configured one its name and what tells whether it has changed.
        """
        if dataset in self._folders:
            return self._folders.kept(dataset)
        row = self._found(connection, dataset, owner, datasets.c.artifact, datasets.c.owner)
        self._artifacts.hold(connection, row.artifact, holder=holder, owner=row.owner, shown=False)
        artifact: str = row.artifact
        return artifact

    def sweep(self, now: float) -> int:
        """Forget the datasets whose time has been over for as long as jobs are kept; how many.

        Their files go when their time is over, with the next sweep of artifacts; until they are forgotten, who asks is
        told that they were here.
        """
        gone_since = now - self._settings.retention_s
        with self._database.transaction() as connection:
            forgotten = sa.delete(datasets).where(datasets.c.expires_at <= gone_since)
            over = connection.scalars(forgotten.returning(datasets.c.id))
            gone = over.all()
            for dataset in gone:
                self._artifacts.release(connection, _holder(dataset))
        return len(gone)

    # ── the parts ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def _check(self, dataset: Dataset) -> None:
        """Decode all images within the time of a request, and leave half of the decoders to others."""
        seconds = self._settings.deadline_limit_s
        try:
            async with asyncio.timeout(seconds):
                await reading.check(dataset, self._decoder, (self._settings.decoders + 1) // 2)
        except TimeoutError:
            raise TooLarge(
                f"Decoding {len(dataset)} images takes longer than {seconds:g} s, the limit of a request. Send smaller "
                "images, or several datasets."
            ) from None

    def _store(self, owner: str, name: str, dataset: Dataset, content: bytes) -> dict[str, Any]:
        new = f"ds_{secrets.token_urlsafe(15)}"
        now = self._clock()
        expires_at = now + self._settings.dataset_s
        try:
            artifact = self._artifacts.put(
                content,
                media_type=MEDIA_TYPES[dataset.kind],
                holder=_holder(new),
                owner=owner,
                shown=False,
                expires_at=expires_at,
            )
            with self._database.transaction() as connection:
                connection.execute(
                    sa.insert(datasets).values(
                        id=new,
                        owner=owner,
                        name=name,
                        kind=dataset.kind,
                        artifact=artifact,
                        bytes=len(content),
                        classes=dataset.counts(),
                        items=dataset.items,
                        created_at=now,
                        expires_at=expires_at,
                    )
                )
                return _members(self._found(connection, new, owner, *_MEMBERS))
        except BaseException:
            # The row as well: a commit may have been done whose answer was lost. If this fails, both go in their time.
            with suppress(StorageAway):
                self._forget(new)
            raise

    def _list(self, owner: str | None, page: Page) -> dict[str, Any]:
        configured = [] if page.token else [self._configured_or_problem(name) for name in self._folders.names]
        wanted = self._of(owner, *_MEMBERS).where(datasets.c.expires_at > self._clock())
        with self._database.reading() as connection:
            rows, token = page.of(connection, wanted, datasets)
        return {"datasets": [*configured, *map(_members, rows)], "next_page_token": token}

    def _remove(self, dataset: str, owner: str | None) -> None:
        self._row(dataset, owner, datasets.c.id)
        self._forget(dataset)

    def _forget(self, dataset: str) -> None:
        with self._database.transaction() as connection:
            connection.execute(sa.delete(datasets).where(datasets.c.id == dataset))
            self._artifacts.release(connection, _holder(dataset))

    def _row(self, dataset: str, owner: str | None, *columns: Any) -> sa.Row[Any]:
        with self._database.reading() as connection:
            return self._found(connection, dataset, owner, *columns)

    def _found(self, connection: sa.Connection, dataset: str, owner: str | None, *columns: Any) -> sa.Row[Any]:
        row = None
        if re.fullmatch(r"ds_[\w-]{20}", dataset, re.ASCII):
            wanted = self._of(owner, *columns, datasets.c.expires_at.label("over_at"))
            row = connection.execute(wanted.where(datasets.c.id == dataset)).one_or_none()
        if row is None:
            raise NotFound(f"There is no dataset {shown(dataset)} of yours. `GET /api/v1/datasets` lists yours.")
        if row.over_at <= self._clock():
            raise Expired(f"{dataset} expired {rfc3339(row.over_at)}; upload it again.")
        return row

    def _of(self, owner: str | None, *columns: Any) -> sa.Select[Any]:
        wanted = sa.select(*columns)
        return wanted if owner is None else wanted.where(datasets.c.owner == owner)

    def _configured(self, name: str) -> dict[str, Any]:
        folder = self._folders.open(name)
        return {**_of_folder(name), "images": len(folder), "classes": folder.counts()}

    def _configured_or_problem(self, name: str) -> dict[str, Any]:
        try:
            return self._configured(name)
        except RakinglightError as e:
            return {**_of_folder(name), "problem": e.problem()}


def _check_name(name: str) -> None:
    if not 1 <= len(name) <= NAME_LENGTH or not name.isprintable():
        raise BadParameter.at(
            "/name", f"name is {shown(name)}; it has 1 to {NAME_LENGTH} characters that can be printed."
        )


def _holder(dataset: str) -> str:
    return f"dataset:{dataset}"


def _of_folder(name: str) -> dict[str, Any]:
    return {"id": name, "name": name, "kind": "folder", "configured": True}


def _members(row: sa.Row[Any]) -> dict[str, Any]:
    """A dataset as its caller reads it."""
    return {
        "id": row.id,
        "name": row.name,
        "kind": row.kind,
        "configured": False,
        "images": row.images,
        "classes": row.classes,
        "bytes": row.bytes,
        "created_at": rfc3339(row.created_at),
        "expires_at": rfc3339(row.expires_at),
    }


__all__ = ["Dataset", "Datasets", "Image"]
