"""The store of artifacts: results, states, requests and datasets, each by the SHA-256 of its content.

    <store>/ab/abcdef…        the content, written once and never changed
    <store>/writing/…         what is not whole yet, where the store is a folder

A row of `artifacts` stands for each, and rows of `holds` say who needs it. What nobody holds is swept away.

**No put that has returned loses its file to a sweep while its hold stands.** A put first writes the artifact's row and
its hold, commits, and then writes the file if it is not there; it returns when the file is whole. A sweep locks the
row, looks for holds, deletes the file, deletes the row, commits. So, of one content:

- The put commits before the sweep locks the row: the sweep then sees the hold, and lets the artifact be. It looks in a
  statement of its own, since PostgreSQL judges the holds of the locking statement as they were when that began.
- The sweep locks the row before the put commits: the put waits (on SQLite with its whole transaction, on PostgreSQL for
  the row) until the sweep has committed. By then row and file are gone; the put makes the row, misses the file, and
  writes it.
- The sweep dies, or its commit fails, after it has deleted the file: the row stands without a hold and without a file.
  The put misses the file, and writes it.
- Two puts: each has its own temporary file, and the last to be renamed replaces the first by the same content.
- The hold is let go before the put has written the file, and a sweep takes the row: the file would belong to nobody for
  ever. So a put looks for its hold after writing and, if it is gone, makes the row again for the next sweep to find.

One thing is beyond a database: a sweep that stands still between its look and its delete for longer than
`database.IDLE_S`, so that PostgreSQL takes the lock from it. Each artifact is swept by a transaction of its own, so
that there are milliseconds between the two.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import re
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn
from uuid import uuid4

import fsspec  # type: ignore[import-untyped]
from fsspec.implementations.local import LocalFileSystem  # type: ignore[import-untyped]
from sqlalchemy import ColumnElement, Connection, Select, delete, exists, func, literal, or_, select, update

from rakinglight.errors import InternalError, NotFound, StorageAway
from rakinglight.errors import shown as quoted
from service.database import RETRY_S, Database
from service.database.schema import artifacts, holds
from service.settings import Settings

log = logging.getLogger("rakinglight.artifacts")

#: Seconds after which a temporary file belongs to a process that died.
ABANDONED_S = 86_400.0

_PLACE = "name another place by RAKINGLIGHT_ARTIFACTS"
_FULL = f"it is full. Free some space, or {_PLACE}."
_DENIED = f"it may not be used. Let the service's user read and write it, or {_PLACE}."
_REASONS = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: f"it does not take a file of this size. Raise the limit, or {_PLACE}.",
    errno.EACCES: _DENIED,
    errno.EPERM: _DENIED,
    errno.EROFS: f"it is read-only. Let it be written, or {_PLACE}.",
    errno.ENOENT: f"its folder is gone. Put it back (is a disk not mounted?), or {_PLACE}.",
    errno.ENOTDIR: f"it is no folder. Make it one, or {_PLACE}.",
}
_UNREACHED = f"it cannot be reached or refuses. See that it is up and that its URL and keys are right, or {_PLACE}."


@dataclass(frozen=True)
class Found:
    """What is known of an artifact."""

    media_type: str
    bytes: int


@dataclass(frozen=True)
class Usage:
    """What the store holds: how many artifacts, and how many bytes they have together."""

    count: int
    bytes: int


class Artifacts:
    """Artifacts in a folder, or at any URL that fsspec opens. Any number of processes may share one.

    Raises ValueError for a URL that nothing opens.
    """

    def __init__(self, database: Database, url: str) -> None:
        self._database = database
        self._files = _files(url)

    @classmethod
    def of(cls, settings: Settings, database: Database) -> Artifacts:
        """Those that `settings` name, or a folder in `home`."""
        return cls(database, settings.artifacts or str(settings.home.absolute() / "artifacts"))

    def put(
        self,
        content: bytes,
        *,
        media_type: str,
        holder: str,
        owner: str,
        shown: bool = True,
        expires_at: float | None = None,
    ) -> str:
        """Keep `content` for `holder`; the SHA-256 by which it is found, in hexadecimal.

        Raises StorageAway. The hold may stand then: it ends with its holder, or in its time.
        """
        sha256 = hashlib.sha256(content).hexdigest()
        with self._database.transaction() as connection:
            self._note(connection, sha256, len(content), media_type)
            self._hold(connection, sha256, holder, owner, shown, expires_at)
        if self._files.size(sha256) != len(content):
            self._files.write(sha256, content)
            if not self._held(sha256, holder):
                with self._database.transaction() as connection:
                    self._note(connection, sha256, len(content), media_type)
        return sha256

    def read(self, sha256: str) -> bytes:
        """The content, which is what its hash says.

        Raises StorageAway, also where it is missing, which a disk that is not mounted looks like; InternalError where
        it is damaged.
        """
        content = self._files.read(sha256)
        if content is None:
            log.error("artifact %s is missing from the store", sha256)
            raise StorageAway(
                f"Artifact {sha256[:12]}… is missing from the store. See that RAKINGLIGHT_ARTIFACTS names the place "
                "where it was put and that its disk is there, or run again what it comes from."
            )
        if hashlib.sha256(content).hexdigest() != sha256:
            log.error("artifact %s is damaged", sha256)
            raise InternalError(
                f"Artifact {sha256[:12]}… is damaged: its content is not what was put there. See that the disk is "
                "sound, and run again what it comes from."
            )
        return content

    def found(self, sha256: str, owner: str | None) -> Found:
        """What `owner` may know of it: what an own, shown hold covers whose time is not over. None may know of all.

        Raises NotFound in the same words whether it is somebody else's or nobody's, and StorageAway.
        """
        covers = [holds.c.shown, or_(holds.c.expires_at.is_(None), holds.c.expires_at > time.time())]
        if owner is not None:
            covers.append(holds.c.owner == owner)
        if not re.fullmatch("[0-9a-f]{64}", sha256):
            raise _not_found(sha256)
        wanted = select(artifacts.c.media_type, artifacts.c.bytes).join(holds).where(artifacts.c.sha256 == sha256)
        with self._database.reading() as connection:
            row = connection.execute(wanted.where(*covers).limit(1)).first()
        if row is None:
            raise _not_found(sha256)
        return Found(*row)

    def hold(
        self,
        connection: Connection,
        sha256: str,
        *,
        holder: str,
        owner: str,
        shown: bool = True,
        expires_at: float | None = None,
    ) -> None:
        """Let `holder` hold, too, what is here already. Raises NotFound if it is not."""
        # Waits for a sweep that has the row, and then misses it.
        row = select(artifacts.c.sha256).where(artifacts.c.sha256 == sha256).with_for_update(read=True, key_share=True)
        if connection.execute(row).first() is None:
            raise _not_found(sha256)
        self._hold(connection, sha256, holder, owner, shown, expires_at)

    def release(self, connection: Connection, holder: str, *, but: Collection[str] | Select[tuple[str]] = ()) -> None:
        """`holder` lets go of everything `but` those, or those that a query finds."""
        connection.execute(delete(holds).where(holds.c.holder == holder, holds.c.sha256.not_in(but)))

    def expire(self, connection: Connection, holder: str, at: float | None) -> None:
        """What `holder` holds, it holds until `at`: seconds since 1970."""
        connection.execute(update(holds).where(holds.c.holder == holder).values(expires_at=at))

    def sweep(self, now: float) -> int:
        """Remove holds whose time is over at `now`, then what nobody holds; how many artifacts. Raises StorageAway."""
        with self._database.transaction() as connection:
            connection.execute(delete(holds).where(holds.c.expires_at <= now))
        with self._database.reading() as connection:
            unheld = connection.scalars(select(artifacts.c.sha256).where(~_is_held(artifacts.c.sha256))).all()
        self._files.tidy(now - ABANDONED_S)
        return sum(map(self._sweep, unheld))

    def usage(self) -> Usage:
        """What the store holds, counted from its rows. Raises StorageAway."""
        with self._database.reading() as connection:
            row = connection.execute(select(func.count(), func.coalesce(func.sum(artifacts.c.bytes), 0))).one()
        return Usage(row[0], int(row[1]))

    def _sweep(self, sha256: str) -> bool:
        """Remove one artifact, if still nobody holds it. See the top of this file before you change a line."""
        row = artifacts.c.sha256 == sha256
        with self._database.transaction() as connection:
            if connection.execute(select(1).where(row).with_for_update(skip_locked=True)).first() is None:
                return False
            if connection.scalar(select(_is_held(sha256))):
                return False
            self._files.remove(sha256)
            connection.execute(delete(artifacts).where(row))
        return True

    def _note(self, connection: Connection, sha256: str, size: int, media_type: str) -> None:
        """Make the artifact's row, or lock the one that is there."""
        row = {"sha256": sha256, "bytes": size, "media_type": media_type, "created_at": time.time()}
        # Not DO NOTHING, which would lock nothing: a sweep that has the row would then take it from under the hold.
        self._database.upsert(connection, artifacts, row, {"bytes": size})

    def _hold(
        self, connection: Connection, sha256: str, holder: str, owner: str, shown: bool, expires_at: float | None
    ) -> None:
        latest = {"owner": owner, "shown": shown, "expires_at": expires_at}
        row = {"sha256": sha256, "holder": holder, **latest}
        self._database.upsert(connection, holds, row, {**latest, "shown": or_(holds.c.shown, literal(shown))})

    def _held(self, sha256: str, holder: str) -> bool:
        mine = exists().where(holds.c.sha256 == sha256, holds.c.holder == holder)
        with self._database.reading() as connection:
            return bool(connection.scalar(select(mine)))


