"""What an oracle has answered, on disk: so that no image whose answer arrived is asked again, whatever breaks.

    begin(request) ──> [ sent ] ──> finish: its answers and the counts, in one transaction
                          └── this process dies: the request stands open, and is sent again as it was

One file may hold the answers of several oracles. It holds images: those of open requests, and the first few of each
oracle, which are asked again now and then. It holds no key and no header.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rakinglight.errors import BadParameter, Conflict, StorageAway

Array = np.ndarray[Any, Any]

#: Of the tables. A file of another is refused.
FORMAT = 1
#: The first images of an oracle that are kept, to be asked again: so many, and so many bytes of them.
KEPT, KEPT_BYTES = 64, 16 * 2**20

TABLES = """
CREATE TABLE about (oracle TEXT PRIMARY KEY, card TEXT NOT NULL, counts TEXT NOT NULL);
CREATE TABLE answers (oracle TEXT, image BLOB, answer BLOB NOT NULL, PRIMARY KEY (oracle, image)) WITHOUT ROWID;
CREATE TABLE kept (number INTEGER PRIMARY KEY, oracle TEXT NOT NULL, image BLOB NOT NULL, pixels BLOB NOT NULL);
CREATE TABLE open (
    number INTEGER PRIMARY KEY, oracle TEXT NOT NULL, key TEXT NOT NULL, canary INTEGER NOT NULL, pixels BLOB NOT NULL
);
"""


@dataclass
class Counts:
    """Images that were sent to an oracle, over all sessions of a journal.

    asked     whose answer arrived, the first time that each was asked
    canaries  asked again on purpose, to see whether it answers as before
    lost      sent again because an answer was lost, which may have been charged
    retried   sent again because they had been turned away, or had never arrived
    """

    asked: int = 0
    canaries: int = 0
    lost: int = 0
    retried: int = 0


@dataclass(frozen=True, eq=False)
class Sending:
    """A request that has no answer yet.

    key     its Idempotency-Key
    pixels  float32 [n, C, H, W], as they are sent
    canary  whether they were answered before
    """

    key: str
    pixels: Array
    canary: bool = False


class Journal:
    """The file at `path`, held by this process alone; without one, a file that is gone at the end.

    Raises BadParameter for a file that is no journal, Conflict for one that another process has open, StorageAway for
    a disk that is full.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self._lock = threading.RLock()
        try:
            self._base = sqlite3.connect(path or "", isolation_level=None, check_same_thread=False, timeout=0.2)
        except sqlite3.Error as e:
            raise BadParameter(f"{path} cannot be opened as a journal ({e}); does its folder exist?") from None
        try:
            self._prepare()
        except BaseException:
            self._base.close()
            raise

    def __repr__(self) -> str:
        return f"<Journal {self.path or 'of this process'}>"

    def close(self) -> None:
        with self._lock:
            self._base.close()

    # ── what is known of an oracle ──────────────────────────────────────────────────────────────────────────────────

    def card(self, oracle: str) -> dict[str, Any] | None:
        """What was found out of `oracle` when it was first asked."""
        rows = self._read("SELECT card FROM about WHERE oracle = ?", oracle)
        return json.loads(rows[0][0]) if rows else None

    def counts(self, oracle: str) -> Counts:
        rows = self._read("SELECT counts FROM about WHERE oracle = ?", oracle)
        return Counts(**json.loads(rows[0][0])) if rows else Counts()

    def meet(self, oracle: str, card: Mapping[str, Any]) -> None:
        """Note what was found out of `oracle`."""
        with self._transaction() as base:
            base.execute(
                "INSERT INTO about VALUES (?, ?, ?) ON CONFLICT (oracle) DO UPDATE SET card = excluded.card",
                (oracle, json.dumps(card), json.dumps(asdict(Counts()))),
            )

    def count(self, oracle: str, counts: Counts) -> None:
        with self._transaction() as base:
            _count(base, oracle, counts)

    # ── images ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def find(self, oracle: str, image: bytes) -> bytes | None:
        """The answer to the image of this digest."""
        rows = self._read("SELECT answer FROM answers WHERE oracle = ? AND image = ?", oracle, image)
        return rows[0][0] if rows else None

    def answered(self, oracle: str) -> int:
        """How many images have an answer."""
        return int(self._read("SELECT count(*) FROM answers WHERE oracle = ?", oracle)[0][0])

    def kept(self, oracle: str) -> list[bytes]:
        """The digests of the images that are kept, the oldest first."""
        return [row[0] for row in self._read("SELECT image FROM kept WHERE oracle = ? ORDER BY number", oracle)]

    def pixels(self, oracle: str, image: bytes) -> Array:
        """A kept image, float32 and flat."""
        (row,) = self._read("SELECT pixels FROM kept WHERE oracle = ? AND image = ?", oracle, image)
        return np.frombuffer(row[0], np.float32)

    # ── requests ────────────────────────────────────────────────────────────────────────────────────────────────────

    def open(self, oracle: str, shape: tuple[int, int, int]) -> list[Sending]:
        """The requests that a process had sent when it ended, the oldest first."""
        rows = self._read("SELECT key, canary, pixels FROM open WHERE oracle = ? ORDER BY number", oracle)
        return [Sending(k, np.frombuffer(raw, np.float32).reshape(-1, *shape), bool(canary)) for k, canary, raw in rows]

    def begin(self, oracle: str, sending: Sending) -> None:
        """Note `sending`, before it is sent."""
        raw = np.ascontiguousarray(sending.pixels, np.float32).tobytes()
        with self._transaction() as base:
            said = (oracle, sending.key, sending.canary, raw)
            base.execute("INSERT INTO open (oracle, key, canary, pixels) VALUES (?, ?, ?, ?)", said)

    def drop(self, sending: Sending) -> None:
        """`sending` was refused: nothing of it was answered."""
        with self._transaction() as base:
            base.execute("DELETE FROM open WHERE key = ?", (sending.key,))

    def finish(
        self, oracle: str, sending: Sending, images: Sequence[bytes], answers: Sequence[bytes], counts: Counts
    ) -> None:
        """Note the `answers` to `sending`, whose images have these digests; those of canaries were known."""
        with self._transaction() as base:
            base.execute("DELETE FROM open WHERE key = ?", (sending.key,))
            _count(base, oracle, counts)
            if sending.canary:
                return
            rows = [(oracle, image, answer) for image, answer in zip(images, answers, strict=True)]
            base.executemany("INSERT OR IGNORE INTO answers VALUES (?, ?, ?)", rows)
            ((there, weight),) = base.execute(
                "SELECT count(*), coalesce(sum(length(pixels)), 0) FROM kept WHERE oracle = ?", (oracle,)
            )
            for image, pixels in zip(images, sending.pixels, strict=True):
                if there >= KEPT or weight >= KEPT_BYTES:
                    break
                raw = np.ascontiguousarray(pixels, np.float32).tobytes()
                base.execute("INSERT INTO kept (oracle, image, pixels) VALUES (?, ?, ?)", (oracle, image, raw))
                there, weight = there + 1, weight + len(raw)

    # ── the file ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _prepare(self) -> None:
        base = self._base
        try:
            base.execute("PRAGMA locking_mode = EXCLUSIVE")  # let go by the kernel, however this process ends
            base.execute("PRAGMA journal_mode = WAL")
            base.execute("PRAGMA synchronous = FULL")  # an answer that was noted outlives a power cut
            base.execute("BEGIN IMMEDIATE")
            (version,) = base.execute("PRAGMA user_version").fetchone()
            (tables,) = base.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            if not version and not tables:
                for statement in filter(str.strip, TABLES.split(";")):
                    base.execute(statement)
                base.execute(f"PRAGMA user_version = {FORMAT}")
                version = FORMAT
            base.execute("COMMIT")
        except sqlite3.OperationalError as e:
            if "locked" in str(e):
                raise Conflict(f"{self.path} is in use by another process; give each its own journal.") from None
            raise self._broken(e) from None
        except sqlite3.DatabaseError as e:
            raise BadParameter(f"{self.path} is no journal, or a damaged one ({e}); give another --journal.") from None
        if version != FORMAT:
            raise BadParameter(
                f"{self.path} is no journal of this version: it has format {version}, and {FORMAT} is read. Give "
                "another --journal."
            )

    def _read(self, statement: str, *values: Any) -> list[Any]:
        with self._lock:
            try:
                return self._base.execute(statement, values).fetchall()
            except sqlite3.Error as e:
                raise self._broken(e) from None

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                self._base.execute("BEGIN IMMEDIATE")
                try:
                    yield self._base
                except BaseException:
                    self._base.execute("ROLLBACK")
                    raise
                self._base.execute("COMMIT")
            except sqlite3.Error as e:
                raise self._broken(e) from None

    def _broken(self, e: sqlite3.Error) -> StorageAway:
        return StorageAway(f"The journal {self.path or 'of this process'} cannot be used ({e}).")


def _count(base: sqlite3.Connection, oracle: str, counts: Counts) -> None:
    base.execute("UPDATE about SET counts = ? WHERE oracle = ?", (json.dumps(asdict(counts)), oracle))
