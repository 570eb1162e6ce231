"""The engine on TorchServe.

    gateway ── HTTP on a unix socket ──> JVM (TorchServe 0.12) ── unix socket ──> worker (handlers/)

TorchServe is no longer maintained and is relied upon for nothing but carrying bytes (`docs/torchserve.md`).

    sockets.py   asks a TorchServe and watches it, whoever runs it
    host.py      runs one
    __main__.py  runs one alone, for a gateway in another container
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from rakinglight.archives import read_card
from rakinglight.question import Question
from rakinglight.wire import Frame
from service.engines import EngineState
from service.engines.boarding import Boarding, Limits, WorkerLost, probe
from service.engines.children import socket_directory
from service.engines.torchserve.host import (
    LONGEST_SOCKET,
    RETRY_WINDOW_S,
    TorchServeHost,
    java_home,
    torchserve_home,
)
from service.engines.torchserve.sockets import Folder, TorchServe


class TorchServeEngine:
    """Asks a TorchServe, which it runs itself unless somebody else does.

    archives        the model archives that its worker loads
    home            RAKINGLIGHT_HOME; nothing is written there where somebody else runs TorchServe
    sockets         folder of the sockets of a TorchServe that somebody else runs
    retry_window_s  seconds for which TorchServe itself tries to start a worker again, before it is replaced
    """

    def __init__(
        self,
        archives: Sequence[Path],
        *,
        home: Path,
        sockets: Path | None = None,
        limits: Limits | None = None,
        retry_window_s: int = RETRY_WINDOW_S,
    ) -> None:
        limits = limits or Limits()
        archives = [Path(path).resolve() for path in archives]
        self.models = {card.name: card for card in map(read_card, archives)}
        self.home = Path(home).resolve()
        self.sockets = sockets and Path(sockets).resolve()
        self.host: TorchServeHost | None = None
        if self.sockets is None:
            self.host = TorchServeHost(archives, home=self.home, places=limits.aboard, retry_window_s=retry_window_s)
        silence = f"no TorchServe answers at {self.sockets}" if self.sockets else "TorchServe is starting"
        self.torchserve = TorchServe(self.models, silence=silence)
        self.boarding = Boarding(self.torchserve, limits)
        self._stack = AsyncExitStack()
        self._watcher: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<TorchServeEngine: {self.torchserve.reason}, {self.boarding.gate}>"

    @property
    def state(self) -> EngineState:
        gate, torchserve = self.boarding.gate, self.torchserve
        return EngineState(
            ready=torchserve.ready,
            reason=torchserve.reason,
            workers=torchserve.workers,
            restarts=torchserve.restarts,
            retries=self.boarding.retries,
            waiting=len(gate.waiting),
            running=len(gate.aboard),
        )

    @property
    def pid(self) -> int | None:
        """Of the JVM, while there is one that was started here."""
        return self.host.pid if self.host else None

    def ask(self, question: Question, *, request_id: str) -> AsyncGenerator[Frame, None]:
        """As `Engine.ask`."""
        return self.boarding.ask(question, request_id=request_id)

    async def snapshot(self) -> dict[str, Any]:
        """The worker's counters, and TorchServe's own as `host`; nothing while it is away."""
        if not self.torchserve.ready:
            return {}
        try:
            return {**await probe(self.torchserve), "host": await self.torchserve.counters()}
        except WorkerLost:
            return {}

    async def start(self) -> None:
        """As `Engine.start`. Raises InternalError where TorchServe is to be run here, and it or Java is missing."""
        if self.host:
            java_home(), torchserve_home()
            folder = Folder(self._stack.enter_context(socket_directory(self.home / "run", longest=LONGEST_SOCKET)))
            work = self.host.run(self.torchserve, folder)
        else:
            assert self.sockets is not None
            folder = Folder(self.sockets)
            work = self.torchserve.watch()
        await self._stack.enter_async_context(self.torchserve.connected(folder))
        self._watcher = asyncio.create_task(work, name="torchserve")

    async def stop(self) -> None:
        """As `Engine.stop`."""
        self.torchserve.close()
        if self._watcher:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)
        await self._stack.aclose()
