"""The job process beside the gateway: started with it, started anew when it dies, ended with it."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from service.engines import Engine
from service.engines.children import die_with_parent, end_group, socket_directory
from service.engines.lent import Lender
from service.settings import Settings

log = logging.getLogger("rakinglight.jobs")

#: Seconds before another is started; a longer pause, each time twice, where the last did not live long.
FIRST_PAUSE_S, LONGEST_PAUSE_S, LONG_S = 0.1, 5.0, 10.0
#: Seconds that it has to mark what it was doing, once it is told to end.
FAREWELL_S = 5.0
#: The exit code of one that another would only follow: see `service.jobs.process`.
HOPELESS = 2
SOCKET = "engine.sock"
#: What the child has no use for: who may call, and where.
ASIDE = {"key", "key_file", "host", "allowed_hosts", "engine_sockets", "archive_folder"}


class JobProcess:
    """Of the gateway whose `engine` it asks."""

    def __init__(self, engine: Engine, archives: Sequence[Path], settings: Settings) -> None:
        self._engine = engine
        self._archives = archives
        self._settings = settings
        self._process: asyncio.subprocess.Process | None = None
        self.restarts = 0

    @property
    def pid(self) -> int | None:
        """Of the process, while there is one."""
        return self._process.pid if self._process and self._process.returncode is None else None

    @asynccontextmanager
    async def kept(self) -> AsyncGenerator[None, None]:
        """Keep it running meanwhile."""
        with socket_directory(self._settings.home.resolve() / "run", longest=SOCKET) as folder:
            async with Lender(self._engine, max(1, self._settings.live_runs // 2)).at(folder / SOCKET):
                supervisor = asyncio.create_task(self._supervise(folder / SOCKET), name="job process")
                try:
                    yield
                finally:
                    supervisor.cancel()
                    await asyncio.gather(supervisor, return_exceptions=True)

    async def _supervise(self, lent: Path) -> None:
        pause, loop = FIRST_PAUSE_S, asyncio.get_running_loop()
        while True:
            begun = loop.time()
            try:
                why = await self._one(lent)
            except OSError as e:
                why = f"could not be started: {e}"
            if self._process and self._process.returncode == HOPELESS:
                log.error("the job process %s: no jobs are done until what it said above is mended", why)
                return
            self.restarts += 1
            pause = FIRST_PAUSE_S if loop.time() - begun > LONG_S else min(2 * pause, LONGEST_PAUSE_S)
            log.warning("the job process %s; another starts in %g s", why, pause)
            await asyncio.sleep(pause)

    async def _one(self, lent: Path) -> str:
        """Start one, and wait for its end. Returns how that was."""
        process = self._process = await self._launch(lent)
        try:
            await process.wait()
        finally:
            await asyncio.shield(_ended(process))
        return f"ended with code {process.returncode}"

    async def _launch(self, lent: Path) -> asyncio.subprocess.Process:
        """What it is told comes by its standard input, where no other process can read it."""
        settings = self._settings
        said = settings.model_dump(mode="json", exclude=ASIDE)
        if settings.database is not None:
            said["database"] = settings.database.get_secret_value()
        said["home"] = str(settings.home.resolve())
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "service.jobs.process",
            env={name: value for name, value in os.environ.items() if not name.startswith("RAKINGLIGHT_")},
            stdin=asyncio.subprocess.PIPE,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
        assert process.stdin is not None
        line = {"settings": said, "lent": str(lent), "archives": [str(path) for path in self._archives]}
        with suppress(ConnectionError):
            process.stdin.write(json.dumps(line).encode() + b"\n")
            await process.stdin.drain()
        return process


async def _ended(process: asyncio.subprocess.Process) -> None:
    """Let `process` say its farewell, and then be sure that it and its children are gone."""
    assert process.stdin is not None
    process.stdin.close()
    with suppress(TimeoutError):
        async with asyncio.timeout(FAREWELL_S):
            await process.wait()
    await end_group(process)
