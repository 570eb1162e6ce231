"""Budgets are exact to the image, whoever asks at once, again, or dies in between."""

import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from rakinglight.errors import BudgetSpent, Conflict, Expired, RateLimited, TooLarge, Unauthenticated
from rakinglight.noticing import Notice
from service.black_box import budget as budget_module
from service.black_box.budget import LEASE_S, SLOW_S, SLOWEST_S, Found, Reservation, Told
from service.black_box.ledger import Asked
from service.database.schema import ledger, reservations, watches
from service.keys import KeptKey
from tests.service.black_box.conftest import Process

MODEL = {"name": "small", "version": "1.0", "sha256": "0" * 64}


def asked(key: KeptKey | None, *images: int, again: str | None = None, name: str = "bob") -> Asked:
    """Of so many images, each told from others by its number."""
    digests = [sha256(str(image).encode()).hexdigest() for image in images]
    who = (key.id, key.name) if key else (name, name)
    return Asked(*who, "classify", MODEL, None, None, "r", digests, None, again)


def found(what: Asked) -> Found:
    """What a model would say: a label and a probability that only the image decides."""
    said = [
        [
            {"index": int(d[:2], 16) % 3, "label": d[0], "probability": 0.75},
            {"index": 3, "label": "x", "probability": 0.25},
        ]
        for d in what.digests
    ]
    images = [np.random.default_rng(int(d[:8], 16)).random((1, 8, 8), dtype=np.float32) for d in what.digests]
    return Found(said, images, "top_k", 1)


def spend(process: Process, key: KeptKey | None, what: Asked) -> Told:
    room = process.budget.reserve(what, key)
    assert isinstance(room, Reservation)
    return process.budget.commit(room, what, key, found(what))


def entries(process: Process, key: KeptKey) -> list[Any]:
    with process.database.reading() as connection:
        return list(connection.execute(sa.select(ledger).where(ledger.c.key == key.id)))


def test_charge_entry_and_answer_come_together(process: Process) -> None:
    key = process.key(budget=10)
    told = spend(process, key, asked(key, 1, 2, again="a"))
    assert (told.remaining, told.charged, process.budget.remaining(key.id)) == (8, 2, 8)
    assert [[list(each) for each in image] for image in told.predictions] == [[["index", "label", "probability"]]] * 2
    assert [(row.image, row.charged, row.answer) for row in entries(process, key)] == [
        (0, True, told.predictions[0]),
        (1, True, told.predictions[1]),
    ]
    with process.database.reading() as connection:
        promised = sa.select(sa.func.count()).where(reservations.c.key == key.id)
        assert connection.scalar(promised) == 0


def test_a_retry_is_told_the_same_uncharged(process: Process) -> None:
    key = process.key(budget=3)
    what = asked(key, 1, 2, again="a")
    first = spend(process, key, what)
    again = process.budget.reserve(what, key)
    assert isinstance(again, Told)
    assert (again.predictions, again.remaining, again.charged) == (first.predictions, 1, 0)
    with pytest.raises(Conflict, match="another request"):
        process.budget.reserve(asked(key, 1, 3, again="a"), key)
    other = process.key(budget=3)
    assert isinstance(process.budget.reserve(asked(other, 5, again="a"), other), Reservation)


def test_without_an_idempotency_key_every_request_is_charged(process: Process) -> None:
    key = process.key(budget=3)
    for left in (2, 1, 0):
        assert spend(process, key, asked(key, 1)).remaining == left
    assert [row.answer for row in entries(process, key)] == [None] * 3  # nobody can ask for it


def test_more_than_is_left_is_refused_whole(process: Process) -> None:
    key = process.key(budget=3)
    spend(process, key, asked(key, 1, 2))
    with pytest.raises(BudgetSpent, match=r"sent: 2; left of this key's budget of 3: 1. None was .* Send fewer"):
        process.budget.reserve(asked(key, 3, 4), key)
    spend(process, key, asked(key, 5))
    with pytest.raises(BudgetSpent, match=r"left of this key's budget of 3: 0. None was answered or charged. Ask"):
        process.budget.reserve(asked(key, 6), key)
    process.keys.top_up(key.id, 1)
    assert spend(process, key, asked(key, 6)).remaining == 0


def test_what_is_promised_to_others_may_come_back(process: Process) -> None:
    key = process.key(budget=3)
    room = process.budget.reserve(asked(key, 1, 2), key)
    assert isinstance(room, Reservation)
    with pytest.raises(RateLimited, match="requests under way may need 2") as refused:
        process.budget.reserve(asked(key, 3, 4), key)
    assert refused.value.retry_after_s == 1.0
    assert isinstance(process.budget.reserve(asked(key, 3), key), Reservation)
    process.budget.release(room)
    assert isinstance(process.budget.reserve(asked(key, 3, 4), key), Reservation)


