"""The black box over a real engine: what is charged, what is told, and what becomes of those who leave."""

import asyncio
from contextlib import suppress
from hashlib import sha256
from typing import Any

import pytest
import sqlalchemy as sa
import torch.nn as nn
from structlog.testing import capture_logs

from rakinglight.errors import (
    BadParameter,
    BudgetSpent,
    DeadlineExceeded,
    EngineAway,
    Forbidden,
    NotAnImage,
    NotFound,
    RakinglightError,
    RateLimited,
    StorageAway,
    TooLarge,
)
from rakinglight.noticing import Notice
from service import black_box
from service.ask import Ask
from service.black_box import Told
from service.black_box import budget as budget_module
from service.black_box.budget import Reservation
from service.database.pages import Page
from service.database.schema import reservations
from service.keys import Caller, Keyring
from tests.networks import network_of
from tests.service.conftest import House
from tests.service.in_process import break_database
from tests.service.pictures_at_hand import noise, png
from tests.service.test_metrics import of, scraped

PICTURES = [png(noise(seed=i)) for i in range(3)]


async def caller(house: House, **said: Any) -> Caller:
    """Who shows a new key."""
    _, secret = house.storage.keys.make(f"bob-{len(house.storage.keys.list(Page())['keys'])}", **said)
    return await Keyring.of(house.core.settings, house.core.black_box.find).admit(f"Bearer {secret}")


async def classify(house: House, who: Caller, *images: Any, again: str | None = None, **said: Any) -> Told:
    ask = Ask(
        **({"model": "small", "operation": "classify", "images": images or PICTURES[:1], "request_id": "r"} | said)
    )
    with house.core.hold() as hold:
        return await house.core.black_box.classify(who, ask, hold, again)


def promised(house: House) -> int:
    with house.storage.database.reading() as connection:
        return int(connection.scalar(sa.select(sa.func.count()).select_from(reservations)) or 0)


async def nothing_promised(house: House) -> None:
    async with asyncio.timeout(5):
        while promised(house):
            await asyncio.sleep(0.01)


async def test_the_answer_is_the_model_s_cut_to_the_view(house: House) -> None:
    with_all = await house.core.answer(Ask(model="small", operation="classify", images=PICTURES, request_id="r"))
    best = [result["predictions"] for result in with_all.results]
    told = await classify(house, await caller(house, view="full", budget=5), *PICTURES)
    assert [[p["probability"] for p in image] for image in told.predictions] == [
        [p["probability"] for p in image] for image in best
    ]
    assert (told.remaining, told.charged) == (2, 3)
    told = await classify(house, await caller(house), *PICTURES)
    assert told.predictions == [[{"index": image[0]["index"], "label": image[0]["label"]}] for image in best]
    assert told.remaining is None
    told = await classify(house, await caller(house, view="top_k", top_k=2), *PICTURES)
    assert [len(image) for image in told.predictions] == [2, 2, 2]


async def test_client_key_ledger_and_metric_agree(house: House) -> None:
    who = await caller(house, budget=6)
    for i in range(3):
        for _ in range(2):
            await classify(house, who, *PICTURES[: i + 1], again=f"request-{i}")
    with pytest.raises(BudgetSpent):
        await classify(house, who, *PICTURES[:2])
    assert await house.core.black_box.remaining(who) == 0
    assert who.key is not None
    entries = house.storage.ledger.pages(Page(), key=who.key.id)["entries"]
    assert len(entries) == house.storage.keys.get(who.key.id)["spent"] == 6
    assert [entry["sha256"] for entry in entries[:3]] == [sha256(image).hexdigest() for image in PICTURES[::-1]]
    samples = await scraped(house)
    counts = {name: of(samples, "black_box_images_total", model="small", outcome=name) for name in OUTCOMES}
    assert counts == {"answered": 6, "repeated": 6, "budget_spent": 2, "rate_limited": 0}


OUTCOMES = ("answered", "repeated", "budget_spent", "rate_limited")


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        pytest.param({"images": [b"no image"]}, NotAnImage, id="no image"),
        pytest.param({"images": [PICTURES[0], b""]}, NotAnImage, id="one of two is none"),
        pytest.param({"images": PICTURES * 2}, TooLarge, id="too many images"),
        pytest.param({"images": []}, BadParameter, id="no images"),
        pytest.param({"model": "other"}, NotFound, id="no such model"),
        pytest.param({"again": "ключ"}, BadParameter, id="no Idempotency-Key"),
    ],
)
async def test_what_is_refused_costs_nothing(house: House, said: dict[str, Any], kind: type[RakinglightError]) -> None:
    who = await caller(house, budget=10)
    with pytest.raises(kind):
        await classify(house, who, **said)
    assert await house.core.black_box.remaining(who) == 10
    await nothing_promised(house)


