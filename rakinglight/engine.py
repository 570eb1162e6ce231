"""The engine: merges the queries of all runs into shared passes, and sends each run its own rows.

    submit ──> waiting ──> running ──┐            ┌── a result
                              ^      │            ├── its own failure
                              │    step() ────────┤
                              └──────┘            └── cancelled, or stopped with what it had reached

The law of this file: what a run is answered never depends on who else is aboard. Rows do not interact in eval mode, a
pass is padded to a row count that a probe has shown to give the same bits (`network.Ladder`), and a failure belongs to
one run alone.

One thread drives the engine (`step`, `run_until`); `submit` and `cancel` may be called from any.
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
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from rakinglight.errors import BadParameter, DeadlineExceeded, FieldError, InternalError, RakinglightError
from rakinglight.network import Network
from rakinglight.queries import Algorithm, Compute, Forward, Gradient, Progress, Query, Scores, Slope, Stopped

log = logging.getLogger("rakinglight.engine")

R = TypeVar("R")

#: Seconds that a run which was told to stop may go on for, to put together what it has reached.
GRACE_S = 10.0


@dataclass
class Cost:
    """Rows that went through a network for one run: what everything here costs."""

    forward_rows: int = 0
    gradient_rows: int = 0

    @property
    def rows(self) -> int:
        return self.forward_rows + self.gradient_rows

    def __repr__(self) -> str:
        return f"{self.forward_rows} forward and {self.gradient_rows} gradient rows"


class Cancelled(Exception):  # noqa: N818  a caller's wish is no error
    """What `Run.result` raises when the run was cancelled."""


@dataclass(eq=False)
class Run(Generic[R]):
    """One algorithm under way, and what the engine knows of it.

    caller    whose it is: passes are dealt out round robin by caller
    deadline  on `time.monotonic`'s clock: then the run is told to stop
    max_rows  rows it may spend; `reserve` of them are kept for what it does after it was told to stop
    notify    called on the engine's thread, with a Progress or with the run itself when it is over
    """

    algorithm: Algorithm[R]
    caller: str = ""
    deadline: float = math.inf
    max_rows: float = math.inf
    reserve: int = 0
    notify: Callable[[Progress | Run[R]], None] = lambda news: None

    cost: Cost = field(default_factory=Cost)
    query: Query | None = field(default=None, init=False)
    answers: list[Any] = field(default_factory=list, init=False)
    served: int = field(default=0, init=False)
    tick: int = field(default=0, init=False)
    stopped: Stopped | None = field(default=None, init=False)
    over: bool = field(default=False, init=False)
    _value: R | None = field(default=None, init=False)
    _error: BaseException | None = field(default=None, init=False)

    def __repr__(self) -> str:
        state = "over" if self.over else f"asks {self.query}" if self.query else "has not begun"
        return f"<Run of {self.caller or 'nobody'}: {state}, spent {self.cost}>"

    @property
    def result(self) -> R:
        """What the algorithm returned. Raises what it raised, or Cancelled."""
        if self._error is not None:
            raise self._error
        return self._value  # type: ignore[return-value]

    @property
    def error(self) -> BaseException | None:
        return self._error

    @property
    def wanted(self) -> int:
        """Rows of the query that have no answer yet."""
        return _count(self.query) - self.served if self.query else 0


@dataclass(frozen=True)
class Seat:
    """A run's place in one pass: rows `start` to `stop` of its query."""

    run: Run[Any]
    start: int
    stop: int

    @property
    def rows(self) -> Tensor:
        assert self.run.query is not None
        return _rows(self.run.query)[self.start : self.stop]

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass
class Counts:
    """What the engine has done since it began; monitoring reads it."""

    passes: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    padding: Counter[str] = field(default_factory=Counter)
    rows_a_pass: Counter[int] = field(default_factory=Counter)
    runs_a_pass: Counter[int] = field(default_factory=Counter)
    failed_passes: int = 0


