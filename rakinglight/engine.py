"""The engine: asks the network once for what many runs want to know, and gives every run the rows that are its.

    submit ──> waiting ──> running ──┐            ┌── a result
                              ^      │            ├── its own failure
                              │    step() ────────┤
                              └──────┘            └── cancelled, or stopped with what it had reached

The law of this file: what a run is answered never depends on who else is aboard. A network in eval mode treats every
row by itself, passes have only lengths at which a row's bits were found equal (`network.Ladder`), and a failure belongs
to one run alone.

One thread drives the engine (`step`, `run_until`); `submit`, `cancel` and `wake` may be called from any.
"""

from __future__ import annotations

import logging
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import torch

from rakinglight import passes
from rakinglight.backends.representation import network_of
from rakinglight.errors import BadParameter, DeadlineExceeded, InternalError, RakinglightError
from rakinglight.network import Network
from rakinglight.passes import Seat
from rakinglight.queries import Algorithm, Compute, Forward, Gradient, Progress, Query, Scores, Slope, Stopped
from rakinglight.run import Cancelled, Cost, Run

__all__ = ["Cancelled", "Cost", "Counts", "Engine", "Run"]

log = logging.getLogger("rakinglight.engine")

R = TypeVar("R")

#: Seconds that a run which was told to stop may go on for, to put together what it has reached.
GRACE_S = 10.0
#: Threads for what runs compute between their queries.
THREADS = 3
#: Of them, those that one caller may hold: what is at work can't be ended, and others shall not wait for it.
THREADS_OF_ONE = 2


@dataclass
class Counts:
    """What the engine has done since it began; monitoring reads it. Kinds are `forward` and `gradient`."""

    passes: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    padding: Counter[str] = field(default_factory=Counter)
    rows_a_pass: Counter[int] = field(default_factory=Counter)
    runs_a_pass: Counter[int] = field(default_factory=Counter)
    failed_passes: int = 0


