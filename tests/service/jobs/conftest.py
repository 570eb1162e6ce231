"""A store on each kind of database, an engine in a thread, and jobs to do by hand."""

import json
import secrets
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from dbos import DBOS

from rakinglight import reply
from rakinglight.network import Network
from service.ask import Ask
from service.core import Core
from service.database import VERSION_TABLE, Database
from service.database.schema import holds, job_runs, jobs
from service.decode import DecodePool
from service.jobs import patience, queue, runner
from service.jobs.attempt import Attempt
from service.jobs.queue import WorkQueue
from service.jobs.runner import Runner
from service.settings import Settings
from service.storage import Storage
from tests.postgres import Postgres
from tests.service.in_process import InProcessEngine
from tests.service.in_process import _tables as tables
from tests.service.pictures_at_hand import noise, png

PICTURES = [png(noise(9, 10, seed=seed)) for seed in range(12)]


def pgd(images: int = 1, steps: int = 10, **more: Any) -> Ask:
    """An attack on so many pictures, whose results are kept by themselves."""
    asked = {"method": "pgd", "parameters": {"steps": steps, "random_start": True}, "seed": 3, "request_id": "r-1"}
    return Ask(model="small", operation="attack", images=PICTURES[:images], **asked | more)


@dataclass
class Shop:
    """What does jobs, in the test's own process.

    engine  answers questions
    core    around it
    """

    engine: InProcessEngine
    core: Core
    storage: Storage

    async def submit(self, ask: Ask, **more: Any) -> str:
        with self.core.hold() as hold:
            job: str = (await self.core.submit(ask, hold, **more))["id"]
        return job

    async def do(self, job: str, worker: str = "w") -> None:
        await Runner(self.core, self.storage, worker=worker).run(job)

    def begin(self, job: str, worker: str = "w") -> Attempt:
        attempt = Attempt.begin(self.storage.database, self.storage.artifacts, job, worker=worker, retention_s=1000.0)
        assert attempt is not None
        return attempt

    def job(self, job: str) -> dict[str, Any]:
        return self.storage.jobs.get(job, None)

    def found(self, job: str) -> str:
        """What came of it, the time that it took left out: equal text, equal bits."""
        whole = self.storage.jobs.results(job, None)
        assert whole is not None
        return json.dumps(reply.to_json({name: value for name, value in whole.items() if name != "elapsed_ms"}))

    def holders(self, job: str) -> dict[str, int]:
        """How many artifacts the job holds, by each of its names."""
        with self.storage.database.reading() as connection:
            wanted = sa.select(holds.c.holder, sa.func.count().label("n")).where(holds.c.holder.contains(job))
            rows = connection.execute(wanted.group_by(holds.c.holder)).all()
        return {row.holder.rpartition(":")[2]: row.n for row in rows}

    def lasting(self) -> int:
        """Holds without an end."""
        with self.storage.database.reading() as connection:
            wanted = sa.select(sa.func.count()).select_from(holds).where(holds.c.expires_at.is_(None))
            return int(connection.scalar(wanted) or 0)

    def runs(self, job: str) -> int:
        with self.storage.database.reading() as connection:
            wanted = sa.select(sa.func.count()).select_from(job_runs).where(job_runs.c.job == job)
            return int(connection.scalar(wanted) or 0)

    def row(self, job: str) -> Any:
        with self.storage.database.reading() as connection:
            return connection.execute(sa.select(jobs).where(jobs.c.id == job)).one()

    def sweep(self) -> None:
        self.storage.jobs.expire(time.time())
        self.storage.artifacts.sweep(time.time())


