"""Several maps of an image in one request: of methods, classes or anything else, at either door."""

import io
import json
from typing import Any

import grpc
import httpx2
import jsonschema
import numpy as np
import pytest
from PIL import Image

from protos.gen.rakinglight.v1 import rakinglight_pb2 as pb
from protos.gen.rakinglight.v1.rakinglight_pb2_grpc import RakingLightStub
from rakinglight import plan, reply
from service import messages, openapi
from service.grpc_door import server
from service.keys import Keyring
from service.settings import Settings
from tests.service.archives_at_hand import plain_zip
from tests.service.conftest import House
from tests.service.pictures_at_hand import base64_of, noise, png

PICTURE = png(noise(8, 8))
SALIENCY, OCCLUSION = (f"/api/v1/models/small/{name}" for name in ("saliency", "occlusion"))
TWO_CLASSES = [{"target": 1}, {"target": 2}]
RISE = {"method": "rise", "parameters": {"masks": 200, "cells": 3}}


async def ask(house: House, path: str = SALIENCY, accept: str = "application/json", **said: Any) -> httpx2.Response:
    body = {"images": [base64_of(PICTURE)], **said}
    answer = await house.client.post(path, json=body, headers={"Accept": accept})
    assert answer.status_code == 200, answer.text
    return answer


async def send(house: House, *fields: tuple[str, str]) -> httpx2.Response:
    parts: list[tuple[str, Any]] = [("image", ("photograph.png", PICTURE, "image/png"))]
    return await house.client.post(SALIENCY, files=parts + [(name, (None, text)) for name, text in fields])


def read(answer: httpx2.Response) -> dict[str, Any]:
    return dict(reply.from_json(answer.json()))


async def test_each_map_is_what_a_request_of_its_own_gives(house: House) -> None:
    together = read(await ask(house, compare=[*TWO_CLASSES, {"method": "guided_backprop"}]))
    (entry,) = together["results"]
    for part, one in zip(together["compare"], entry["maps"], strict=True):
        alone = read(await ask(house, **part))["results"][0]
        np.testing.assert_array_equal(one["map"], alone["map"])
        assert {name: one[name] for name in ("method", "parameters")} == part
        assert one["target"] == alone["target"]
        assert (entry["prediction"], entry["geometry"]) == (alone["prediction"], alone["geometry"])


async def test_an_echo_posted_back_repeats_the_call(house: House) -> None:
    first = read(
        await ask(house, method=["smoothgrad", "grad_cam"], parameters={"n_samples": 3, "target": "class 2"}, seed=4)
    )
    echo = {name: first[name] for name in ("method", "parameters", "compare", "seed")}
    again = read(await ask(house, **echo))
    assert {name: again[name] for name in echo} == echo
    for one, other in zip(first["results"][0]["maps"], again["results"][0]["maps"], strict=True):
        np.testing.assert_array_equal(one["map"], other["map"])


async def test_the_cost_is_that_of_all_maps(house: House) -> None:
    together = (await ask(house, compare=TWO_CLASSES)).json()
    alone = (await ask(house)).json()
    assert together["cost"] == {kind: 2 * rows for kind, rows in alone["cost"].items()}


async def test_one_picture_shows_all_maps(house: House) -> None:
    entry = read(await ask(house, compare=TWO_CLASSES, include=["overlay"]))["results"][0]
    picture = (await ask(house, accept="image/png", compare=TWO_CLASSES)).content
    one = (await ask(house, accept="image/png")).content
    assert picture == entry["overlay"]
    with Image.open(io.BytesIO(picture)) as sheet, Image.open(io.BytesIO(one)) as alone:
        assert sheet.width > 2 * alone.width
    assert all("map" not in each for each in entry["maps"])


