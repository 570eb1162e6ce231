"""Who may board a worker, and what becomes of those whose worker died: the same for every engine.

    ask ──> waiting ──> aboard ──> result or problem
              ^            │
              └─ retry ────┘ the worker died

A run is deterministic, so what a dead worker dropped is asked again, within the caller's time, and goes on from the
last state that came with its progress. A question that was aboard at two deaths with no new state between them is asked
again alone, so that it can hurt nobody else; at a third such death it is itself the cause.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol

from rakinglight.errors import DeadlineExceeded, EngineAway, Overloaded, RunKillsWorker, TooLarge, from_problem
from rakinglight.news import RARE, newest
from rakinglight.question import Question
from rakinglight.wire import Frame

log = logging.getLogger("rakinglight.engine")

#: Deaths after which a question rides alone, and after which it is taken for their cause.
ALONE_AFTER, GUILTY_AFTER = 2, 3
#: Seconds before a question is asked again, so that whoever watches the worker has seen its death as well.
RETRY_PAUSE_S = 0.05
#: Seconds that a worker may take beyond the caller's time to put together what it has reached.
GRACE_S = 12.0
#: Seconds that a question waits for an engine that is away before its caller is told.
AWAY_S = 20.0


class WorkerLost(Exception):
    """The stream was cut before its end.

    aboard  whether the worker had taken the question up: only then can it be what killed it
    """

    def __init__(self, reason: str, *, aboard: bool) -> None:
        super().__init__(reason)
        self.aboard = aboard


class Transport(Protocol):
    """The way to a worker, as each engine provides it."""

    async def up(self) -> None:
        """Wait until a worker can be asked."""
        ...

    def stream(self, request: bytes) -> AsyncGenerator[Frame, None]:
        """Send `request`; yield the frames that come back. Raises WorkerLost where they stop before a terminal one.

        Closing it hangs up, and the worker closes the run.
        """
        ...


async def probe(transport: Transport) -> dict[str, Any]:
    """The worker's counters (`rakinglight.worker.Worker.snapshot`), asked past the gate. Raises WorkerLost."""
    async with aclosing(transport.stream(bytes(Frame("request", {"operation": "snapshot"})))) as frames:
        async for frame in frames:
            if frame.kind == "result":
                found: dict[str, Any] = frame.body["result"]
                return found
    raise WorkerLost("the probe was not answered", aboard=False)


@dataclass(frozen=True)
class Limits:
    """How much is taken on.

    aboard         questions with the worker at once
    waiting        questions that wait for a place; beyond, callers are turned away
    bytes_aboard   of memory that the runs aboard may take together, by `Question.working_bytes`
    bytes_waiting  that those who wait would take
    """

    aboard: int = 64
    waiting: int = 128
    bytes_aboard: int = 3 * 2**30
    bytes_waiting: int = 12 * 2**30


@dataclass(eq=False)
class Passenger:
    """One question before the gate. `admitted` is done when it may board."""

    size: int
    alone: bool
    admitted: asyncio.Future[None]


