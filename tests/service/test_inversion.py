"""Pictures that are made, by both doors: of no image, with pictures among the parameters, and seen on the way."""

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import grpc
import httpx2
import numpy as np
import pytest
from PIL import Image

from protos.gen.rakinglight.v1 import rakinglight_pb2 as pb
from protos.gen.rakinglight.v1.rakinglight_pb2_grpc import RakingLightStub
from rakinglight import catalogue, eight_bit, images, picture_parameters, plan, reply
from rakinglight.picture_parameters import MOST
from service import grpc_door
from service.keys import Caller, Keyring
from tests.service.conftest import House
from tests.service.grpc_at_hand import array, refusal
from tests.service.pictures_at_hand import base64_of, bomb, noise, png, saved, tensor

FILE = png(noise(8, 8))
#: A seed of noise that the model takes for another class.
ELSEWHERE = 2
START = np.random.default_rng(3).random((3, 8, 8), dtype=np.float32)
FOOLING = {"target": 1, "encoding": "direct", "queries": 30, "noise_images": 2}
SEARCH = {"queries": 20, "initial_rows": 5}


async def ask(house: House, operation: str = "inversion", *, accept: str = "*/*", **said: Any) -> httpx2.Response:
    return await house.client.post(f"/api/v1/models/small/{operation}", json=said, headers={"Accept": accept})


async def searched(house: House, start: Any) -> httpx2.Response:
    """An attack that begins at the picture `start`."""
    parameters = {**SEARCH, "start": start}
    return await ask(house, "attack", images=[base64_of(FILE)], method="hop_skip_jump", parameters=parameters)


def unsigned(answer: httpx2.Response) -> dict[str, Any]:
    """The one result, without the picture that carries its request's id."""
    assert answer.status_code == 200, answer.text
    (found,) = answer.json()["results"]
    return {name: value for name, value in found.items() if name != "adversarial"}


@pytest.fixture
async def stub(house: House) -> AsyncIterator[Any]:
    house.core.settings = house.core.settings.model_copy(update={"grpc_port": 0})
    async with (
        grpc_door.server(house.core, Keyring()) as door,
        grpc.aio.insecure_channel(f"127.0.0.1:{door.port}") as channel,
    ):
        yield RakingLightStub(channel)  # type: ignore[no-untyped-call]


# ── of no image ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_of_no_image_there_is_one_answer_without_prediction_and_geometry(house: House, stub: Any) -> None:
    answer = await ask(house, method="fooling", parameters=FOOLING)
    assert answer.status_code == 200, answer.text
    (found,) = answer.json()["results"]
    assert found.keys().isdisjoint({"prediction", "geometry"})
    assert base64.b64decode(found["picture"]).startswith(b"\x89PNG")

    parameters = pb.InversionParameters(fooling=pb.FoolingParameters(queries=30, noise_images=2))
    parameters.fooling.encoding = pb.ENCODING_DIRECT
    parameters.fooling.target.index = 1
    message = await stub.Inversion(pb.InversionRequest(model="small", parameters=parameters))
    assert not message.results[0].HasField("prediction")
    assert message.results[0].picture == base64.b64decode(found["picture"])
    np.testing.assert_array_equal(array(message.results[0].image), reply.from_json(found)["image"])


async def test_with_an_image_the_same_method_says_what_the_model_sees_in_it(house: House) -> None:
    answer = await ask(house, method="fooling", parameters=FOOLING, images=[base64_of(FILE)])
    (found,) = answer.json()["results"]
    assert found["geometry"]["original"] == [8, 8]
    assert found["prediction"]["label"].startswith("class ")


@pytest.mark.parametrize("said", [{}, {"images": []}, {"method": "invert"}])
async def test_a_method_that_needs_an_image_says_which_do_without(house: House, said: dict[str, Any]) -> None:
    answer = await ask(house, **said)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/images"
    assert "images is empty; inversion by invert needs one at least, or a dataset." in answer.json()["detail"]
    assert "fooling" in answer.json()["detail"]
    assert not house.engine.asked