async def test_it_comes_as_npz_too(house: House) -> None:
    said: dict[str, Any] = {"compare": [{"parameters": {"evaluate": ["deletion"]}}, {"method": "grad_cam"}]}
    first = read(await ask(house, **said))
    second = reply.from_npz((await ask(house, accept="application/x-npz", **said)).content)
    assert second["compare"] == first["compare"]
    for one, other in zip(first["results"][0]["maps"], second["results"][0]["maps"], strict=True):
        np.testing.assert_array_equal(one["map"], other["map"])
        assert one.keys() == other.keys()
    assert second["results"][0]["maps"][0]["evaluation"]["deletion"]["curve"].dtype == np.float32


@pytest.mark.parametrize(
    "fields",
    [
        [("method", "gradient"), ("method", "smoothgrad"), ("n_samples", "3"), ("target", "1")],
        [("compare", '[{"target": 1}, {"method": "smoothgrad", "parameters": {"n_samples": 3, "target": 1}}]')],
        [("request", '{"method": ["gradient", "smoothgrad"], "parameters": {"n_samples": 3, "target": 1}}')],
        [("request", '{"method": ["gradient", "smoothgrad"], "parameters": {"n_samples": 3}}'), ("target", "1")],
    ],
    ids=["methods", "compare", "request", "both"],
)
async def test_a_form_says_it_as_well(house: House, fields: list[tuple[str, str]]) -> None:
    compare = (await send(house, *fields)).json()["compare"]
    assert [part["method"] for part in compare] == ["gradient", "smoothgrad"]
    assert compare[1]["parameters"]["n_samples"] == 3
    assert [str(part["parameters"]["target"]) for part in compare] == ["1", "1"]


