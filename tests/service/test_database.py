"""The database: which are taken, how tables come to be, and what is said while it is away."""

import asyncio
import logging
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import psycopg
import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

from rakinglight.errors import NotFound, StorageAway
from service import database as database_module
from service.database import VERSION_TABLE, Database
from service.database.schema import metadata, workers
from service.settings import Settings
from tests.postgres import Postgres

ROOT = Path(__file__).parents[2]
WORKER = {"beats": 0, "started_at": 0.0, "seen_at": 0.0}


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with closing(Database(database_url)) as database:
        database.migrate()
        yield database


def add(database: Database, name: str = "a") -> None:
    with database.transaction() as connection:
        connection.execute(insert(workers).values(name=name, **WORKER))


def names(database: Database) -> list[str]:
    with database.reading() as connection:
        return list(connection.scalars(select(workers.c.name).order_by(workers.c.name)))


# ---------------------------------------------------------------- which


def test_without_a_setting_it_is_a_file_for_us_alone(tmp_path: Path) -> None:
    home = tmp_path / "deep" / "home"
    with closing(Database.of(Settings(home=home))) as database:
        database.migrate()
        add(database)
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in [home, *home.glob("rakinglight.db*")]}
    assert modes == {"home": 0o700} | {f"rakinglight.db{end}": 0o600 for end in ("", "-wal", "-shm")}


@pytest.mark.parametrize("prefix", ["postgresql", "postgres", "postgresql+psycopg"])
def test_every_name_of_postgresql_is_psycopg_3(prefix: str) -> None:
    settings = Settings(database=f"{prefix}://ada:secret@db/jobs")
    assert repr(Database.of(settings)) == "Database(postgresql+psycopg://ada:***@db/jobs)"


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("mysql://ada:secret@db/jobs", "begins with 'mysql'"),
        ("postgresql+psycopg2://ada:secret@db/jobs", "begins with 'postgresql+psycopg2'"),
        ("ada:secret@db/jobs", "no URL"),
        ("postgresql://ada:secret@db:port/jobs", "no URL"),
        ("sqlite://", "in memory"),
        ("sqlite:///:memory:", "in memory"),
        ("sqlite://secret/jobs.db", "three slashes"),
        ("sqlite:///jobs.db?mode=secret", "three slashes"),
    ],
)
def test_other_urls_are_refused_without_showing_a_password(url: str, says: str) -> None:
    with pytest.raises(ValueError, match="sqlite:///path") as refused:
        Database(url)
    assert says in str(refused.value)
    assert "secret" not in str(refused.value)


# ---------------------------------------------------------------- tables


def test_the_migrations_make_the_schema(database: Database) -> None:
    with database.reading() as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table": VERSION_TABLE, "compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, metadata) == []
        keys = {t: sqlalchemy.inspect(connection).get_pk_constraint(t)["constrained_columns"] for t in metadata.tables}
    assert keys == {name: [c.name for c in table.primary_key] for name, table in metadata.tables.items()}


def test_migrating_again_changes_nothing(database: Database) -> None:
    add(database)
    database.migrate()
    assert names(database) == ["a"]


def test_what_an_older_version_kept_stays(database_url: str) -> None:
    """Before there were keys."""
    from alembic import command
    from alembic.config import Config

    folder = Path(database_module.__file__).with_name("migrations")
    with closing(Database(database_url)) as database:
        with database.transaction() as connection:
            config = Config(attributes={"connection": connection})
            config.set_main_option("script_location", str(folder))
            command.upgrade(config, "0002")
        add(database)
        with database.reading() as connection:
            assert not sqlalchemy.inspect(connection).has_table("keys")
        database.migrate()
        assert names(database) == ["a"]
        with database.reading() as connection:
            assert sqlalchemy.inspect(connection).has_table("keys")


MIGRATING = """
import sys
from service.database import Database
sys.stdin.read()
database = Database(sys.argv[1])
database.migrate()
database.close()
"""


