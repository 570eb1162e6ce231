"""What the gateway needs, in the test's own process: the real engine, a real store, and who does jobs.

No process but the decoder's, no TorchServe, and of DBOS, which is one for a process, only the half that submits.
"""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from rakinglight.errors import RakinglightError, StorageAway, from_problem
from rakinglight.network import Network
from rakinglight.question import Question
from rakinglight.wire import Frame
from rakinglight.worker import Worker
from service.core import Core
from service.database import Database
from service.database.schema import jobs
from service.decode import Decoder
from service.engines import EngineState
from service.jobs import queue
from service.jobs.runner import Runner
from service.settings import Settings
from service.storage import Storage


@dataclass
class InProcessEngine:
    """An Engine over a Worker.

    refusal      where it is set, every question is answered with it
    begun        a question has come
    ended_early  a caller has closed a question before its end
    """

    networks: Iterable[Network]
    ready: bool = True
    refusal: RakinglightError | Exception | None = None

    def __post_init__(self) -> None:
        self.networks = list(self.networks)
        self.models = {network.card.name: network.card for network in self.networks}
        self.worker = Worker(self.networks)
        self.asked: list[Question] = []
        self.cancelled: list[str] = []
        self.begun, self.ended_early = asyncio.Event(), asyncio.Event()

    @property
    def state(self) -> EngineState:
        reason = "ready" if self.ready else "loading the networks"
        return EngineState(self.ready, reason, workers=1, restarts=2, retries=3, waiting=0, running=0)

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        await asyncio.to_thread(self.worker.stop)

    async def ask(self, question: Question, *, request_id: str) -> AsyncGenerator[Frame, None]:
        if self.refusal is not None:
            raise self.refusal
        ticket = f"{request_id}/{len(self.asked)}"
        self.asked.append(question)
        self.begun.set()
        self.worker.open(ticket, Frame.read(bytes(Frame("request", question.to_body()))))
        over = False
        try:
            while not over:
                await asyncio.to_thread(self.worker.wait, 0.01)
                frames, over = self.worker.collect(ticket)
                for frame in frames:
                    if frame.kind == "problem":
                        raise from_problem(frame.body)
                    yield Frame.read(bytes(frame))
        finally:
            if not over:
                self.cancelled.append(request_id)
                self.ended_early.set()
                self.worker.close(ticket)

    async def snapshot(self) -> dict[str, Any]:
        return {**self.worker.snapshot(), "host": {"requests": 5.0, "inference_s": 1.25, "load_s": 2.5}}


@cache
def _tables() -> bytes:
    """A SQLite file with all tables, which takes a while to make."""
    with tempfile.TemporaryDirectory(prefix="rl_tables_") as folder:
        database = Database(f"sqlite:///{folder}/rakinglight.db")
        database.migrate()
        queue.migrate(database)
        database.close()
        return (Path(folder) / "rakinglight.db").read_bytes()


def storage_in(home: Path, settings: Settings, decoder: Decoder) -> Storage:
    """A store in `home`, on SQLite unless `settings` name a database, ready for use. Close it."""
    home.mkdir(parents=True, exist_ok=True)
    storage = Storage.of(settings.model_copy(update={"home": home}), decoder)
    if settings.database is None:
        (home / "rakinglight.db").write_bytes(_tables())
    else:
        storage.database.migrate()
        queue.migrate(storage.database)
    return storage


def break_database(home: Path) -> None:
    """What no database survives: a folder in place of its file. `mend_database` undoes it."""
    for path in home.glob("rakinglight.db*"):
        path.rename(path.with_name(f"aside-{path.name}"))
    (home / "rakinglight.db").mkdir()


def mend_database(home: Path) -> None:
    """Put back what `break_database` took."""
    shutil.rmtree(home / "rakinglight.db")
    for path in home.glob("aside-rakinglight.db*"):
        path.rename(path.with_name(path.name.removeprefix("aside-")))


@asynccontextmanager
async def doing_jobs(core: Core) -> AsyncGenerator[None, None]:
    """Meanwhile jobs that are submitted to `core` are done, all at once, in this process. Those left are marked."""
    runner, begun, tasks = Runner(core, core.storage, worker="in-process"), set(), []

    def queued() -> list[str]:
        with core.storage.database.reading() as connection:
            return list(connection.scalars(sa.select(jobs.c.id).where(jobs.c.state == "queued")))

    async def look() -> None:
        while True:
            with suppress(StorageAway):
                for job in set(await asyncio.to_thread(queued)) - begun:
                    begun.add(job)
                    tasks.append(asyncio.create_task(runner.run(job)))
            await asyncio.sleep(0.02)

    looking = asyncio.create_task(look())
    try:
        yield
    finally:
        for task in (looking, *tasks):
            task.cancel()
        ends = await asyncio.gather(looking, *tasks, return_exceptions=True)
        if failed := [end for end in ends if isinstance(end, Exception)]:
            raise failed[0]
