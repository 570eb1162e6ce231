"""The engine in a child process: the same worker at a unix socket, with no TorchServe and no Java."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, aclosing, suppress
from functools import partial
from pathlib import Path
from typing import Any

from rakinglight.archives import read_card
from rakinglight.errors import EngineAway
from rakinglight.question import Question
from rakinglight.wire import Frame
from service.engines import EngineState
from service.engines.boarding import Boarding, Limits, WorkerLost, probe
from service.engines.children import clean_environment, die_with_parent, end_group, socket_directory
from service.engines.streams import frames

log = logging.getLogger("rakinglight.local")

#: Seconds before another child is started; a longer pause, each time twice, where the last could not even load.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 30.0


class LocalEngine:
    """Starts the child, asks it, and starts another when it dies.

    archives  the model archives that it loads
    home      RAKINGLIGHT_HOME
    """

    def __init__(self, archives: Sequence[Path], *, home: Path, limits: Limits | None = None) -> None:
        self.archives = [Path(path).resolve() for path in archives]
        self.models = {card.name: card for card in map(read_card, self.archives)}
        self.home = Path(home).resolve()
        self.boarding = Boarding(self, limits or Limits())
        self._stack = AsyncExitStack()
        self._socket = Path()
        self._up = asyncio.Event()
        self._reason = "not started"
        self._restarts = 0
        self._process: asyncio.subprocess.Process | None = None
        self._supervisor: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<LocalEngine: {self._reason}, {self.boarding.gate}>"

    @property
    def state(self) -> EngineState:
        gate = self.boarding.gate
        return EngineState(
            ready=self._up.is_set(),
            reason=self._reason,
            workers=int(self._up.is_set()),
            restarts=self._restarts,
            retries=self.boarding.retries,
            waiting=len(gate.waiting),
            running=len(gate.aboard),
        )

    @property
    def pid(self) -> int | None:
        """Of the child, while there is one."""
        return self._process.pid if self._process and self._process.returncode is None else None

    def ask(self, question: Question, *, request_id: str) -> AsyncGenerator[Frame, None]:
        """As `Engine.ask`."""
        return self.boarding.ask(question, request_id=request_id)

    async def snapshot(self) -> dict[str, Any]:
        """The worker's counters; nothing while it is away."""
        if self._up.is_set():
            with suppress(WorkerLost):
                return await probe(self)
        return {}

    async def up(self) -> None:
        """As `Transport.up`."""
        if self._reason == "stopped":
            raise EngineAway("The service is stopping; ask again when it is back.", retry_after_s=5.0)
        await self._up.wait()

    async def stream(self, request: bytes) -> AsyncGenerator[Frame, None]:
        """As `Transport.stream`."""
        try:
            reader, writer = await asyncio.open_unix_connection(self._socket, limit=2**22)
        except OSError as e:
            raise WorkerLost(f"the worker does not answer: {e}", aboard=False) from e
        try:
            writer.write(request)
            async with aclosing(frames(partial(reader.read, 2**20))) as arriving:
                async for frame in arriving:
                    yield frame
        finally:
            writer.close()

    async def start(self) -> None:
        """As `Engine.start`."""
        directory = self._stack.enter_context(socket_directory(self.home / "run", longest="w.sock"))
        (self.home / "logs").mkdir(parents=True, exist_ok=True)
        self._socket = directory / "w.sock"
        self._supervisor = asyncio.create_task(self._supervise(), name="local engine")

    async def stop(self) -> None:
        """As `Engine.stop`."""
        self._up.clear()
        self._reason = "stopped"
        if self._supervisor:
            self._supervisor.cancel()
            await asyncio.gather(self._supervisor, return_exceptions=True)
        await self._stack.aclose()

    async def _supervise(self) -> None:
        pause = FIRST_PAUSE_S
        while True:
            self._socket.unlink(missing_ok=True)
            self._reason = "the worker is loading its networks"
            process = self._process = await self._launch()
            try:
                await self._watch(process)
            finally:
                loaded = self._up.is_set()
                self._up.clear()
                await asyncio.shield(end_group(process))
            self._restarts += 1
            pause = FIRST_PAUSE_S if loaded else min(2 * pause, LONGEST_PAUSE_S)
            self._reason = f"the worker ended with code {process.returncode}; see worker.log"
            log.warning("%s; the next starts in %g s", self._reason, pause)
            await asyncio.sleep(pause)

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        """Return when the child has ended. Questions may go once its socket is there: it loads first."""
        ended = asyncio.create_task(process.wait())
        try:
            while not ended.done():
                if not self._up.is_set() and self._socket.exists():
                    self._reason = "ready"
                    self._up.set()
                await asyncio.wait([ended], timeout=None if self._up.is_set() else 0.05)
        finally:
            ended.cancel()

    async def _launch(self) -> asyncio.subprocess.Process:
        with (self.home / "logs" / "worker.log").open("ab") as output:
            return await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "rakinglight.socket_host",
                str(self._socket),
                *map(str, self.archives),
                env=clean_environment(self.home),
                stdin=asyncio.subprocess.PIPE,  # held open: its end is the child's
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