def test_four_processes_migrate_at_once(database_url: str) -> None:
    command = [sys.executable, "-W", "error", "-c", MIGRATING, database_url]
    started = [
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(4)
    ]
    for process in started:
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None
    assert [(process.communicate()[1], process.returncode) for process in started] == [("", 0)] * 4
    with closing(Database(database_url)) as database:
        add(database)


def test_a_database_of_a_newer_version_is_left_alone(database: Database) -> None:
    with database.transaction() as connection:
        connection.exec_driver_sql(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    with pytest.raises(ValueError, match=r"newer rakinglight: it is at '9999'.* knows '0005' at most"):
        database.migrate()


def test_dbos_shares_the_engine(database: Database, database_url: str) -> None:
    from dbos._serialization import DefaultSerializer
    from dbos._sys_db import SystemDatabase

    system = SystemDatabase.create(
        system_database_url=database_url,
        engine_kwargs={},
        engine=database.engine,
        schema=None,
        serializer=DefaultSerializer(),
        executor_id=None,
    )
    system.run_migrations()
    system.verify_migrations()
    database.migrate()
    system.destroy()
    add(database)


# ---------------------------------------------------------------- transactions


def test_an_exception_undoes_it_and_passes(database: Database) -> None:
    def half() -> None:
        with database.transaction() as connection:
            connection.execute(insert(workers).values(name="a", **WORKER))
            raise NotFound("no such job")

    with pytest.raises(NotFound):
        half()
    assert names(database) == []


def test_our_own_mistakes_are_not_the_database_s(database: Database) -> None:
    add(database)
    with pytest.raises(IntegrityError):
        add(database)
    with pytest.raises((ProgrammingError, OperationalError), match="nowhere"), database.reading() as connection:
        connection.exec_driver_sql("SELECT 1 FROM nowhere")


def test_writers_wait_for_each_other(database: Database) -> None:
    add(database)

    def beat(_: int) -> None:
        with database.transaction() as connection:
            row = select(workers.c.beats).with_for_update()
            beats = connection.scalar(row)
            connection.execute(workers.update().values(beats=beats + 1))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(beat, range(80)))
    with database.reading() as connection:
        assert connection.scalar(select(workers.c.beats)) == 80


