"""The process that does jobs: beside the gateway as its child, or by itself as `rakinglight worker`.

It may load torch; whatever asks a network goes to an engine: the one that the gateway lends, or one of its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import socket
import sys
import threading
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, contextmanager, suppress
from fcntl import LOCK_EX, LOCK_NB, flock
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
import typer

from service import logs
from service.core import Core
from service.database import PATIENT_S
from service.decode import DecodePool
from service.engines.lent import LentEngine
from service.jobs.keeper import Keeper, enter
from service.jobs.queue import WorkQueue
from service.jobs.runner import Runner
from service.settings import Settings
from service.storage import Storage

if TYPE_CHECKING:
    from service.engines import Engine

log = structlog.get_logger("rakinglight.jobs")

#: Threads that may wait for a database or a store at once. Where many do, the sign of life must still find one.
THREADS = 32


async def work(settings: Settings, engine: Engine, until: asyncio.Event) -> None:
    """Do jobs with `engine` until `until` is set; what is under way then is marked, and goes on elsewhere or later.

    Afterwards threads are left that nothing ends: see `leaving`.
    """
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS, thread_name_prefix="jobs"))
    working, stopping = asyncio.create_task(_work(settings, engine)), asyncio.create_task(until.wait())
    await asyncio.wait([working, stopping], return_when=asyncio.FIRST_COMPLETED)
    working.cancel()
    stopping.cancel()
    with suppress(asyncio.CancelledError):
        await working


async def _work(settings: Settings, engine: Engine) -> None:
    """Until cancelled. What ends it otherwise is for whoever starts it anew to mend, by that.

    Raises ValueError where that mends nothing: the database is of a newer version.
    """
    async with AsyncExitStack() as house:
        decoder = await house.enter_async_context(DecodePool.of(settings))
        storage = Storage.of(settings, decoder, wait_s=PATIENT_S)
        house.callback(storage.close)
        name = house.enter_context(worker_name(settings.home))
        await engine.start()
        house.push_async_callback(engine.stop)
        await storage.ready()
        await asyncio.to_thread(enter, storage.database, name)
        runner = Runner(Core(engine, settings, decoder, storage), storage, worker=name)
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:

            async def run(job: str) -> None:
                await group.create_task(runner.run(job))

            def do(job: str) -> None:
                """In a thread of the queue's, to which returning is to say that the job is done with."""
                try:
                    asyncio.run_coroutine_threadsafe(run(job), loop).result()
                except Exception:
                    threading.Event().wait()  # it is not: this process is ending

            queue = await asyncio.to_thread(
                lambda: WorkQueue(storage.database, worker=name, concurrency=settings.worker_jobs, do=do)
            )
            keeper = Keeper(storage, queue, name=name, takeover_s=settings.takeover_s)
            group.create_task(keeper.keep())
            log.info("worker is up", worker=name)


@contextmanager
def worker_name(home: Path) -> Iterator[str]:
    """A name for this worker that nobody else has, and that it has again when it is started again.

    A worker that starts takes up what its own name had left: so of the workers of one home, each has a file, which
    holds its name, and which the kernel frees when its process ends, however it ends.
    """
    folder = home / "run"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for number in count():
        with (folder / f"worker-{number}").open("a+") as file:
            try:
                flock(file, LOCK_EX | LOCK_NB)
            except OSError:
                continue
            file.seek(0)
            if not (name := file.read()):
                name = f"{socket.gethostname()}:{secrets.token_hex(8)}"
                file.write(name)
                file.flush()
            yield name
            return


@contextmanager
def leaving() -> Iterator[None]:
    """Afterwards this process is no more: the queue's threads wait for jobs that others will do."""
    code = 1
    try:
        yield
        code = 0
    except BaseException as e:
        code = getattr(e, "exit_code", 1)  # typer's
        if not hasattr(e, "exit_code"):
            traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _line() -> bytes:
    """The first line of the standard input, and not a byte more: what follows is watched for its end."""
    line = b""
    while (byte := os.read(sys.stdin.fileno(), 1)) not in (b"", b"\n"):
        line += byte
    return line


async def _beside_the_gateway(settings: Settings, lent: Path, archives: list[Path]) -> None:
    until = asyncio.Event()

    def read() -> None:
        if not os.read(sys.stdin.fileno(), 1):
            until.set()

    asyncio.get_running_loop().add_reader(sys.stdin, read)
    await work(settings, LentEngine(lent, archives), until)


if __name__ == "__main__":
    # The first line of the standard input says all; its end is the gateway's, and ours.
    with leaving():
        said = json.loads(_line())
        settings = Settings(**said["settings"])
        logs.configure(settings.log_level, settings.log_format)
        try:
            asyncio.run(_beside_the_gateway(settings, Path(said["lent"]), [Path(path) for path in said["archives"]]))
        except ValueError as e:  # a database that will not do, now or later: as `rakinglight serve` ends with it
            log.error("no jobs can be done", why=str(e))
            raise typer.Exit(2) from None
