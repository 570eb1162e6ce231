"""A worker dies in the middle of a long run: the next goes on from the last state. The workers are real ones."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rakinglight.errors import RunKillsWorker
from rakinglight.network import Network
from rakinglight.question import Question
from rakinglight.run import Cost
from rakinglight.wire import Frame
from rakinglight.worker import Worker
from service.engines.boarding import Boarding, Limits, WorkerLost

PIXELS = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
RISE = Question("occlusion", "small", PIXELS, "rise", {"masks": 1500}, seconds=30.0, state_s=0.0)
PGD = Question("attack", "small", PIXELS, "pgd", {"steps": 300}, seconds=30.0, state_s=0.0)


class Mortal:
    """A transport to a worker that dies where `cuts` says so of a frame, and is followed by another each time.

    back  whether a worker is up again
    """

    def __init__(self, networks: list[Network], cuts: Callable[[int, Frame], bool] = lambda ride, frame: False) -> None:
        self.networks = networks
        self.cuts = cuts
        self.workers: list[Worker] = []
        self.questions: list[Question] = []
        self.back = asyncio.Event()
        self.back.set()

    async def up(self) -> None:
        await self.back.wait()

    async def stream(self, request: bytes) -> AsyncGenerator[Frame, None]:
        worker = Worker(self.networks)
        self.workers.append(worker)
        self.questions.append(Question.from_body(Frame.read(request).body))
        worker.open("a", request)
        over = False
        try:
            while not over:
                await asyncio.to_thread(worker.wait, 0.001)
                frames, over = worker.collect("a")
                for frame in frames:
                    if self.cuts(len(self.workers), frame):
                        raise WorkerLost("killed", aboard=True)
                    yield Frame.read(bytes(frame))
        finally:
            await asyncio.to_thread(worker.stop)

    @property
    def rows(self) -> list[int]:
        """What went through the network of each worker."""
        return [sum(worker.engine.counts.rows.values()) for worker in self.workers]


def after_states(*counts: int) -> Callable[[int, Frame], bool]:
    """The n-th worker dies with the frame that follows so many states."""
    seen: dict[int, int] = {}

    def cuts(ride: int, frame: Frame) -> bool:
        if ride <= len(counts) and seen.get(ride, 0) >= counts[ride - 1]:
            return True
        seen[ride] = seen.get(ride, 0) + ("saved" in frame.body)
        return False

    return cuts


async def answered(transport: Mortal, asked: Question) -> list[Frame]:
    return [frame async for frame in Boarding(transport, Limits()).ask(asked, request_id="a")]


@pytest.fixture
def networks(small_convolution: Network) -> list[Network]:
    return [small_convolution]


@pytest.mark.parametrize("asked", [RISE, PGD], ids=["rise", "pgd"])
async def test_the_next_worker_goes_on_from_the_last_state(networks: list[Network], asked: Question) -> None:
    alone, mortal = Mortal(networks), Mortal(networks, after_states(1))
    (*_, expected), (*shown, result) = await answered(alone, asked), await answered(mortal, asked)
    assert bytes(result) == bytes(expected)
    first, second = mortal.rows
    assert mortal.questions[0].saved is None
    assert second < alone.rows[0]
    assert mortal.questions[1].saved is not None
    assert second == alone.rows[0] - Cost(**mortal.questions[1].saved["cost"]).rows
    steps = [frame.body["step"] for frame in shown]
    assert steps == sorted(steps)
    assert first > 0


async def test_many_workers_may_die_where_the_run_gets_on(networks: list[Network]) -> None:
    """Three deaths make a question their cause only where no state came between them."""
    alone, mortal = Mortal(networks), Mortal(networks, after_states(1, 1, 1, 1, 1))
    (*_, expected), (*_, result) = await answered(alone, RISE), await answered(mortal, RISE)
    assert bytes(result) == bytes(expected)
    assert len(mortal.workers) == 6


async def test_one_that_kills_where_it_is_taken_up_is_the_cause(networks: list[Network]) -> None:
    mortal = Mortal(networks, after_states(1, 1, 0, 0))
    with pytest.raises(RunKillsWorker, match="3 workers died"):
        await answered(mortal, RISE)
    assert len(mortal.workers) == 4


async def test_without_a_wish_for_states_it_begins_anew(networks: list[Network]) -> None:
    mortal = Mortal(networks, lambda ride, frame: ride == 1 and frame.kind == "result")
    *shown, _ = await answered(mortal, replace(RISE, state_s=None))
    assert mortal.rows[1] == mortal.rows[0]
    assert not any("saved" in frame.body for frame in shown)


class Played:
    """A transport that says the frames of one script after the other; a script that does not end is a death."""

    def __init__(self, *scripts: list[Frame]) -> None:
        self.scripts = iter(scripts)
        self.saved: list[Any] = []

    async def up(self) -> None:
        pass

    async def stream(self, request: bytes) -> AsyncGenerator[Frame, None]:
        self.saved.append(Frame.read(request).body["saved"])
        for frame in next(self.scripts):
            yield frame
            if frame.body.get("pause"):
                await asyncio.sleep(0.001)
        if frame.kind != "result":
            raise WorkerLost("killed", aboard=True)


def progress(step: int, saved: str | None = None, pause: bool = True, of: int = 9) -> Frame:
    body = {"step": step, "of": of, "objective": step / 10, "pause": pause}
    return Frame("progress", body | ({"saved": {"state": saved}} if saved else {}))


RESULT = Frame("result", {"result": {}})


async def told(*scripts: list[Frame]) -> list[tuple[int, float, str | None]]:
    """What the caller is shown of played workers: step, objective and state."""
    asked = Boarding(Played(*scripts), Limits()).ask(PGD, request_id="a")
    return [
        (frame.body["step"], frame.body["objective"], frame.body.get("saved", {}).get("state"))
        async for frame in asked
        if frame.kind == "progress"
    ]


async def test_a_state_that_comes_by_again_is_shown_and_no_step_goes_back() -> None:
    seen = await told(
        [progress(1, "a"), progress(2), progress(3)], [progress(2, "b"), progress(3), progress(4, "c"), RESULT]
    )
    assert seen == [(1, 0.1, "a"), (2, 0.2, None), (3, 0.3, None), (3, 0.3, "b"), (4, 0.4, "c")]


async def test_the_map_of_a_finished_method_is_a_state_before_any_figure() -> None:
    seen = await told([progress(9), progress(0, "map", of=2), progress(1, of=2), RESULT])
    assert seen == [(9, 0.9, None), (0, 0.0, "map"), (1, 0.1, None)]


async def test_who_reads_slowly_misses_no_state_but_for_a_newer_one() -> None:
    hurried = [progress(step, f"state {step}" if step in (2, 5) else None, pause=False) for step in range(1, 9)]
    assert await told([*hurried, RESULT]) == [(8, 0.8, "state 5")]


async def test_a_state_reaches_the_caller_before_the_failure() -> None:
    played = Played([progress(1)], [progress(2)], [progress(3, "a", pause=False)], [progress(3)], [progress(3)])
    asked = Boarding(played, Limits()).ask(PGD, request_id="a")
    seen = [await anext(asked) for _ in range(3)]
    assert seen[-1].body["saved"] == {"state": "a"}
    with pytest.raises(RunKillsWorker):
        await anext(asked)
    assert played.saved == [None, None, None, {"state": "a"}, {"state": "a"}]


# ── last words ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
async def saved(networks: list[Network]) -> Any:
    """A state from the middle of PGD."""
    async with aclosing(Boarding(Mortal(networks), Limits()).ask(PGD, request_id="a")) as asked:
        return await anext(frame.body["saved"] async for frame in asked if "saved" in frame.body)


@pytest.mark.parametrize("seconds", [0.0, 0.001])
async def test_with_no_time_left_it_answers_with_what_the_state_had(
    networks: list[Network], saved: Any, seconds: float
) -> None:
    mortal = Mortal(networks)
    *_, result = await answered(mortal, replace(PGD, saved=saved, seconds=seconds))
    assert result.body["result"]["partial"]
    spent = saved["cost"]["gradient_rows"]
    assert spent <= result.body["cost"]["gradient_rows"] < 300
    assert seconds or result.body["cost"]["gradient_rows"] == spent


async def test_a_worker_that_comes_back_a_little_late_is_waited_for(networks: list[Network], saved: Any) -> None:
    mortal = Mortal(networks)
    mortal.back.clear()
    asyncio.get_running_loop().call_later(0.05, mortal.back.set)
    *_, result = await answered(mortal, replace(PGD, saved=saved, seconds=0.0))
    assert result.body["result"]["partial"]


async def test_a_death_at_the_last_moment_costs_the_result_nothing(networks: list[Network], saved: Any) -> None:
    mortal = Mortal(networks, lambda ride, frame: ride == 1)
    *_, result = await answered(mortal, replace(PGD, saved=saved, seconds=0.0))
    assert (len(mortal.workers), result.body["result"]["partial"]) == (2, True)