def test_readers_do_not_wait_for_a_writer(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute(insert(workers).values(name="a", **WORKER))
        assert names(database) == []
    assert names(database) == ["a"]


def test_parameters_are_in_no_error(database: Database) -> None:
    add(database, "secret")
    with pytest.raises(IntegrityError) as failed:
        add(database, "secret")
    assert "[SQL parameters hidden" in str(failed.value)


def test_a_column_that_is_missing_is_no_table_that_is_not_made_yet(database: Database) -> None:
    with database.transaction() as connection:
        connection.exec_driver_sql("ALTER TABLE workers RENAME COLUMN beats TO hearts")
    with pytest.raises((ProgrammingError, OperationalError), match="beats"):
        add(database)
    with database.transaction() as connection:
        connection.exec_driver_sql("DROP TABLE workers")
    assert "not made yet" in refusal(database)


# ---------------------------------------------------------------- in threads of its own


async def test_what_is_slow_holds_up_no_thread_of_others(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "THREADS", 2)
    monkeypatch.setattr(database_module, "CALLS", 3)
    go = threading.Event()
    with closing(Database(database_url, wait_s=0.3)) as database:
        under_way = [asyncio.create_task(database.do(go.wait, 60)) for _ in range(5)]
        await asyncio.sleep(0)
        with pytest.raises(StorageAway, match="too many wait"):
            await database.do(go.is_set)
        assert await asyncio.to_thread(go.is_set) is False
        await asyncio.sleep(0.5)
        go.set()
        ended = await asyncio.gather(*under_way, return_exceptions=True)
        assert ended[:2] == [True, True]
        assert [type(one) for one in ended[2:]] == [StorageAway] * 3  # no thread was free in time
        assert await database.do(sorted, [2, 1], reverse=True) == [2, 1]


async def test_a_call_that_was_left_ends_before_the_connections_do(database: Database) -> None:
    begun, go = threading.Event(), threading.Event()

    def slow() -> None:
        with database.transaction() as connection:
            begun.set()
            go.wait(60)
            connection.execute(insert(workers).values(name="a", **WORKER))

    task = asyncio.create_task(database.do(slow))
    await asyncio.to_thread(begun.wait, 60)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    threading.Timer(0.2, go.set).start()
    database.close()
    assert names(database) == ["a"]


def test_what_is_given_back_late_is_closed(database: Database) -> None:
    with database.reading() as connection:
        late = connection.connection.dbapi_connection
        assert late is not None
        database.close()
        add(database)
    with pytest.raises((sqlite3.ProgrammingError, psycopg.OperationalError), match="closed"):
        late.cursor().execute("SELECT 1")
    assert names(database) == ["a"]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_what_was_being_made_when_it_closed_is_closed(database_url: str) -> None:
    with closing(Database(database_url)) as database:
        sqlalchemy.event.listen(database.engine, "do_connect", lambda *_: database.close(), once=True)
        with database.reading() as connection:
            late = connection.connection.dbapi_connection
        assert isinstance(late, psycopg.Connection)
        assert late.closed


# ---------------------------------------------------------------- away


def refusal(database: Database) -> str:
    with pytest.raises(StorageAway) as away:
        add(database)
    assert away.value.retry_after_s == 5.0
    return away.value.detail


def test_postgresql_goes_away_and_comes_back(postgres: Postgres) -> None:
    url = postgres.database()
    with closing(Database(url)) as database:
        database.migrate()
        with postgres.stopped():
            assert "cannot be reached" in refusal(database)
            with pytest.raises(StorageAway):
                database.migrate()
        add(database)
        assert names(database) == ["a"]
    postgres.drop(url)


def test_postgresql_goes_down_amid_a_transaction(postgres: Postgres) -> None:
    url = postgres.database()
    with closing(Database(url)) as database:
        database.migrate()

        def cut_off() -> None:
            with database.transaction() as connection:
                connection.execute(insert(workers).values(name="a", **WORKER))
                with postgres.stopped():
                    connection.execute(select(workers.c.name))

        with pytest.raises(StorageAway):
            cut_off()
        assert names(database) == []
    postgres.drop(url)


def test_nobody_listens(caplog: pytest.LogCaptureFixture) -> None:
    with closing(Database("postgresql://ada:refused@127.0.0.1:1/jobs")) as database, caplog.at_level(logging.WARNING):
        detail = refusal(database)
    assert "cannot be reached" in detail and "RAKINGLIGHT_DATABASE" in detail
    assert "127.0.0.1" not in detail and "127.0.0.1" in caplog.text
    assert "ada:refused" not in caplog.text


def test_postgresql_gives_no_lock(postgres: Postgres) -> None:
    url = postgres.database()
    with closing(Database(url, wait_s=0.5)) as database:
        database.migrate()
        with database.transaction() as connection:
            connection.exec_driver_sql("LOCK TABLE workers")
            assert "locked by another transaction" in refusal(database)
    postgres.drop(url)


def test_postgresql_s_user_may_make_no_tables(postgres: Postgres) -> None:
    url = postgres.database()
    with closing(Database(url)) as database, database.transaction() as connection:
        connection.exec_driver_sql("CREATE ROLE guest LOGIN")
    guest = sqlalchemy.make_url(url).set(username="guest")
    with closing(Database(guest)) as database, pytest.raises(StorageAway, match=r"its user may not do this. Grant"):
        database.migrate()
    postgres.drop(url)


@pytest.fixture
def sqlite_file(tmp_path: Path) -> Path:
    return tmp_path / "rakinglight.db"


@pytest.fixture
def on_sqlite(sqlite_file: Path) -> Iterator[Database]:
    with closing(Database(f"sqlite:///{sqlite_file}")) as database:
        database.migrate()
        yield database


def test_sqlite_is_locked(sqlite_file: Path) -> None:
    with closing(Database(f"sqlite:///{sqlite_file}", wait_s=0.1)) as database:
        database.migrate()
        with closing(sqlite3.connect(sqlite_file)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert "it is locked" in refusal(database)
        add(database)


def locks(file: Path) -> list[str]:
    """What this process has locked of `file`: kind and range."""
    inode = f":{file.stat().st_ino}"
    rows = [line.split()[1:] for line in Path("/proc/locks").read_text().splitlines()]
    return sorted(f"{row[2]} {row[-2]}" for row in rows if row[3] == str(os.getpid()) and row[4].endswith(inode))


READING = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
print(connection.execute("SELECT count(*), max(name) FROM workers").fetchone(), end="")
connection.close()
"""


def read_elsewhere(file: Path) -> str:
    return subprocess.check_output([sys.executable, "-c", READING, str(file)], text=True)


def test_a_connection_more_drops_no_lock_of_those_before(on_sqlite: Database, sqlite_file: Path) -> None:
    on_sqlite.close()
    on_sqlite.migrate()  # the one that switched to a log had the file for itself
    with on_sqlite.reading() as first:
        first.execute(select(workers))
        before = locks(sqlite_file)
        assert before
        with ExitStack() as stack:
            for _ in range(5):
                stack.enter_context(on_sqlite.engine.connect())
            assert locks(sqlite_file) == before


def test_who_closes_last_elsewhere_takes_no_log_from_us(on_sqlite: Database, sqlite_file: Path) -> None:
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(on_sqlite.reading()).execute(select(workers))
    for i in range(3):
        add(on_sqlite, f"{i}")
        with on_sqlite.reading(), on_sqlite.engine.connect():
            assert read_elsewhere(sqlite_file) == f"({i + 1}, '{i}')"
        assert sqlite_file.with_name("rakinglight.db-wal").exists()
    assert names(on_sqlite) == ["0", "1", "2"]
    with on_sqlite.reading() as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"


def test_a_file_that_is_gone_or_another_is_told_until_it_is_back(on_sqlite: Database, sqlite_file: Path) -> None:
    add(on_sqlite)
    on_sqlite.close()
    for _ in ("a connection is made", "one is at hand"):
        aside = sqlite_file.rename(sqlite_file.with_name("aside"))
        assert "removed or replaced" in refusal(on_sqlite)
        assert not sqlite_file.exists()
        sqlite_file.write_bytes(b"")
        assert "removed or replaced" in refusal(on_sqlite)
        assert sqlite_file.read_bytes() == b""
        aside.rename(sqlite_file)
        assert names(on_sqlite) == ["a"]


def test_sqlite_s_disk_is_full(on_sqlite: Database) -> None:
    many = [{"name": f"{number}", **WORKER} for number in range(2000)]
    with on_sqlite.reading() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count=1")  # no page more: it answers as on a full disk
    with pytest.raises(StorageAway, match=r"disk is full. Free some space"), on_sqlite.transaction() as connection:
        connection.execute(insert(workers), many)
    on_sqlite.close()
    add(on_sqlite)
    assert names(on_sqlite) == ["a"]


def test_sqlite_s_folder_is_missing(tmp_path: Path) -> None:
    with closing(Database(f"sqlite:///{tmp_path}/away/jobs.db")) as database:
        assert "cannot be opened" in refusal(database)
        (tmp_path / "away").mkdir()
        database.migrate()
        add(database)


def test_the_file_is_no_database(sqlite_file: Path) -> None:
    sqlite_file.write_bytes(b"a letter to Ada" * 100)
    with closing(Database(f"sqlite:///{sqlite_file}")) as database, pytest.raises(StorageAway, match="no SQLite"):
        database.migrate()


def test_all_connections_are_in_use(sqlite_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "POOL", 1)
    monkeypatch.setattr(database_module, "POOL_OVERFLOW", 0)
    with closing(Database(f"sqlite:///{sqlite_file}", wait_s=0.1)) as database, database.reading():
        assert "in use" in refusal(database)
