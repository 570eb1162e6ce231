"""What goes wrong: callers hang up, workers are killed, one request kills every worker, and too much comes at once."""

import asyncio
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from rakinglight.errors import Overloaded, RunKillsWorker
from rakinglight.question import Question
from service.engines import trial
from service.engines.children import socket_directory
from service.engines.local import LocalEngine
from service.engines.torchserve import TorchServeEngine
from tests.conftest import REPOSITORY
from tests.end_to_end.conftest import KINDS, POISON, answer, poisonous_archive, ready, same

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(180)]
Either = TorchServeEngine | LocalEngine
NOISE = np.random.default_rng(0)


def digit(seed: int, **parameters: Any) -> Question:
    """A PGD attack on LeNet-5, of 200 steps if nothing else is said."""
    pixels = np.random.default_rng(seed).integers(0, 256, (32, 32, 1), dtype=np.uint8)
    settings = {"steps": 200, **parameters}
    return Question("attack", "lenet5-digits", pixels, method="pgd", parameters=settings, seconds=120.0)


def long(seed: int = 0) -> Question:
    """A PGD attack on EfficientNet-Lite0 that takes half a minute and more."""
    pixels = np.random.default_rng(seed).integers(0, 256, (224, 224, 3), dtype=np.uint8)
    return Question("attack", "efficientnet-lite0", pixels, method="pgd", parameters={"steps": 1000})


async def live(engine: Either, runs: int) -> dict[str, Any]:
    """A snapshot with so many runs aboard."""
    async with asyncio.timeout(30):
        while (snapshot := await engine.snapshot()).get("live") != runs:
            await asyncio.sleep(0.005)
    return snapshot


@pytest.mark.parametrize("others", [0, 1], ids=["alone", "in company"])
async def test_a_caller_that_hangs_up_frees_its_rows(engine: Either, others: int) -> None:
    await ready(engine)
    company = [asyncio.create_task(answer(engine, long(i))) for i in range(others)]
    asked = engine.ask(long(9), request_id="hangs up")
    await anext(asked)
    before = (await live(engine, 1 + others))["rows"]["gradient"]
    await asked.aclose()
    after = await live(engine, others)
    # A pass under way is not interrupted, and a pass takes tens of milliseconds: a few rows, not hundreds.
    assert after["rows"]["gradient"] - before < 25
    for task in company:
        task.cancel()
    await asyncio.gather(*company, return_exceptions=True)
    await live(engine, 0)