class Engine:
    """Answers the queries of many runs with few passes.

    networks   by name; the first is the one that a query means that names none
    live_limit runs that are begun at once; the others wait
    """

    def __init__(self, networks: Iterable[Network], *, live_limit: int = 256) -> None:
        self.networks: Mapping[str, Network] = {n.card.name: n for n in networks}
        self.live_limit = live_limit
        self.waiting: deque[Run[Any]] = deque()
        self.running: list[Run[Any]] = []
        self.counts = Counts()
        self._inbox: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="compute")
        self._clock = 0

    # ── for callers, from any thread ────────────────────────────────────────────────────────────────────────────────

    def submit(self, run: Run[R]) -> Run[R]:
        """Take `run` on. It begins at the next step."""
        self._inbox.put(lambda: self.waiting.append(run))
        return run

    def cancel(self, run: Run[Any]) -> None:
        """Close `run` before the next pass; its rows are free then."""
        self._inbox.put(lambda: self._end(run, error=Cancelled()))

    def wake(self) -> None:
        """End a wait in `serve`."""
        self._inbox.put(lambda: None)

    # ── for the one thread that drives ──────────────────────────────────────────────────────────────────────────────

    def drive(self, algorithm: Algorithm[R], **settings: Any) -> R:
        """Run one algorithm to its end, with no thread and no server: for notebooks, tests and the CLI."""
        run = self.submit(Run(algorithm, **settings))
        self.run_until(lambda: run.over)
        return run.result

    def run_until(self, done: Callable[[], bool]) -> None:
        """Step until `done()`; wait for mail while there is nothing to do."""
        while not done():
            if not self.step() and not done():
                self._read_mail(timeout=self._nearest_deadline())

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

    # ── who goes next ───────────────────────────────────────────────────────────────────────────────────────────────

    def _board(self) -> None:
        while self.waiting and len(self.running) < self.live_limit:
            run = self.waiting.popleft()
            self.running.append(run)
            self._advance(run, None)

    def _next_pass(self) -> list[Seat]:
        """The seats of the next pass.

        It is for the kind of query whose run has gone unserved longest, so that no kind starves another. Rows are dealt
        like cards, one at a time to each caller in turn: a query of 8,000 rows takes what is left over by the small.
        """
        asking = sorted((run for run in self.running if run.wanted), key=lambda run: run.tick)
        if not asking:
            return []
        key = self._key(asking[0])
        hands: dict[str, deque[Run[Any]]] = {}
        for run in asking:
            if self._key(run) == key:
                hands.setdefault(run.caller, deque()).append(run)

        dealt: Counter[Run[Any]] = Counter()
        free = self._network(asking[0]).ladder(type(asking[0].query)).limit
        while free and hands:
            for caller in list(hands)[:free]:
                run = hands[caller].popleft()
                dealt[run] += 1
                free -= 1
                if dealt[run] < run.wanted:
                    hands[caller].append(run)
                elif not hands[caller]:
                    del hands[caller]
        return [Seat(run, run.served, run.served + n) for run, n in dealt.items()]

    def _key(self, run: Run[Any]) -> tuple[object, ...]:
        """Queries that are equal in this may share a pass."""
        query = run.query
        assert query is not None
        how = query.layers if isinstance(query, Forward) else query.rule
        return (type(query), query.network, how, query.rows.shape[-3:], query.rows.dtype)

    def _network(self, run: Run[Any]) -> Network:
        assert run.query is not None
        name = run.query.network
        return next(iter(self.networks.values())) if name is None else self.networks[name]

    # ── the pass ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _answers(self, seats: Sequence[Seat]) -> Sequence[Scores | Slope | Exception]:
        try:
            return self._pass(seats)
        except Exception as e:  # a backend may raise anything; the one who caused it is found by asking alone
            self.counts.failed_passes += 1
            if len(seats) == 1:
                log.exception("a pass failed: %s", seats[0].run.query)
                return [e]
            return [self._answers([seat])[0] for seat in seats]

    def _pass(self, seats: Sequence[Seat]) -> list[Scores | Slope]:
        """One pass through one network, padded to a row count whose bits are known; the answers, seat by seat."""
        query, network = seats[0].run.query, self._network(seats[0].run)
        ladder = network.ladder(type(query))
        rows = torch.cat([seat.rows for seat in seats])
        n, padded = len(rows), ladder.padded(len(rows))
        if padded > n:
            rows = torch.cat([rows, rows[-1:].expand(padded - n, *rows.shape[1:])])
        self._count(type(query).__name__.lower(), n, padded, len(seats))

        answer: Scores | Slope
        if isinstance(query, Forward):
            answer = network.forward.forward(rows, query.layers)
        else:
            assert query is not None and network.gradient is not None
            answer = network.gradient.gradient(rows, _side_by_side(seats), query.rule)

        ends = torch.tensor([len(seat) for seat in seats]).cumsum(0).tolist()
        return [_cut(answer, end - len(seat), end) for seat, end in zip(seats, ends, strict=True)]

    def _count(self, kind: str, rows: int, padded: int, runs: int) -> None:
        self.counts.passes[kind] += 1
        self.counts.rows[kind] += rows
        self.counts.padding[kind] += padded - rows
        self.counts.rows_a_pass[rows] += 1
        self.counts.runs_a_pass[runs] += 1

    # ── one run ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _hand_over(self, seat: Seat, answer: Scores | Slope | Exception) -> None:
        run = seat.run
        if isinstance(run.query, Forward):
            run.cost.forward_rows += len(seat)
        else:
            run.cost.gradient_rows += len(seat)
        run.served += len(seat)
        run.tick = self._now()
        if isinstance(answer, Exception):
            self._advance(run, error=answer)
        elif not bool(torch.isfinite(answer[0]).all()):
            network = self._network(run).card.name
            detail = f"{network} answers with NaN or infinity to {run.query}; look at its weights and at the input."
            self._advance(run, error=BadParameter(detail))
        else:
            run.answers.append(answer)
            if not run.wanted:
                self._advance(run, _whole(run))

    def _advance(self, run: Run[Any], answer: Any = None, error: BaseException | None = None) -> None:
        """Send `answer` (or throw `error`) and go on to the next query, or to the end."""
        run.query, run.answers, run.served = None, [], 0
        try:
            while True:
                asked = run.algorithm.throw(error) if error else run.algorithm.send(answer)
                answer = error = None
                if isinstance(asked, Progress):
                    run.notify(asked)
                elif isinstance(asked, Compute):
                    self._compute(run, asked)
                    return
                elif reason := self._refusal(run, asked):
                    error = reason
                else:
                    run.query, run.tick = asked, self._now()
                    return
        except StopIteration as done:
            self._end(run, value=done.value)
        except Stopped as stopped:
            self._end(run, error=_nothing_to_show(run, stopped))
        except RakinglightError as e:
            self._end(run, error=e)
        except Exception as e:
            log.exception("a run failed")
            self._end(run, error=InternalError(f"The algorithm failed with {type(e).__name__}; the log has the trace."))

    def _refusal(self, run: Run[Any], query: Query) -> BaseException | None:
        """Why `query` is not taken up, if it is not."""
        if query.network is not None and query.network not in self.networks:
            return InternalError(f"No network {query.network!r} is loaded.")
        run.query = query  # so that _network may look
        network, run.query = self._network(run), None
        if isinstance(query, Gradient) and network.gradient is None:
            return BadParameter(
                f"{network.card.name} came as an ONNX file and answers no gradients; classify and every method that "
                "asks for scores alone work. Give a recipe with safetensors for the rest."
            )
        if tuple(query.rows.shape[-3:]) != network.card.input_shape:
            return InternalError(f"{query} does not fit {network.card.name}, which takes {network.card.input_shape}.")
        left = run.max_rows - run.cost.rows - (0 if run.stopped else run.reserve)
        if _count(query) > left:
            if run.stopped:
                return DeadlineExceeded("The run went on after it was told to stop.")
            run.stopped = Stopped("rows")
            return run.stopped
        return None

    def _compute(self, run: Run[Any], compute: Compute) -> None:
        def back(answer: Any = None, error: BaseException | None = None) -> None:
            self._inbox.put(lambda: None if run.over else self._advance(run, answer, error))

        def work() -> None:
            try:
                answer = compute.function()
            except Exception as e:
                back(error=e)
            else:
                back(answer)

        self._threads.submit(work)

    def _stop_the_late(self) -> None:
        now = time.monotonic()
        for run in [run for run in self.running if run.deadline <= now]:
            if run.query is None:
                continue  # it computes; it is told when it comes back
            if run.stopped and run.stopped.reason == "deadline":
                self._end(run, error=DeadlineExceeded("The run went on after it was told to stop."))
            else:
                run.stopped = Stopped("deadline")
                run.deadline = now + GRACE_S
                self._advance(run, error=run.stopped)
        for run in [run for run in self.waiting if run.deadline <= now]:
            self._end(run, error=_nothing_to_show(run, Stopped("deadline")))

    def _end(self, run: Run[Any], *, value: Any = None, error: BaseException | None = None) -> None:
        if run.over:
            return
        run.over, run.query, run.answers = True, None, []
        run._value, run._error = value, error
        for place in (self.running, self.waiting):
            with suppress(ValueError):
                place.remove(run)
        try:
            run.algorithm.close()
        except (RuntimeError, ValueError):
            log.exception("a run would not close")
        run.notify(run)

    # ── small things ────────────────────────────────────────────────────────────────────────────────────────────────

    def _read_mail(self, timeout: float | None = 0.0) -> None:
        with suppress(Empty):
            if timeout != 0.0:
                self._inbox.get(timeout=timeout)()
            while True:
                self._inbox.get_nowait()()

    def _nearest_deadline(self) -> float | None:
        nearest = min((run.deadline for run in [*self.running, *self.waiting]), default=math.inf)
        return None if math.isinf(nearest) else max(0.001, nearest - time.monotonic())

    def _now(self) -> int:
        self._clock += 1
        return self._clock


