"""Universal perturbations by REST: made as a job, kept under an id, applied by it, and nobody else's."""

import io
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from rakinglight import reply
from rakinglight.network import Network
from service.database.schema import artifacts, job_results, perturbations
from service.jobs.attempt import Attempt
from service.settings import Settings
from tests.networks import neighbour
from tests.service.conftest import House
from tests.service.pictures_at_hand import base64_of, noise, png
from tests.service.test_openapi import route, valid
from tests.service.test_rest import assert_problem
from tests.service.test_rest_jobs import ALICE, BOB, KEYS

UNIVERSAL = "/api/v1/models/small/universal"
ATTACK = "/api/v1/models/small/attack"
KEPT = "/api/v1/perturbations"
IMAGES = [base64_of(png(noise(8, 8, seed=seed))) for seed in range(10)]
JSON = "application/json"
ASKED = {"images": IMAGES, "method": "gradient", "parameters": {"epsilon": 0.3, "epochs": 2, "restarts": 1}}
NEVER = "pert_0123456789abcdefghij"


@pytest.fixture
def networks(small_convolution: Network) -> list[Network]:
    return [small_convolution, neighbour()]


async def submitted(house: House, headers: Mapping[str, str] | None = None, **said: Any) -> str:
    """The id of a job that is to make a perturbation. Nobody asked for one: an answer at once there is none."""
    answer = await house.client.post(UNIVERSAL, json=ASKED | said, headers=dict(headers or {}))
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


async def made(house: House, headers: Mapping[str, str] | None = None, **said: Any) -> dict[str, Any]:
    """What came of such a job."""
    job = await submitted(house, headers, **said)
    await house.do(job)
    found = (await house.client.get(f"/api/v1/jobs/{job}", headers=dict(headers or {}))).json()
    assert found["state"] == "succeeded", found["problem"]
    result: dict[str, Any] = found["result"]
    return result


async def test_a_job_makes_one_perturbation_of_all_images_and_says_what_it_does_to_each(house: House) -> None:
    result = await made(house)
    valid(result, {"$ref": "#/components/schemas/UniversalReply"})
    entries, summary = result["results"], result["summary"]
    assert len(entries) == len(IMAGES)
    assert sum(entry["held_out"] for entry in entries) == summary["held_out"]["of"] == 2
    for part, held_out in (("given", False), ("held_out", True)):
        fooled = [entry["fooled"] for entry in entries if entry["held_out"] == held_out]
        assert (sum(fooled), len(fooled)) == (summary[part]["count"], summary[part]["of"])
    assert all(entry["fooled"] == (entry["prediction"]["index"] != entry["after"]["index"]) for entry in entries)
    assert [point["images"] for point in summary["curve"]] == [1, 2, 4, 8]
    v = reply.from_json(summary["perturbation"])
    assert v.shape == (3, 8, 8)
    assert np.abs(v).max() <= np.float32(0.3)
    assert result["cost"]["gradient_rows"] == 2 * (1 + 2 + 4 + 8)


async def test_it_is_kept_under_an_id_and_applied_by_it(house: House) -> None:
    summary = (await made(house))["summary"]
    (listed,) = (await house.client.get(KEPT)).json()["perturbations"]
    one = (await house.client.get(f"{KEPT}/{summary['id']}")).json()
    assert one == listed
    valid(one, route(f"{KEPT}/{{perturbation}}", "get")["responses"]["200"]["content"][JSON]["schema"])
    assert (one["model"]["name"], one["norm"], one["epsilon"]) == ("small", "linf", 0.3)
    assert (one["given"], one["held_out"]) == (summary["given"], summary["held_out"])
    file = await house.client.get(one["perturbation"]["href"])
    v = np.load(io.BytesIO(file.content))
    np.testing.assert_array_equal(v, reply.from_json(summary["perturbation"]))

    parameters = {"perturbation": summary["id"], "epsilon": 0.3}
    said = {"images": IMAGES[:1], "method": "universal", "parameters": parameters}
    answer = await house.client.post(ATTACK, json=said)
    assert answer.status_code == 200, answer.text
    assert answer.json()["parameters"]["perturbation"] == summary["id"]
    x = noise(8, 8, seed=0).transpose(2, 0, 1) / np.float32(255)
    x_adv = reply.from_json(answer.json()["results"][0]["exact"]["image"])
    np.testing.assert_allclose(x_adv, np.clip(x + v, 0, 1), atol=1e-6)