async def test_a_killed_worker_costs_nobody_an_answer(engine: Either) -> None:
    await ready(engine)
    asked = [digit(i, steps=500) for i in range(20)]
    alone = [await answer(engine, question) for question in asked[:2]]
    retries, worker = engine.state.retries, (await live(engine, 0))["pid"]
    begun: set[int] = set()
    all_begun = asyncio.Event()

    async def follow(i: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        async for frame in engine.ask(asked[i], request_id=str(i)):
            result = frame.body
            begun.add(i)
            if len(begun) == len(asked):
                all_begun.set()
        return result

    under_way = [asyncio.create_task(follow(i)) for i in range(len(asked))]
    await all_begun.wait()
    os.kill(worker, signal.SIGKILL)
    found = await asyncio.gather(*under_way)
    assert all(same(a["result"], b["result"]) for a, b in zip(alone, found, strict=False))
    assert engine.state.retries - retries >= 15, "the worker was killed too late"
    assert (await engine.snapshot())["pid"] != worker


async def test_a_request_that_kills_every_worker_is_found_out_and_the_others_are_served(engine: Either) -> None:
    await ready(engine)
    innocent = [asyncio.create_task(answer(engine, digit(i))) for i in range(6)]
    killer = asyncio.create_task(answer(engine, Question("saliency", "poisonous", POISON)))
    with pytest.raises(RunKillsWorker):
        await killer
    assert all(found["result"]["adversarial"].shape == (32, 32, 1) for found in await asyncio.gather(*innocent))


async def test_its_host_is_started_again_when_it_is_killed(engine: Either) -> None:
    await ready(engine)
    restarts = engine.state.restarts
    under_way = asyncio.create_task(answer(engine, digit(0)))
    await live(engine, 1)
    assert engine.pid is not None
    os.kill(engine.pid, signal.SIGKILL)
    assert "result" in await under_way
    assert engine.state.restarts > restarts


@pytest.mark.parametrize("kind", KINDS)
async def test_a_worker_whose_engine_is_stuck_is_replaced(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = poisonous_archive(tmp_path / "poisonous.mar", deed="time.sleep(3600)")
    engine = KINDS[kind]([archive], home=tmp_path)
    await engine.start()
    try:
        await ready(engine)
        monkeypatch.setattr(trial, "STUCK_S", 2.0)
        monkeypatch.setattr(trial, "EVERY_S", 0.2)
        worker = (await engine.snapshot())["pid"]
        sticking = asyncio.create_task(answer(engine, Question("saliency", "poisonous", POISON, seconds=300.0)))
        async with asyncio.timeout(60):
            while (await engine.snapshot()).get("pid", worker) == worker:
                await asyncio.sleep(0.05)
        sticking.cancel()
        await asyncio.gather(sticking, return_exceptions=True)
        assert engine.state.restarts > 0
    finally:
        await engine.stop()


async def test_a_worker_that_hangs_is_replaced(
    archive_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "EVERY_S", 0.2)
    shutil.copy(archive_store / "archives" / "lenet5-digits.mar", tmp_path)
    engine = LocalEngine([tmp_path / "lenet5-digits.mar"], home=tmp_path)
    await engine.start()
    try:
        await ready(engine)
        worker = engine.pid
        assert worker is not None
        os.kill(worker, signal.SIGSTOP)
        async with asyncio.timeout(40):
            assert "result" in await answer(engine, digit(0, steps=3))
        assert engine.pid != worker
    finally:
        await engine.stop()


async def test_a_worker_that_was_given_up_is_revived_when_its_cause_is_gone(
    archive_store: Path, tmp_path: Path
) -> None:
    archive, away = tmp_path / "lenet5-digits.mar", tmp_path / "away.mar"
    shutil.copy(archive_store / "archives" / archive.name, archive)
    engine = TorchServeEngine([archive], home=tmp_path, retry_window_s=2)
    archive.rename(away)
    await engine.start()
    try:
        async with asyncio.timeout(30):
            while "gave up on its worker" not in engine.state.reason:
                await asyncio.sleep(0.02)
        assert not engine.state.ready
        away.rename(archive)
        await ready(engine)
        assert "result" in await answer(engine, digit(0, steps=3))
    finally:
        await engine.stop()


async def test_ten_times_the_load_is_turned_away_memory_stays_and_service_goes_on(engine: Either) -> None:
    await ready(engine)

    async def one(seed: int) -> str:
        try:
            await answer(engine, digit(seed, steps=20))
        except Overloaded as e:
            return "turned away" if e.retry_after_s else "turned away for ever"
        return "answered"

    def memory() -> int:
        assert engine.pid is not None
        root = psutil.Process(engine.pid)
        return sum(process.memory_info().rss for process in [root, *root.children(recursive=True)])

    sizes = []
    for _ in range(4):
        outcomes = await asyncio.gather(*map(one, range(600)))
        assert outcomes.count("answered") == 60
        assert outcomes.count("turned away") == 540
        sizes.append(memory())
    assert sizes[-1] < 1.1 * sizes[0] + 50 * 2**20
    assert await asyncio.gather(*map(one, range(40))) == ["answered"] * 40


STARTER = """
import asyncio, sys
from pathlib import Path
from tests.end_to_end.conftest import KINDS, ready
from service.engines.boarding import Limits

async def main():
    engine = KINDS[sys.argv[1]]([Path(sys.argv[2])], home=Path(sys.argv[3]))
    await engine.start()
    await ready(engine)
    print("ready", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.parametrize("kind", ["torchserve", "local"])
async def test_nothing_outlives_a_gateway_that_is_killed(kind: str, archives: list[Path], tmp_path: Path) -> None:
    command = [sys.executable, "-c", STARTER, kind, str(archives[0]), str(tmp_path)]
    gateway = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, cwd=REPOSITORY)
    assert gateway.stdout is not None
    assert await gateway.stdout.readline() == b"ready\n"
    started = psutil.Process(gateway.pid).children(recursive=True)
    assert len(started) == {"torchserve": 2, "local": 1}[kind]
    gateway.kill()
    await gateway.wait()
    _, alive = await asyncio.to_thread(psutil.wait_procs, started, timeout=10)
    assert not alive
    (left,) = (tmp_path / "run").iterdir()
    with socket_directory(tmp_path / "run", longest="socket") as new, socket_directory(new.parent, longest="socket"):
        assert not left.exists()
        assert new.exists()
    assert list(new.parent.iterdir()) == []
