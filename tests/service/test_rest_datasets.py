"""Datasets by REST: uploaded, looked at, used, removed, and nobody else's."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from service.database.schema import datasets, holds
from service.settings import Settings
from tests.service.archives_at_hand import npz_of, plain_zip
from tests.service.conftest import House
from tests.service.in_process import break_database
from tests.service.pictures_at_hand import base64_of, noise, png, tensor
from tests.service.test_rest import assert_problem
from tests.service.test_rest_jobs import ADMIN, ALICE, ATTACK, BOB, CLASSIFY, KEYS, LATER, look

IMAGES = [noise(8, 8, seed=seed) for seed in range(5)]
PETS = plain_zip({f"class {i % 2}/{i}.png": png(image) for i, image in enumerate(IMAGES)})
ZIP = {"Content-Type": "application/zip"}
NEVER = "ds_0123456789abcdefghij"
PLACE = "/api/v1/datasets"


async def add(house: House, content: bytes = PETS, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
    answer = await house.client.post(PLACE, params={"name": "pets"}, content=content, headers=ZIP | dict(headers or {}))
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"{PLACE}/{found['id']}"
    return found


# ── uploading ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_dataset_is_told_as_it_was_kept(house: House) -> None:
    added = await add(house)
    assert (added["name"], added["kind"], added["images"], added["bytes"]) == ("pets", "zip", 5, len(PETS))
    assert added["classes"] == [{"name": "class 0", "images": 3}, {"name": "class 1", "images": 2}]
    assert added["created_at"] < added["expires_at"]
    assert (await house.client.get(f"{PLACE}/{added['id']}")).json() == added
    assert (await house.client.get(PLACE)).json() == {"datasets": [added], "next_page_token": None}
    assert (await house.client.head(f"{PLACE}/{added['id']}")).status_code == 200


@pytest.mark.parametrize(
    ("data", "query", "name"),
    [
        ({"name": "of the form"}, {}, "of the form"),
        ({"name": "of the form"}, {"name": "of the query"}, "of the form"),
        ({}, {"name": "of the query"}, "of the query"),
        ({}, {}, "pets"),
    ],
)
async def test_a_form_says_the_same(house: House, data: dict[str, str], query: dict[str, str], name: str) -> None:
    answer = await house.client.post(PLACE, files={"file": ("pets.zip", PETS)}, data=data, params=query)
    assert (answer.status_code, answer.json()["name"], answer.json()["images"]) == (201, name, 5)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("some.pets.zip", "some.pets"),
        ("../../etc/passwd", "passwd"),
        (r"C:\Users\me\pets.zip", "pets"),
        ("p\u00fcppchen.npz", "p\u00fcppchen"),
        ("a\u202eb.zip", "dataset"),
        ("n" * 201 + ".zip", "dataset"),
        ("/", "dataset"),
    ],
)
async def test_a_file_without_a_name_gives_its_own_if_it_can_be_one(house: House, file: str, name: str) -> None:
    answer = await house.client.post(PLACE, files={"file": (file, PETS)})
    assert (answer.status_code, answer.json()["name"]) == (201, name)


@pytest.mark.parametrize(
    ("request_", "status", "code", "words"),
    [
        pytest.param({"content": b"x", "headers": ZIP}, 422, "NOT_A_DATASET", "", id="no zip"),
        pytest.param({"content": b"", "headers": ZIP}, 422, "NOT_A_DATASET", "", id="nothing"),
        pytest.param(
            {"content": plain_zip({"cat/1.png": b"text"}), "headers": ZIP}, 422, "NOT_A_DATASET", "cat/1.png",
            id="an image that is none",
        ),
        pytest.param(
            {"content": plain_zip({"../1.png": png(IMAGES[0])}), "headers": ZIP}, 422, "NOT_A_DATASET", "climbs out",
            id="a path that climbs out",
        ),
        pytest.param({"content": PETS, "headers": {"Content-Type": "text/plain"}}, 400, "UNREADABLE", "-F file=",
                     id="another type"),
        pytest.param({"json": {"file": "x"}}, 400, "UNREADABLE", "application/zip", id="JSON"),
        pytest.param({"files": {"fil": ("a.zip", PETS)}}, 422, "BAD_PARAMETER", "'file'", id="another part"),
        pytest.param({"files": {"name2": b""}}, 422, "BAD_PARAMETER", "name2", id="unknown part"),
        pytest.param({"files": {"file": (None, "text")}}, 422, "BAD_PARAMETER", "no part `file`", id="a field"),
        pytest.param({"files": {"file": PETS}, "params": {"name": "n" * 201}}, 422, "BAD_PARAMETER", "200",
                     id="a long name"),
        pytest.param({"files": {"file": PETS}, "params": {"name": "a\0b"}}, 422, "BAD_PARAMETER", "printed",
                     id="a name with NUL"),
    ],
)  # fmt: skip
async def test_what_is_no_dataset_is_refused_whole(
    house: House, request_: dict[str, Any], status: int, code: str, words: str
) -> None:
    said = assert_problem(await house.client.post(PLACE, **request_), status, code)
    assert words in said["detail"]
    assert (await house.client.get(PLACE)).json()["datasets"] == []
    assert house.storage.artifacts.usage().count == 0
    assert house.core.bytes_held == 0


@pytest.mark.parametrize("settings", [Settings(dataset_bytes=1024, body_bytes=2048)])
async def test_too_many_bytes_are_refused(house: House) -> None:
    answer = await house.client.post(PLACE, content=bytes(1025), headers=ZIP)
    assert "1024" in assert_problem(answer, 413, "TOO_LARGE")["detail"]


async def test_a_draining_house_takes_none(house: House) -> None:
    house.core.drain()
    assert_problem(await house.client.post(PLACE, content=PETS, headers=ZIP), 503, "ENGINE_AWAY")


# ── using ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_dataset_stands_for_its_images(house: House) -> None:
    few = plain_zip({f"class 1/{i}.png": png(image) for i, image in enumerate(IMAGES[:3])})
    dataset = (await add(house, few))["id"]
    by_dataset = await house.client.post(CLASSIFY, json={"dataset": dataset})
    by_images = await house.client.post(CLASSIFY, json={"images": [base64_of(png(image)) for image in IMAGES[:3]]})
    assert by_dataset.status_code == 200, by_dataset.text
    assert by_dataset.json()["results"] == by_images.json()["results"]
    by_form = await house.client.post(CLASSIFY, files={"dataset": (None, dataset)})
    assert by_form.json()["results"] == by_images.json()["results"]
    attacked = (await house.client.post(ATTACK, json={"dataset": dataset, "method": "fgsm"})).json()
    assert [result["label"]["label"] for result in attacked["results"]] == ["class 1"] * 3


async def test_the_file_of_a_dataset_counts_among_what_is_under_way(house: House) -> None:
    few = plain_zip({f"class 1/{i}.png": png(image) for i, image in enumerate(IMAGES[:3])})
    dataset = await add(house, few)
    house.core.settings = house.core.settings.model_copy(update={"bytes_in_flight": dataset["bytes"]})
    with house.core.hold() as other:
        other.add(1)
        answer = await house.client.post(CLASSIFY, json={"dataset": dataset["id"]})
        assert str(dataset["bytes"]) in assert_problem(answer, 503, "OVERLOADED")["detail"]
        # A submission does not read it.
        assert (await house.client.post(CLASSIFY, json={"dataset": dataset["id"]}, headers=LATER)).status_code == 202
    assert (await house.client.post(CLASSIFY, json={"dataset": dataset["id"]})).status_code == 200
    assert house.core.bytes_held == 0


async def test_a_job_may_be_about_more_images_than_a_request(house: House) -> None:
    dataset = (await add(house))["id"]
    said = assert_problem(await house.client.post(CLASSIFY, json={"dataset": dataset}), 413, "TOO_LARGE")
    assert "respond-async" in said["detail"]
    answer = await house.client.post(CLASSIFY, json={"dataset": dataset}, headers=LATER)
    assert (answer.status_code, answer.json()["images"]) == (202, 5)
    # The job keeps the images, and its owner the right to let go of the dataset.
    assert (await house.client.delete(f"{PLACE}/{dataset}")).status_code == 204
    house.storage.artifacts.sweep(time.time())
    await house.do(answer.json()["id"])
    found = await look(house, answer.json()["id"])
    assert (found["state"], len(found["result"]["results"])) == ("succeeded", 5)
    assert_problem(
        await house.client.get(f"/api/v1/jobs/{found['id']}", headers={"Accept": "image/png"}), 413, "TOO_LARGE"
    )
    house.storage.artifacts.sweep(time.time())
    with house.storage.database.reading() as connection:
        kept = connection.execute(sa.text("SELECT media_type FROM artifacts")).scalars().all()
    assert "application/zip" not in kept


async def test_a_job_that_is_cancelled_before_it_began_lets_its_dataset_go(house: House) -> None:
    dataset = (await add(house))["id"]
    job = (await house.client.post(CLASSIFY, json={"dataset": dataset}, headers=LATER)).json()["id"]
    await house.client.post(f"/api/v1/jobs/{job}/cancel")
    await house.client.delete(f"{PLACE}/{dataset}")
    house.storage.artifacts.sweep(time.time())
    assert house.storage.artifacts.usage().count == 0


async def test_tensors_are_kept_to_the_bit(house: House) -> None:
    x = np.random.default_rng(0).random((2, 3, 8, 8), dtype=np.float32)
    dataset = (await add(house, npz_of(images=x, labels=np.array([3, 0]))))["id"]
    by_dataset = (await house.client.post(CLASSIFY, json={"dataset": dataset})).json()["results"]
    by_images = (await house.client.post(CLASSIFY, json={"images": [tensor(one) for one in x]})).json()["results"]
    assert by_dataset == by_images


# ── whose it is ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("house", [KEYS], indirect=True)
async def test_anothers_dataset_is_as_if_it_never_was(house: House) -> None:
    dataset = (await add(house, headers=ALICE))["id"]
    for headers, there in ((BOB, False), (ALICE, True), (ADMIN, True)):
        listed = (await house.client.get(PLACE, headers=headers)).json()["datasets"]
        assert [one["id"] for one in listed] == ([dataset] if there else [])

    async def words(name: str, verb: str, path: str, **more: Any) -> str:
        answer = await house.client.request(verb, path.format(name), **more)
        detail: str = assert_problem(answer, 404, "NOT_FOUND")["detail"]
        return detail.replace(name, "")

    for asked in (
        {"verb": "GET", "path": f"{PLACE}/{{}}", "headers": BOB},
        {"verb": "DELETE", "path": f"{PLACE}/{{}}", "headers": BOB},
    ):
        assert await words(dataset, **asked) == await words(NEVER, **asked)
    for later in ({}, LATER):
        answers = [
            await house.client.post(CLASSIFY, json={"dataset": name}, headers=BOB | later) for name in (dataset, NEVER)
        ]
        found, missing = (assert_problem(answer, 404, "NOT_FOUND")["detail"] for answer in answers)
        assert found.replace(dataset, NEVER) == missing
    for headers in (ALICE, ADMIN):
        assert (await house.client.get(f"{PLACE}/{dataset}", headers=headers)).status_code == 200
        answer = await house.client.post(CLASSIFY, json={"dataset": dataset}, headers=headers | LATER)
        assert answer.status_code == 202
        await house.do(answer.json()["id"])
        assert (await house.client.get(answer.headers["location"], headers=headers)).json()["state"] == "succeeded"
    assert (await house.client.delete(f"{PLACE}/{dataset}", headers=ADMIN)).status_code == 204


async def test_a_dataset_ends_in_its_time(house: House) -> None:
    dataset = (await add(house))["id"]
    with house.storage.database.transaction() as connection:
        for table in (datasets, holds):
            connection.execute(sa.update(table).values(expires_at=time.time() - 1))
    assert_problem(await house.client.get(f"{PLACE}/{dataset}"), 410, "EXPIRED")
    assert (await house.client.get(PLACE)).json()["datasets"] == []
    house.storage.artifacts.sweep(time.time())
    assert house.storage.artifacts.usage().count == 0


async def test_pages_walk_over_each_once_while_others_arrive(house: House) -> None:
    old = [(await add(house))["id"] for _ in range(5)]
    seen: list[str] = []
    query: dict[str, Any] = {"page_size": 2}
    for _ in range(10):
        page = (await house.client.get(PLACE, params=query)).json()
        seen += [dataset["id"] for dataset in page["datasets"]]
        await add(house)
        if (token := page["next_page_token"]) is None:
            break
        query["page_token"] = token
    assert seen == old[::-1]


@pytest.mark.parametrize(
    ("verb", "path"), [("PUT", PLACE), ("DELETE", PLACE), ("POST", f"{PLACE}/{NEVER}"), ("PATCH", f"{PLACE}/{NEVER}")]
)
async def test_a_wrong_verb_is_a_405(house: House, verb: str, path: str) -> None:
    assert_problem(await house.client.request(verb, path), 405, "METHOD_NOT_ALLOWED")


async def test_nothing_is_kept_while_the_store_is_away(house: House) -> None:
    break_database(house.home)
    house.storage.database.close()
    answer = await house.client.post(PLACE, content=PETS, headers=ZIP)
    assert_problem(answer, 503, "STORAGE_AWAY")
    assert int(answer.headers["retry-after"]) > 0
    assert house.core.bytes_held == 0


async def test_several_uploads_at_once_are_as_many_datasets(house: House) -> None:
    added = await asyncio.gather(*(add(house) for _ in range(4)))
    assert len({one["id"] for one in added}) == 4