def test_the_same_request_twice_at_once_is_answered_once(process: Process) -> None:
    for key in (process.key(budget=3), None):
        what = asked(key, 1, again="twice")
        room = process.budget.reserve(what, key)
        assert isinstance(room, Reservation)
        assert process.budget.reserve(what, key) is None
        with pytest.raises(Conflict):
            process.budget.reserve(asked(key, 2, again="twice"), key)
        first = process.budget.commit(room, what, key, found(what))
        again = process.budget.reserve(what, key)
        assert isinstance(again, Told) and again.predictions == first.predictions


def test_what_a_dead_process_was_promised_returns_within_ten_seconds(process: Process) -> None:
    key = process.key(budget=2)
    what = asked(key, 1, 2, again="a")
    dead = process.budget.reserve(what, key)
    assert LEASE_S < 10
    process.clock.now += LEASE_S - 0.1
    with pytest.raises(RateLimited):
        process.budget.reserve(asked(key, 3), key)
    process.clock.now += 0.1
    room = process.budget.reserve(asked(key, 3), key)
    assert isinstance(room, Reservation)
    # It only seemed dead: it is too late for it, and nobody has more than the budget.
    assert isinstance(dead, Reservation)
    with pytest.raises(RateLimited, match="may need 1"):
        process.budget.commit(dead, what, key, found(what))
    process.budget.commit(room, asked(key, 3), key, found(asked(key, 3)))
    with pytest.raises(BudgetSpent):
        process.budget.commit(dead, what, key, found(what))
    assert process.budget.remaining(key.id) == 1


def test_a_sign_of_life_keeps_the_promise(process: Process) -> None:
    key = process.key(budget=1)
    room = process.budget.reserve(asked(key, 1), key)
    assert isinstance(room, Reservation)
    for _ in range(3):
        process.clock.now += LEASE_S - 0.1
        process.budget.renew([room.id])
    with pytest.raises(RateLimited):
        process.budget.reserve(asked(key, 2), key)


def test_who_took_a_request_up_and_who_had_seemed_dead_tell_the_same(process: Process) -> None:
    for key in (process.key(budget=2), None):
        what = asked(key, 1, 2, again="seemed dead")
        slow = process.budget.reserve(what, key)
        process.clock.now += LEASE_S
        quick = process.budget.reserve(what, key)
        assert isinstance(slow, Reservation) and isinstance(quick, Reservation)
        first = process.budget.commit(slow, what, key, found(what))
        second = process.budget.commit(quick, what, key, found(what))
        assert (first.charged, second.charged) == (2, 0)
        assert first.predictions == second.predictions


def test_an_answer_that_is_no_longer_kept_is_not_charged_again(process: Process) -> None:
    key = process.key(budget=5)
    what = asked(key, 1, again="a")
    spend(process, key, what)
    process.ledger.sweep(process.clock.now + 86_399)
    assert isinstance(process.budget.reserve(what, key), Told)
    process.ledger.sweep(process.clock.now + 86_401)
    with pytest.raises(Expired, match="new Idempotency-Key"):
        process.budget.reserve(what, key)
    assert process.budget.remaining(key.id) == 4
    assert len(entries(process, key)) == 1


def test_a_key_that_is_revoked_meanwhile_is_told_nothing(process: Process) -> None:
    key = process.key(budget=5)
    room = process.budget.reserve(asked(key, 1), key)
    assert isinstance(room, Reservation)
    process.keys.revoke(key.id)
    with pytest.raises(Unauthenticated):
        process.budget.commit(room, asked(key, 1), key, found(asked(key, 1)))
    with pytest.raises(Unauthenticated):
        process.budget.reserve(asked(key, 2), key)
    assert entries(process, key) == []


def test_a_rate_is_counted_over_the_last_minute(process: Process) -> None:
    key = process.key(rate=4)
    with pytest.raises(TooLarge, match="4 a minute"):
        process.budget.reserve(asked(key, 1, 2, 3, 4, 5), key)
    spend(process, key, asked(key, 1))
    process.clock.now += 20
    spend(process, key, asked(key, 2, 3))
    assert process.budget.reserve(asked(key, 4), key)  # and it is under way
    with pytest.raises(RateLimited) as refused:
        process.budget.reserve(asked(key, 5), key)
    assert refused.value.retry_after_s == 40.0
    with pytest.raises(RateLimited) as refused:
        process.budget.reserve(asked(key, 5, 6), key)
    assert refused.value.retry_after_s == 60.0
    with pytest.raises(RateLimited) as refused:
        process.budget.reserve(asked(key, 5, 6, 7, 8), key)
    assert refused.value.retry_after_s == 1.0
    process.clock.now += 40.1
    assert isinstance(process.budget.reserve(asked(key, 5, 6), key), Reservation)


