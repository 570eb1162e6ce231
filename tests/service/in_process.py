"""The real engine behind the gateway's interface, in a thread of the test: no process, no TorchServe."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass
from typing import Any

from rakinglight.errors import RakinglightError, from_problem
from rakinglight.network import Network
from rakinglight.question import Question
from rakinglight.wire import Frame
from rakinglight.worker import Worker
from service.engines import EngineState


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
