"""The engine in a child process: the same worker at a unix socket, with no TorchServe and no Java."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

from rakinglight.archives import read_card
from rakinglight.card import Card
from rakinglight.errors import EngineAway
from rakinglight.question import Question
from rakinglight.wire import Frame
from service.engines import EngineState, trial
from service.engines.boarding import Boarding, Limits, WorkerLost, probe
from service.engines.children import clean_environment, die_with_parent, end_group, socket_directory
from service.engines.streams import answer
from service.engines.trial import Stuck, ask_each, smallest

log = logging.getLogger("rakinglight.local")

#: Seconds before another child is started; a longer pause, each time twice, where the last could not even load.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 30.0
#: Trials in a row that a child may fail before it is ended, each as long as a stream may be silent; seconds between.
FAILURES, RETRY_S = 2, 0.5


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

    def stream(self, request: bytes) -> AsyncGenerator[Frame, None]:
        """As `Transport.stream`."""
        return answer(self._socket, request)

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
                why = await self._watch(process)
            finally:
                loaded = self._up.is_set()
                self._up.clear()
                await asyncio.shield(end_group(process))
            self._restarts += 1
            pause = FIRST_PAUSE_S if loaded else min(2 * pause, LONGEST_PAUSE_S)
            self._reason = f"{why}; see worker.log"
            log.warning("%s; the next starts in %g s", self._reason, pause)
            await asyncio.sleep(pause)

    async def _watch(self, process: asyncio.subprocess.Process) -> str:
        """Look after the child until it has ended, or has to be: it hangs. Returns why."""
        ended, trying = asyncio.create_task(process.wait()), asyncio.create_task(self._try_out())
        try:
            await asyncio.wait([ended, trying], return_when=asyncio.FIRST_COMPLETED)
            return f"the worker ended with code {process.returncode}" if ended.done() else trying.result()
        finally:
            ended.cancel()
            trying.cancel()

    async def _try_out(self) -> str:
        """Send questions to the child once each of its models has answered, and return why it must be replaced."""
        while not self._socket.exists():  # noqa: ASYNC110  it loads first, and no event tells when a file is there
            await asyncio.sleep(0.05)
        failures, cards = 0, list(self.models.values())
        while True:
            try:
                await self._try(cards if not self._up.is_set() else smallest(cards))
            except Stuck as e:
                return f"the worker is stuck: {e}"
            except WorkerLost as e:
                failures += 1
                self._up.clear()
                self._reason = f"the worker does not answer: {e}"
                if failures == FAILURES:
                    return self._reason
            else:
                failures = 0
                self._reason = "ready"
                self._up.set()
            await asyncio.sleep(trial.EVERY_S if self._up.is_set() else RETRY_S)

    async def _try(self, cards: Sequence[Card]) -> None:
        """Find out whether the worker answers for these. Raises Stuck, and WorkerLost."""
        await ask_each(self, cards)

    def _environment(self) -> dict[str, str]:
        """What the child finds in its environment."""
        return clean_environment(self.home)

    async def _launch(self) -> asyncio.subprocess.Process:
        with (self.home / "logs" / "worker.log").open("ab") as output:
            return await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "rakinglight.socket_host",
                str(self._socket),
                *map(str, self.archives),
                env=self._environment(),
                stdin=asyncio.subprocess.PIPE,  # held open: its end is the child's
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