@pytest.mark.parametrize(
    ("said", "pointer"),
    [
        ({"compare": {}}, "/compare"),
        ({"compare": [1]}, "/compare/0"),
        ({"compare": [{}] * 17}, "/compare"),
        ({"compare": [{}] * 1001}, "/compare"),
        ({"method": ["gradient"] * 17}, "/method"),
        ({"method": [1]}, "/method"),
        ({"method": {}}, "/method"),
        ({"compare": [{"parameters": {"\ud800": 1}}]}, "/compare/0/parameters/?"),
        ({"compare": [{"\ud800": 1}]}, "/compare/0/?"),
        ({"compare": [{"parameters": {str(i): i for i in range(1000)}}]}, "/compare/0/parameters"),
        ({"compare": [{str(i): i for i in range(1000)}]}, "/compare/0/0"),
        ({"compare": [{"target": [1, 2]}]}, "/compare/0/target"),
    ],
    ids=lambda value: str(value)[:40].encode(errors="replace").decode(),
)
async def test_what_cannot_be_compared_is_pointed_at(house: House, said: dict[str, Any], pointer: str) -> None:
    body = json.dumps({"images": [base64_of(PICTURE)], **said})
    answer = await house.client.post(SALIENCY, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422, answer.text
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    assert len(answer.content) < 5000


@pytest.mark.parametrize("settings", [Settings(runs=2)])
async def test_images_without_a_comparison_have_their_own_limit(house: House) -> None:
    images = [base64_of(PICTURE)] * 3
    assert len((await ask(house, images=images)).json()["results"]) == 3
    answer = await house.client.post(SALIENCY, json={"images": images, "compare": [{}, {}]})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/compare")


@pytest.mark.parametrize("settings", [Settings(runs=4, worker_images=2)])
async def test_a_job_compares_in_as_many_images_as_a_dataset_has(house: House) -> None:
    pets = plain_zip({f"0/{i}.png": PICTURE for i in range(5)})
    dataset = (await house.storage.datasets.add("", "pets", pets))["id"]

    async def submitted(maps: int) -> httpx2.Response:
        body = {"dataset": dataset, "compare": [{}] * maps}
        return await house.client.post(SALIENCY, json=body, headers={"Prefer": "respond-async"})

    job = (await submitted(2)).json()["id"]
    await house.do(job)
    found = (await house.client.get(f"/api/v1/jobs/{job}")).json()
    assert [len(entry["maps"]) for entry in found["result"]["results"]] == [2] * 5
    answer = await submitted(3)  # of two images at once, which are six runs
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/compare")


async def test_form_fields_beside_compare_are_refused(house: House) -> None:
    answer = await send(house, ("compare", "[{}]"), ("score", "probability"))
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/parameters")


async def test_metrics_count_it_under_one_name(house: House) -> None:
    await ask(house, compare=TWO_CLASSES)
    text = (await house.client.get("/metrics")).text
    assert (
        'rakinglight_requests_total{code="OK",door="rest",method="several",model="small",operation="saliency"} 1'
        in text
    )


async def test_requests_and_replies_are_as_described(house: House) -> None:
    document = openapi.document(Settings())

    def check(value: Any, schema: dict[str, Any]) -> None:
        jsonschema.Draft202012Validator({**schema, "components": document["components"]}).validate(value)

    route = document["paths"]["/api/v1/models/{model}/saliency"]["post"]
    for said in (
        {"method": ["gradient", "grad_cam"], "parameters": {"target": 1}},
        {"compare": [{"method": "grad_cam", "target": {"rank": -1}}, {"parameters": {"evaluate": ["insertion"]}}]},
    ):
        check({"images": [base64_of(PICTURE)], **said}, route["requestBody"]["content"]["application/json"]["schema"])
        answer = (await ask(house, **said)).json()
        check(answer, route["responses"]["200"]["content"]["application/json"]["schema"])
        echo = {name: answer[name] for name in ("method", "parameters", "compare", "seed")}
        check({"images": [base64_of(PICTURE)], **echo}, route["requestBody"]["content"]["application/json"]["schema"])


# ── progress ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def progress(house: House, **said: Any) -> list[dict[str, Any]]:
    text = (await ask(house, OCCLUSION, "text/event-stream", **said)).text
    assert "event: result" in text
    events = [event.split("\n") for event in text.split("\n\n") if "event: progress" in event]
    schema = openapi.document(Settings())["components"]["schemas"]["Progress"]
    found = [json.loads(lines[-1].removeprefix("data: ")) for lines in events]
    for one in found:
        jsonschema.validate(one, schema)
    return found


async def test_progress_brings_the_running_picture(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "PICTURE_S", 0.0)
    news = await progress(house, **RISE)
    assert all({"image", "step", "of", "objective"} <= one.keys() for one in news)
    pictures = [reply.from_json(one)["picture"] for one in news if "picture" in one]
    assert pictures
    with Image.open(io.BytesIO(pictures[0])) as picture:
        assert picture.format == "PNG"


async def test_without_an_overlay_there_is_no_picture(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "PICTURE_S", 0.0)
    assert not any("picture" in one for one in await progress(house, **RISE, include=["map"]))


async def test_progress_of_several_says_of_which(house: House) -> None:
    news = await progress(house, compare=[RISE, {**RISE, "target": 1}])
    assert {one["map"] for one in news} == {0, 1}


async def test_who_does_not_stream_has_nothing_drawn(house: House) -> None:
    await ask(house, OCCLUSION, **RISE)
    assert [question.map_s for question in house.engine.asked] == [None]


async def test_a_grpc_stream_brings_it_as_well(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "PICTURE_S", 0.0)
    request = pb.OcclusionRequest(model="small", images=[pb.Image(file=PICTURE)])
    messages.fill(request, {"compare": [RISE, {**RISE, "parameters": {**RISE["parameters"], "target": 1}}]})  # type: ignore[dict-item]
    door = server(house.core, Keyring())
    async with door, grpc.aio.insecure_channel(f"127.0.0.1:{door.port}") as channel:
        *news, last = [event async for event in RakingLightStub(channel).OcclusionStream(request)]
    assert {one.progress.map for one in news} == {0, 1}
    assert any(one.progress.picture.startswith(b"\x89PNG") for one in news)
    (entry,) = last.result.results
    assert [one.parameters.WhichOneof("method") for one in entry.maps] == ["rise", "rise"]
    assert [one.rise.masks for one in last.result.compare] == [200, 200]
