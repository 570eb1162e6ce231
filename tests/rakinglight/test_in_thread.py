"""A run of a large image does its own work in a thread, and is else the run that it was."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
import torch

from rakinglight.engine import Cancelled, Engine, Run
from rakinglight.errors import InternalError
from rakinglight.objectives import Logit
from rakinglight.queries import Algorithm, Forward, Gradient, Progress
from rakinglight.question import LARGE, Question
from rakinglight.relays import in_thread, so_far
from tests.networks import abacus_network

X = torch.rand(1, 2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.fixture
def engine() -> Engine:
    return Engine([abacus_network()])


def climbing(steps: int, work: Any = lambda: None) -> Algorithm[Any]:
    x = X
    for t in range(steps):
        g = (yield Gradient(x, Logit(1))).gradient
        work()
        x = (x + 0.01 * g).clamp(0, 1)
        yield Progress(t + 1, steps, best=x)
    return x


def test_it_comes_to_the_same(engine: Engine) -> None:
    news: list[Any] = []
    x = engine.drive(in_thread(climbing(5)), notify=news.append)
    assert torch.equal(x, engine.drive(climbing(5)))
    assert [p.step for p in news if isinstance(p, Progress)] == [1, 2, 3, 4, 5]


def test_others_are_answered_while_it_works(engine: Engine) -> None:
    others_are_done = threading.Event()
    large = engine.submit(Run(in_thread(climbing(2, lambda: others_are_done.wait(60)))))
    small = engine.submit(Run(climbing(20)))
    engine.run_until(lambda: small.over)
    assert not large.over
    others_are_done.set()
    engine.run_until(lambda: large.over)
    assert torch.equal(large.result, engine.drive(climbing(2)))


def test_it_can_be_cancelled_while_it_works(engine: Engine) -> None:
    go_on, began, left = threading.Event(), threading.Event(), threading.Event()

    def algorithm() -> Algorithm[None]:
        try:
            yield Forward(X)
            began.set()
            go_on.wait(60)
            yield Forward(X)
        finally:
            left.set()

    run = engine.submit(Run(in_thread(algorithm())))
    while not began.is_set():
        engine.step()
    engine.cancel(run)
    engine.run_until(lambda: run.over)
    assert isinstance(run.error, Cancelled)
    go_on.set()
    assert left.wait(60)  # the thread that was in it closes it
    assert engine.drive(climbing(1)) is not None


def test_told_to_stop_it_shows_what_it_has(engine: Engine) -> None:
    x, partial = engine.drive(in_thread(so_far(climbing(100))), max_rows=7)
    assert partial
    assert torch.equal(x, engine.drive(climbing(7)))


def test_what_it_raises_is_its_own_failure(engine: Engine) -> None:
    with pytest.raises(InternalError, match="ZeroDivisionError"):
        engine.drive(in_thread(climbing(1, lambda: 1 // 0)))


@pytest.mark.parametrize("side", [100, 1 + int(LARGE**0.5)], ids=["small", "large"])
def test_an_attack_gives_the_same_bits_again(side: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 1), dtype=np.uint8)
    question = Question("attack", "abacus", pixels, "pgd", {"steps": 3, "random_start": True})
    pictures = []
    for _ in range(2):
        engine = Engine([abacus_network()])
        run = engine.submit(question.begin(engine.networks))
        engine.run_until(lambda run=run: run.over)  # type: ignore[misc]
        pictures.append(run.result["adversarial"])
    assert np.array_equal(*pictures)