async def test_no_image_is_no_answer_to_an_operation_that_is_about_one(house: House, stub: Any) -> None:
    for operation in ("classify", "saliency", "attack", "robustness", "universal"):
        answer = await ask(house, operation, images=[])
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/images"), operation
    code, details = await refusal(stub.Classify(pb.ClassifyRequest(model="small")))
    assert (code, details["ErrorInfo"].reason) == (grpc.StatusCode.INVALID_ARGUMENT, "BAD_PARAMETER")


async def test_a_job_of_no_image_is_of_one(house: House) -> None:
    body: dict[str, Any] = {"method": "fooling", "parameters": FOOLING}
    headers = {"Prefer": "respond-async"}
    job = (await house.client.post("/api/v1/models/small/inversion", json=body, headers=headers)).json()
    assert job["images"] == 1
    await house.do(job["id"])
    done = (await house.client.get(f"/api/v1/jobs/{job['id']}")).json()
    assert done["state"] == "succeeded", done
    assert done["result"]["results"][0]["picture"] == (await ask(house, **body)).json()["results"][0]["picture"]


def test_fooling_needs_the_scope_attack() -> None:
    operation = catalogue.operation("inversion")
    assert (operation.scope_of("fooling"), operation.scope_of("invert"), operation.scope_of(None)) == (
        "attack", "explain", "explain",
    )  # fmt: skip
    assert operation.scopes == {"attack", "explain"}
    Caller("a", frozenset({"attack"})).require_any(operation.scopes)


# ── pictures among the parameters ───────────────────────────────────────────────────────────────────────────────────


async def test_a_picture_may_come_as_a_file_a_tensor_a_form_s_part_and_a_message(house: House, stub: Any) -> None:
    pixels = noise(8, 8, seed=ELSEWHERE)
    exact, raw = eight_bit.to_float(pixels), png(pixels)
    by_file, by_tensor = await searched(house, base64_of(raw)), await searched(house, tensor(exact))
    assert by_file.status_code == 200, by_file.text
    found = unsigned(by_file)
    assert found["trace"]["queries"]
    assert unsigned(by_tensor) == found
    assert by_file.json()["parameters"]["start"] == base64_of(raw)  # posted back, it repeats the call
    assert by_tensor.json()["parameters"]["start"] == tensor(exact)

    fields = {"method": "hop_skip_jump", "queries": "20", "initial_rows": "5"}
    files = {"image": ("a.png", FILE), "start": ("b.png", raw)}
    by_form = await house.client.post("/api/v1/models/small/attack", data=fields, files=files)
    assert unsigned(by_form) == found

    request = pb.AttackRequest(model="small", images=[pb.Image(file=FILE)])
    method = request.parameters.hop_skip_jump
    method.queries, method.initial_rows, method.start.file = 20, 5, raw
    message = await stub.Attack(request)
    assert message.results[0].adversarial
    assert list(message.results[0].trace.distance) == found["trace"]["distance"]
    assert message.parameters.hop_skip_jump.start.file == raw


async def test_a_grey_picture_and_a_coloured_one_are_brought_to_the_model_s_channels(house: House) -> None:
    grey = noise(8, 8, 1)
    answer = await searched(house, base64_of(png(grey)))
    assert answer.status_code == 200, answer.text
    coloured = np.repeat(grey, 3, axis=2)
    assert unsigned(await searched(house, base64_of(png(coloured)))) == unsigned(answer)
    assert catalogue.operation("attack").pictures == {"start": False}


def too_large() -> str:
    return base64_of(saved(Image.new("RGB", (400, 300)), "PNG"))