async def test_what_an_attack_leaves_out_is_what_it_was_made_with(house: House) -> None:
    summary = (await made(house))["summary"]
    said = {"images": IMAGES[:1], "method": "universal", "parameters": {"perturbation": summary["id"]}}
    answer = (await house.client.post(ATTACK, json=said)).json()
    assert (answer["parameters"]["norm"], answer["parameters"]["epsilon"]) == ("linf", 0.3)
    assert 10 / 255 < summary["distance"]["linf"] == pytest.approx(answer["results"][0]["exact"]["distance"]["linf"])

    said["parameters"] = {"perturbation": summary["id"], "epsilon": 0.1}
    smaller = (await house.client.post(ATTACK, json=said)).json()
    assert smaller["parameters"]["epsilon"] == 0.1
    said["parameters"] = {"perturbation": summary["id"], "norm": "l2"}
    problem = assert_problem(await house.client.post(ATTACK, json=said), 422, "BAD_PARAMETER")
    assert "was made in linf with epsilon 0.3; to cut it in another norm, say the epsilon." in problem["detail"]


async def test_it_cannot_be_made_of_more_images_than_there_are(house: House) -> None:
    answer = await house.client.post(UNIVERSAL, json=ASKED | {"parameters": {"image_counts": [8, 9]}})
    problem = assert_problem(answer, 422, "BAD_PARAMETER")
    assert problem["errors"][0]["pointer"] == "/parameters/image_counts/1"
    assert "names 9, and it is made of 8 of 10 images" in problem["detail"]


async def test_it_is_tried_on_other_models(house: House) -> None:
    result = await made(house, parameters={**ASKED["parameters"], "epsilon": 1, "models": ["neighbour"]})
    valid(result, {"$ref": "#/components/schemas/UniversalReply"})
    assert result["parameters"]["models"] == ["neighbour"]
    (row,) = result["summary"]["transfer"]
    assert (row["model"], row["of"]) == ("neighbour", result["summary"]["held_out"]["of"])

    kept = {"perturbation": result["summary"]["id"], "epsilon": 1}
    said = {"method": "universal", "parameters": kept}
    fooled = 0
    for place, entry in enumerate(result["results"]):
        if entry["held_out"]:
            body = {"images": IMAGES[place : place + 1], **said}
            answer = await house.client.post("/api/v1/models/neighbour/attack", json=body)
            assert answer.status_code == 200, answer.text
            (found,) = answer.json()["results"]
            fooled += found["exact"]["after"]["index"] != found["before"]["index"]
    assert isinstance(row["count"], int)
    assert fooled == row["count"]


@pytest.mark.parametrize(("name", "says"), [("small", "is the model that is asked"), ("neighbor", "neighbour")])
async def test_a_model_on_which_it_cannot_be_tried_is_refused(house: House, name: str, says: str) -> None:
    answer = await house.client.post(UNIVERSAL, json=ASKED | {"parameters": {"models": [name]}})
    problem = assert_problem(answer, 422, "BAD_PARAMETER")
    assert problem["errors"][0]["pointer"] == "/parameters/models/0"
    assert says in problem["detail"]


async def test_its_png_is_the_picture_of_the_perturbation(house: House) -> None:
    job = await submitted(house)
    await house.do(job)
    answer = await house.client.get(f"/api/v1/jobs/{job}", headers={"Accept": "image/png"})
    assert answer.content.startswith(b"\x89PNG"), answer.text


async def test_include_narrows_what_the_summary_carries_and_the_perturbation_is_kept_all_the_same(house: House) -> None:
    summary = (await made(house, include=[]))["summary"]
    assert not {"perturbation", "picture", "chart"} & summary.keys()
    assert (await house.client.get(f"{KEPT}/{summary['id']}")).status_code == 200


async def test_a_tensor_is_applied_as_it_is(house: House) -> None:
    v = np.full((3, 8, 8), 0.25, np.float32)
    said = {"images": IMAGES[:1], "method": "universal"}
    parameters = {"perturbation": reply.to_json(v), "epsilon": 0.125}
    answer = await house.client.post(ATTACK, json={**said, "parameters": parameters})
    assert answer.status_code == 200, answer.text
    x = noise(8, 8, seed=0).transpose(2, 0, 1) / np.float32(255)
    x_adv = reply.from_json(answer.json()["results"][0]["exact"]["image"])
    np.testing.assert_allclose(x_adv, np.clip(x + 0.125, 0, 1), atol=1e-6)


