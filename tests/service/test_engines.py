"""Who boards, who waits, who is turned away, and what becomes of those whose worker died. The worker is played here."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field

import numpy as np
import pytest

from rakinglight.errors import (
    BadParameter,
    DeadlineExceeded,
    EngineAway,
    Overloaded,
    RakinglightError,
    RunKillsWorker,
    TooLarge,
)
from rakinglight.question import Question
from rakinglight.wire import HEARTBEAT, Frame
from service.engines import boarding
from service.engines.boarding import Boarding, Gate, Limits, WorkerLost
from service.engines.streams import frames

PIXELS = np.zeros((4, 4, 3), np.uint8)


def question(name: str = "a", seconds: float = 5.0) -> Question:
    return Question("classify", name, PIXELS, seconds=seconds)


@dataclass
class PlayedWorker:
    """A transport whose worker does what `script` says for each question that reaches it."""

    script: Callable[["PlayedWorker", str], AsyncGenerator[Frame, None]]
    running: bool = True
    aboard: list[str] = field(default_factory=list)
    company: list[tuple[str, ...]] = field(default_factory=list)
    hung_up: list[str] = field(default_factory=list)

    async def up(self) -> None:
        while not self.running:
            await asyncio.sleep(0.001)

    async def stream(self, request: bytes) -> AsyncGenerator[Frame, None]:
        name = Frame.read(request).body["model"]
        self.aboard.append(name)
        self.company.append(tuple(self.aboard))
        try:
            async with aclosing(self.script(self, name)) as answer:
                async for frame in answer:
                    yield frame
        except GeneratorExit:
            self.hung_up.append(name)
            raise
        finally:
            self.aboard.remove(name)


RESULT = Frame("result", {"result": {}})


async def at_once(worker: PlayedWorker, name: str) -> AsyncGenerator[Frame, None]:
    yield Frame("head")
    yield RESULT


async def never(worker: PlayedWorker, name: str) -> AsyncGenerator[Frame, None]:
    yield Frame("head")
    await asyncio.Event().wait()


async def slowly(worker: PlayedWorker, name: str) -> AsyncGenerator[Frame, None]:
    yield Frame("head")
    await asyncio.sleep(0.01)
    yield RESULT


def dies(times: int) -> Callable[[PlayedWorker, str], AsyncGenerator[Frame, None]]:
    left = [times]

    async def script(worker: PlayedWorker, name: str) -> AsyncGenerator[Frame, None]:
        yield Frame("head")
        yield Frame("progress", {"step": 1, "of": 2, "objective": None})
        await asyncio.sleep(0)
        if left[0]:
            left[0] -= 1
            raise WorkerLost("killed", aboard=True)
        yield Frame("progress", {"step": 2, "of": 2, "objective": None})
        await asyncio.sleep(0)
        yield RESULT

    return script


async def answered(boarding: Boarding, asked: Question) -> list[Frame]:
    return [frame async for frame in boarding.ask(asked, request_id=asked.model)]


async def outcome(boarding: Boarding, asked: Question) -> str:
    try:
        return (await answered(boarding, asked))[-1].kind
    except RakinglightError as e:
        return e.code


async def until(happens: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not happens():
            await asyncio.sleep(0.001)


async def test_who_hangs_up_while_a_place_becomes_free_takes_it_from_nobody() -> None:
    gate, go_on = Gate(Limits(aboard=1)), asyncio.Event()

    async def ride() -> None:
        async with gate.boarded(1):
            await go_on.wait()

    first, second, third = [asyncio.create_task(ride()) for _ in range(3)]
    await until(lambda: len(gate.waiting) == 2)
    go_on.set()
    second.cancel()
    async with asyncio.timeout(5):
        await asyncio.gather(first, third)
    assert second.cancelled()
    assert not gate.aboard


async def test_the_result_is_the_last_frame() -> None:
    assert await answered(Boarding(PlayedWorker(at_once), Limits()), question()) == [RESULT]


async def test_a_problem_is_raised_as_what_it_was() -> None:
    async def script(worker: PlayedWorker, name: str) -> AsyncGenerator[Frame, None]:
        yield Frame("head")
        yield Frame("problem", BadParameter("steps is -1.").problem())

    with pytest.raises(BadParameter, match="steps is -1"):
        await answered(Boarding(PlayedWorker(script), Limits()), question())


async def test_a_question_whose_worker_died_is_asked_again_and_shows_no_step_twice() -> None:
    ride = Boarding(PlayedWorker(dies(1)), Limits())
    shown = await answered(ride, question())
    assert [frame.body["step"] for frame in shown[:-1]] == [1, 2]
    assert (shown[-1], ride.retries) == (RESULT, 1)


async def test_what_follows_a_method_counts_its_steps_anew() -> None:
    async def script(worker: PlayedWorker, name: str) -> AsyncGenerator[Frame, None]:
        for step, of in ((1, 2), (2, 2), (1, 3), (2, 3)):
            yield Frame("progress", {"step": step, "of": of, "objective": None})
            await asyncio.sleep(0)
        yield RESULT

    shown = await answered(Boarding(PlayedWorker(script), Limits()), question())
    assert [(frame.body["step"], frame.body["of"]) for frame in shown[:-1]] == [(1, 2), (2, 2), (1, 3), (2, 3)]


async def test_after_three_deaths_it_is_the_cause() -> None:
    ride = Boarding(PlayedWorker(dies(99)), Limits())
    with pytest.raises(RunKillsWorker, match="3 workers died"):
        await answered(ride, question())
    assert ride.retries == 3


async def test_a_loss_before_it_was_aboard_is_no_death_of_its_own() -> None:
    left = [5]

    async def script(worker: PlayedWorker, name: str) -> AsyncGenerator[Frame, None]:
        if left[0]:
            left[0] -= 1
            raise WorkerLost("not reached", aboard=False)
        yield RESULT

    assert await outcome(Boarding(PlayedWorker(script), Limits()), question()) == "result"


async def test_one_that_kills_is_found_out_alone_and_the_others_are_served() -> None:
    async def script(worker: PlayedWorker, name: str) -> AsyncGenerator[Frame, None]:
        yield Frame("head")
        for _ in range(5):
            await asyncio.sleep(0.001)
            if "killer" in worker.aboard:
                raise WorkerLost("killed", aboard=True)
        yield RESULT

    worker = PlayedWorker(script)
    ride = Boarding(worker, Limits())
    names = ["killer", *(f"innocent {i}" for i in range(6))]
    outcomes = await asyncio.gather(*(outcome(ride, question(name)) for name in names))
    assert outcomes == ["RUN_KILLS_WORKER", *["result"] * 6]
    assert ("killer",) in worker.company


async def test_more_than_can_wait_is_turned_away_with_a_time_to_come_again() -> None:
    ride = Boarding(PlayedWorker(never), Limits(aboard=2, waiting=3))
    asked = [asyncio.create_task(answered(ride, question(str(i)))) for i in range(5)]
    await until(lambda: len(ride.gate.aboard) == 2 and len(ride.gate.waiting) == 3)
    with pytest.raises(Overloaded) as refused:
        await answered(ride, question("one too many"))
    assert refused.value.retry_after_s is not None
    assert refused.value.retry_after_s >= 1
    for task in asked:
        task.cancel()
    await asyncio.wait(asked)
    assert (len(ride.gate.aboard), len(ride.gate.waiting)) == (0, 0)


async def test_bytes_are_bounded_as_well() -> None:
    size = question("any").working_bytes
    ride = Boarding(PlayedWorker(never), Limits(bytes_aboard=size, bytes_waiting=size))
    asked = [asyncio.create_task(answered(ride, question(str(i)))) for i in range(2)]
    await until(lambda: len(ride.gate.aboard) == 1 and len(ride.gate.waiting) == 1)
    with pytest.raises(Overloaded):
        await answered(ride, question())
    with pytest.raises(TooLarge):
        await answered(ride, Question("classify", "a", np.zeros((8, 8, 3), np.uint8)))
    for task in asked:
        task.cancel()
    await asyncio.wait(asked)


async def test_all_are_served_in_the_end_and_nobody_is_left_aboard() -> None:
    worker = PlayedWorker(slowly)
    ride = Boarding(worker, Limits(aboard=3, waiting=100))
    assert await asyncio.gather(*(outcome(ride, question(str(i))) for i in range(40))) == ["result"] * 40
    assert max(map(len, worker.company)) == 3
    assert not ride.gate.aboard


async def test_closing_hangs_up_at_once() -> None:
    worker = PlayedWorker(dies(0))

    async def script(worker: PlayedWorker, name: str) -> AsyncGenerator[Frame, None]:
        yield Frame("progress", {"step": 1, "of": 2, "objective": None})
        await asyncio.Event().wait()

    worker.script = script
    ride = Boarding(worker, Limits())
    asked = ride.ask(question(), request_id="a")
    await anext(asked)
    await asked.aclose()
    assert (worker.aboard, len(ride.gate.aboard)) == ([], 0)


async def test_who_reads_slowly_is_shown_the_newest_progress() -> None:
    async def script(worker: PlayedWorker, name: str) -> AsyncGenerator[Frame, None]:
        for step in range(1, 1001):
            yield Frame("progress", {"step": step, "of": 1000, "objective": None})
        yield RESULT

    shown = await answered(Boarding(PlayedWorker(script), Limits()), question())
    assert shown[0].body["step"] == 1000
    assert shown[1:] == [RESULT]


async def test_a_worker_that_stays_away_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boarding, "AWAY_S", 0.02)
    with pytest.raises(EngineAway):
        await answered(Boarding(PlayedWorker(at_once, running=False), Limits()), question())


async def test_a_worker_that_never_answers_has_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boarding, "GRACE_S", 0.01)
    with pytest.raises(DeadlineExceeded):
        await answered(Boarding(PlayedWorker(never), Limits()), question(seconds=0.02))


async def test_grace_of_its_own_is_shorter_or_longer_than_the_others() -> None:
    async def late(worker: PlayedWorker, name: str) -> AsyncGenerator[Frame, None]:
        await asyncio.sleep(0.1)
        yield RESULT

    assert await outcome(Boarding(PlayedWorker(late), Limits(), grace_s=5), question(seconds=0.01)) == "result"
    begun = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        await answered(Boarding(PlayedWorker(never), Limits(), grace_s=0.01), question(seconds=0.01))
    assert time.monotonic() - begun < boarding.GRACE_S / 2


# ── streams ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def reading(*chunks: bytes | Exception) -> Callable[[], "asyncio.Future[bytes]"]:
    left = list(chunks)

    async def read() -> bytes:
        if not left:
            await asyncio.Event().wait()
        chunk = left.pop(0)
        if isinstance(chunk, Exception):
            raise chunk
        return chunk

    return read  # type: ignore[return-value]


async def test_frames_are_whole_however_they_are_cut() -> None:
    whole = bytes(Frame("head")) + HEARTBEAT + bytes(RESULT)
    cut = [whole[i : i + 7] for i in range(0, len(whole), 7)]
    assert [frame.kind async for frame in frames(reading(*cut))] == ["head", "result"]


@pytest.mark.parametrize(
    ("chunks", "aboard"),
    [
        pytest.param([b""], False, id="ends before its head"),
        pytest.param([bytes(Frame("head")), b""], True, id="ends after its head"),
        pytest.param([bytes(Frame("head")), bytes(RESULT)[:-1], b""], True, id="ends within a frame"),
        pytest.param([bytes(Frame("head")), ConnectionResetError()], True, id="is reset"),
        pytest.param([], False, id="is silent from the start"),
        pytest.param([HEARTBEAT], True, id="falls silent"),
    ],
)
async def test_a_stream_without_its_last_frame_is_a_lost_worker(chunks: list[bytes | Exception], aboard: bool) -> None:
    with pytest.raises(WorkerLost) as lost:
        async for _ in frames(reading(*chunks), silence_s=0.02):
            pass
    assert lost.value.aboard is aboard
