"""Robustness through the gateway: what there is to say of all images together, at once, as a picture, and of a job."""

import io
from typing import Any

import httpx2
import jsonschema
import pytest
from PIL import Image

from rakinglight import reply
from service import openapi
from service.settings import Settings
from tests.service.archives_at_hand import plain_zip
from tests.service.conftest import House
from tests.service.pictures_at_hand import base64_of, noise, png

ROBUSTNESS = "/api/v1/models/small/robustness"
PICTURES = [png(noise(8, 8)), png(noise(20, 31))]
PARAMETERS = {
    "labels": {"rank": 1},
    "methods": [{"method": "pgd", "parameters": {"steps": 3}}],
    "epsilons": ["1/255", 0.5],
    "checks": False,
}


async def ask(
    house: House, accept: str = "application/json", headers: dict[str, str] | None = None, **said: Any
) -> httpx2.Response:
    body = {"images": [base64_of(picture) for picture in PICTURES], "parameters": PARAMETERS} | said
    answer = await house.client.post(ROBUSTNESS, json=body, headers={"Accept": accept, **(headers or {})})
    assert answer.status_code in (200, 202), answer.text
    return answer


async def job_of(house: House, **said: Any) -> dict[str, Any]:
    """A job that has come to its end."""
    job = (await ask(house, headers={"Prefer": "respond-async"}, **said)).json()
    await house.do(job["id"])
    return dict((await house.client.get(f"/api/v1/jobs/{job['id']}")).json())


async def test_the_reply_is_as_its_schema_says(house: House) -> None:
    document = openapi.document(Settings())
    found = (await ask(house, parameters={**PARAMETERS, "checks": True})).json()
    schema = {"$ref": "#/components/schemas/RobustnessReply", "components": document["components"]}
    jsonschema.validate(found, schema)
    assert found["summary"]["images"] == 2
    assert found["summary"]["failed_checks"] == []
    assert "upper bound" in found["summary"]["note"]


async def test_behind_a_defence_each_line_is_in_the_reply_as_its_schema_says(house: House) -> None:
    document = openapi.document(Settings())
    found = (await ask(house, parameters={**PARAMETERS, "defense": ["median_blur", "jpeg"]})).json()
    schema = {"$ref": "#/components/schemas/RobustnessReply", "components": document["components"]}
    jsonschema.validate(found, schema)
    names = ["undefended", "rounded", "oblivious", "adaptive"]
    assert [line["name"] for line in found["summary"]["lines"]] == names
    assert all([line["name"] for line in entry["lines"]] == names for entry in found["results"])
    assert [one["name"] for one in found["parameters"]["defense"]] == ["median_blur", "jpeg"]


async def test_an_accuracy_that_nobody_attacked_is_no_answer(house: House) -> None:
    body = {"images": [base64_of(PICTURES[0])], "parameters": PARAMETERS, "max_rows": 1}
    refused = await house.client.post(ROBUSTNESS, json=body)
    assert refused.status_code == 422, refused.text
    assert "before there is anything to show" in refused.json()["detail"]


async def test_the_picture_is_the_one_chart_of_all_images(house: House) -> None:
    members = reply.from_json((await ask(house)).json())
    picture = (await ask(house, accept="image/png")).content
    assert picture == members["summary"]["chart"]
    with Image.open(io.BytesIO(picture)) as chart:
        assert chart.width > 300


@pytest.mark.parametrize("include", [None, [], ["chart"]])
async def test_a_job_says_the_same_of_all_images(house: House, include: list[str] | None) -> None:
    at_once = (await ask(house, include=include)).json()
    job = await job_of(house, include=include)
    assert job["state"] == "succeeded"
    assert job["result"].keys() == at_once.keys()
    for name in ("results", "summary", "parameters", "cost"):
        assert job["result"][name] == at_once[name], name
    assert ("chart" in at_once["summary"]) is (include != [])


async def test_a_job_s_picture_is_the_chart(house: House) -> None:
    job = await job_of(house)
    picture = await house.client.get(f"/api/v1/jobs/{job['id']}", headers={"Accept": "image/png"})
    assert picture.content == reply.from_json(job["result"])["summary"]["chart"]


async def test_a_dataset_s_classes_are_the_labels(house: House) -> None:
    names = ["class 1/a.png", "class 2/b.png", "class 2/c.png"]
    archive = plain_zip(dict.fromkeys(names, PICTURES[0]))
    added = await house.client.post(
        "/api/v1/datasets?name=few", content=archive, headers={"Content-Type": "application/zip"}
    )
    assert added.status_code == 201, added.text
    body = {"dataset": added.json()["id"], "parameters": {**PARAMETERS, "labels": None}}
    del body["parameters"]["labels"]
    found = (await house.client.post(ROBUSTNESS, json=body)).json()
    assert [entry["label"]["label"] for entry in found["results"]] == ["class 1", "class 2", "class 2"]
    assert found["summary"]["images"] == 3