async def test_a_failure_costs_nothing(house: House) -> None:
    who = await caller(house, budget=1)
    house.engine.refusal = EngineAway("It is down.")
    with pytest.raises(EngineAway):
        await classify(house, who, again="a")
    await nothing_promised(house)
    house.engine.refusal = None
    assert (await classify(house, who, again="a")).remaining == 0


async def test_who_hangs_up_early_pays_nothing_and_who_hangs_up_late_is_told_when_he_comes_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    who = await caller(house, budget=1)
    begun, budget = asyncio.Event(), house.storage.budget
    finish, commit, loop = house.core.finish, budget.commit, asyncio.get_running_loop()

    async def for_ever(work: Any) -> None:
        begun.set()
        await asyncio.Event().wait()

    def seen(*said: Any) -> Told:
        loop.call_soon_threadsafe(begun.set)
        return commit(*said)

    async def hung_up() -> None:
        begun.clear()
        asking = asyncio.create_task(classify(house, who, again="a"))
        await begun.wait()
        asking.cancel()
        with suppress(asyncio.CancelledError):
            await asking
        await nothing_promised(house)

    monkeypatch.setattr(house.core, "finish", for_ever)
    await hung_up()
    assert await house.core.black_box.remaining(who) == 1
    monkeypatch.setattr(house.core, "finish", finish)
    monkeypatch.setattr(budget, "commit", seen)
    await hung_up()
    await asyncio.to_thread(lambda: None)
    told = await classify(house, who, again="a")
    assert (told.remaining, len(told.predictions)) == (0, 1)
    assert of(await scraped(house), "black_box_images_total", outcome="answered") == 1


async def test_the_same_request_at_once_is_answered_once_and_told_to_all(house: House) -> None:
    who = await caller(house, budget=2)
    told = await asyncio.gather(*(classify(house, who, *PICTURES[:2], again="a") for _ in range(5)))
    assert sorted(each.charged for each in told) == [0, 0, 0, 0, 2]
    assert all(each.predictions == told[0].predictions for each in told)


async def test_nobody_waits_for_ever_for_the_same_request(house: House) -> None:
    who = await caller(house, budget=5)
    asked = await house.core.black_box._asked(who, Ask(model="small", operation="classify", images=PICTURES), "a")
    assert isinstance(house.storage.budget.reserve(asked, who.key), Reservation)
    with pytest.raises(DeadlineExceeded):
        await classify(house, who, *PICTURES, again="a", deadline_s=0.01)