@dataclass(frozen=True)
class _Folder:
    """Contents in a folder of this machine. All methods raise StorageAway."""

    root: Path

    def size(self, sha256: str) -> int | None:
        with _guarded(), suppress(FileNotFoundError):
            return self._path(sha256).stat().st_size
        return None

    def read(self, sha256: str) -> bytes | None:
        with _guarded(), suppress(FileNotFoundError):
            return self._path(sha256).read_bytes()
        return None

    def write(self, sha256: str, content: bytes) -> None:
        """All or nothing: whoever looks sees the whole content, or no file."""
        path = self._path(sha256)
        unfinished = self._writing / uuid4().hex
        with _guarded():
            # Not the root: where that is missing, its disk may be, and its space is not to be taken elsewhere.
            for folder in (self._writing, path.parent):
                folder.mkdir(mode=0o700, exist_ok=True)
            try:
                with open(unfinished, "xb", opener=_for_us_alone) as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                unfinished.replace(path)
                # A row that outlives a power cut will name it: so must its name, and that of a folder just made.
                for folder in (path.parent, self.root):
                    _sync(folder)
            except BaseException:
                unfinished.unlink(missing_ok=True)
                raise

    def remove(self, sha256: str) -> None:
        with _guarded():
            self._path(sha256).unlink(missing_ok=True)

    def tidy(self, before: float) -> None:
        """Remove what was begun `before` (seconds since 1970) and never finished."""
        with _guarded(), suppress(FileNotFoundError):
            for path in self._writing.iterdir():
                if path.stat().st_mtime < before:
                    path.unlink(missing_ok=True)

    @property
    def _writing(self) -> Path:
        return self.root / "writing"

    def _path(self, sha256: str) -> Path:
        return self.root / sha256[:2] / sha256


