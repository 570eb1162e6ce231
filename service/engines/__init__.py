"""Who answers questions. The gateway knows an `Engine` and nothing of TorchServe, torch or processes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from rakinglight.card import Card
from rakinglight.question import Question
from rakinglight.wire import Frame


@dataclass(frozen=True)
class EngineState:
    """How an engine is, for readiness and monitoring.

    ready     a worker has every model loaded and has answered a probe
    reason    a few words for whoever asks why not
    workers   that are up
    restarts  of a worker or of its host, since the start
    retries   questions that were asked again because their worker died
    waiting   questions that are not sent to a worker yet
    running   questions that are with a worker
    """

    ready: bool
    reason: str
    workers: int
    restarts: int
    retries: int
    waiting: int
    running: int


class Engine(Protocol):
    """A pool of workers that may crash, behind promises that hold."""

    @property
    def models(self) -> Mapping[str, Card]: ...

    @property
    def state(self) -> EngineState: ...

    async def start(self) -> None:
        """Begin to start, and return; `state` says when it is ready."""
        ...

    async def stop(self) -> None:
        """End every process that was started. What is still asked is answered with EngineAway."""
        ...

    def ask(self, question: Question, *, request_id: str) -> AsyncGenerator[Frame, None]:
        """The progress frames, some of them left out for who reads slowly, and as the last the result frame.

        Raises what the worker found wrong; Overloaded where more is waiting than can be taken on; EngineAway; Deadline-
        Exceeded; RunKillsWorker. Closing the generator cancels the work.
        """
        ...

    async def snapshot(self) -> dict[str, Any]:
        """The worker's counters (`rakinglight.worker.Worker.snapshot`); nothing while it is away."""
        ...
