"""Who does which job: one worker each, whoever dies, and no job twice or never. DBOS is real here."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from dbos import DBOS

from service.database import Database
from service.jobs.queue import Queue
from tests.postgres import Postgres
from tests.service.jobs.conftest import Work, statuses, until


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.close()


def enqueue(database: Database, *jobs: str) -> None:
    with database.transaction() as connection:
        for job in jobs:
            Queue(database).enqueue(connection, job)


def rows(database: Database) -> dict[str, int]:
    """How many each table of DBOS has."""
    schema = None if database.engine.dialect.name == "sqlite" else "dbos"
    tables = sa.inspect(database.engine).get_table_names(schema=schema)
    with database.reading() as connection:
        return {
            table: connection.scalar(sa.select(sa.func.count()).select_from(sa.table(table, schema=schema))) or 0
            for table in tables
        }


def test_a_job_is_enqueued_with_the_transaction_or_not_at_all(database: Database, hired: Any) -> None:
    work = Work()
    hired(work)
    with suppress(ZeroDivisionError), database.transaction() as connection:
        Queue(database).enqueue(connection, "undone")
        raise ZeroDivisionError
    enqueue(database, "done")
    until(lambda: statuses(database) == {"done": "SUCCESS"})
    assert work.given == {"done": 1}


def test_each_job_is_given_once_and_so_many_at_once(database: Database, hired: Any) -> None:
    work, names = Work(), [f"job-{i}" for i in range(12)]
    work.go_on.clear()
    hired(work)
    enqueue(database, *names)
    until(lambda: len(work.given) == 4)
    time.sleep(0.2)
    assert len(work.given) == 4
    work.go_on.set()
    until(lambda: set(statuses(database).values()) == {"SUCCESS"})
    assert work.given == Counter(names)


def test_who_has_the_same_name_takes_up_what_was_left(database: Database, hired: Any) -> None:
    first, second = Work(), Work()
    first.go_on.clear()
    hired(first)
    enqueue(database, "job")
    until(lambda: first.given)
    hired(second)
    until(lambda: statuses(database) == {"job": "SUCCESS"})
    first.go_on.set()
    assert second.given == {"job": 1}


def test_what_a_dead_one_had_is_given_to_others_once_it_is_said_even_twice(database: Database, hired: Any) -> None:
    first, second = Work(), Work()
    first.go_on.clear()
    hired(first, "dead")
    enqueue(database, "job")
    until(lambda: first.given)
    second.go_on.clear()
    living = hired(second, "living")
    time.sleep(0.2)
    assert not second.given
    living.recover(["dead", "never was"])
    until(lambda: second.given)
    living.recover(["dead"])
    time.sleep(0.2)
    second.go_on.set()
    until(lambda: statuses(database) == {"job": "SUCCESS"})
    first.go_on.set()
    assert second.given == {"job": 1}


def test_what_it_took_and_did_not_get_is_found(database: Database, hired: Any) -> None:
    """As where the database goes away between the two."""
    work = Work()
    living = hired(work)
    table = "workflow_status" if database.engine.dialect.name == "sqlite" else "dbos.workflow_status"
    DBOS.destroy()  # nobody takes it while it is laid down
    enqueue(database, "job")
    with database.transaction() as connection:
        connection.execute(sa.text(f"UPDATE {table} SET status = 'PENDING', executor_id = 'b'"))
    living = hired(work, "c")
    living._worker = "b"
    living.recover_lost()
    time.sleep(0.2)
    assert not work.given
    living.recover_lost()
    until(lambda: work.given == {"job": 1})


def test_what_is_under_way_is_not_lost(database: Database, hired: Any) -> None:
    work = Work()
    work.go_on.clear()
    living = hired(work)
    enqueue(database, "job")
    until(lambda: work.given)
    for _ in range(3):
        living.recover_lost()
    time.sleep(0.2)
    work.go_on.set()
    until(lambda: statuses(database) == {"job": "SUCCESS"})
    assert work.given == {"job": 1}


def test_what_is_forgotten_leaves_nothing(database: Database, hired: Any) -> None:
    work, names = Work(), [f"job-{i}" for i in range(20)]
    hired(work)
    enqueue(database, "first")
    until(lambda: statuses(database) == {"first": "SUCCESS"})
    Queue(database).forget(["first"])
    before = rows(database)
    enqueue(database, *names)
    until(lambda: len(work.given) == 21 and set(statuses(database).values()) == {"SUCCESS"})
    Queue(database).forget(names)
    assert rows(database) == before


def test_of_what_goes_well_dbos_says_nothing(
    database: Database, hired: Any, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    work = Work()
    hired(work)
    enqueue(database, "job")
    until(lambda: statuses(database) == {"job": "SUCCESS"})
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.INFO] == []
    assert "dbos" not in "".join(capfd.readouterr()).lower()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_it_goes_on_by_itself_when_postgresql_is_back(database: Database, hired: Any, postgres: Postgres) -> None:
    work = Work()
    hired(work)
    enqueue(database, "before")
    until(lambda: statuses(database) == {"before": "SUCCESS"})
    with postgres.stopped():
        time.sleep(3.0)
    begun = time.monotonic()
    until(lambda: _tried(lambda: enqueue(database, "after")))
    until(lambda: work.given["after"], 10)
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_it_goes_on_by_itself_when_sqlite_is_back(database: Database, hired: Any, tmp_path: Path) -> None:
    from tests.service.in_process import break_database, mend_database

    work = Work()
    hired(work)
    enqueue(database, "before")
    until(lambda: statuses(database) == {"before": "SUCCESS"})
    break_database(tmp_path)
    time.sleep(1.0)
    mend_database(tmp_path)
    enqueue(database, "after")
    until(lambda: work.given["after"], 10)


def _tried(work: Callable[[], None]) -> bool:
    from rakinglight.errors import StorageAway

    try:
        work()
    except StorageAway:
        return False
    return True