@pytest.mark.parametrize(
    "wrong",
    [7, {"dtype": "float32", "shape": [3, 8, 8]}, reply.to_json(np.zeros((1, 8, 8), np.float32)), None],
    ids=["a number", "half a tensor", "one channel", "nothing"],
)
async def test_what_is_no_perturbation_is_refused(house: House, wrong: Any) -> None:
    parameters = {} if wrong is None else {"perturbation": wrong}
    said = {"images": IMAGES[:1], "method": "universal", "parameters": parameters}
    answer = await house.client.post(ATTACK, json=said)
    problem = assert_problem(answer, 422, "BAD_PARAMETER")
    assert problem["errors"][0]["pointer"] == "/parameters/perturbation"


@pytest.mark.parametrize("house", [KEYS], indirect=True)
async def test_another_s_is_not_there(house: House) -> None:
    kept = (await made(house, ALICE))["summary"]["id"]
    said = {"images": IMAGES[:1], "method": "universal", "parameters": {"perturbation": kept}}
    assert_problem(await house.client.get(f"{KEPT}/{kept}", headers=BOB), 404, "NOT_FOUND")
    assert_problem(await house.client.delete(f"{KEPT}/{kept}", headers=BOB), 404, "NOT_FOUND")
    assert_problem(await house.client.post(ATTACK, json=said, headers=BOB), 404, "NOT_FOUND")
    assert (await house.client.get(KEPT, headers=BOB)).json()["perturbations"] == []
    assert (await house.client.post(ATTACK, json=said, headers=ALICE)).status_code == 200
    assert_problem(await house.client.get(f"{KEPT}/{NEVER}", headers=ALICE), 404, "NOT_FOUND")


async def test_one_that_is_removed_is_gone_and_its_file_with_it(house: House) -> None:
    kept = (await made(house, include=[]))["summary"]["id"]
    sha256 = (await house.client.get(f"{KEPT}/{kept}")).json()["perturbation"]["sha256"]
    assert (await house.client.delete(f"{KEPT}/{kept}")).status_code == 204
    assert_problem(await house.client.get(f"{KEPT}/{kept}"), 404, "NOT_FOUND")
    house.storage.artifacts.sweep(time.time())
    with house.storage.database.reading() as connection:
        assert sha256 not in connection.scalars(sa.select(artifacts.c.sha256)).all()


async def test_one_whose_time_is_over_is_told_of_for_a_while_and_then_forgotten(
    house: House, settings: Settings
) -> None:
    kept = (await made(house))["summary"]["id"]
    with house.storage.database.transaction() as connection:
        connection.execute(sa.update(perturbations).values(expires_at=time.time() - 1))
    assert_problem(await house.client.get(f"{KEPT}/{kept}"), 410, "EXPIRED")
    assert (await house.client.get(KEPT)).json()["perturbations"] == []
    assert house.storage.perturbations.sweep(time.time()) == 0
    assert house.storage.perturbations.sweep(time.time() + settings.retention_s) == 1
    assert_problem(await house.client.get(f"{KEPT}/{kept}"), 404, "NOT_FOUND")


class CutOff(BaseException):
    """As if the process had ended there."""


async def test_a_job_that_was_cut_off_between_two_entries_goes_on_to_the_same_end(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = await made(house)
    job, put, left = await submitted(house), Attempt.put_entry, iter(range(4))

    def cut_off(self: Attempt, *said: Any) -> None:
        if next(left, None) is None:
            raise CutOff
        put(self, *said)

    monkeypatch.setattr(Attempt, "put_entry", cut_off)
    with pytest.raises(BaseException):  # noqa: B017  whatever group it comes in
        await house.do(job)
    monkeypatch.undo()
    with house.storage.database.reading() as connection:
        assert connection.scalar(sa.select(sa.func.count()).where(job_results.c.job == job)) == 4
    await house.do(job)
    again = (await house.client.get(f"/api/v1/jobs/{job}")).json()["result"]
    assert again["results"] == whole["results"]
    assert {**again["summary"], "id": ""} == {**whole["summary"], "id": ""}