# ── noticing ────────────────────────────────────────────────────────────────────────────────────────────────────────


def stolen(process: Process, key: KeptKey | None) -> tuple[Told, int]:
    """The first answer at which a walk from image to image, as a substitute's training takes it, was noticed."""
    rng = np.random.default_rng(0)
    base = rng.random((1, 16, 16), dtype=np.float32) * 0.6 + 0.2
    for i in range(400):
        step = 0.1 * np.sign(rng.standard_normal(base.shape)).astype(np.float32)
        what = asked(key, i)
        room = process.budget.reserve(what, key)
        assert isinstance(room, Reservation)
        image = base if i % 2 == 0 else np.clip(base + step, 0, 1)
        if i % 8 == 7:
            base = rng.random((1, 16, 16), dtype=np.float32) * 0.6 + 0.2
        said = [[{"index": i % 3, "label": "x", "probability": 0.6789}]]
        told = process.budget.commit(room, what, key, Found(said, [image], "full", 1))
        if told.noticed:
            return told, i
    raise AssertionError("never noticed")


def test_a_copyist_is_noticed_once_and_stopped_where_the_operator_wants_that(process: Process) -> None:
    key = process.key(response="refuse", view="full")
    told, _ = stolen(process, key)
    assert told.noticed is not None and told.noticed.alarm
    noticed = process.keys.get(key.id)["noticed"]
    assert noticed["queries"] == told.noticed.queries and noticed["score"] >= 1
    with pytest.raises(RateLimited, match="stopped"):
        process.budget.reserve(asked(key, 999), key)
    process.keys.clear(key.id)
    assert spend(process, key, asked(key, 999)).noticed is None
    process.keys.revoke(key.id)
    with process.database.reading() as connection:
        assert connection.execute(sa.select(watches).where(watches.c.key == key.id)).all() == []


def seems(monkeypatch: pytest.MonkeyPatch, *alarms: bool) -> None:
    """From now on each commit's detector says the next of `alarms`."""
    said = iter(alarms)
    monkeypatch.setattr(budget_module, "watch", lambda *_: (Notice(1.25, next(said), 105), False))