class Gate:
    """Lets questions aboard in the order in which they came: so many at once, or one that must be alone."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.waiting: deque[Passenger] = deque()
        self.aboard: set[Passenger] = set()
        self._mean_s = 1.0

    def __repr__(self) -> str:
        return f"<Gate: {len(self.aboard)} aboard, {len(self.waiting)} waiting>"

    @asynccontextmanager
    async def boarded(self, size: int, *, alone: bool = False, again: bool = False) -> AsyncIterator[None]:
        """Wait for a place, and give it back at the end. Who comes again goes first and is never turned away."""
        passenger = Passenger(size, alone, asyncio.get_running_loop().create_future())
        if again:
            self.waiting.appendleft(passenger)
        else:
            self._turn_away_if_full(size)
            self.waiting.append(passenger)
        try:
            self._admit()
            await passenger.admitted
            begun = time.monotonic()
            yield
            self._mean_s += 0.1 * (time.monotonic() - begun - self._mean_s)
        finally:
            if passenger in self.aboard:
                self.aboard.remove(passenger)
            else:
                self.waiting.remove(passenger)
            self._admit()

    @property
    def retry_after_s(self) -> float:
        """Seconds until those who wait now will have been let aboard, by the mean ride so far."""
        rides = (len(self.waiting) + 1) / self.limits.aboard
        return min(60.0, max(1.0, round(rides * self._mean_s)))

    def _turn_away_if_full(self, size: int) -> None:
        limits, waiting = self.limits, sum(p.size for p in self.waiting)
        if size > limits.bytes_aboard:
            raise TooLarge(
                f"The question takes {size} bytes to work on; a worker has {limits.bytes_aboard}. Send a smaller image."
            )
        if len(self.waiting) >= limits.waiting or waiting + size > limits.bytes_waiting:
            seconds = self.retry_after_s
            raise Overloaded(
                f"{len(self.aboard)} questions are being answered, and {len(self.waiting)} wait with {waiting} bytes; "
                f"{limits.waiting} may, with {limits.bytes_waiting} bytes. Try again in {seconds:g} s.",
                retry_after_s=seconds,
            )

    def _admit(self) -> None:
        while self.waiting and self._fits(self.waiting[0]):
            passenger = self.waiting.popleft()
            self.aboard.add(passenger)
            if not passenger.admitted.cancelled():  # who hung up a moment ago gives the place back
                passenger.admitted.set_result(None)

    def _fits(self, passenger: Passenger) -> bool:
        if not self.aboard:
            return True
        if passenger.alone or any(p.alone for p in self.aboard) or len(self.aboard) >= self.limits.aboard:
            return False
        return sum(p.size for p in self.aboard) + passenger.size <= self.limits.bytes_aboard


class Boarding:
    """Carries questions to a worker by `transport`, and keeps the promises that the worker cannot.

    grace_s  seconds beyond the caller's time; by default GRACE_S
    """

    def __init__(self, transport: Transport, limits: Limits, *, grace_s: float | None = None) -> None:
        self.transport = transport
        self.grace_s = GRACE_S if grace_s is None else grace_s
        self.gate = Gate(limits)
        self.retries = 0

    async def ask(self, question: Question, *, request_id: str) -> AsyncGenerator[Frame, None]:
        """As `Engine.ask`. The worker is read as fast as it writes; who reads here slowly misses some progress.

        A state that came with it is missed only for a newer one.
        """
        unread: deque[Frame] = deque(maxlen=1)
        news = asyncio.Event()

        def post(frame: Frame) -> None:
            unread.append(newest(unread[0] if unread else None, frame))
            news.set()

        journey = asyncio.create_task(self._carry(question, request_id, post))
        journey.add_done_callback(lambda _: news.set())
        try:
            while unread or not journey.done():
                await news.wait()
                news.clear()
                if unread:
                    yield unread.pop()
            yield journey.result()
        finally:
            journey.cancel()
            await asyncio.wait([journey])

    async def _carry(self, question: Question, request_id: str, post: Callable[[Frame], None]) -> Frame:
        """The result frame of `question`, however many workers it takes."""
        until = time.monotonic() + question.seconds
        deaths = rides = 0
        furthest: dict[int, dict[str, Any]] = {}

        def tell(frame: Frame) -> None:
            # A run that is taken up again comes by the same steps again. What follows a method, such as the figures of
            # its map, counts anew, and to another number.
            nonlocal question, deaths
            step, of, saved = frame.body["step"], frame.body["of"], frame.body.get("saved")
            if saved:
                question, deaths = replace(question, saved=saved), 0
            if of not in furthest or step > furthest[of]["step"]:
                furthest[of] = {name: value for name, value in frame.body.items() if name not in RARE}
                post(frame)
            elif saved:
                post(Frame("progress", {**furthest[of], "saved": saved}))

        try:
            async with asyncio.timeout(question.seconds + self.grace_s):
                while True:
                    alone = deaths >= ALONE_AFTER
                    async with self.gate.boarded(question.working_bytes, alone=alone, again=rides > 0):
                        rides += 1
                        try:
                            return await self._ride(question, until, tell)
                        except WorkerLost as lost:
                            self.retries += 1
                            deaths += lost.aboard
                            log.warning("%s lost its worker, deaths so far: %d (%s)", request_id, deaths, lost)
                    if deaths >= GUILTY_AFTER:
                        raise RunKillsWorker(
                            f"{deaths} workers died with this {question.operation} aboard, the last with nobody else, "
                            "so it is not tried again. Report it with the image and the parameters."
                        )
                    await asyncio.sleep(RETRY_PAUSE_S)
        except TimeoutError:
            raise DeadlineExceeded(
                f"{question.seconds:g} s were over before a worker had answered; give a longer deadline_s."
            ) from None

    async def _ride(self, question: Question, until: float, tell: Callable[[Frame], None]) -> Frame:
        """Ask a worker once. Raises WorkerLost, and what the worker found wrong."""
        # With a state in hand there is something to show when the time is over, for who waits a little longer.
        await self._up(until + self.grace_s if question.saved else until)
        left = replace(question, seconds=max(0.0, until - time.monotonic()))
        async with aclosing(self.transport.stream(bytes(Frame("request", left.to_body())))) as frames:
            async for frame in frames:
                if frame.kind == "result":
                    return frame
                if frame.kind == "problem":
                    raise from_problem(frame.body)
                if frame.kind == "progress":
                    tell(frame)
        raise WorkerLost("the stream ended without its last frame", aboard=True)

    async def _up(self, until: float) -> None:
        """Wait for a worker, as long as the caller has time and it is worth waiting."""
        patience = max(0.0, min(until - time.monotonic(), AWAY_S))
        try:
            async with asyncio.timeout(patience):
                await self.transport.up()
        except TimeoutError:
            raise EngineAway("No worker came up in time; one is being started.", retry_after_s=5.0) from None
