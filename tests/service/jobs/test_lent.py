"""An engine that is lent at a socket answers as it does itself, and stops when whoever asks hangs up."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rakinglight.errors import DeadlineExceeded, EngineAway, InternalError, Overloaded, RakinglightError
from rakinglight.network import Network
from rakinglight.question import Question
from rakinglight.wire import Frame
from service.engines import lent as lent_module
from service.engines.lent import Lender, LentEngine
from tests.service.in_process import InProcessEngine
from tests.service.pictures_at_hand import noise

PGD = Question("attack", "small", noise(8, 8), "pgd", {"steps": 20})


@pytest.fixture
async def engine(small_convolution: Network) -> AsyncIterator[InProcessEngine]:
    engine = InProcessEngine([small_convolution])
    yield engine
    await engine.stop()


@pytest.fixture
async def lent(engine: InProcessEngine, tmp_path: Path) -> AsyncIterator[LentEngine]:
    async with Lender(engine, 8).at(tmp_path / "s"):
        yield LentEngine(tmp_path / "s", [])


async def answered(engine: InProcessEngine | LentEngine, question: Question = PGD) -> list[Frame]:
    async with asyncio.timeout(20):
        return [frame async for frame in engine.ask(question, request_id="a")]


async def test_it_answers_as_the_engine_does(engine: InProcessEngine, lent: LentEngine) -> None:
    *_, expected = await answered(engine)
    *_, found = await answered(lent)
    assert bytes(found) == bytes(expected)
    assert lent.state.ready


async def test_many_may_ask_at_once(engine: InProcessEngine, lent: LentEngine) -> None:
    *_, expected = await answered(engine)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(answered(lent)) for _ in range(20)]
    assert {bytes(task.result()[-1]) for task in tasks} == {bytes(expected)}


async def test_a_large_image_comes_over_whole(lent: LentEngine) -> None:
    pixels = np.zeros((1500, 1500, 3), np.uint8)
    *_, found = await answered(lent, Question("classify", "small", pixels))
    assert found.kind == "result"


@pytest.mark.parametrize(
    "error", [Overloaded("Too many.", retry_after_s=3.0), EngineAway("It is away."), ZeroDivisionError("oh")]
)
async def test_what_the_engine_refuses_comes_over(engine: InProcessEngine, lent: LentEngine, error: Exception) -> None:
    engine.refusal = error
    told = type(error) if isinstance(error, RakinglightError) else InternalError
    with pytest.raises(told) as caught:
        await answered(lent)
    assert caught.value.retry_after_s == getattr(error, "retry_after_s", None)


async def test_hanging_up_stops_the_work(engine: InProcessEngine, lent: LentEngine) -> None:
    question = Question("attack", "small", noise(8, 8), "pgd", {"steps": 1000})
    async with aclosing(lent.ask(question, request_id="a")) as frames:
        await anext(frames)
    async with asyncio.timeout(5):
        await engine.ended_early.wait()
        while engine.worker.engine.running:
            await asyncio.sleep(0.005)


class Held(InProcessEngine):
    """Answers when `go_on` is set."""

    aboard = 0
    go_on: asyncio.Event

    async def ask(self, question: Question, *, request_id: str) -> AsyncGenerator[Frame, None]:
        self.aboard += 1
        try:
            await self.go_on.wait()
            async for frame in super().ask(question, request_id=request_id):
                yield frame
        finally:
            self.aboard -= 1


@pytest.fixture
def held(engine: InProcessEngine) -> Held:
    engine.__class__ = Held
    assert isinstance(engine, Held)
    engine.go_on = asyncio.Event()
    return engine


async def test_of_many_questions_so_many_are_passed_on_and_who_hangs_up_makes_room(
    held: Held, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    come, request = list[Frame | None](), lent_module.first_frame

    async def counted(reader: asyncio.StreamReader) -> Frame | None:
        come.append(await request(reader))
        return come[-1]

    monkeypatch.setattr(lent_module, "first_frame", counted)
    async with Lender(held, 3).at(tmp_path / "s"), asyncio.timeout(20):
        lent = LentEngine(tmp_path / "s", [])
        asking = [asyncio.create_task(answered(lent)) for _ in range(10)]
        while len(come) < 10 or held.aboard < 3:
            await asyncio.sleep(0.005)
        asking[0].cancel()
        asking[-1].cancel()
        await asyncio.wait([asking[0], asking[-1]])
        # One that was cancelled tells what it has reached, however many wait.
        last_words = asyncio.create_task(answered(lent, replace(PGD, seconds=0.001)))
        while held.aboard < 4:
            await asyncio.sleep(0.005)
        assert held.aboard == 4
        held.go_on.set()
        await asyncio.gather(*asking[1:-1])
        with pytest.raises(DeadlineExceeded):  # it had reached nothing
            await last_words
    assert len(held.asked) == 9


async def test_the_time_of_who_waits_for_a_place_runs(held: Held, tmp_path: Path) -> None:
    async with Lender(held, 1).at(tmp_path / "s"), asyncio.timeout(20):
        lent = LentEngine(tmp_path / "s", [])
        first = asyncio.create_task(answered(lent))
        while not held.aboard:
            await asyncio.sleep(0.005)
        second = asyncio.create_task(answered(lent, replace(PGD, seconds=5.0)))
        done, _ = await asyncio.wait([second], timeout=0.2)
        assert not done
        held.go_on.set()
        await asyncio.gather(first, second)
    assert held.asked[0].seconds > held.asked[1].seconds
    assert held.asked[1].seconds <= 4.8


async def test_who_sends_what_is_no_frame_is_hung_up_on(engine: InProcessEngine, tmp_path: Path) -> None:
    async with Lender(engine, 8).at(tmp_path / "s"), asyncio.timeout(5):
        reader, writer = await asyncio.open_unix_connection(tmp_path / "s")
        writer.write(b"\xff" * 8)
        assert await reader.read() == b""
        writer.close()
    assert engine.asked == []


async def test_where_nobody_lends_it_is_away(tmp_path: Path) -> None:
    lent = LentEngine(tmp_path / "s", [])
    assert not lent.state.ready
    with pytest.raises(EngineAway, match="nobody listens"):
        await answered(lent)


async def test_a_gateway_that_dies_in_the_middle_is_away(tmp_path: Path) -> None:
    async def dies(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(bytes(Frame("progress", {"step": 1, "of": 2})))
        writer.transport.abort()

    async with await asyncio.start_unix_server(dies, tmp_path / "s"):
        with pytest.raises(EngineAway, match="the stream"):
            await answered(LentEngine(tmp_path / "s", []))
