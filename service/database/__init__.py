"""The database of jobs: SQLite in a file, or PostgreSQL. All of it is synchronous; async code calls `Database.do`.

`schema` has the tables, `migrations` makes them.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import copy_context
from pathlib import Path
from typing import Any, NoReturn, ParamSpec, TypeVar

import sqlalchemy
from sqlalchemy import URL, Connection, Engine, Table, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from rakinglight.errors import StorageAway
from service.database.schema import metadata
from service.settings import Settings

log = logging.getLogger("rakinglight.database")

P = ParamSpec("P")
T = TypeVar("T")

#: Where alembic notes how far a database is; not its own name for it, since a database may serve others as well.
VERSION_TABLE = "rakinglight_version"
#: Of the lock under which PostgreSQL is migrated: any number that nobody else takes.
MIGRATION_LOCK = 0x72616B696E67
#: Seconds after which a caller may try again.
RETRY_S = 5.0
#: Seconds for which a writer waits for the one before: whoever has a caller who waits, and whoever has nobody.
SOON_S, PATIENT_S = 5.0, 30.0
#: Seconds within which PostgreSQL must take a connection, answer, and hear more of a transaction.
CONNECT_S, STATEMENT_S, IDLE_S = 5, 60, 60
#: Connections that are kept, and how many more there may be for a while. A server's usual limit is 100.
POOL, POOL_OVERFLOW = 10, 20
#: Threads that `do` has, each with a connection if it needs one; and calls that may wait for one.
THREADS, CALLS = 24, 512

_PLACE = "name another by RAKINGLIGHT_DATABASE"
_UNMADE = (
    "its tables are not made yet. They are as soon as it can be reached: try again, and see the log if it stays so."
)
_MISSING = re.compile(r'(?:no such table: |relation ")(?:dbos\.)?(\w+)')  # from the beginning: a column names one too
#: SQLite's primary result codes (sqlite.org/rescode.html) that are no fault of a statement.
_SQLITE = {
    3: f"its file may not be used. Let the service's user read and write it and its folder, or {_PLACE}.",
    5: "it is locked: another process has been writing for too long. Try again; for many writers, use PostgreSQL.",
    6: "it is locked: another connection has been writing for too long. Try again; for many writers, use PostgreSQL.",
    8: f"it is read-only. Let the service's user write the file and its folder, or {_PLACE}.",
    10: f"its disk failed to read or write, or is full. Look at the disk and the system's log, or {_PLACE}.",
    11: f"its file is damaged. Put a copy back from before, or {_PLACE}.",
    13: f"its disk is full. Free some space, or {_PLACE}.",
    14: f"its file cannot be opened. See that its folder is there and may be written, or {_PLACE}.",
    15: "it is locked: too many processes open it at once. Try again; for many processes, use PostgreSQL.",
    26: f"its file is no SQLite database. Move it away, or {_PLACE}.",
}
#: PostgreSQL's SQLSTATEs, or their first two characters, the longest that fits first.
_POSTGRESQL = {
    "25006": f"it is read-only. Let it be written, or {_PLACE}.",
    "40": "it undid this for the sake of another transaction. Try again.",
    "42501": f"its user may not do this. Grant it the tables and the right to make them, or {_PLACE}.",
    "53100": f"its disk is full. Free some space, or {_PLACE}.",
    "53300": "it takes no more connections. Raise its max_connections, or run fewer processes.",
    "53": "it lacks memory or another resource. See its log.",
    "55P03": "what is needed is locked by another transaction for too long. Try again.",
    "57014": "it took too long to answer. Try again; see its log for what is slow.",
    "57": "it is going down or coming up. Try again; see its log if it does not come back.",
    "58": "its server failed to read or write. See its log.",
}
_UNREACHED = f"it cannot be reached. See that it runs and that RAKINGLIGHT_DATABASE is right, or {_PLACE}."
_BUSY = "all connections to it are in use. Try again."
_CROWDED = "too many wait for it, or for the store of artifacts. Try again; see the log for what is slow."
_REPLACED = "its file was removed or replaced while the service ran. Put it back, or restart the service for a new one."

#: Alembic keeps what it migrates in a global variable.
_migrating = threading.Lock()
#: Held while a file is made and first opened: see `_SqliteFile`.
_making = threading.Lock()


class Database:
    """A database by its URL: `sqlite:///path`, or `postgresql://user:password@host/name`.

    engine  SQLAlchemy's, which dbos shares
    wait_s  seconds for which a writer waits for the one before, and a call of `do` for its thread

    Nothing is opened until it is needed, and what was away is found again when it is back. Raises ValueError for a
    URL that is neither.
    """

    def __init__(self, url: str | URL, *, wait_s: float = PATIENT_S) -> None:
        self._url = _checked(url)
        self._wait_s = wait_s
        self._sqlite = self._url.get_backend_name() == "sqlite"
        self.engine = (_sqlite_engine if self._sqlite else _postgresql_engine)(self._url, wait_s)
        _close_late_ones(self.engine)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="storage")
        self._calls: set[Future[Any]] = set()

    def __repr__(self) -> str:
        return f"Database({self._url.render_as_string(hide_password=True)})"

    @classmethod
    def of(cls, settings: Settings, *, wait_s: float = PATIENT_S) -> Database:
        """The one that `settings` name, or a file in `home`."""
        if settings.database is not None:
            return cls(settings.database.get_secret_value(), wait_s=wait_s)
        home = settings.home.absolute()
        with suppress(OSError):  # told, with all other reasons, by who first opens the file
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
        return cls(URL.create("sqlite", database=str(home / "rakinglight.db")), wait_s=wait_s)

    def close(self) -> None:
        """Wait for the calls that have begun, and close the connections. One that is used again opens anew."""
        self._threads.shutdown(cancel_futures=True)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="storage")
        self.engine.dispose()

    async def do(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`function(*args, **kwargs)`, which uses the database or what lies beside it, in a thread kept for that.

        What is locked or slow there holds up these threads and no other work. Raises StorageAway at once where too
        many wait, and where no thread was free within `wait_s`. One that is cancelled may still be done.
        """
        if len(self._calls) >= THREADS + CALLS:
            raise _crowded()
        latest = time.monotonic() + self._wait_s

        def in_time() -> T:
            if time.monotonic() > latest:
                raise _crowded()
            return function(*args, **kwargs)

        call = self._threads.submit(copy_context().run, in_time)
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)
        return await asyncio.wrap_future(call)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A transaction that may write, committed at the end and undone by an exception. On SQLite it is the only one.

        Raises StorageAway where the database is the matter, whatever was done in it.
        """
        with self.guarded(), self.engine.begin() as connection:
            if self._sqlite:
                # Before the first read: a transaction that reads, waits and then writes would find its view outdated.
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that only reads and waits for no writer. Raises StorageAway."""
        with self.guarded(), self.engine.begin() as connection:
            if self._sqlite:
                connection.exec_driver_sql("BEGIN")
            yield connection

    def upsert(
        self,
        connection: Connection,
        table: Table,
        row: Mapping[str, Any],
        changes: Mapping[str, Any] | None = None,
    ) -> None:
        """Insert `row`; where there is one with its primary key, make `changes` to that: by default, all of `row`."""
        insert = (sqlite if self._sqlite else postgresql).insert(table).values(dict(row))
        connection.execute(insert.on_conflict_do_update(index_elements=[*table.primary_key], set_=dict(changes or row)))

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """What SQLAlchemy raises within because the database is away, locked or full is raised as StorageAway."""
        try:
            yield
        except SQLAlchemyError as e:
            if (reason := _reason(e)) is None:
                raise
            self._away(reason, e)

    def migrate(self) -> None:
        """Make or bring up to date the tables. Any number of processes may do so at once.

        Raises StorageAway, and ValueError for a database that a newer version of this program has migrated.
        """
        from service.database.upgrade import upgrade

        with _migrating, self.transaction() as connection:
            if not self._sqlite:
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
            upgrade(connection)
        if self._sqlite:
            self._read_beside_writers()

    def truncate_log(self) -> None:
        """Give SQLite's log of writes, which grows with the largest transactions, back to the disk, if nobody reads."""
        if self._sqlite:
            with suppress(OperationalError), self.engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")

    def _read_beside_writers(self) -> None:
        """Switch to a write-ahead log, for good. It needs the file for itself; if that is busy, the next start will."""
        with suppress(OperationalError), self.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")

    def _away(self, reason: str, error: SQLAlchemyError) -> NoReturn:
        # The driver's own words name hosts and users, which are the operator's and not a caller's.
        said = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
        if self._url.password:
            said = said.replace(str(self._url.password), "***")
        log.warning("the database cannot be used: %s", said)
        raise _unusable(reason) from error


