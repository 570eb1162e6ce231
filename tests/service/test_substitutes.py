"""Substitutes by REST: made as a job, kept under an id, their archive downloaded and loaded, and nobody else's."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from rakinglight.archives import load_network
from rakinglight.network import Network
from tests.service.conftest import House
from tests.service.pictures_at_hand import base64_of, noise, png
from tests.service.test_openapi import route, valid
from tests.service.test_rest import assert_problem
from tests.service.test_rest_jobs import ALICE, BOB, KEYS

SUBSTITUTE = "/api/v1/models/small/substitute"
KEPT = "/api/v1/substitutes"
IMAGES = [base64_of(png(noise(8, 8, seed=seed))) for seed in range(10)]
JSON = "application/json"
QUICK = {"rounds": 2, "epochs": 1, "epsilons": [0.1], "white_box": False}
ASKED = {"images": IMAGES, "method": "papernot", "parameters": QUICK}
NEVER = "subs_0123456789abcdefghij"


@pytest.fixture
def networks(small_convolution: Network) -> list[Network]:
    return [small_convolution]


async def made(house: House, headers: Mapping[str, str] | None = None, **said: Any) -> dict[str, Any]:
    """What came of a job that makes a substitute."""
    answer = await house.client.post(SUBSTITUTE, json=ASKED | said, headers=dict(headers or {}))
    assert answer.status_code == 202, answer.text
    job = str(answer.json()["id"])
    await house.do(job)
    found = (await house.client.get(f"/api/v1/jobs/{job}", headers=dict(headers or {}))).json()
    assert found["state"] == "succeeded", found["problem"]
    result: dict[str, Any] = found["result"]
    return result


async def test_a_job_makes_a_substitute_and_says_how_well_it_stands_in(house: House) -> None:
    result = await made(house)
    valid(result, {"$ref": "#/components/schemas/SubstituteReply"})
    summary = result["summary"]
    assert [point["queries"] for point in summary["curve"]] == [2, 4, 8]
    assert sum(entry["seed"] for entry in result["results"]) == 2
    assert sum(summary["queries"].values()) == result["cost"]["forward_rows"]
    assert result["cost"]["gradient_rows"] == 0


async def test_it_is_kept_under_an_id_and_its_archive_is_one_that_the_zoo_loads(house: House, tmp_path: Path) -> None:
    summary = (await made(house))["summary"]
    (listed,) = (await house.client.get(KEPT)).json()["substitutes"]
    one = (await house.client.get(f"{KEPT}/{summary['id']}")).json()
    assert one == listed
    valid(one, route(f"{KEPT}/{{substitute}}", "get")["responses"]["200"]["content"][JSON]["schema"])
    assert (one["model"]["name"], one["queries"]) == ("small", 8)
    assert one["agreement"] == summary["curve"][-1]["agreement"]
    file = await house.client.get(one["archive"]["href"])
    assert file.headers["content-type"] == "application/zip"
    path = tmp_path / "small-substitute.mar"
    path.write_bytes(file.content)
    assert load_network(path).card.labels == house.core.card("small").labels


async def test_its_bytes_are_left_out_where_nobody_wants_them(house: House) -> None:
    assert "archive" in (await made(house))["summary"]
    summary = (await made(house, include=[]))["summary"]
    assert "archive" not in summary
    assert summary["id"]


@pytest.mark.parametrize("house", [KEYS], indirect=True)
async def test_one_is_its_owner_s_alone_and_can_be_forgotten(house: House) -> None:
    kept = (await made(house, ALICE))["summary"]["id"]
    assert_problem(await house.client.get(f"{KEPT}/{kept}", headers=BOB), 404, "NOT_FOUND")
    assert (await house.client.get(KEPT, headers=BOB)).json()["substitutes"] == []
    assert_problem(await house.client.delete(f"{KEPT}/{kept}", headers=BOB), 404, "NOT_FOUND")
    assert (await house.client.delete(f"{KEPT}/{kept}", headers=ALICE)).status_code == 204
    assert_problem(await house.client.get(f"{KEPT}/{kept}", headers=ALICE), 404, "NOT_FOUND")


@pytest.mark.parametrize("name", [NEVER, "subs_%00", "pert_0123456789abcdefghij", "-"])
async def test_one_that_never_was_is_not_found(house: House, name: str) -> None:
    assert_problem(await house.client.get(f"{KEPT}/{name}"), 404, "NOT_FOUND")


async def test_what_cannot_be_asked_is_refused_before_there_is_a_job(house: House) -> None:
    said = ASKED | {"parameters": {**QUICK, "max_queries": 9}}
    problem = assert_problem(await house.client.post(SUBSTITUTE, json=said), 422, "BAD_PARAMETER")
    assert [error["pointer"] for error in problem["errors"]] == ["/parameters/max_queries"]


@pytest.mark.parametrize("kind", ["json", "form"])
async def test_the_body_may_name_the_model_where_the_path_does_not(house: House, kind: str) -> None:
    by_path = await made(house)
    if kind == "json":
        said = {"model": "small", **ASKED}
        valid(said, route(KEPT, "post")["requestBody"]["content"][JSON]["schema"])
        answer = await house.client.post(KEPT, json=said)
    else:
        fields = {"model": "small", "method": "papernot", "request": json.dumps({"parameters": QUICK})}
        files = [("image", ("a.png", base64.b64decode(image))) for image in IMAGES]
        answer = await house.client.post(KEPT, data=fields, files=files)
    assert answer.status_code == 202, answer.text
    valid(answer.json(), route(KEPT, "post")["responses"]["202"]["content"][JSON]["schema"])
    assert answer.headers["location"] == f"/api/v1/jobs/{answer.json()['id']}"
    await house.do(answer.json()["id"])
    result = (await house.client.get(f"/api/v1/jobs/{answer.json()['id']}")).json()["result"]
    assert result["results"] == by_path["results"]
    assert result["summary"]["curve"] == by_path["summary"]["curve"]


@pytest.mark.parametrize(
    ("said", "status", "code", "pointer"),
    [
        (ASKED, 422, "BAD_PARAMETER", "/model"),
        ({**ASKED, "model": 3}, 422, "BAD_PARAMETER", "/model"),
        ({**ASKED, "model": None}, 422, "BAD_PARAMETER", "/model"),
        ({**ASKED, "model": "nobody"}, 404, "NOT_FOUND", None),
        ({**ASKED, "model": "small", "modell": 1}, 422, "BAD_PARAMETER", "/modell"),
    ],
    ids=["missing", "a number", "null", "unknown", "another name"],
)
async def test_a_model_that_the_body_does_not_name_is_refused(
    house: House, said: dict[str, Any], status: int, code: str, pointer: str | None
) -> None:
    problem = assert_problem(await house.client.post(KEPT, json=said), status, code)
    assert [error["pointer"] for error in problem.get("errors", [])] == ([pointer] if pointer else [])


async def test_a_form_names_it_once(house: House) -> None:
    files = [("image", ("a.png", base64.b64decode(image))) for image in IMAGES]
    answer = await house.client.post(KEPT, data={"model": ["small", "small"]}, files=files)
    assert "model is given 2 times" in assert_problem(answer, 422, "BAD_PARAMETER")["detail"]


async def test_an_operation_of_a_path_takes_no_model(house: House) -> None:
    answer = await house.client.post(SUBSTITUTE, json={**ASKED, "model": "small"})
    assert_problem(answer, 422, "BAD_PARAMETER")
