"""A worker is up when each of its models has answered, and stuck when one does not."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from rakinglight.card import Card
from rakinglight.errors import InternalError
from rakinglight.network import Network
from rakinglight.wire import Frame
from service.engines import trial
from service.engines.boarding import WorkerLost
from service.engines.trial import Stuck, ask_each, smallest
from tests.service.in_process import InProcessEngine


class OneAnswer:
    """A transport whose every stream is one frame, or silence; `asked` are the models in turn."""

    def __init__(self, frame: Frame | None) -> None:
        self.frame = frame
        self.asked: list[dict[str, Any]] = []

    async def up(self) -> None:
        pass

    async def stream(self, request: bytes) -> AsyncGenerator[Frame, None]:
        self.asked.append(Frame.read(request).body)
        if self.frame is None:
            await asyncio.Event().wait()
        else:
            yield self.frame


def card(name: str, side: int) -> Card:
    return Card(name, "1.0", (3, side, side), (0.0,) * 3, (1.0,) * 3, ("a", "b"), "", "Made by a test.")


CARDS = [card("large", 16), card("small", 8)]


async def test_each_model_is_asked_about_an_image_of_its_size() -> None:
    transport = OneAnswer(Frame("result", {"result": {}}))
    await ask_each(transport, CARDS)
    assert [(asked["model"], asked["pixels"].shape) for asked in transport.asked] == [
        ("large", (16, 16, 3)),
        ("small", (8, 8, 3)),
    ]
    assert smallest(CARDS) == [CARDS[1]]


async def test_a_problem_of_one_model_is_an_answer() -> None:
    transport = OneAnswer(Frame("problem", InternalError("It failed.").problem()))
    await ask_each(transport, CARDS)
    assert len(transport.asked) == 2


async def test_silence_is_being_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "STUCK_S", 0.02)
    with pytest.raises(Stuck, match="large has not answered"):
        await ask_each(OneAnswer(None), CARDS)


async def test_an_end_without_an_answer_is_a_lost_worker() -> None:
    with pytest.raises(WorkerLost):
        await ask_each(OneAnswer(Frame("head")), CARDS)


async def test_the_question_can_be_answered(small_convolution: Network) -> None:
    engine = InProcessEngine([small_convolution])
    transport = OneAnswer(Frame("result", {"result": {}}))
    await ask_each(transport, engine.models.values())
    engine.worker.open("trial", Frame("request", transport.asked[0]))
    async with asyncio.timeout(10):
        while not (found := engine.worker.collect("trial"))[1]:
            await asyncio.sleep(0.01)
    assert found[0][-1].kind == "result"
    await engine.stop()
