"""Signs of life, takeover, and the end of what is over."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import sqlalchemy as sa

from service.artifacts import Artifacts
from service.database import Database
from service.database.schema import holds, jobs, workers
from service.jobs.keeper import Keeper, enter
from service.jobs.queue import WorkQueue
from tests.service.jobs.conftest import Open, Shop, Work, pgd, statuses, until

TAKEOVER_S = 0.3


@pytest.fixture
def database(shop: Shop) -> Database:
    """That of the shop, for the worker of this process."""
    return shop.storage.database


def keeper(shop: Shop, living: WorkQueue, name: str = "living") -> Keeper:
    return Keeper(shop.storage, living, name=name, takeover_s=TAKEOVER_S)


def states(shop: Shop) -> list[str]:
    with shop.storage.database.reading() as connection:
        return list(connection.scalars(sa.select(jobs.c.state)))


def names(shop: Shop) -> set[str]:
    with shop.storage.database.reading() as connection:
        return set(connection.scalars(sa.select(workers.c.name)))


@pytest.fixture
async def left(shop: Shop, hired: Callable[..., WorkQueue]) -> AsyncIterator[str]:
    """A job that a worker called `dead` has under way, and says no more."""
    job = await shop.submit(pgd())
    enter(shop.storage.database, "dead")
    work = Work()
    work.go_on.clear()
    hired(work, "dead")
    until(lambda: work.given)
    shop.begin(job, "dead")
    yield job
    work.go_on.set()


async def test_the_job_of_a_dead_worker_is_given_to_another(shop: Shop, left: str, hired: Any) -> None:
    work = Work()
    work.go_on.clear()
    living = keeper(shop, hired(work, "living"))
    begun = time.monotonic()
    while not work.given:
        living.beat_and_look()
        await asyncio.sleep(TAKEOVER_S / 5)
        assert time.monotonic() - begun < 10
    assert time.monotonic() - begun > TAKEOVER_S
    assert states(shop) == ["interrupted"]
    assert names(shop) == {"living"}
    shop.begin(left, "living")
    for _ in range(3):  # another, who looked at the same time
        living._queue.recover(["dead"])
    assert states(shop) == ["running"]
    work.go_on.set()
    until(lambda: statuses(shop.storage.database) == {left: "SUCCESS"})
    assert work.given == {left: 1}


async def test_who_dies_in_the_middle_of_a_takeover_is_followed_by_another(
    shop: Shop,
    left: str,
    hired: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    work = Work()
    queue = hired(work, "living")
    first, second = keeper(shop, queue), keeper(shop, queue, "another")

    def dies(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(queue, "recover", dies)
    first.beat_and_look()
    second.beat_and_look()
    await asyncio.sleep(TAKEOVER_S + 0.1)
    with pytest.raises(ZeroDivisionError):
        first.beat_and_look()
    monkeypatch.undo()
    assert "dead" in names(shop)
    second.beat_and_look()
    until(lambda: work.given == {left: 1})


async def test_who_gives_signs_of_life_is_left_alone(shop: Shop, left: str, hired: Any) -> None:
    work = Work()
    queue = hired(work, "living")
    living, slow = keeper(shop, queue), keeper(shop, queue, "dead")
    end = time.monotonic() + 3 * TAKEOVER_S
    while time.monotonic() < end:
        living.beat_and_look()
        slow.beat_and_look()
        await asyncio.sleep(TAKEOVER_S / 3)
    assert not work.given
    assert states(shop) == ["running"]
    assert names(shop) == {"living", "dead"}
    assert left


async def test_who_starts_marks_what_its_name_had_and_is_seen_at_once(shop: Shop) -> None:
    mine, others = await shop.submit(pgd()), await shop.submit(pgd())
    shop.begin(mine, "me")
    shop.begin(others, "other")
    enter(shop.storage.database, "me")
    assert (shop.job(mine)["state"], shop.job(others)["state"]) == ("interrupted", "running")
    assert names(shop) == {"me"}


async def test_the_sweep_takes_what_is_over_and_nothing_that_is_needed(
    opened: Open,
    hired: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop = opened(retention_s=0.5)
    over, going = await shop.submit(pgd()), await shop.submit(pgd(seed=9))
    await shop.do(over)
    attempt = shop.begin(going)
    living = keeper(shop, hired(Work()))
    living.sweep()
    assert shop.found(over)
    monkeypatch.setattr(time, "time", lambda now=time.time: now() + 1000.0)
    living.sweep()
    with shop.storage.database.reading() as connection:
        held = connection.scalars(sa.select(holds.c.holder)).all()
    assert held
    assert all(going in holder for holder in held)
    assert shop.storage.artifacts.usage().count == len(held)
    assert attempt.ask().seed == 9
    assert isinstance(shop.storage.artifacts, Artifacts)