@pytest.fixture(scope="session")
def migrated(postgres: Postgres) -> str:
    """The URL of a PostgreSQL database with all tables, to copy: making them takes a quarter of a second."""
    url = postgres.database()
    database = Database(url)
    database.migrate()
    queue.migrate(database)
    database.close()
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database of each kind, which has all tables."""
    if request.param == "sqlite":
        (tmp_path / "rakinglight.db").write_bytes(tables())
        yield f"sqlite:///{tmp_path}/rakinglight.db"
        return
    server: Postgres = request.getfixturevalue("postgres")
    source = sa.make_url(request.getfixturevalue("migrated"))
    copy = source.set(database=f"copy_{secrets.token_hex(8)}")
    server._do(f"CREATE DATABASE {copy.database} TEMPLATE {source.database}")
    url = copy.render_as_string(hide_password=False)
    yield url
    server.drop(url)


Open = Callable[..., Shop]


@pytest.fixture
def own(tmp_path: Path) -> Settings:
    """Settings with which states come often and results are kept by themselves."""
    return Settings(home=tmp_path, inline_bytes=1024, state_s=1e-9, image_pixels=100_000)


@pytest.fixture
async def opened(
    database_url: str, own: Settings, decoder: DecodePool, small_convolution: Network
) -> AsyncIterator[Open]:
    """Opens shops on one database, which has all tables."""
    shops: list[Shop] = []

    def opens(networks: Sequence[Network] = (small_convolution,), **settings: Any) -> Shop:
        changed = Settings(**own.model_dump() | {"database": database_url} | settings)
        storage = Storage.of(changed, decoder)
        engine = InProcessEngine(networks)
        shops.append(Shop(engine, Core(engine, changed, decoder, storage), storage))
        return shops[-1]

    yield opens
    for shop in shops:
        await shop.engine.stop()
        shop.storage.close()


@pytest.fixture
def shop(opened: Open) -> Shop:
    return opened()


@pytest.fixture
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses are short."""
    for module, name, seconds in (
        (runner, "KEEP_S", 0.01),
        (runner, "LOOK_S", 0.01),
        (runner, "LONGEST_PAUSE_S", 0.02),
        (patience, "FIRST_PAUSE_S", 0.005),
        (patience, "LONGEST_PAUSE_S", 0.02),
        (patience, "PATIENCE_S", 0.2),
    ):
        monkeypatch.setattr(module, name, seconds)


# ── the queue ───────────────────────────────────────────────────────────────────────────────────────────────────────


class Work:
    """What a worker was given. It does not return from a job while `held` is set."""

    def __init__(self) -> None:
        self.given: Counter[str] = Counter()
        self.go_on = threading.Event()
        self.go_on.set()

    def do(self, job: str) -> None:
        self.given[job] += 1
        self.go_on.wait(30)


@pytest.fixture
def hired(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., WorkQueue]]:
    """Starts the worker of this process; a second one ends the first, without a word to it."""
    monkeypatch.setattr(queue, "LOOK_S", 0.02)
    databases: list[Database] = []

    def hire(work: Work, name: str = "a") -> WorkQueue:
        DBOS.destroy(destroy_registry=True)
        databases.append(Database(database.engine.url))
        with ThreadPoolExecutor(1) as pool:  # DBOS does not let itself be started where a loop runs
            return pool.submit(WorkQueue, databases[-1], worker=name, concurrency=4, do=work.do).result()

    yield hire
    DBOS.destroy(destroy_registry=True)
    for one in databases:
        one.close()


def newer(folder: Path) -> str:
    """The URL of a database in `folder` that a newer version has migrated."""
    database = Database(f"sqlite:///{folder}/newer.db")
    database.migrate()
    with database.transaction() as connection:
        connection.execute(sa.text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    database.close()
    return f"sqlite:///{folder}/newer.db"


def statuses(database: Database) -> dict[str, str]:
    table = "workflow_status" if database.engine.dialect.name == "sqlite" else "dbos.workflow_status"
    with database.reading() as connection:
        return {row[0]: row[1] for row in connection.execute(sa.text(f"SELECT workflow_uuid, status FROM {table}"))}


def until(happens: Callable[[], Any], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < end
        time.sleep(0.02)