def _checked(url: str | URL) -> URL:
    """`url` with the driver that is used. Its words are never quoted: a password may be in any part of a wrong one."""
    taken = "It looks like postgresql://user:password@host/name, or sqlite:///path."
    try:
        parsed = sqlalchemy.make_url(url)
    except (ArgumentError, ValueError):
        raise ValueError(f"database is no URL that can be read. {taken}") from None
    match parsed.drivername:
        case "postgresql" | "postgres" | "postgresql+psycopg":
            return parsed.set(drivername="postgresql+psycopg")
        case "sqlite" if parsed.database in (None, "", ":memory:"):
            raise ValueError(f"database is SQLite in memory, which other processes cannot share; name a file. {taken}")
        case "sqlite" if parsed.host or parsed.query:
            raise ValueError("database is SQLite with more than a path. It looks like sqlite:///path: three slashes.")
        case "sqlite":
            return parsed
        case other:
            raise ValueError(f"database begins with {other[:40]!r}. {taken}")


class _SqliteFile:
    """The file of a database, made for us alone before it is first opened, and from then on the same.

    SQLite's locks belong to the process, and closing any descriptor of the file drops them all, so that another process
    writes over us (sqlite.org/howtocorrupt.html, 2.2). So nobody opens it by hand once SQLite may have it open.
    """

    def __init__(self, path: str, wait_s: float) -> None:
        self._path = Path(path).absolute()
        self._wait_s = wait_s
        self._first: tuple[int, int] | None = None

    def connect(self) -> sqlite3.Connection:
        """A new connection. Raises sqlite3.OperationalError, and as `check` does."""
        with _making:
            if self._first is None:
                self._make()
            else:
                self.check()
            # An empty file in place of one that was removed would be taken for the database.
            connection = sqlite3.connect(
                f"{self._path.as_uri()}?mode=rw", uri=True, timeout=self._wait_s, check_same_thread=False
            )
            if self._first is None:
                self._first = self._identity()
        return connection

    def check(self, *_: Any) -> None:
        """Raises StorageAway where it is no longer there, or another: whoever has it open would write into nothing."""
        if self._identity() != self._first:
            raise _unusable(_REPLACED)

    def _make(self) -> None:
        """SQLite would make it for all to read. Its log and its index take the file's mode."""
        with suppress(OSError):  # most often it is there; else told by who opens it
            os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))

    def _identity(self) -> tuple[int, int] | None:
        with suppress(OSError):
            found = self._path.stat()
            return found.st_dev, found.st_ino
        return None


