"""The one call behind both doors: what it refuses before any work, and what it makes of the answers."""

import asyncio
import json
import subprocess
import sys
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from rakinglight.catalogue import OPERATIONS
from rakinglight.errors import (
    BadParameter,
    EngineAway,
    NotAnImage,
    NotFound,
    Overloaded,
    RakinglightError,
    RunKillsWorker,
    TooLarge,
)
from rakinglight.pictures import LONGEST, from_png
from rakinglight.reply import to_json
from service.ask import Ask
from service.core import Progress, Reply
from service.settings import Settings
from tests.service.conftest import House
from tests.service.pictures_at_hand import bomb, noise, png

PICTURE = png(noise())
PGD: dict[str, Any] = {"operation": "attack", "method": "pgd", "parameters": {"steps": 3}}
#: As many steps as there may be: hours of work, were nobody to stop it. It costs nothing to ask.
LONG: dict[str, Any] = {"operation": "attack", "method": "pgd", "parameters": {"steps": 1000}}


@dataclass
class AtHand:
    """A Decoder that has the pixels already."""

    pixels: np.ndarray[Any, Any]

    async def decode(self, raw: bytes) -> np.ndarray[Any, Any]:
        return self.pixels


def ask(**changes: Any) -> Ask:
    return Ask(**({"model": "small", "operation": "classify", "images": [PICTURE], "request_id": "r"} | changes))


async def test_one_result_an_image_in_order(house: House) -> None:
    together = await house.core.answer(ask(images=[png(noise(seed=i)) for i in range(3)]))
    alone = [await house.core.answer(ask(images=[png(noise(seed=i))])) for i in range(3)]
    assert list(together.results) == [reply.results[0] for reply in alone]
    assert together.cost == {"forward_rows": 3, "gradient_rows": 0}
    assert together.model["name"] == "small"
    assert set(together.answered_by) == {"forward", "gradient"}


async def test_the_reply_repeats_the_call(house: House) -> None:
    first = await house.core.answer(ask(**PGD))
    again = await house.core.answer(ask(operation="attack", method=first.method, parameters=first.parameters))
    np.testing.assert_array_equal(first.results[0]["exact"]["image"], again.results[0]["exact"]["image"])
    assert again.parameters == first.parameters
    assert {"epsilon", "step_size", "norm", "target", "label", "random_start"} <= set(first.parameters)


async def test_an_attack_says_what_it_spent(house: House) -> None:
    reply = await house.core.answer(ask(**PGD | {"images": [PICTURE] * 2}))
    assert reply.results[0]["queries"] == 6
    assert reply.cost == {"forward_rows": 6, "gradient_rows": 6}


async def test_include_narrows_the_result(house: House) -> None:
    reply = await house.core.answer(ask(operation="attack", include=["adversarial"]))
    assert "adversarial" in reply.results[0]
    assert not {"exact", "perturbation"} & set(reply.results[0])


@pytest.mark.parametrize("include", [None, ["exact"]], ids=["all", "exact alone"])
async def test_the_exact_tensor_is_left_out_where_it_would_not_fit(house: House, include: list[str] | None) -> None:
    large = ask(operation="attack", images=[png(noise(90, 100))] * 2, include=include)
    first = (await house.core.answer(large)).results[0]
    assert {"success", "after", "distance"} <= set(first["exact"])
    assert ("image" in first["exact"], "note" in first) == ((True, False) if include else (False, True))
    assert ("adversarial" in first) == (include is None)


async def test_an_attack_at_the_promised_size_is_answered_as_json(house: House, settings: Settings) -> None:
    promised = Settings(home=settings.home)
    house.core.settings = promised
    house.core.decoder = AtHand(noise(2000, 2000))
    reply = await house.core.answer(ask(operation="attack", images=[b"at hand"]))
    assert "image" not in reply.results[0]["exact"]
    picture = from_png(reply.results[0]["adversarial"])
    assert picture.size == (2000, 2000)
    assert len(json.dumps(to_json(reply.members()))) < promised.reply_bytes
    with pytest.raises(TooLarge, match="Narrow it with"):
        await house.core.answer(ask(operation="attack", images=[b"at hand"], include=["adversarial", "exact"]))
    assert len(house.engine.asked) == 1


@pytest.mark.parametrize(("height", "width"), [(1, 9000), (9000, 1), (1, 1)])
async def test_images_of_any_shape_are_attacked(house: House, height: int, width: int) -> None:
    reply = await house.core.answer(ask(operation="attack", images=[png(noise(height, width))]))
    assert from_png(reply.results[0]["adversarial"]).size == (width, height)
    assert max(from_png(reply.results[0]["perturbation"]["picture"]).size) <= LONGEST


