"""One worker's go at a job: who is no longer the one writes nothing, and a write that fails anywhere leaves no half."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from typing import Any

import pytest
import sqlalchemy as sa

from rakinglight.errors import StorageAway
from rakinglight.wire import Frame
from service.artifacts import Artifacts
from service.database import Database
from service.database.schema import job_events, job_runs
from service.jobs.attempt import Attempt, Superseded
from tests.service.jobs.conftest import Open, Shop, pgd

DONE = {"cost": {"forward_rows": 1, "gradient_rows": 2}, "answered_by": {}}
ENTRY = {"success": True}
AROUND = {"method": "pgd", "seed": 3, "results": [], "cost": {}, "answered_by": {}, "elapsed_ms": 0.0}


def state(n: int) -> Frame:
    return Frame("progress", {"step": n, "saved": {"state": {"n": n}}})


# ── fencing ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_older_attempt_can_do_nothing_any_more(shop: Shop) -> None:
    job = await shop.submit(pgd())
    old, new = shop.begin(job, "a"), shop.begin(job, "b")
    assert (old.number, new.number) == (1, 2)
    for write in (
        lambda: old.save({0: state(1)}, 1.0, {"step": 1}, None),
        lambda: old.put_entry(0, ENTRY, DONE, [0], AROUND),
        lambda: old.finish("succeeded"),
        old.interrupt,
        old.wanted,
    ):
        with pytest.raises(Superseded):
            write()
    row = shop.row(job)
    assert (row.state, row.worker, row.progress, row.last_event) == ("running", "b", None, 0)
    assert shop.runs(job) == 0
    new.save({0: state(2)}, 1.0, None, None)
    assert shop.begin(job).newest(0) == state(2)


async def test_of_many_who_write_at_once_the_last_to_begin_wins(opened: Open) -> None:
    """Old attempts save in a hurry, from connections of their own, while new ones begin."""
    shop, others = opened(), [opened() for _ in range(3)]
    job = await shop.submit(pgd())
    superseded: list[int] = []

    def work(at: Shop, attempt: Attempt, mark: int) -> None:
        try:
            for n in count():
                attempt.save({0: state(1000 * mark + n)}, 0.0, None, None)
                if mark == len(others) and n == 5:
                    return
        except Superseded:
            superseded.append(mark)

    with ThreadPoolExecutor() as pool:
        for mark, at in enumerate([*others, shop]):
            pool.submit(work, at, at.begin(job), mark)
            await asyncio.sleep(0.03)
    assert sorted(superseded) == [0, 1, 2]
    assert shop.begin(job).newest(0) == state(3005)


async def test_what_is_over_is_not_taken_up(shop: Shop) -> None:
    job = await shop.submit(pgd())
    shop.begin(job).finish("failed", problem={"code": "X"})
    args = shop.storage.database, shop.storage.artifacts
    assert Attempt.begin(*args, job, worker="b", retention_s=1.0) is None
    assert Attempt.begin(*args, "job_none", worker="b", retention_s=1.0) is None


# ── what is kept ────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_saving_twice_is_saving_once(shop: Shop) -> None:
    job = await shop.submit(pgd(2))
    attempt = shop.begin(job)
    for _ in range(2):
        attempt.save({0: state(1), 1: state(5)}, 1.0, None, None)
        attempt.put_entry(1, ENTRY, DONE, [1], AROUND)
    assert shop.holders(job) == {"request": 1, "states": 1, "results": 1}
    again = shop.begin(job)
    assert (again.newest(0), again.newest(1), again.done) == (state(1), None, {1: DONE})


async def test_a_newer_state_lets_go_of_the_older_and_of_nothing_else(shop: Shop) -> None:
    job, other = await shop.submit(pgd(2)), await shop.submit(pgd(2, seed=4))
    attempt, beside = shop.begin(job), shop.begin(other)
    beside.save({0: state(1)}, 1.0, None, None)
    for n in range(5):
        attempt.save({0: state(n)}, 1.0, None, None)
    attempt.put_entry(1, ENTRY, DONE, [1], AROUND)
    attempt.save({0: state(6)}, 1.0, None, None)
    shop.sweep()
    assert shop.holders(job) == {"request": 1, "states": 1, "results": 1}
    assert shop.begin(other).newest(0) == state(1)
    assert shop.begin(job).newest(0) == state(6)


async def test_a_state_that_comes_late_of_a_finished_image_is_dropped(shop: Shop) -> None:
    job = await shop.submit(pgd())
    attempt = shop.begin(job)
    attempt.put_entry(0, ENTRY, DONE, [0], AROUND)
    attempt.save({0: state(9)}, 1.0, None, None)
    assert (shop.runs(job), shop.holders(job)) == (0, {"request": 1, "results": 1})


async def test_what_is_held_by_no_end_is_let_go_of_when_the_job_is_over(shop: Shop) -> None:
    job = await shop.submit(pgd())
    attempt = shop.begin(job)
    attempt.save({0: state(1)}, 1.0, None, None)
    attempt.spill(b"large", "image/png")
    attempt.put_entry(0, ENTRY, DONE, [0], AROUND)
    attempt.finish("succeeded")
    assert (shop.lasting(), shop.holders(job)) == (0, {"results": 2})


@pytest.mark.parametrize("removed", [True, False])
async def test_a_worker_that_wakes_up_late_leaves_nothing_behind(shop: Shop, removed: bool) -> None:
    """It puts its state before it learns that the job is over; the hold of it would last for ever."""
    job = await shop.submit(pgd())
    late, attempt = shop.begin(job, "frozen"), shop.begin(job)
    attempt.put_entry(0, ENTRY, DONE, [0], AROUND)
    attempt.finish("succeeded")
    if removed:
        shop.storage.jobs.remove(job, None)
    with pytest.raises(Superseded):
        late.save({0: state(1)}, 1.0, None, None)
    with pytest.raises(Superseded):  # the very artifact that the result needs
        late.put_entry(0, ENTRY, DONE, [0], AROUND)
    assert shop.lasting() > 0
    shop.sweep()
    assert shop.lasting() == 0
    assert shop.storage.artifacts.usage().count == 0 if removed else shop.storage.jobs.get(job, None)
    with shop.storage.database.reading() as connection:
        kept = connection.scalars(sa.select(sa.text("sha256")).select_from(sa.text("holds"))).all()
    assert bool(kept) is not removed


async def test_taking_it_up_again_and_again_is_counted_until_it_gets_further(shop: Shop) -> None:
    job = await shop.submit(pgd())
    assert [shop.begin(job).stalled for _ in range(3)] == [1, 2, 3]
    attempt = shop.begin(job)
    attempt.save({}, 1.0, {"step": 1}, "waiting")
    assert shop.begin(job).stalled == 5
    attempt = shop.begin(job)
    attempt.save({0: state(1)}, 1.0, None, None)
    assert shop.begin(job).stalled == 1


async def test_an_end_in_good_order_is_not_counted(shop: Shop) -> None:
    job = await shop.submit(pgd())
    for _ in range(5):
        attempt = shop.begin(job)
        assert attempt.stalled == 1
        attempt.interrupt()
    assert shop.job(job)["state"] == "interrupted"


async def test_an_end_in_good_order_just_after_a_state_counts_no_less_than_none(shop: Shop) -> None:
    job = await shop.submit(pgd())
    attempt = shop.begin(job)
    attempt.save({0: state(1)}, 1.0, None, None)
    attempt.interrupt()
    assert shop.row(job).stalled == 0


@pytest.mark.parametrize("last", [3, 4])
async def test_not_all_progress_is_an_event_but_the_last_is(shop: Shop, last: int) -> None:
    job = await shop.submit(pgd())
    attempt = shop.begin(job)
    for step in range(last + 1):
        attempt.save({}, 1.0, {"step": step}, None, step % 3 == 0)
        assert shop.job(job)["progress"] == {"step": step}
    attempt.finish("succeeded")
    told = shop.storage.jobs.events(job, None, 0)
    assert [event.data.get("step") for event in told] == [0, 3, None] if last == 3 else [0, 3, 4, None]
    assert told[-1].last


# ── a store that fails ──────────────────────────────────────────────────────────────────────────────────────────────


class Fault:
    """Strikes once, at the n-th call of those that may fail; before it does anything, or when all is done."""

    def __init__(self) -> None:
        self.calls, self.at, self.after = 0, 0, False

    def set(self, at: int, *, after: bool) -> None:
        self.calls, self.at, self.after = 0, at, after

    @property
    def struck(self) -> bool:
        return self.calls >= self.at

    @contextmanager
    def here(self) -> Iterator[None]:
        self.calls += 1
        mine = self.calls == self.at
        if mine and not self.after:
            raise StorageAway("It was away.")
        yield
        if mine:
            raise StorageAway("It went away while it answered.")


class ShakyDatabase(Database):
    fault: Fault

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        with self.fault.here(), super().transaction() as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        with self.fault.here(), super().reading() as connection:
            yield connection


class ShakyArtifacts(Artifacts):
    fault: Fault

    def put(self, content: bytes, **how: Any) -> str:
        with self.fault.here():
            return super().put(content, **how)

    def read(self, sha256: str) -> bytes:
        with self.fault.here():
            return super().read(sha256)


@pytest.fixture
def shaky(opened: Open) -> tuple[Shop, Fault]:
    shop, fault = opened(), Fault()
    shop.storage.database.__class__ = ShakyDatabase
    shop.storage.artifacts.__class__ = ShakyArtifacts
    shop.storage.database.fault = shop.storage.artifacts.fault = fault
    return shop, fault


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.usefixtures("brisk")
async def test_wherever_the_store_fails_the_job_ends_with_the_same_bits(
    shaky: tuple[Shop, Fault], monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    monkeypatch.setattr("service.jobs.runner.LOOK_S", 1000.0)  # looks are many, and hurt nobody
    shop, fault = shaky
    alone = await shop.submit(pgd(2))
    fault.set(10**6, after=after)
    await shop.do(alone)
    expected, calls = shop.found(alone), fault.calls
    for n in range(1, calls + 1):
        job = await shop.submit(pgd(2))
        fault.set(n, after=after)
        await shop.do(job)
        fault.set(10**6, after=after)
        assert shop.job(job)["state"] == "succeeded", n
        assert shop.found(job) == expected, n
        assert shop.runs(job) == 0
    assert calls > 10
    shop.sweep()
    assert shop.lasting() == 0


async def test_a_write_that_fails_halfway_shows_nothing_of_itself(shaky: tuple[Shop, Fault]) -> None:
    shop, fault = shaky
    job = await shop.submit(pgd(2))
    attempt = shop.begin(job)
    attempt.save({0: state(1)}, 1.0, {"step": 1}, None)
    n, failed = 0, True
    while failed:
        n, failed = n + 1, False
        fault.set(n, after=False)
        try:
            attempt.save({0: state(2), 1: state(3)}, 2.0, {"step": 2}, None)
        except StorageAway:
            failed = True
        fault.set(10**6, after=False)
        with shop.storage.database.reading() as connection:
            events = connection.scalar(sa.select(sa.func.count()).select_from(job_events))
            runs = connection.scalar(sa.select(sa.func.count()).select_from(job_runs))
        shop.sweep()
        assert (events, runs) == ((1, 1) if failed else (2, 2))
    assert n > 4
    again = shop.begin(job)
    assert (again.newest(0), again.newest(1)) == (state(2), state(3))
