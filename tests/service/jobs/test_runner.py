"""Jobs are done to the same bits as requests that are waited for, however often they are cut off."""

import asyncio
import gc
import io
import tracemalloc
import zipfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import numpy as np
import pytest

from rakinglight.errors import BadParameter, EngineAway, Overloaded, RakinglightError, StorageAway
from rakinglight.question import Question
from rakinglight.wire import Frame
from service.artifacts import Artifacts
from service.ask import Ask
from service.jobs import runner
from service.jobs.attempt import STALLED_LIMIT, Attempt
from tests.service.grpc_at_hand import slow_network
from tests.service.in_process import InProcessEngine
from tests.service.jobs.conftest import PICTURES, Open, Shop, pgd
from tests.service.pictures_at_hand import png

pytestmark = pytest.mark.usefixtures("brisk")

#: Longer than any test waits: it has to be stopped.
LONG = {"steps": 1000}
COMPARE = Ask(
    model="small", operation="saliency", method=["smoothgrad", "integrated_gradients"], images=PICTURES[:2], seed=3,
    parameters={"n_samples": 100, "n_steps": 100},
)  # fmt: skip


async def until(happens: Callable[[], Any], seconds: float = 30.0) -> Any:
    async with asyncio.timeout(seconds):
        while not (found := await asyncio.to_thread(happens)):
            await asyncio.sleep(0.005)
    return found


@asynccontextmanager
async def being_done(shop: Shop, job: str) -> AsyncIterator[asyncio.Task[None]]:
    """Meanwhile `job` is done, unless it is over before; afterwards nothing of it is left in this process."""
    before = asyncio.all_tasks()
    task = asyncio.create_task(shop.do(job))
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    await until(lambda: not shop.engine.worker.engine.running)
    assert asyncio.all_tasks() <= before


def rows(shop: Shop) -> int:
    """Gradient rows that the worker has answered: of an attack without restarts, one an iteration."""
    return int(shop.engine.worker.snapshot()["rows"]["gradient"])


def step_of(shop: Shop, job: str) -> int:
    return int((shop.job(job)["progress"] or {"step": 0})["step"])


