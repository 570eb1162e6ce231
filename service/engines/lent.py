"""The gateway's engine, lent to the job process beside it: one gate, one order, one set of retries for both.

    job process: LentEngine.ask ──> unix socket ──> gateway: Lender ──> engine.ask

A connection is a question: the request frame goes in, frames come out, the last is a result or a problem. Hanging up
cancels the work.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from rakinglight.archives import read_card
from rakinglight.card import Card
from rakinglight.errors import EngineAway, InternalError, RakinglightError, from_problem
from rakinglight.question import Question
from rakinglight.wire import HEARTBEAT, Frame, first_frame
from service.engines import Engine, EngineState
from service.engines.boarding import WorkerLost
from service.engines.streams import answer

log = logging.getLogger("rakinglight.lent")

#: Seconds of silence after which a heartbeat is sent, well before a stream is taken for cut.
HEARTBEAT_S = 1.0
#: Seconds after which it is worth asking a gateway again that does not answer.
RETRY_S = 1.0
#: Seconds of work that are too few to wait for a place.
MOMENT_S = 0.01


class Lender:
    """Answers questions at a unix socket, which only this machine's user can open.

    places  questions that it passes on to `engine` at once. The others wait here, so that jobs, which have time, leave
            places at the engine's gate, and the line before it, to those who wait for an answer
    """

    def __init__(self, engine: Engine, places: int) -> None:
        self.engine = engine
        self._places = asyncio.Semaphore(places)

    @asynccontextmanager
    async def at(self, path: Path) -> AsyncGenerator[None, None]:
        """Listen at `path` meanwhile."""
        server = await asyncio.start_unix_server(self._connected, path, limit=2**22)  # the folder is ours alone
        try:
            yield
        finally:
            server.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.CancelledError):
            if request := await first_frame(reader):
                answering = asyncio.create_task(self._answer(request, writer))
                gone = asyncio.create_task(reader.read(1))
                await asyncio.wait([answering, gone], return_when=asyncio.FIRST_COMPLETED)
                for task in (answering, gone):
                    task.cancel()
                await asyncio.gather(answering, gone, return_exceptions=True)
        writer.close()

    async def _answer(self, request: Frame, writer: asyncio.StreamWriter) -> None:
        living = asyncio.create_task(_live(writer))
        try:
            question = Question.from_body(request.body["question"])
            async with self._place(question) as left:
                asked = replace(question, seconds=left)
                async with aclosing(self.engine.ask(asked, request_id=request.body["request_id"])) as news:
                    async for frame in news:
                        writer.write(bytes(frame))
                        await writer.drain()
        except OSError:
            raise  # who asked is gone
        except Exception as e:
            if not isinstance(e, RakinglightError):
                log.exception("a question of a job failed")
                e = InternalError(f"The gateway failed with {type(e).__name__}; its log has the trace.")
            writer.write(bytes(Frame("problem", e.problem())))
            await writer.drain()
        finally:
            living.cancel()

    @asynccontextmanager
    async def _place(self, question: Question) -> AsyncGenerator[float, None]:
        """Wait for a place; yield what is left of the question's seconds.

        One whose time is all but over, which tells what a run has reached that was cancelled, needs none.
        """
        if question.seconds < MOMENT_S:
            yield question.seconds
            return
        begun = time.monotonic()
        async with self._places:
            yield max(MOMENT_S, question.seconds - (time.monotonic() - begun))


class LentEngine:
    """The engine of the gateway that listens at `path`.

    archives  of the models that it has loaded
    """

    def __init__(self, path: Path, archives: list[Path]) -> None:
        self.path = path
        self.models: Mapping[str, Card] = {card.name: card for card in map(read_card, archives)}

    def __repr__(self) -> str:
        return f"<LentEngine at {self.path}>"

    @property
    def state(self) -> EngineState:
        """It is ready where somebody lends it; how it fares, the gateway tells."""
        there = self.path.is_socket()
        return EngineState(there, "lent" if there else "nobody lends it", 0, 0, 0, 0, 0)

    async def start(self) -> None:
        """Nothing is to be started."""

    async def stop(self) -> None:
        """Nothing is to be ended."""

    async def snapshot(self) -> dict[str, Any]:
        """The gateway has the counters."""
        return {}

    async def ask(self, question: Question, *, request_id: str) -> AsyncGenerator[Frame, None]:
        """As `Engine.ask`."""
        request = Frame("request", {"question": question.to_body(), "request_id": request_id})
        try:
            async with aclosing(answer(self.path, bytes(request))) as arriving:
                async for frame in arriving:
                    if frame.kind == "problem":
                        raise from_problem(frame.body)
                    yield frame
        except WorkerLost as lost:
            raise EngineAway(f"The gateway does not answer: {lost}", retry_after_s=RETRY_S) from None


async def _live(writer: asyncio.StreamWriter) -> None:
    """Say that the answer is being worked on."""
    while True:
        writer.write(HEARTBEAT)
        await asyncio.sleep(HEARTBEAT_S)