def test_an_alarm_stops_what_is_under_way_beside_it_and_does_not_end_by_itself(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = process.key(response="refuse", budget=10)
    rooms = [process.budget.reserve(asked(key, i), key) for i in range(3)]
    seems(monkeypatch, True, False, False)
    for i, room in enumerate(rooms):
        assert isinstance(room, Reservation)
        if i == 0:
            process.budget.commit(room, asked(key, i), key, found(asked(key, i)))
            continue
        with pytest.raises(RateLimited, match="stopped") as refused:
            process.budget.commit(room, asked(key, i), key, found(asked(key, i)))
        assert refused.value.retry_after_s is None
    assert process.budget.remaining(key.id) == 9
    with pytest.raises(RateLimited, match="stopped"):
        process.budget.reserve(asked(key, 9), key)
    noticed = process.keys.get(key.id)["noticed"]
    assert (noticed["times"], noticed["over"]) == (1, False)


def test_an_alarm_that_is_over_is_remembered_until_it_is_cleared(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = process.key(response="log")
    seems(monkeypatch, True, True, False, False, True)
    kept = []
    for i in range(5):
        process.clock.now += 10
        spend(process, key, asked(key, i))
        kept.append(process.keys.get(key.id)["noticed"])
    assert [(each["times"], each["over"]) for each in kept] == [
        (1, False), (1, False), (1, True), (1, True), (2, False),
    ]  # fmt: skip
    assert len({each["at"] for each in kept}) == 1
    assert process.keys.clear(key.id)["noticed"] is None


def test_a_slowed_key_s_requests_stand_in_one_row(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    key = process.key(response="slow")
    seems(monkeypatch, True)
    spend(process, key, asked(key, 0))
    waits = []
    for i in range(20):
        room = process.budget.reserve(asked(key, i + 1), key)
        assert isinstance(room, Reservation)
        waits.append(room.wait_s)
    assert waits == [SLOW_S * (i + 1) for i in range(20)]
    with pytest.raises(RateLimited, match="turn") as refused:
        process.budget.reserve(asked(key, 99), key)
    assert refused.value.retry_after_s == 1.0
    process.clock.now += 1
    assert isinstance(process.budget.reserve(asked(key, 100), key), Reservation)
    process.clock.now -= 3600  # a clock that is set back
    room = process.budget.reserve(asked(key, 101, 102), key)
    assert isinstance(room, Reservation) and room.wait_s == 2 * SLOW_S
    with pytest.raises(RateLimited):
        process.budget.reserve(asked(key, 103), key, patience_s=1.0)


def test_no_wait_of_a_slowed_key_is_cut(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    key = process.key(response="slow")
    seems(monkeypatch, True)
    spend(process, key, asked(key, 0))
    sixteen, others = asked(key, *range(16)), asked(key, *range(16, 32))
    room = process.budget.reserve(sixteen, key)
    assert isinstance(room, Reservation) and room.wait_s == 8.0
    with pytest.raises(RateLimited, match=r"Try again in 6\.0 s\.$") as refused:  # it would wait for sixteen
        process.budget.reserve(others, key)
    process.clock.now += refused.value.retry_after_s or 0.0
    room = process.budget.reserve(others, key)
    assert isinstance(room, Reservation) and room.wait_s == SLOWEST_S
    with pytest.raises(TooLarge, match="may send 20 at once"):
        process.budget.reserve(asked(key, *range(21)), key)


def test_a_clock_that_is_set_back_blocks_no_key_with_a_rate(process: Process) -> None:
    key = process.key(rate=4)
    spend(process, key, asked(key, 1, 2, 3, 4))
    process.clock.now -= 0.5  # of another process
    with pytest.raises(RateLimited) as refused:
        process.budget.reserve(asked(key, 5), key)
    assert refused.value.retry_after_s == 60.0
    process.clock.now -= 3600
    assert isinstance(process.budget.reserve(asked(key, 5), key), Reservation)


def test_a_key_may_wait_for_its_first_top_up(process: Process) -> None:
    key = process.key(budget=0)
    with pytest.raises(BudgetSpent):
        process.budget.reserve(asked(key, 1), key)
    process.keys.top_up(key.id, 1)
    assert spend(process, key, asked(key, 1)).remaining == 0


def test_a_copyist_s_answers_are_rounded_harder_where_the_operator_wants_that(process: Process) -> None:
    key = process.key(response="round", view="full")
    told, _ = stolen(process, key)
    assert told.predictions[0][0]["probability"] == 0.7
    plain = process.key(response="log", view="full")
    told, _ = stolen(process, plain)
    assert told.predictions[0][0]["probability"] == 0.6789


# ── all at once ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def two(shared_url: str, tmp_path: Path) -> Iterator[list[Process]]:
    """Two processes, whose time passes ten times as quickly as ours."""
    begun = time.monotonic()

    def clock() -> float:
        return 1_800_000_000 + 10 * (time.monotonic() - begun)

    with ExitStack() as stack:
        both = [Process.at(shared_url, tmp_path, clock) for _ in range(2)]
        for one in both:
            stack.callback(one.database.close)
        yield both


@pytest.mark.parametrize("seed", range(2))
def test_never_more_than_the_budget_and_exactly_that_once_all_have_come_again(two: list[Process], seed: int) -> None:
    """Clients that lose replies, give up, and hang up; processes that die with a promise, or are late."""
    budget, clients = 60, 8
    key = two[0].key(budget=budget)

    def client(number: int) -> dict[tuple[str, int], Any]:
        rng, answered = random.Random(f"{seed}/{number}"), {}
        for request in range(200):
            images = [rng.randrange(10**9) for _ in range(rng.choice((1, 1, 2, 3, 4)))]
            what = asked(key, *images, again=f"{number}/{request}")
            while True:
                process = rng.choice(two)
                try:
                    room = process.budget.reserve(what, key)
                    if isinstance(room, Reservation):
                        match rng.randrange(8):
                            case 0:
                                continue  # its process has died
                            case 1:
                                process.budget.release(room)
                                continue
                            case 2:
                                process.budget.commit(room, what, key, found(what))
                                continue  # the reply is lost
                            case 3:
                                time.sleep(LEASE_S / 10)  # it was frozen
                        room = process.budget.commit(room, what, key, found(what))
                except BudgetSpent:
                    if len(what.digests) == 1:
                        return answered
                    break
                except RateLimited:
                    time.sleep(0.02)
                    continue
                if room is None:
                    time.sleep(0.02)
                    continue
                told = {(what.idempotency_key or "", i): said for i, said in enumerate(room.predictions)}
                assert answered.setdefault((what.idempotency_key or "", 0), told[what.idempotency_key or "", 0])
                answered.update(told)
                break
        return answered

    with ThreadPoolExecutor(clients) as pool:
        own = [each for records in pool.map(client, range(clients)) for each in records.items()]
    written = entries(two[0], key)
    assert len(own) == len(written) == budget
    assert two[1].budget.remaining(key.id) == 0
    assert {(row.idempotency_key, row.image): row.answer for row in written} == dict(own)