async def test_an_exact_tensor_is_an_image(house: House) -> None:
    x = np.random.default_rng(0).random((3, 8, 8), dtype=np.float32)
    reply = await house.core.answer(ask(images=[x]))
    assert reply.results[0]["geometry"]["original"] == [8, 8]


@pytest.mark.parametrize(("height", "width"), [(1, 9000), (9000, 1), (1, 1)])
async def test_images_of_any_shape_are_resized(house: House, height: int, width: int) -> None:
    reply = await house.core.answer(ask(images=[png(noise(height, width))]))
    assert reply.results[0]["geometry"]["original"] == [height, width]


async def test_each_image_may_have_its_own_target(house: House) -> None:
    reply = await house.core.answer(
        ask(operation="saliency", images=[PICTURE] * 3, parameters={"target": [0, "class 1", {"rank": -1}]})
    )
    assert [r["target"]["index"] for r in reply.results[:2]] == [0, 1]


def wrong(value: float) -> np.ndarray[Any, Any]:
    x = np.full((3, 8, 8), 0.5, np.float32)
    x[1, 2, 3] = value
    return x


FAULTS = [
    pytest.param({"model": "smal"}, NotFound, "'small'", id="unknown model"),
    pytest.param({"version": "2.0"}, NotFound, "'1.0'", id="unknown version"),
    pytest.param({"operation": "clasify"}, NotFound, "'classify'", id="unknown operation"),
    pytest.param({"operation": "attack", "method": "pdg"}, BadParameter, "'pgd'", id="unknown method"),
    pytest.param({"method": "fast"}, BadParameter, "no methods", id="a method where there is none"),
    pytest.param({"parameters": {"topk": 3}}, BadParameter, "'top_k'", id="unknown parameter"),
    pytest.param({"parameters": {"layers": ["9"]}}, NotFound, "'0'", id="unknown layer"),
    pytest.param({"operation": "saliency", "include": ["overly"]}, BadParameter, "'overlay'", id="unknown include"),
    pytest.param({"operation": "attack", "parameters": {"epsilon": -1}}, BadParameter, "is -1", id="epsilon -1"),
    pytest.param({"operation": "attack", "parameters": {"target": 5}}, BadParameter, "0 to 4", id="no such class"),
    pytest.param(
        {"operation": "saliency", "parameters": {"target": [0, 1]}}, BadParameter, "2 values", id="too many targets"
    ),
    pytest.param({"images": []}, BadParameter, "empty", id="no images"),
    pytest.param({"images": [PICTURE] * 4}, TooLarge, "limit of 3", id="too many images"),
    pytest.param({"seed": -1}, BadParameter, "seed is -1", id="a negative seed"),
    pytest.param({"deadline_s": 601.0}, BadParameter, "600", id="too long a deadline"),
    pytest.param({"deadline_s": 0.0}, BadParameter, "above 0", id="no time at all"),
    pytest.param({"deadline_s": float("nan")}, BadParameter, "nan", id="a deadline that is no number"),
    pytest.param({"max_rows": 20_001}, BadParameter, "20000", id="too many rows"),
    pytest.param({"max_rows": 0}, BadParameter, "from 1", id="no rows at all"),
    pytest.param({"images": [b"text"]}, NotAnImage, "Image 0", id="no image"),
    pytest.param({"images": [PICTURE, PICTURE[:-99]]}, NotAnImage, "Image 1", id="a second image cut short"),
    pytest.param({"images": [b""]}, NotAnImage, "zero bytes", id="zero bytes"),
    pytest.param({"images": [bomb()]}, TooLarge, "limit of 100000", id="bomb"),
    pytest.param({"images": [wrong(np.nan)]}, BadParameter, "NaN", id="NaN"),
    pytest.param({"images": [wrong(np.inf)]}, BadParameter, "infinite", id="infinity"),
    pytest.param({"images": [wrong(1.5)]}, BadParameter, r"\[0, 1\]", id="out of range"),
    pytest.param({"images": [np.zeros((1, 8, 8), np.float32)]}, BadParameter, r"\[3, height", id="wrong shape"),
    pytest.param(
        {"operation": "attack", "images": [png(noise(101, 100))]}, TooLarge, "looks at 8 x 8", id="too large to attack"
    ),
    pytest.param(
        {"operation": "attack", "images": [png(noise(90, 100))] * 3, "include": ["adversarial", "exact"]},
        TooLarge, 'Narrow it with "include"', id="a reply too large as it was asked for",
    ),
    pytest.param(
        {"operation": "attack", "images": [png(noise(100, 100))] * 3, "include": ["exact", "perturbation"]},
        TooLarge, "Send fewer or smaller", id="a reply too large that its picture would not make small",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "error", "words"), FAULTS)