def _rows(query: Query) -> Tensor:
    """The rows of `query`, with a row dimension."""
    return query.rows[None] if query.rows.ndim == 3 else query.rows


def _count(query: Query) -> int:
    return 1 if query.rows.ndim == 3 else len(query.rows)


def _side_by_side(seats: Sequence[Seat]) -> Callable[[Tensor], Tensor]:
    """The objectives of several runs as one: each sees its own rows alone, padding is worth nothing."""

    def objective(logits: Tensor) -> Tensor:
        values, at = [], 0
        for seat in seats:
            assert isinstance(seat.run.query, Gradient)
            values.append(seat.run.query.objective(logits[at : at + len(seat)]))
            at += len(seat)
        return torch.cat([*values, logits.new_zeros(len(logits) - at)])

    return objective


def _cut(answer: Scores | Slope, start: int, stop: int) -> Scores | Slope:
    if isinstance(answer, Slope):
        return Slope(answer.objective[start:stop], answer.gradient[start:stop])
    return Scores(answer.logits[start:stop], {k: v[start:stop] for k, v in answer.activations.items()})


def _whole(run: Run[Any]) -> Scores | Slope:
    """The answer to a query whose rows may have been spread over several passes."""
    parts, single = run.answers, run.query is not None and run.query.rows.ndim == 3
    if isinstance(parts[0], Slope):
        slope = Slope(*(torch.cat(column) for column in zip(*parts, strict=True)))
        return Slope(slope.objective[0], slope.gradient[0]) if single else slope
    layers = parts[0].activations
    logits = torch.cat([part.logits for part in parts])
    activations = {k: torch.cat([part.activations[k] for part in parts]) for k in layers}
    if single:
        return Scores(logits[0], {k: v[0] for k, v in activations.items()})
    return Scores(logits, activations)


def _nothing_to_show(run: Run[Any], stopped: Stopped) -> RakinglightError:
    if stopped.reason == "rows":
        detail = f"max_rows is {run.max_rows:g}, and that is spent before there is anything to show; give more."
        return BadParameter(detail, errors=[FieldError("/max_rows", detail)])
    return DeadlineExceeded(
        f"The deadline came after {run.cost}, before there was anything to show; give a longer deadline_s."
    )