@pytest.mark.parametrize(
    ("start", "status", "why"),
    [
        ("", 422, "start is '': it is the base64 of"),
        ("pert_1", 422, "The picture is not base64"),
        (base64_of(b"GIF89a nothing of the kind"), 415, "The picture at /parameters/start"),
        (base64_of(b""), 422, "start is ''"),
        (base64_of(bomb()), 413, "the limit of 100000 pixels"),
        (too_large(), 413, "400 x 300"),
        (3, 422, "start is 3: it is the base64 of"),
        ([base64_of(FILE)], 422, "it is the base64 of"),
        ({"dtype": "float32"}, 422, "an exact tensor"),
        ({"dtype": "float32", "shape": [1], "data": "AAAAAA==", "more": 1}, 422, "an exact tensor"),
        (tensor(np.full((3, 8, 8), np.nan, np.float32)), 422, "NaN"),
        (tensor(np.full((3, 8, 8), 2, np.float32)), 422, "outside of [0, 1]"),
        (tensor(np.zeros((2, 8, 8), np.float32)), 422, "no picture"),
        (tensor(np.zeros((8, 8, 3), np.uint8)), 422, "use float32, or send a PNG"),
        (tensor(np.zeros((8, 8), np.float32)), 422, "no picture"),
        (tensor(START[:, :5]), 422, "start is 3x5x8"),
        (base64_of(png(noise(9, 8))), 422, "start is 3x9x8"),
    ],
)
async def test_what_is_no_picture_is_refused_and_says_why(house: House, start: Any, status: int, why: str) -> None:
    answer = await searched(house, start)
    assert answer.status_code == status, answer.text
    assert why in answer.json()["detail"]
    assert answer.json()["errors"][0]["pointer"] == "/parameters/start"


async def test_a_picture_under_a_wrong_name_and_one_too_many_are_refused(house: House) -> None:
    def form(*files: tuple[str, bytes]) -> Any:
        parts = [("image", ("a.png", FILE, "image/png"))] + [(name, (f"{name}.png", raw)) for name, raw in files]
        return house.client.post("/api/v1/models/small/attack", data={"method": "boundary"}, files=parts)

    wrong = await form(("style", FILE))
    assert (wrong.status_code, wrong.json()["code"]) == (400, "UNREADABLE")
    twice = await form(("start", FILE), ("start", FILE))
    assert (twice.status_code, twice.json()["errors"][0]["pointer"]) == (422, "/parameters/start")
    other = await ask(house, "attack", images=[base64_of(FILE)], method="pgd", parameters={"start": base64_of(FILE)})
    assert (other.status_code, "hop_skip_jump" in other.json()["detail"]) == (422, True)


async def test_pictures_of_more_bytes_than_a_reply_repeats_are_refused_before_any_is_opened(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picture_parameters, "SENT_BYTES", 100)
    answer = await searched(house, base64_of(FILE))
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (413, "/parameters/start")
    assert "the limit is 100" in answer.json()["detail"]
    monkeypatch.setattr(picture_parameters, "SENT_BYTES", 2**20)
    monkeypatch.setattr(picture_parameters, "DECODED_BYTES", 100)
    answer = await searched(house, base64_of(FILE))
    assert (answer.status_code, "192 bytes decoded" in answer.json()["detail"]) == (413, True)
    assert not house.engine.asked


# ── on the way ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_who_looks_on_sees_the_picture_as_it_is_made(
    house: House, stub: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "PICTURE_S", 0.0)
    body: dict[str, Any] = {"images": [base64_of(FILE)], "method": "invert", "parameters": {"layer": "0", "steps": 20}}
    events = (await ask(house, accept="text/event-stream", **body)).text.split("\n\n")
    told = [json.loads(event.partition("data: ")[2]) for event in events if "event: progress" in event]
    assert any(base64.b64decode(one["picture"]).startswith(b"\x89PNG") for one in told if "picture" in one)
    assert "event: result" in events[-2]

    unseen = (await ask(house, accept="text/event-stream", **body, include=["image"])).text
    assert '"picture"' not in unseen

    request = pb.InversionRequest(model="small", images=[pb.Image(file=FILE)])
    request.parameters.invert.layer, request.parameters.invert.steps = "0", 20
    news = [event async for event in stub.InversionStream(request)]
    assert any(event.progress.picture.startswith(b"\x89PNG") for event in news[:-1])
    assert array(news[-1].result.results[0].objective).shape == (20,)