class Engine:
    """Answers the queries of many runs with few passes.

    networks    by name; a query that names none means the first
    live_limit  runs that are begun at once; the others wait
    """

    def __init__(self, networks: Iterable[Network], *, live_limit: int = 256) -> None:
        self.networks: Mapping[str, Network] = {n.card.name: n for n in networks}
        self.live_limit = live_limit
        self.waiting: deque[Run[Any]] = deque()
        self.running: list[Run[Any]] = []
        self.counts = Counts()
        self._inbox: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="compute")
        self._to_compute: list[tuple[Run[Any], Compute]] = []
        self._computing: Counter[str] = Counter()  # by caller
        self._ticks = 0

    # ── for callers, from any thread ────────────────────────────────────────────────────────────────────────────────

    def submit(self, run: Run[R]) -> Run[R]:
        """Take `run` on. It begins at the next step."""
        self._inbox.put(lambda: self.waiting.append(run))
        return run

    def cancel(self, run: Run[Any]) -> None:
        """Close `run` before the next pass; its rows are free then."""
        self._inbox.put(lambda: self._end(run, error=Cancelled()))

    def wake(self) -> None:
        """End the wait of `run_until`, so that it asks again whether it is done."""
        self._inbox.put(lambda: None)

    # ── for the one thread that drives ──────────────────────────────────────────────────────────────────────────────

    def drive(self, algorithm: Algorithm[R], **settings: Any) -> R:
        """Run one algorithm to its end, with no thread and no server: for notebooks and tests."""
        run = self.submit(Run(algorithm, **settings))
        self.run_until(lambda: run.over)
        return run.result

    def run_until(self, done: Callable[[], bool]) -> None:
        """Step until `done()`; wait for mail while there is nothing to do."""
        while not done():
            if not self.step() and not done():
                self._wait_for_mail()

    def step(self) -> bool:
        """One pass for the runs that wait for an answer. False if none does."""
        self._read_mail()
        self._board()
        self._stop_the_late()
        if not (seats := self._next_pass()):
            return False
        for seat, answer in zip(seats, self._answers(seats), strict=True):
            self._hand_over(seat, answer)
        return True

    def close(self) -> None:
        """End every run."""
        self._read_mail()
        for run in [*self.running, *self.waiting]:
            self._end(run, error=Cancelled())
        self._threads.shutdown(wait=False, cancel_futures=True)

    # ── the pass ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _next_pass(self) -> list[Seat]:
        """The seats of the next pass: of the kind of query that has gone unserved longest, so that none starves."""
        asking = sorted((run for run in self.running if run.query), key=lambda run: run.tick)
        if not asking:
            return []
        first = self._query(asking[0])
        alike = [run for run in asking if self._key(self._query(run)) == self._key(first)]
        return passes.deal(alike, self._network(first).ladder(first).limit)

    def _key(self, query: Query) -> tuple[object, ...]:
        """Queries that are equal in this may share a pass."""
        return passes.key(query, self._network(query))

    def _answers(self, seats: Sequence[Seat]) -> Sequence[Scores | Slope | Exception]:
        """What each seat is told: its rows' answer, or the failure that is its own."""
        self._count(seats)
        try:
            return passes.answers(seats, self._network(seats[0].query))
        except Exception as e:  # a backend may raise anything; whose fault it is shows when each is asked alone
            self.counts.failed_passes += 1
            if len(seats) > 1:
                return [self._answers([seat])[0] for seat in seats]
            if isinstance(e, RakinglightError):  # it says itself what is wrong, as a service does that is asked
                return [e]
            log.exception("a pass failed: %s", seats[0].query)
            return [InternalError(f"The network failed with {type(e).__name__} on {seats[0].query}.")]

    def _hand_over(self, seat: Seat, answer: Scores | Slope | Exception) -> None:
        run = seat.run
        run.tick = self._tick()
        if isinstance(answer, Exception):
            self._advance(run, error=answer)
            return
        run.take(answer, len(seat), self._network(seat.query).work(seat.query))
        if not all(part.isfinite().all() for part in answer if isinstance(part, torch.Tensor)):
            network = self._network(seat.query).card.name
            detail = f"{network} answers {seat.query} with NaN or infinity; look at its weights and at the input."
            self._advance(run, error=BadParameter(detail))
        elif not run.wanted:
            self._advance(run, run.answer)

    def _count(self, seats: Sequence[Seat]) -> None:
        query, rows = seats[0].query, sum(map(len, seats))
        kind = type(query).__name__.lower()
        self.counts.passes[kind] += 1
        self.counts.rows[kind] += rows
        self.counts.padding[kind] += self._network(query).ladder(query).padded(rows) - rows
        self.counts.rows_a_pass[rows] += 1
        self.counts.runs_a_pass[len(seats)] += 1

    # ── one run ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _board(self) -> None:
        """Begin runs while there is room: next is the first in line of the caller with the fewest aboard."""
        while self.waiting and len(self.running) < self.live_limit:
            aboard = Counter(run.caller for run in self.running)
            self._begin(min(self.waiting, key=lambda run: aboard[run.caller]))

    def _begin(self, run: Run[Any]) -> None:
        self.waiting.remove(run)
        self.running.append(run)
        self._advance(run)

    def _advance(self, run: Run[Any], answer: Any = None, error: BaseException | None = None) -> None:
        """Send `answer` (or throw `error`) and go on to the next query, or to the end."""
        run.ask(None)
        try:
            while True:
                asked = run.algorithm.throw(error) if error else run.algorithm.send(answer)
                answer = error = None
                if isinstance(asked, Progress):
                    run.notify(asked)
                elif isinstance(asked, Compute):
                    if asked.stoppable and run.deadline <= time.monotonic():
                        error = self._lateness(run)
                        continue
                    self._compute(run, asked)
                    return
                elif (error := self._refusal(run, asked)) is None:
                    run.ask(asked)
                    run.tick = self._tick()
                    return
        except StopIteration as done:
            self._end(run, value=done.value)
        except Stopped as stopped:
            self._end(run, error=run.nothing_to_show(stopped))
        except RakinglightError as e:
            self._end(run, error=e)
        except Exception as e:
            log.exception("a run failed")
            self._end(run, error=InternalError(f"The algorithm failed with {type(e).__name__}; the log has the trace."))

    def _refusal(self, run: Run[Any], query: Query) -> Exception | None:
        """Why `query` is not taken up, if it is not."""
        if isinstance(query.network, str) and query.network not in self.networks:
            return InternalError(f"No network {query.network!r} is loaded.")
        network = self._network(query)
        if not len(query):
            return InternalError(f"{query} asks about no rows; ask about one at least.")
        short = isinstance(query, Forward) and query.short
        if (isinstance(query, Gradient) or short or query.randomized) and network.gradient is None:
            return BadParameter(f"{network.card.name} {network.no_gradients}")
        if tuple(query.rows.shape[-3:]) != network.card.input_shape:
            return InternalError(f"{query} does not fit {network.card.name}, which takes {network.card.input_shape}.")
        if len(query) > run.rows_left:
            if run.stopped:
                return DeadlineExceeded("The run went on after it was told to stop.")
            run.stopped = Stopped("rows")
            return run.stopped
        return None

    def _compute(self, run: Run[Any], compute: Compute) -> None:
        """Have a thread do the work, when there is one; its answer comes by mail."""
        self._to_compute.append((run, compute))
        self._deal_out()

    def _deal_out(self) -> None:
        """Give free threads something to do, first for the caller who has the fewest at work."""
        self._to_compute = [waiting for waiting in self._to_compute if not waiting[0].over]
        while self._computing.total() < THREADS:
            may = [waiting for waiting in self._to_compute if self._computing[waiting[0].caller] < THREADS_OF_ONE]
            if not may:
                return
            first = min(may, key=lambda waiting: self._computing[waiting[0].caller])
            self._to_compute.remove(first)
            self._begin_work(*first)

    def _begin_work(self, run: Run[Any], compute: Compute) -> None:
        self._computing[run.caller] += 1

        def over(answer: Any, error: BaseException | None) -> None:
            self._computing[run.caller] -= 1
            self._computing += Counter()  # callers who have nothing at work are forgotten
            self._deal_out()
            if not run.over:
                self._advance(run, answer, error)

        def back(answer: Any = None, error: BaseException | None = None) -> None:
            self._inbox.put(lambda: over(answer, error))

        def work() -> None:
            try:
                answer = compute.function()
            except Exception as e:
                back(error=e)
            else:
                back(answer)

        self._threads.submit(work)

    def _stop_the_late(self) -> None:
        """Tell the runs whose deadline has come to stop; end those that were told and went on."""
        now = time.monotonic()
        for run in [run for run in self.waiting if run.deadline <= now]:
            if run.cost.rows:  # it was taken up again: it has something to show, and is begun to show it
                self._begin(run)
            else:
                self._end(run, error=run.nothing_to_show(Stopped("deadline")))
        waiting = [run for run, compute in self._to_compute if compute.stoppable]
        for run in [run for run in self.running if run.deadline <= now and (run.query or run in waiting)]:
            self._to_compute = [(other, compute) for other, compute in self._to_compute if other is not run]
            self._advance(run, error=self._lateness(run))

    def _lateness(self, run: Run[Any]) -> Exception:
        """What a run is told whose deadline has come; the second time, that it is over."""
        if run.stopped and run.stopped.reason == "deadline":
            return DeadlineExceeded("The run went on after it was told to stop.")
        run.stopped, run.deadline = Stopped("deadline"), time.monotonic() + GRACE_S
        return run.stopped

    def _end(self, run: Run[Any], *, value: Any = None, error: BaseException | None = None) -> None:
        if run.over:
            return
        for place in (self.running, self.waiting):
            with suppress(ValueError):
                place.remove(run)
        try:
            run.end(value, error)
        except Exception:
            log.exception("a run would not close, or its caller would not hear of it")

    # ── small things ────────────────────────────────────────────────────────────────────────────────────────────────

    def _query(self, run: Run[Any]) -> Query:
        assert run.query is not None
        return run.query

    def _network(self, query: Query) -> Network:
        if query.network is None:
            return next(iter(self.networks.values()))
        if isinstance(query.network, str):
            return self.networks[query.network]
        return network_of(query.network, tuple(query.rows.shape[-3:]))

    def _read_mail(self) -> None:
        with suppress(Empty):
            while True:
                self._inbox.get_nowait()()

    def _wait_for_mail(self) -> None:
        """Until a letter comes, or the deadline of one who waits; who is running computes, and comes back by mail."""
        waiting = [*self.waiting, *(run for run, compute in self._to_compute if compute.stoppable)]
        nearest = min((run.deadline for run in waiting), default=math.inf)
        with suppress(Empty):
            self._inbox.get(timeout=None if math.isinf(nearest) else max(0.001, nearest - time.monotonic()))()

    def _tick(self) -> int:
        self._ticks += 1
        return self._ticks