async def test_a_fault_is_found_before_any_work(
    house: House, changes: dict[str, Any], error: type[RakinglightError], words: str
) -> None:
    with pytest.raises(error, match=words):
        await house.core.answer(ask(**changes))
    assert house.engine.asked == []
    assert (house.core.under_way, house.core.bytes_held) == (0, 0)
    assert len((await house.core.answer(ask())).results) == 1


async def test_one_failing_run_ends_the_others(house: House) -> None:
    y = (await house.core.answer(ask())).results[0]["prediction"]["index"]
    other = next(c for c in range(5) if c != y)
    many = ask(**LONG | {"images": [PICTURE] * 2, "parameters": {"steps": 1000, "target": [other, y]}})
    with pytest.raises(BadParameter, match="another class"):
        await house.core.answer(many)
    assert house.engine.cancelled == ["r"]


@pytest.mark.parametrize(
    "refusal", [Overloaded("full", retry_after_s=2), EngineAway("away"), RunKillsWorker("deadly")], ids=lambda e: e.code
)
async def test_what_the_engine_refuses_is_told(house: House, refusal: RakinglightError) -> None:
    house.engine.refusal = refusal
    with pytest.raises(type(refusal)):
        await house.core.answer(ask(images=[PICTURE] * 2))
    assert house.core.under_way == 0


async def test_what_is_reached_by_the_row_limit_is_the_answer(house: House) -> None:
    reply = await house.core.answer(ask(**LONG | {"max_rows": 10}))
    assert reply.results[0]["partial"] is True
    assert reply.cost["forward_rows"] + reply.cost["gradient_rows"] <= 10


async def test_progress_comes_before_the_reply(house: House) -> None:
    news = [
        one async for one in house.core.stream(ask(**LONG | {"images": [PICTURE] * 2, "parameters": {"steps": 300}}))
    ]
    assert isinstance(news[-1], Reply)
    steps = [[one.step for one in news[:-1] if isinstance(one, Progress) and one.image == i] for i in range(2)]
    assert all(each == sorted(set(each)) and each for each in steps)


async def test_who_leaves_a_stream_ends_the_work(house: House) -> None:
    async with aclosing(house.core.stream(ask(**LONG))) as news:
        assert isinstance(await anext(news), Progress)
    assert house.engine.cancelled == ["r"]
    assert house.core.under_way == 0


async def test_who_cancels_a_call_ends_the_work(house: House) -> None:
    task = asyncio.create_task(house.core.answer(ask(**LONG)))
    await house.engine.begun.wait()
    task.cancel()
    await asyncio.wait([task])
    assert house.engine.cancelled == ["r"]
    assert house.core.under_way == 0


async def test_draining_refuses_what_is_new_and_waits_for_the_rest(house: House) -> None:
    news = house.core.stream(ask(**LONG | {"parameters": {"steps": 200}}))
    assert isinstance(await anext(news), Progress)
    house.core.drain()
    assert not house.core.ready
    with pytest.raises(EngineAway, match="going down"):
        await house.core.answer(ask())
    drained = asyncio.create_task(house.core.drained())
    await asyncio.sleep(0)
    assert not drained.done()
    assert isinstance([one async for one in news][-1], Reply)
    await asyncio.wait_for(drained, 1)


async def test_bytes_in_flight_have_an_end(house: House) -> None:
    limit = house.core.settings.bytes_in_flight
    with house.core.hold() as first, house.core.hold() as second:
        first.add(limit + 1)  # who is alone is only bound by the limits of a request
        with pytest.raises(Overloaded, match=str(limit)):
            second.add(1)
    assert house.core.bytes_held == 0


async def test_a_model_tells_all_that_is_needed_to_ask(house: House) -> None:
    told = house.core.model("small")
    assert told["input"]["shape"] == [3, 8, 8]
    assert told["labels"] == [f"class {c}" for c in range(5)]
    assert told["layers"] == [{"name": "0", "shape": [4, 6, 6]}, {"name": "3", "shape": [5]}]
    assert told["limits"]["images"] == 3
    assert {"many_images", "job_deadline_s", "dataset_bytes", "dataset_images", "inline_bytes"} <= set(told["limits"])
    methods = {o["name"]: [m["name"] for m in o["methods"]] for o in told["operations"]}
    assert methods == {name: list(operation.by_name) for name, operation in OPERATIONS.items()}
    (pgd,) = (m for o in told["operations"] if o["name"] == "attack" for m in o["methods"] if m["name"] == "pgd")
    assert pgd["parameters"]["properties"]["steps"]["maximum"] == 1000


def test_the_gateway_does_not_load_torch() -> None:
    program = (
        "import sys\n"
        "import service.rest, service.grpc_door, service.decode, service.logs, service.serve\n"
        "sys.exit('torch' in sys.modules or 'onnxruntime' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