def _sqlite_engine(url: URL, wait_s: float) -> Engine:
    file = _SqliteFile(str(url.database), wait_s)
    engine = sqlalchemy.create_engine(
        url,
        hide_parameters=True,
        pool_size=POOL,
        max_overflow=POOL_OVERFLOW,
        pool_timeout=wait_s,
        creator=file.connect,
    )

    @event.listens_for(engine, "connect")
    def as_dbos_has_it(connection: Any, _: Any) -> None:
        connection.isolation_level = "IMMEDIATE"
        connection.execute("PRAGMA foreign_keys=ON")

    event.listen(engine, "checkout", file.check)
    return engine


def _postgresql_engine(url: URL, wait_s: float) -> Engine:
    engine = sqlalchemy.create_engine(
        url,
        hide_parameters=True,
        pool_pre_ping=True,
        pool_size=POOL,
        max_overflow=POOL_OVERFLOW,
        pool_timeout=wait_s,
        isolation_level="READ COMMITTED",  # the store of artifacts relies on it
        connect_args={"connect_timeout": CONNECT_S, "tcp_user_timeout": STATEMENT_S * 1000},
    )

    @event.listens_for(engine, "connect")
    def patience(connection: Any, _: Any) -> None:
        limits = {
            "lock_timeout": wait_s,
            "statement_timeout": STATEMENT_S,
            "idle_in_transaction_session_timeout": IDLE_S,
        }
        try:
            connection.execute("; ".join(f"SET {name} = {round(1000 * seconds)}" for name, seconds in limits.items()))
            connection.commit()
        except BaseException:
            connection.close()  # the pool has not heard of it yet
            raise

    return engine


def _close_late_ones(engine: Engine) -> None:
    """Have a connection that is given back after `dispose` closed: else its pool would keep it open until collected."""

    @event.listens_for(engine, "do_connect")
    def remember(_: Any, record: Any, *__: Any) -> None:
        record.info["pool"] = engine.pool  # which `dispose` may replace while the connection is made

    @event.listens_for(engine, "connect")
    def remember_sqlite(_: Any, record: Any) -> None:
        record.info.setdefault("pool", engine.pool)  # a `creator` makes it, and there is no event before

    @event.listens_for(engine, "checkin")
    def close(_: Any, record: Any) -> None:
        if record.info.get("pool") is not engine.pool:
            record.invalidate()


def _unusable(reason: str) -> StorageAway:
    return StorageAway(f"The database cannot be used: {reason}", retry_after_s=RETRY_S)


def _crowded() -> StorageAway:
    return _unusable(_CROWDED)


def _reason(error: SQLAlchemyError) -> str | None:
    """Why the database cannot be used, and the remedy; None if `error` is about what was asked of it."""
    if isinstance(error, PoolTimeout):
        return _BUSY
    if not isinstance(error, DBAPIError):
        return None
    missing = _MISSING.match(str(error.orig))
    if missing and (missing[1] in metadata.tables or missing[1].startswith("workflow")):  # ours, or dbos's
        return _UNMADE
    if (code := getattr(error.orig, "sqlite_errorcode", None)) is not None:
        return _SQLITE.get(code & 0xFF)
    state = getattr(error.orig, "sqlstate", None)
    if state and (reason := _POSTGRESQL.get(state) or _POSTGRESQL.get(state[:2])):
        return reason
    lost = isinstance(error, OperationalError | InterfaceError) or error.connection_invalidated
    return _UNREACHED if lost else None