async def test_what_takes_long_is_renewed(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(black_box, "RENEW_S", 0.01)
    renewed, budget = asyncio.Event(), house.storage.budget
    finish, renew, loop = house.core.finish, budget.renew, asyncio.get_running_loop()
    who, times = await caller(house, budget=1), []

    def seen(promised: list[str]) -> None:
        renew(promised)
        times.append(promised)
        if len(times) == 3:
            loop.call_soon_threadsafe(renewed.set)

    async def later(work: Any) -> Any:
        await renewed.wait()
        return await finish(work)

    monkeypatch.setattr(budget, "renew", seen)
    monkeypatch.setattr(house.core, "finish", later)
    assert (await classify(house, who)).charged == 1
    assert len({*map(tuple, times[:3])}) == 1
    async with asyncio.timeout(5):
        while house.core.black_box._renewing is not None:
            await asyncio.sleep(0.01)


async def test_without_a_database_nothing_is_told(house: House) -> None:
    who = await caller(house, budget=1)
    break_database(house.home)
    with pytest.raises(StorageAway):
        await classify(house, who)
    assert await house.core.black_box.remaining(who) is None
    assert not house.engine.asked


async def test_keys_of_no_database_are_in_the_ledger_and_their_retries_are_charged_once(house: House) -> None:
    for who in (Caller("carol", frozenset({"query"}), view="label"), Caller("", frozenset({"query"}), view="rounded")):
        first = await classify(house, who, again="a")
        assert (first.remaining, first.charged) == (None, 1)
        assert (await classify(house, who, again="a")).charged == 0
    assert len(house.storage.ledger.pages(Page(), key="carol")["entries"]) == 1


async def test_an_alarm_is_counted_and_logged_once(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    new = iter([True, False])
    monkeypatch.setattr(budget_module, "watch", lambda *_: (Notice(1.25, True, 105), next(new)))
    who = await caller(house, response="round", view="full")
    with capture_logs() as logs:
        for _ in range(2):
            await classify(house, who)
    (line,) = [line for line in logs if line["event"] == "noticed"]
    assert who.key is not None
    assert (line["key"], line["queries"], line["score"], line["response"]) == (who.key.id, 105, 1.25, "round")
    assert of(await scraped(house), "noticed_total", response="round") == 1
    assert house.storage.keys.get(who.key.id)["noticed"]["queries"] == 105


async def test_a_noticed_key_may_be_slowed_down(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget_module, "SLOW_S", 0.2)
    monkeypatch.setattr(budget_module, "watch", lambda *_: (Notice(1.25, True, 105), False))
    who = await caller(house, response="slow")
    loop = asyncio.get_running_loop()
    await classify(house, who)
    begun = loop.time()
    await asyncio.gather(*(classify(house, who, PICTURES[i]) for i in range(3)))
    assert 0.6 <= loop.time() - begun <= 5.6
    with pytest.raises(RateLimited, match="turn"):
        await classify(house, who, *PICTURES, deadline_s=0.3)
    plain = await caller(house, response="log")
    begun = loop.time()
    await asyncio.gather(*(classify(house, plain, *PICTURES) for _ in range(3)))
    assert loop.time() - begun < 1.8


MANY = network_of("many", nn.Sequential(nn.Flatten(), nn.Linear(3 * 6 * 6, 1001)), (3, 6, 6))


@pytest.mark.parametrize("networks", [[MANY]], ids=["many"])
async def test_of_a_model_with_more_classes_than_are_named_the_best_are_shown(house: House) -> None:
    for view in ("full", "rounded"):
        told = await classify(house, await caller(house, view=view), model="many")
        assert len(told.predictions[0]) == 1000


async def test_what_is_over_is_swept_without_a_process_that_does_jobs(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    swept = asyncio.Event()
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(house.storage.artifacts, "sweep", lambda now: loop.call_soon_threadsafe(swept.set))
    keeping = asyncio.create_task(house.core.black_box.keep())
    await asyncio.wait_for(swept.wait(), 5)
    keeping.cancel()


# ── attacks, and what an operator allows ────────────────────────────────────────────────────────────────────────────

ATTACK: dict[str, Any] = {
    "model": "small",
    "operation": "attack",
    "images": PICTURES[:2],
    "request_id": "r",
    "caller": "carol",
}


def entries(house: House) -> list[tuple[Any, ...]]:
    names = ("caller", "operation", "method", "purpose", "image", "charged")
    return [tuple(each[name] for name in names) for each in house.storage.ledger.export()]


async def test_every_attack_is_written_down_as_it_is_taken_on(house: House) -> None:
    await house.core.answer(Ask(**ATTACK, purpose="to see", method="fgsm"))
    assert entries(house) == [("carol", "attack", "fgsm", "to see", i, False) for i in range(2)]
    with house.core.hold() as hold:
        await house.core.submit(Ask(**ATTACK), hold, idempotency_key="a")
        await house.core.submit(Ask(**ATTACK), hold, idempotency_key="a")
    assert len(entries(house)) == 4
    await house.core.answer(Ask(**{**ATTACK, "operation": "saliency"}))
    with pytest.raises(NotAnImage):
        await house.core.answer(Ask(**{**ATTACK, "images": [b"none"]}))
    assert len(entries(house)) == 4


async def test_an_attack_is_logged_where_the_ledger_cannot_be_written(house: House) -> None:
    break_database(house.home)
    with capture_logs() as logs:
        await house.core.answer(Ask(**ATTACK, purpose="to see"))
    (line,) = [line for line in logs if line["event"] == "attack_not_in_ledger"]
    assert (line["caller"], line["operation"], line["purpose"], len(line["digests"])) == (
        "carol",
        "attack",
        "to see",
        2,
    )
    allow(house, require_purpose=True)
    with pytest.raises(StorageAway):
        await house.core.answer(Ask(**ATTACK, purpose="to see"))


def allow(house: House, **changes: Any) -> None:
    house.core.settings = house.core.settings.model_copy(update=changes)


@pytest.mark.parametrize("purpose", [None, "", "  "])
async def test_a_purpose_may_be_required(house: House, purpose: str | None) -> None:
    allow(house, require_purpose=True)
    with pytest.raises(BadParameter, match="needs a purpose"):
        await house.core.answer(Ask(**ATTACK, purpose=purpose))
    with house.core.hold() as hold, pytest.raises(BadParameter, match="needs a purpose"):
        await house.core.submit(Ask(**ATTACK, purpose=purpose), hold)
    await house.core.answer(Ask(**{**ATTACK, "operation": "saliency"}))


async def test_of_a_model_fewer_operations_may_be_allowed(house: House) -> None:
    who = await caller(house)
    allow(house, allow={"small": frozenset({"classify"})})
    with pytest.raises(Forbidden, match="attack is not allowed on small here; allowed is classify"):
        await house.core.answer(Ask(**ATTACK))
    with house.core.hold() as hold, pytest.raises(Forbidden):
        await house.core.submit(Ask(**ATTACK), hold)
    assert (await classify(house, who)).charged == 1
    allow(house, allow={"small": frozenset({"saliency"})})
    with pytest.raises(Forbidden, match="classify is not allowed"):
        await classify(house, who)


async def test_a_caller_s_key_makes_no_job_another(house: House) -> None:
    with house.core.hold() as hold:
        first = await house.core.submit(Ask(**ATTACK, key="key_1"), hold, idempotency_key="a")
        assert (await house.core.submit(Ask(**ATTACK, key="key_2"), hold, idempotency_key="a"))["id"] == first["id"]