# ── to its end ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("asked", [pgd(3), COMPARE], ids=["attack", "compare"])
async def test_it_finds_what_a_request_that_is_waited_for_finds(opened: Open, asked: Ask) -> None:
    shop = opened(inline_bytes=10_000_000)
    answer = (await shop.core.answer(asked)).members()
    job = await shop.submit(asked)
    await shop.do(job)
    found = shop.storage.jobs.results(job, None)
    assert found is not None
    assert shop.job(job)["state"] == "succeeded"
    assert found.keys() == answer.keys()
    for name in found.keys() - {"elapsed_ms", "results"}:
        assert found[name] == answer[name], name
    np.testing.assert_equal(found["results"], answer["results"])


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_long_dataset_is_answered_in_order_and_costs_no_memory(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, colours = opened(), range(150)
    pictures = [png(np.full((8, 8, 3), (i, 0, 0), np.uint8)) for i in colours]
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as writer:
        for i in colours:
            writer.writestr(f"all/{i:03}.png", pictures[i])
    dataset = await shop.storage.datasets.add("", "colours", archive.getvalue())
    job = await shop.submit(Ask(model="small", operation="classify", dataset=dataset["id"]))
    put_entry, held = Attempt.put_entry, list[int]()

    def watched(attempt: Attempt, *what: Any) -> None:
        put_entry(attempt, *what)
        if len(attempt.done) % 50 == 40:
            gc.collect()
            held.append(tracemalloc.get_traced_memory()[0])

    monkeypatch.setattr(Attempt, "put_entry", watched)
    tracemalloc.start()
    try:
        await shop.do(job)
    finally:
        tracemalloc.stop()
    found = shop.storage.jobs.results(job, None)
    assert found is not None
    for i in (0, 7, 149):
        (alone,) = (await shop.core.answer(Ask(model="small", operation="classify", images=[pictures[i]]))).results
        np.testing.assert_equal(found["results"][i], alone)
    assert len(found["results"]) == 150
    assert held[2] - held[0] < 500_000


async def test_the_time_is_over_and_it_shows_what_it_has(shop: Shop) -> None:
    job = await shop.submit(pgd(parameters=LONG, deadline_s=0.3))
    await shop.do(job)
    found = shop.storage.jobs.results(job, None)
    assert found is not None
    assert (shop.job(job)["state"], found["results"][0]["partial"]) == ("succeeded", True)


async def test_the_time_of_earlier_attempts_counts(shop: Shop) -> None:
    job = await shop.submit(pgd(parameters=LONG, deadline_s=5.0))
    shop.begin(job).save({}, 4.9, None, None)
    async with asyncio.timeout(4):
        await shop.do(job)
    assert shop.job(job)["state"] == "succeeded"


class Picky(InProcessEngine):
    """Raises what `refuses` says of a question, if it says anything."""

    refuses: Callable[[Question], RakinglightError | Exception | None] = staticmethod(lambda question: None)

    async def ask(self, question: Question, *, request_id: str) -> AsyncGenerator[Frame, None]:
        if error := self.refuses(question):
            raise error
        async for frame in super().ask(question, request_id=request_id):
            yield frame


@pytest.fixture
def picky(opened: Open) -> Shop:
    shop = opened(worker_images=1)
    shop.engine.__class__ = Picky
    return shop


@pytest.mark.parametrize(
    ("error", "code"),
    [(BadParameter.at("/parameters/steps", "It cannot."), "BAD_PARAMETER"), (ZeroDivisionError("oh"), "INTERNAL")],
)
async def test_one_image_fails_and_what_the_others_found_is_kept(picky: Shop, error: Exception, code: str) -> None:
    job = await picky.submit(pgd(3))
    asked = picky.engine.asked
    picky.engine.refuses = lambda question: error if len(asked) == 2 else None
    await picky.do(job)
    found, told = picky.storage.jobs.results(job, None), picky.job(job)
    assert found is not None
    assert (told["state"], told["problem"]["code"], told["problem"]["request_id"]) == ("failed", code, "r-1")
    assert [entry is not None for entry in found["results"]] == [True, True, False]


async def one_of_three(picky: Shop) -> str:
    """A job of three images that was cut off when it had done one."""
    job, asked = await picky.submit(pgd(3)), picky.engine.asked
    picky.engine.refuses = lambda question: EngineAway("It is away.") if len(asked) == 1 else None
    async with being_done(picky, job):
        await until(lambda: picky.job(job)["note"])
    return job


def assert_one_of_three(shop: Shop, job: str, code: str) -> None:
    """It failed, and what it had done is all there."""
    found, told = shop.storage.jobs.results(job, None), shop.job(job)
    assert found is not None
    assert (told["state"], told["problem"]["code"], told["problem"]["request_id"]) == ("failed", code, "r-1")
    assert [entry is not None for entry in found["results"]] == [True, False, False]
    assert (found["method"], found["parameters"]["steps"], found["seed"]) == ("pgd", 10, 3)
    assert found["cost"]["gradient_rows"] > 0 and found["elapsed_ms"] > 0


async def test_a_job_that_ends_its_workers_is_given_up(picky: Shop) -> None:
    job = await one_of_three(picky)
    for _ in range(STALLED_LIMIT):
        picky.begin(job)
    await picky.do(job)
    assert_one_of_three(picky, job, "RUN_KILLS_WORKER")


async def test_other_weights_are_not_taken_for_those_that_were_meant(picky: Shop) -> None:
    job = await one_of_three(picky)
    attempt = picky.begin(job)
    attempt.model = {**attempt.model, "sha256": "1" * 64}
    await runner.JobRun(picky.core, attempt).do()
    assert_one_of_three(picky, job, "CONFLICT")


async def test_a_model_that_is_gone_fails_the_job(picky: Shop, opened: Open) -> None:
    job = await one_of_three(picky)
    await opened(networks=[]).do(job)
    assert_one_of_three(picky, job, "NOT_FOUND")


async def test_a_request_that_cannot_be_read_any_more_fails_the_job(picky: Shop, monkeypatch: Any) -> None:
    job = await one_of_three(picky)
    with monkeypatch.context() as changed:
        another = bytes(Frame("request", {"by": "another release", "images": []}))
        changed.setattr(Artifacts, "read", lambda *_: another)
        await picky.do(job)
    assert_one_of_three(picky, job, "INTERNAL")


class Lingering(InProcessEngine):
    """Says its result, and does not come to an end."""

    async def ask(self, question: Question, *, request_id: str) -> AsyncGenerator[Frame, None]:
        async for frame in super().ask(question, request_id=request_id):
            yield frame
        await asyncio.Event().wait()


async def test_a_result_is_enough_whatever_the_engine_does_afterwards(shop: Shop) -> None:
    alone, job = await shop.submit(pgd()), await shop.submit(pgd())
    await shop.do(alone)
    shop.engine.__class__ = Lingering
    async with asyncio.timeout(10):
        await shop.do(job)
    assert shop.found(job) == shop.found(alone)


async def test_cancelled_when_its_result_has_come_it_shows_that(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wish is heard while the frame of the result is being noted down."""
    job, took = await shop.submit(pgd()), runner.JobRun._took

    def cancelled_then(run: runner.JobRun, number: int, frame: Frame, prepared: Any) -> Frame | None:
        if frame.kind == "result":
            run._cancel()
        return took(run, number, frame, prepared)

    monkeypatch.setattr(runner.JobRun, "_took", cancelled_then)
    shop.engine.__class__ = Lingering
    async with asyncio.timeout(10):
        await shop.do(job)
    found, told = shop.storage.jobs.results(job, None), shop.job(job)
    assert found is not None
    assert (told["state"], found["results"][0].get("partial", False), shop.engine.cancelled) == ("cancelled", False, [])


# ── cancelled ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("images", [1, 3])
async def test_cancelled_it_stops_its_rows_and_keeps_what_it_has(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, images: int
) -> None:
    """Of each image one iteration may be under way when its run is closed, and none begins any more."""
    job, close, heard = await shop.submit(pgd(images, parameters=LONG)), shop.engine.worker.close, list[int]()

    def noted(ticket: str) -> None:
        close(ticket)
        heard.append(rows(shop))

    monkeypatch.setattr(shop.engine.worker, "close", noted)
    async with being_done(shop, job) as task:
        await until(lambda: shop.runs(job) == images and step_of(shop, job) > 5)
        await asyncio.to_thread(shop.storage.jobs.cancel, job, None)
        async with asyncio.timeout(30):
            await task
    await until(lambda: not shop.engine.worker.engine.running)
    found, told = shop.storage.jobs.results(job, None), shop.job(job)
    assert found is not None
    assert (told["state"], told["problem"], len(shop.engine.cancelled)) == ("cancelled", None, images)
    assert all(entry["partial"] for entry in found["results"])
    assert len(heard) == images
    assert rows(shop) <= heard[-1] + images
    assert shop.lasting() == 0


async def test_maps_that_are_compared_are_cancelled_together(opened: Open) -> None:
    shop = opened(networks=[slow_network()])  # so that it cannot be done before it is cancelled
    job = await shop.submit(
        Ask(model="slow", operation="saliency", method=["smoothgrad", "integrated_gradients"], images=PICTURES[:1],
            parameters={"n_samples": 1000, "n_steps": 1000})
    )  # fmt: skip
    async with being_done(shop, job) as task:
        await until(lambda: shop.runs(job) == 2)
        await asyncio.to_thread(shop.storage.jobs.cancel, job, None)
        async with asyncio.timeout(30):
            await task
    assert shop.job(job)["state"] == "cancelled"
    found = shop.storage.jobs.results(job, None)
    assert found is not None
    assert found["results"][0]["partial"]
    assert len(found["results"][0]["maps"]) == 2


async def test_cancelled_before_there_is_anything_it_says_so(shop: Shop) -> None:
    job = await shop.submit(pgd())
    shop.begin(job)
    shop.storage.jobs.cancel(job, None)
    await shop.do(job)
    told = shop.job(job)
    assert (told["state"], told["problem"]["code"], told["problem"]["request_id"]) == (
        "cancelled", "JOB_CANCELLED", "r-1",
    )  # fmt: skip


async def test_of_a_cancelled_job_the_images_that_were_done_stay(picky: Shop) -> None:
    job = await picky.submit(pgd(3))
    asked, engine = picky.engine.asked, picky.engine
    engine.refuses = lambda question: EngineAway("It is away.") if len(asked) == 1 else None
    async with being_done(picky, job) as task:
        await until(lambda: picky.job(job)["note"])
        await asyncio.to_thread(picky.storage.jobs.cancel, job, None)
        async with asyncio.timeout(30):
            await task
    found = picky.storage.jobs.results(job, None)
    assert found is not None
    assert picky.job(job)["state"] == "cancelled"
    assert [entry is not None for entry in found["results"]] == [True, False, False]


# ── what is away ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("error", [EngineAway("No worker is up.", retry_after_s=5.0), Overloaded("Too many wait.")])
async def test_an_engine_that_is_away_is_waited_for(shop: Shop, error: RakinglightError) -> None:
    alone, job = await shop.submit(pgd()), await shop.submit(pgd())
    await shop.do(alone)
    shop.engine.refusal = error
    async with being_done(shop, job) as task:
        assert await until(lambda: shop.job(job)["note"]) == error.detail
        assert shop.job(job)["state"] == "running"
        shop.engine.refusal = None
        await task
    assert (shop.found(job), shop.job(job)["note"]) == (shop.found(alone), None)


class Full(Artifacts):
    """A store that takes nothing while it is full."""

    full = False

    def put(self, content: bytes, **how: Any) -> str:
        if self.full:
            raise StorageAway("The store is full.")
        return super().put(content, **how)


async def test_a_store_that_is_full_is_waited_for_and_nothing_is_lost(shop: Shop) -> None:
    alone, job = await shop.submit(pgd(2)), await shop.submit(pgd(2))
    await shop.do(alone)
    shop.storage.artifacts.__class__ = Full
    shop.storage.artifacts.full = True
    async with being_done(shop, job) as task:
        await until(lambda: shop.job(job)["note"] == "The store is full.")
        await until(lambda: len(shop.engine.asked) == 4)
        await asyncio.sleep(0.1)
        asked = len(shop.engine.asked)
        shop.storage.artifacts.full = False
        await task
    assert (shop.found(job), len(shop.engine.asked)) == (shop.found(alone), asked)


async def test_a_full_store_keeps_no_job_from_being_cancelled(shop: Shop) -> None:
    job = await shop.submit(pgd())
    shop.storage.artifacts.__class__ = Full
    shop.storage.artifacts.full = True
    async with being_done(shop, job) as task:
        await until(lambda: shop.job(job)["note"])
        await asyncio.to_thread(shop.storage.jobs.cancel, job, None)
        async with asyncio.timeout(30):
            await task
    assert shop.job(job)["state"] == "cancelled"


# ── cut off, and taken up again ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("asked", [pgd(2, 400), COMPARE], ids=["attack", "compare"])
async def test_taken_up_from_any_state_it_ends_with_the_same_bits(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, asked: Ask
) -> None:
    """Stopped in good order after one save, then after two more, and so on, until it needs no stop any more."""
    alone = await shop.submit(asked)
    await shop.do(alone)
    job, saves, attempts = await shop.submit(asked), 0, 0
    save = Attempt.save

    def counted(attempt: Attempt, *what: Any) -> None:
        nonlocal saves
        save(attempt, *what)
        saves += attempt.job == job

    monkeypatch.setattr(Attempt, "save", counted)
    while shop.job(job)["state"] != "succeeded":
        attempts, wanted = attempts + 1, saves + attempts + 1
        async with being_done(shop, job):
            await until(lambda: saves >= wanted or shop.job(job)["state"] == "succeeded")  # noqa: B023
        assert shop.job(job)["state"] in ("interrupted", "succeeded")
    assert attempts > 1
    assert shop.found(job) == shop.found(alone)
    assert shop.job(job)["attempts"] == attempts


async def test_killed_anywhere_it_loses_at_most_the_work_since_its_last_state(shop: Shop) -> None:
    """Whoever does it vanishes without a word, as a killed process does; only what is in the store is left."""
    alone, job = await shop.submit(pgd(1, 1000)), await shop.submit(pgd(1, 1000))
    await shop.do(alone)
    whole = rows(shop)
    for n in range(3):
        run = runner.JobRun(shop.core, shop.begin(job))
        run._leave = lambda: None
        task = asyncio.create_task(run.do())
        at = step_of(shop, job)
        await until(lambda: step_of(shop, job) > at + 10)  # noqa: B023
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert shop.job(job)["state"] == "running", n
    await until(lambda: not shop.engine.worker.engine.running)
    newest, before = shop.begin(job).newest(0), rows(shop)
    assert newest is not None
    await shop.do(job)
    kept = newest.body["saved"]["cost"]["gradient_rows"]
    assert kept > 30
    assert rows(shop) - before == whole - kept
    assert shop.found(job) == shop.found(alone)


async def test_superseded_in_the_middle_it_stops_and_writes_nothing(shop: Shop) -> None:
    job = await shop.submit(pgd(parameters=LONG))
    async with being_done(shop, job) as task:
        await until(lambda: step_of(shop, job) > 5)
        shop.begin(job, "another")
        async with asyncio.timeout(30):
            await task
    row = shop.row(job)
    assert (row.state, row.worker, row.attempt) == ("running", "another", 2)
    assert len(shop.engine.cancelled) == 1


async def test_a_failure_of_what_goes_on_beside_fails_the_job(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    job = await shop.submit(pgd(parameters=LONG))

    def broken(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Attempt, "save", broken)
    async with being_done(shop, job) as task, asyncio.timeout(30):
        await task
    assert (shop.job(job)["state"], shop.job(job)["problem"]["code"]) == ("failed", "INTERNAL")