# ── what is answered ────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_picture_alone_is_the_very_bytes_of_the_reply(house: House) -> None:
    body: dict[str, Any] = {"images": [base64_of(FILE)], "parameters": {"layer": "0", "steps": 2}}
    whole = (await ask(house, **body)).json()["results"][0]
    alone = await ask(house, accept="image/png", **body)
    assert alone.headers["content-type"] == "image/png"
    assert alone.content == base64.b64decode(whole["picture"])
    assert (await ask(house, accept="image/png", **body, include=["image"])).status_code == 406
    pixels = images.decode(alone.content)
    exact = reply.from_json(whole)["image"]
    assert np.abs(pixels.transpose(2, 0, 1) / 255 - exact).max() <= 0.5 / 255 + 1e-6
    assert (await ask(house, **body, include=[])).json()["results"][0].keys().isdisjoint({"picture", "image"})


async def test_the_others_carry_what_include_names(house: House) -> None:
    body: dict[str, Any] = {
        "images": [base64_of(FILE)],
        "parameters": {"layer": "0", "steps": 2, "repeats": 3, "beginning": "noise"},
    }
    found = unsigned(await ask(house, **body, include=["picture"]))
    assert len(found["others"]) == 2
    for one in (found, *found["others"]):
        assert base64.b64decode(one["picture"]).startswith(b"\x89PNG")
        assert "image" not in one
        assert one["reached"]["label"].startswith("class ")


async def test_a_long_view_is_always_a_job_and_a_short_one_on_request(house: House) -> None:
    operation = catalogue.operation("units")
    long = {method.name for method in operation.methods if method.long}
    assert long <= {"dissection", "embedding"}
    assert not operation.is_long("filters")
    answer = await ask(house, "units", method="filters", parameters={"layer": "0"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["summary"]["view"] == "filters"
    assert catalogue.operation("universal").is_long(None)
    assert catalogue.operation("substitute").is_long("papernot")


async def test_masks_come_as_files_of_a_form_and_by_message_and_the_job_answers(house: House, stub: Any) -> None:
    masks = [png(noise(8, 8, 1, seed=seed) % 2) for seed in range(2)]
    images_ = [png(noise(8, 8, seed=seed)) for seed in range(2)]
    files = [("image", ("a.png", raw)) for raw in images_] + [("masks", ("m.png", raw)) for raw in masks]
    fields = {"method": "dissection", "concepts": "speck", "layer": "0", "quantile": "0.1"}
    job = await house.client.post("/api/v1/models/small/units", data=fields, files=files)
    assert job.status_code == 202, job.text
    await house.do(job.json()["id"])
    done = (await house.client.get(job.headers["location"])).json()
    assert done["state"] == "succeeded", done
    found = done["result"]["summary"]
    assert found["view"] == "dissection"
    assert done["result"]["parameters"]["masks"] == [base64_of(raw) for raw in masks]
    assert done["asked"]["parameters"]["masks"][0].keys() == {"sha256", "bytes"}  # a list of jobs is for reading

    request = pb.UnitsRequest(model="small", images=[pb.Image(file=raw) for raw in images_])
    method = request.parameters.dissection
    method.masks.extend(pb.Image(file=raw) for raw in masks)
    method.concepts.append("speck")
    method.layer, method.quantile = "0", 0.1
    message = await stub.Units(request)
    np.testing.assert_array_equal(array(message.summary.iou), reply.from_json(found)["iou"])
    assert [unit.unit for unit in message.summary.units] == [unit["unit"] for unit in found["units"]]


async def test_more_masks_than_can_be_are_refused_and_wrong_ones_named(house: House) -> None:
    mask = base64_of(png(noise(8, 8, 1) % 2))

    def asked(masks: Any) -> Any:
        parameters = {"masks": masks, "concepts": ["speck"]}
        return ask(house, "units", images=[base64_of(FILE)], method="dissection", parameters=parameters)

    many = await asked([mask] * (MOST + 1))
    assert (many.status_code, many.json()["errors"][0]["pointer"]) == (422, "/parameters/masks")
    wrong = await asked([base64_of(b"no picture")])
    assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (415, "/parameters/masks/0")
    one = await asked(mask)
    assert (one.status_code, "a list of pictures" in one.json()["detail"]) == (422, True)
    assert (await asked([mask, mask])).status_code == 422
    missing = await ask(house, "units", images=[base64_of(FILE)], method="dissection")
    assert {error["pointer"] for error in missing.json()["errors"]} == {"/parameters/masks", "/parameters/concepts"}