@dataclass(frozen=True)
class _Remote:
    """Contents in a store that shows an object only when it is whole. All methods raise StorageAway."""

    files: Any
    root: str

    def size(self, sha256: str) -> int | None:
        with _guarded(), suppress(FileNotFoundError):
            return int(self.files.size(self._path(sha256)))
        return None

    def read(self, sha256: str) -> bytes | None:
        with _guarded(), suppress(FileNotFoundError):
            return bytes(self.files.cat_file(self._path(sha256)))
        return None

    def write(self, sha256: str, content: bytes) -> None:
        with _guarded():
            self.files.pipe_file(self._path(sha256), content)

    def remove(self, sha256: str) -> None:
        with _guarded(), suppress(FileNotFoundError):
            self.files.rm_file(self._path(sha256))

    def tidy(self, before: float) -> None:
        """Nothing is left over here."""

    def _path(self, sha256: str) -> str:
        return f"{self.root}/{sha256[:2]}/{sha256}"


def _files(url: str) -> _Folder | _Remote:
    try:
        # What another process wrote a moment ago is to be seen: no listings are kept.
        files, root = fsspec.url_to_fs(url, use_listings_cache=False)
    except ImportError as e:
        raise ValueError(f"artifacts needs a package that is not installed: {e}. For S3: pip install s3fs.") from None
    except ValueError as e:
        raise ValueError(
            f"artifacts is no URL that can be opened: {e}. Name a folder, or s3://bucket/folder."
        ) from None
    if not isinstance(files, LocalFileSystem):
        return _Remote(files, root.rstrip("/"))
    with suppress(OSError):  # told by the first who needs it
        Path(root).mkdir(mode=0o700, parents=True, exist_ok=True)
    return _Folder(Path(root))


def _sync(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _for_us_alone(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


@contextmanager
def _guarded() -> Iterator[None]:
    """What goes wrong within is the store's fault: clients of object stores raise errors of all kinds."""
    try:
        yield
    except Exception as e:
        _away(_REASONS.get(getattr(e, "errno", None) or 0, _UNREACHED), e)


def _away(reason: str, error: Exception) -> NoReturn:
    log.warning("the store of artifacts cannot be used: %s: %s", type(error).__name__, error)
    raise StorageAway(f"The store of artifacts cannot be used: {reason}", retry_after_s=RETRY_S) from error


def _not_found(sha256: str) -> NotFound:
    return NotFound(
        f"There is no artifact {quoted(sha256)} of yours. Take the href of a reply or a job as it is, within its time."
    )


def _is_held(sha256: Any) -> ColumnElement[bool]:
    return exists().where(holds.c.sha256 == sha256).correlate(artifacts)
