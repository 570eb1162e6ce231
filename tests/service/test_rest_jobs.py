"""Jobs by REST: submitted, looked at, followed, cancelled, removed, and nobody else's."""

import asyncio
import base64
import hashlib
import io
import json
import shutil
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from PIL import Image

from rakinglight import reply
from rakinglight.wire import Frame
from service.database.schema import jobs
from service.settings import Settings
from tests.postgres import Postgres
from tests.service.archives_at_hand import plain_zip
from tests.service.conftest import House
from tests.service.in_process import break_database, doing_jobs, mend_database
from tests.service.pictures_at_hand import base64_of, noise, png
from tests.service.test_rest import assert_problem

PICTURE = png(noise())
TEXT = base64_of(PICTURE)
CLASSIFY = "/api/v1/models/small/classify"
SALIENCY = "/api/v1/models/small/saliency"
ATTACK = "/api/v1/models/small/attack"
LATER = {"Prefer": "respond-async"}
#: As many steps as there may be, by three images: longer than any of these tests waits.
LONG = {"images": [TEXT] * 3, "method": "pgd", "parameters": {"steps": 1000}, "include": []}
#: Two who may do all but see what is another's, the operator, and one who may only query.
KEYS = b"the-operators-own-key\nalice alice-has-a-long-key\nbob bob-has-another-key\nbox query black-box-has-this-key\n"
ALICE, BOB, ADMIN, BOX = (
    {"Authorization": f"Bearer {secret}"}
    for secret in ("alice-has-a-long-key", "bob-has-another-key", "the-operators-own-key", "black-box-has-this-key")
)
NEVER = "job_0123456789abcdefghij"
OVER = ("succeeded", "failed", "cancelled")


async def submit(
    house: House, path: str = CLASSIFY, headers: Mapping[str, str] | None = None, **body: Any
) -> dict[str, Any]:
    answer = await house.client.post(path, json={"images": [TEXT]} | body, headers=LATER | dict(headers or {}))
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/api/v1/jobs/{job['id']}"
    assert answer.headers["preference-applied"] == "respond-async"
    return job


async def look(house: House, job: str, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
    answer = await house.client.get(f"/api/v1/jobs/{job}", headers=headers)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def ended(house: House, job: str) -> dict[str, Any]:
    async with asyncio.timeout(20):
        while (found := await look(house, job))["state"] not in OVER:
            await asyncio.sleep(0.02)
    return found


async def under_way(house: House, job: str) -> dict[str, Any]:
    """`job`, once something is known of its progress."""
    async with asyncio.timeout(20):
        while (found := await look(house, job))["progress"] is None:
            await asyncio.sleep(0.02)
    return found


def age(house: House, job: str, seconds: float) -> None:
    """Let `job` have ended `seconds` earlier, and its artifacts with it."""
    with house.storage.database.transaction() as connection:
        at = time.time() - seconds
        connection.execute(sa.update(jobs).where(jobs.c.id == job).values(expires_at=at))
        for part in ("request", "states", "results"):
            house.storage.artifacts.expire(connection, f"job:{job}:{part}", at)


def swept(house: House) -> None:
    house.storage.jobs.expire(time.time())
    house.storage.artifacts.sweep(time.time())


# ── submitting ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CLASSIFY, {"parameters": {"layers": ["0"]}}),
        (ATTACK, {"method": "pgd", "parameters": {"steps": 4, "random_start": True}, "images": [TEXT, TEXT]}),
        (SALIENCY, {"method": ["gradient", "smoothgrad"], "seed": 3}),
    ],
)
async def test_a_job_ends_with_what_would_have_been_answered_at_once(
    house: House, path: str, body: dict[str, Any]
) -> None:
    job = await submit(house, path, **body, purpose="to see")
    assert (job["state"], job["purpose"], job["attempts"], job["images"]) == (
        "queued", "to see", 0, len(body.get("images", [TEXT])),
    )  # fmt: skip
    await house.do(job["id"])
    found = await look(house, job["id"])
    assert (found["state"], found["attempts"], found["problem"]) == ("succeeded", 1, None)
    assert found["created_at"] <= found["started_at"] <= found["ended_at"] < found["expires_at"]
    result = found["result"]
    headers = {"X-Request-ID": job["request_id"]}  # which an adversarial picture tells of
    at_once = (await house.client.post(path, json={"images": [TEXT]} | body, headers=headers)).json()
    for answer in (result, at_once):
        answer.pop("elapsed_ms")
    assert result == at_once


async def test_other_forms_of_a_job_are_those_of_a_reply(house: House) -> None:
    job = await submit(house, SALIENCY)
    there = f"/api/v1/jobs/{job['id']}"
    for accept in ("image/png", "application/x-npz"):
        said = assert_problem(await house.client.get(there, headers={"Accept": accept}), 404, "NOT_FOUND")
        assert "queued" in said["detail"]
    await house.do(job["id"])
    at_once = await house.client.post(SALIENCY, json={"images": [TEXT]}, headers={"Accept": "image/png"})
    picture = await house.client.get(there, headers={"Accept": "image/png"})
    assert (picture.headers["content-type"], picture.content) == ("image/png", at_once.content)
    packed = reply.from_npz((await house.client.get(there, headers={"Accept": "application/x-npz"})).content)
    plain = reply.from_json((await look(house, job["id"]))["result"])
    np.testing.assert_array_equal(packed["results"][0]["map"], plain["results"][0]["map"])
    assert packed["operation"] == "saliency"
    assert_problem(await house.client.get(there, headers={"Accept": "text/html"}), 406, "NOT_ACCEPTABLE")


@pytest.mark.parametrize(
    ("values", "later"),
    [
        (["respond-async"], True),
        (["Respond-Async"], True),
        (["respond-async; foo=bar"], True),
        (["wait=10, respond-async"], True),
        (['return=minimal;note="a, b"', "respond-async"], True),
        ([' respond-async ; foo="x;y"'], True),
        (['respond-async=""'], True),
        (["wait=10"], False),
        (['note="x, respond-async"'], False),
        (['note="\\", respond-async, \\""'], False),
        (["foo;respond-async"], False),
        (["respond-asynchronously"], False),
        ([""], False),
    ],
)
async def test_a_preference_is_read_as_rfc_7240_has_it(house: House, values: list[str], later: bool) -> None:
    headers = [("Prefer", value) for value in values]
    answer = await house.client.post(CLASSIFY, json={"images": [TEXT]}, headers=headers)
    assert answer.status_code == (202 if later else 200)


async def test_who_wants_events_and_a_job_gets_the_job(house: House) -> None:
    answer = await house.client.post(CLASSIFY, json={"images": [TEXT]}, headers=LATER | {"Accept": "text/event-stream"})
    assert (answer.status_code, answer.headers["content-type"]) == (202, "application/json")


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        (CLASSIFY, {"images": [base64_of(b"text")]}, 415, "NOT_AN_IMAGE"),
        (CLASSIFY, {"images": []}, 422, "BAD_PARAMETER"),
        (CLASSIFY, {"images": [], "dataset": "ds_0123456789abcdefghij"}, 404, "NOT_FOUND"),
        (CLASSIFY, {"dataset": "ds_0123456789abcdefghij"}, 422, "BAD_PARAMETER"),
        (CLASSIFY, {"deadline_s": 1e9}, 422, "BAD_PARAMETER"),
        (CLASSIFY, {"purpose": "\0"}, 422, "BAD_PARAMETER"),
        (CLASSIFY, {"purpose": "\ud800"}, 422, "BAD_PARAMETER"),
        (ATTACK, {"method": "pdg"}, 422, "BAD_PARAMETER"),
        ("/api/v1/models/smal/classify", {}, 404, "NOT_FOUND"),
    ],
)
async def test_what_is_wrong_is_said_at_once_and_is_no_job(
    house: House, path: str, body: dict[str, Any], status: int, code: str
) -> None:
    content = json.dumps({"images": [TEXT]} | body)
    headers = LATER | {"Content-Type": "application/json"}
    assert_problem(await house.client.post(path, content=content, headers=headers), status, code)
    assert (await house.client.get("/api/v1/jobs")).json() == {"jobs": [], "next_page_token": None}


@pytest.mark.parametrize("settings", [Settings(queued_jobs=2)])
async def test_nobody_queues_without_end(house: House) -> None:
    first, _ = await submit(house), await submit(house)
    answer = await house.client.post(CLASSIFY, json={"images": [TEXT]}, headers=LATER)
    assert "2 may" in assert_problem(answer, 503, "OVERLOADED")["detail"]
    assert answer.headers["retry-after"] == "30"
    await house.do(first["id"])
    await submit(house)


# ── the same key, the same job ──────────────────────────────────────────────────────────────────────────────────────


async def test_the_same_key_is_the_same_job_by_whichever_form(house: House) -> None:
    headers = {"Idempotency-Key": "one"}
    body = {"method": "pgd", "parameters": {"steps": 3, "epsilon": 0.01, "random_start": True}, "seed": 2}
    job = await submit(house, ATTACK, headers, **body)
    assert (await submit(house, ATTACK, headers, **body))["id"] == job["id"]
    fields = {"method": "pgd", "steps": "3", "epsilon": "0.01", "random_start": "true", "seed": "2"}
    by_form = await house.client.post(
        ATTACK, files={"image": ("a.png", PICTURE, "image/png")}, data=fields, headers=LATER | headers
    )
    assert (by_form.status_code, by_form.json()["id"]) == (202, job["id"])
    await house.do(job["id"])
    assert (await submit(house, ATTACK, headers, **body))["state"] == "succeeded"
    assert len((await house.client.get("/api/v1/jobs")).json()["jobs"]) == 1


async def test_the_same_key_is_the_same_job_though_its_dataset_is_gone(house: House) -> None:
    dataset = await house.storage.datasets.add("", "pets", plain_zip({"0/a.png": PICTURE}))
    headers, body = {"Idempotency-Key": "one"}, {"images": [], "dataset": dataset["id"]}
    job = await submit(house, headers=headers, **body)
    assert (await house.client.delete(f"/api/v1/datasets/{dataset['id']}")).status_code == 204
    assert await submit(house, headers=headers, **body) == job
    answer = await house.client.post(CLASSIFY, json=body, headers=LATER | {"Idempotency-Key": "two"})
    assert_problem(answer, 404, "NOT_FOUND")


@pytest.mark.parametrize(
    "other", [{"seed": 1}, {"images": [TEXT, TEXT]}, {"images": [base64_of(png(noise(8, 8)))]}, {"purpose": "other"}]
)
async def test_the_same_key_with_another_request_is_a_conflict(house: House, other: dict[str, Any]) -> None:
    headers = {"Idempotency-Key": "one"}
    job = await submit(house, headers=headers)
    answer = await house.client.post(CLASSIFY, json={"images": [TEXT]} | other, headers=LATER | headers)
    assert job["id"] in assert_problem(answer, 409, "CONFLICT")["detail"]
    answer = await house.client.post(SALIENCY, json={"images": [TEXT]}, headers=LATER | headers)
    assert_problem(answer, 409, "CONFLICT")


@pytest.mark.parametrize("house", [KEYS], indirect=True)
async def test_anothers_key_is_another_job(house: House) -> None:
    headers = {"Idempotency-Key": "one"}
    alices, bobs = await submit(house, headers=ALICE | headers), await submit(house, headers=BOB | headers)
    assert alices["id"] != bobs["id"]


async def test_several_at_once_with_one_key_are_one_job(house: House) -> None:
    found = await asyncio.gather(*(submit(house, headers={"Idempotency-Key": "one"}) for _ in range(5)))
    assert len({job["id"] for job in found}) == 1


@pytest.mark.parametrize("key", ["", "two words", "ü", "x" * 256, "a\tb"], ids=ascii)
async def test_a_key_that_is_none_is_told(house: House, key: str) -> None:
    headers = [*LATER.items(), ("Idempotency-Key", key.encode("latin-1"))]
    answer = await house.client.post(CLASSIFY, json={"images": [TEXT]}, headers=headers)
    said = assert_problem(answer, 422, "BAD_PARAMETER")
    assert said["errors"][0]["pointer"] == "/Idempotency-Key"
    assert "255" in said["detail"]


async def test_two_keys_are_one_too_many(house: House) -> None:
    headers = [*LATER.items(), ("Idempotency-Key", "one"), ("Idempotency-Key", "two")]
    answer = await house.client.post(CLASSIFY, json={"images": [TEXT]}, headers=headers)
    assert "2 times" in assert_problem(answer, 422, "BAD_PARAMETER")["detail"]


# ── following ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def events(house: House, job: str, after: str | None = None) -> AsyncIterator[dict[str, str]]:
    """The events of `job`, as they come."""
    headers = {"Last-Event-ID": after} if after is not None else {}
    answer = await house.client.get(f"/api/v1/jobs/{job}/events", headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8"), (
        answer.text
    )
    for block in answer.text.split("\n\n"):
        if block and not block.startswith(":"):
            yield dict(line.split(": ", 1) for line in block.split("\n"))  # type: ignore[misc]


@pytest.fixture
def talkative(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is new of a job is kept at once."""
    monkeypatch.setattr("service.jobs.runner.KEEP_S", 0.01)


async def test_events_taken_up_anywhere_miss_and_repeat_nothing(house: House, talkative: None, doing: None) -> None:
    job = (await submit(house, ATTACK, **LONG | {"images": [TEXT]}))["id"]
    told = [event async for event in events(house, job)]
    assert [int(event["id"]) for event in told] == list(range(1, len(told) + 1))
    assert [event["event"] for event in told] == ["progress"] * (len(told) - 1) + ["result"]
    steps = [json.loads(event["data"])["step"] for event in told[:-1]]
    assert len(steps) > 1 and steps == sorted(set(steps))
    found = await look(house, job)
    assert json.loads(told[-1]["data"]) == {"state": "succeeded", **found["result"]}
    assert json.loads(told[-2]["data"]) == found["progress"]
    for after in range(len(told)):
        assert [event async for event in events(house, job, str(after))] == told[after:]


async def test_an_objective_that_is_no_number_is_null(
    house: House, talkative: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = house.engine.ask

    async def endless(*args: Any, **named: Any) -> AsyncGenerator[Frame, None]:
        async with aclosing(ask(*args, **named)) as frames:
            async for frame in frames:
                yield (
                    Frame(frame.kind, {**frame.body, "objective": float("inf")}) if frame.kind == "progress" else frame
                )
                await asyncio.sleep(0.01)

    monkeypatch.setattr(house.engine, "ask", endless)
    job = (await submit(house, ATTACK, method="pgd", parameters={"steps": 20}))["id"]
    await house.do(job)
    assert (await look(house, job))["progress"]["objective"] is None
    *told, _ = [json.loads(event["data"]) async for event in events(house, job)]
    assert told and {progress["objective"] for progress in told} == {None}


async def test_who_has_seen_the_last_event_is_not_kept_waiting(house: House) -> None:
    job = (await submit(house))["id"]
    await house.do(job)
    *_, last = [event async for event in events(house, job)]
    there = f"/api/v1/jobs/{job}/events"
    answer = await house.client.get(there, headers={"Last-Event-ID": last["id"]})
    assert (answer.status_code, answer.content) == (204, b"")
    said = assert_problem(
        await house.client.get(there, headers={"Last-Event-ID": str(int(last["id"]) + 1)}), 422, "BAD_PARAMETER"
    )
    assert said["errors"][0]["pointer"] == "/Last-Event-ID"
    assert (await house.client.get(there, headers={"Last-Event-ID": ""})).status_code == 200


async def test_the_head_of_events_is_not_waited_for(house: House) -> None:
    job = (await submit(house))["id"]
    async with asyncio.timeout(5):
        answer = await house.client.head(f"/api/v1/jobs/{job}/events")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    for path in (f"/api/v1/jobs/{job}", "/api/v1/jobs"):
        assert (await house.client.head(path)).status_code == 200


async def test_a_store_that_is_away_for_a_while_costs_no_event(house: House) -> None:
    job = (await submit(house))["id"]

    async def follow() -> list[dict[str, str]]:
        return [event async for event in events(house, job)]

    following = asyncio.create_task(follow())
    await asyncio.sleep(0.1)
    break_database(house.home)
    house.storage.database.close()
    await asyncio.sleep(0.6)  # three looks
    mend_database(house.home)
    await house.do(job)
    told = await following
    assert [event["id"] for event in told] == [str(i + 1) for i in range(len(told))]
    assert told[-1]["event"] == "result"


async def test_a_result_that_is_lost_is_not_waited_for_without_end(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.following.PATIENCE_S", 0.1)
    job = (await submit(house))["id"]
    await house.do(job)
    shutil.rmtree(house.home / "artifacts")
    async with asyncio.timeout(5):
        *_, last = [event async for event in events(house, job)]
    assert (last["event"], json.loads(last["data"])["code"]) == ("problem", "STORAGE_AWAY")
    assert "id" not in last


async def test_a_job_that_fails_tells_its_problem_everywhere(house: House) -> None:
    job = await submit(house, ATTACK, method="pgd")
    house.engine.models = {}
    await house.do(job["id"])
    found = await look(house, job["id"])
    assert (found["state"], found["problem"]["code"]) == ("failed", "NOT_FOUND")
    assert found["problem"]["request_id"] == job["request_id"]
    assert not {"result", "partial_result"} & found.keys()
    (event,) = [event async for event in events(house, job["id"])]
    assert (event["event"], json.loads(event["data"])) == ("problem", found["problem"])


# ── ending ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def cancel(house: House, job: str, **said: Any) -> dict[str, Any]:
    answer = await house.client.post(f"/api/v1/jobs/{job}/cancel", **said)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_job_that_nobody_has_begun_is_cancelled_at_once(house: House) -> None:
    job = await submit(house)
    found = await cancel(house, job["id"], json={"reason": "a body is no matter"})
    assert (found["state"], found["problem"]["code"]) == ("cancelled", "JOB_CANCELLED")
    await house.do(job["id"])
    assert house.engine.asked == []
    assert await look(house, job["id"]) == found
    (event,) = [event async for event in events(house, job["id"])]
    assert (event["event"], json.loads(event["data"])) == ("problem", found["problem"])


@pytest.mark.parametrize("settings", [Settings(state_s=0.01)])
async def test_a_job_under_way_stops_and_keeps_what_it_has(house: House, talkative: None, doing: None) -> None:
    job = (await submit(house, ATTACK, **LONG))["id"]
    await under_way(house, job)
    assert (await cancel(house, job))["cancel_requested"] is True
    found = await ended(house, job)
    assert found["state"] == "cancelled"
    assert found["problem"] is None
    entries = found["partial_result"]["results"]
    assert len(entries) == 3
    assert any(entry and entry["partial"] for entry in entries)
    assert "result" not in found
    *_, last = [event async for event in events(house, job)]
    assert json.loads(last["data"]) == {"state": "cancelled", **found["partial_result"]}
    rows = house.engine.worker.snapshot()["rows"]["gradient"]
    await asyncio.sleep(0.3)
    assert house.engine.worker.snapshot()["rows"]["gradient"] == rows


async def test_what_is_over_is_not_cancelled(house: House) -> None:
    job = (await submit(house))["id"]
    await house.do(job)
    found = await look(house, job)
    assert await cancel(house, job) == {name: value for name, value in found.items() if name != "result"}
    assert await look(house, job) == found


async def test_only_what_is_over_is_removed(house: House) -> None:
    job = (await submit(house, CLASSIFY, parameters={"layers": ["0"]}))["id"]
    said = assert_problem(await house.client.delete(f"/api/v1/jobs/{job}"), 409, "CONFLICT")
    assert "cancel" in said["detail"]
    await house.do(job)
    answer = await house.client.delete(f"/api/v1/jobs/{job}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert_problem(await house.client.get(f"/api/v1/jobs/{job}"), 404, "NOT_FOUND")
    assert_problem(await house.client.delete(f"/api/v1/jobs/{job}"), 404, "NOT_FOUND")
    house.storage.artifacts.sweep(time.time())
    assert house.storage.artifacts.usage().count == 0


async def test_a_job_expires_and_later_nobody_knows_of_it(house: House) -> None:
    job = (await submit(house))["id"]
    await house.do(job)
    age(house, job, 1)
    swept(house)
    for verb, path in (("GET", ""), ("GET", "/events"), ("POST", "/cancel")):
        said = assert_problem(await house.client.request(verb, f"/api/v1/jobs/{job}{path}"), 410, "EXPIRED")
        assert "submit it anew" in said["detail"]
    assert (await house.client.get("/api/v1/jobs")).json()["jobs"] == []
    assert house.storage.artifacts.usage().count == 0
    age(house, job, house.core.settings.retention_s + 1)
    swept(house)
    assert_problem(await house.client.get(f"/api/v1/jobs/{job}"), 404, "NOT_FOUND")


# ── artifacts ───────────────────────────────────────────────────────────────────────────────────────────────────────

SMALL_LIMIT = Settings(inline_bytes=1024)


async def fetched(house: House, reference: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> bytes:
    answer = await house.client.get(reference["href"], headers=headers)
    assert answer.status_code == 200, answer.text
    assert hashlib.sha256(answer.content).hexdigest() == reference["sha256"]
    assert len(answer.content) == reference["bytes"]
    return answer.content


@pytest.mark.parametrize("settings", [SMALL_LIMIT])
@pytest.mark.parametrize("later", [True, False], ids=["of a job", "of a reply"])
async def test_an_href_has_the_exact_array_and_the_exact_picture(house: House, later: bool) -> None:
    body = {"images": [TEXT], "method": "fgsm"}
    answer = await house.client.post(ATTACK, json=body, headers=LATER if later else {})
    if later:
        await house.do(answer.json()["id"])
    members = (await look(house, answer.json()["id"]))["result"] if later else answer.json()
    (result,) = members["results"]
    exact = np.load(io.BytesIO(await fetched(house, result["exact"]["image"])), allow_pickle=False)
    picture = await fetched(house, result["adversarial"])
    assert Image.open(io.BytesIO(picture)).size == (30, 20)
    # NPZ keeps arrays inside, and a picture alone is a picture.
    packed = await house.client.post(ATTACK, json=body, headers={"Accept": "application/x-npz"})
    np.testing.assert_array_equal(reply.from_npz(packed.content)["results"][0]["exact"]["image"], exact)
    if later:
        there = f"/api/v1/jobs/{answer.json()['id']}"
        assert (await house.client.get(there, headers={"Accept": "image/png"})).content == picture
        packed = await house.client.get(there, headers={"Accept": "application/x-npz"})
        (result,) = reply.from_npz(packed.content)["results"]
        np.testing.assert_array_equal(result["exact"]["image"], exact)
        assert result["adversarial"] == picture


async def test_what_is_too_much_for_one_file_is_fetched_part_by_part(house: House) -> None:
    pictures = [base64_of(png(noise(90, 100, seed=i))) for i in range(3)]
    job = (await submit(house, ATTACK, images=pictures, include=["adversarial", "exact"]))["id"]
    await house.do(job)
    there = f"/api/v1/jobs/{job}"
    house.core.settings = house.core.settings.model_copy(update={"reply_bytes": 200_000})
    said = assert_problem(await house.client.get(there, headers={"Accept": "application/x-npz"}), 413, "TOO_LARGE")
    assert "application/json" in said["detail"] and "200000" in said["detail"]
    for result in (await look(house, job))["result"]["results"]:
        await fetched(house, result["exact"]["image"])


@pytest.mark.parametrize("settings", [Settings(inline_bytes=1024, reply_bytes=6000)])
async def test_a_reply_is_as_large_as_what_is_sent_of_it(house: House) -> None:
    body = {"images": [base64_of(png(noise(90, 100)))]}
    (result,) = (await house.client.post(SALIENCY, json=body)).json()["results"]
    assert len(await fetched(house, result["overlay"])) > house.core.settings.reply_bytes
    answer = await house.client.post(SALIENCY, json=body, headers={"Accept": "application/x-npz"})
    assert_problem(answer, 413, "TOO_LARGE")


@pytest.mark.parametrize("settings", [Settings(reply_bytes=40_000)])
async def test_a_result_of_many_parts_can_be_fetched_however_many(house: House) -> None:
    compare = [{"method": "gradient", "target": target} for target in range(5)] * 3
    job = (await submit(house, SALIENCY, compare=compare))["id"]
    await house.do(job)
    (result,) = (await look(house, job))["result"]["results"]
    assert len(result["maps"]) == 15
    assert Image.open(io.BytesIO(await fetched(house, result["overlay"]))).format == "PNG"


@pytest.mark.parametrize("settings", [SMALL_LIMIT])
async def test_an_event_stream_ends_with_hrefs_too(house: House) -> None:
    answer = await house.client.post(SALIENCY, json={"images": [TEXT]}, headers={"Accept": "text/event-stream"})
    (data,) = [line.removeprefix("data: ") for line in answer.text.split("\n") if line.startswith('data: {"model')]
    await fetched(house, json.loads(data)["results"][0]["overlay"])


@pytest.mark.parametrize("settings", [SMALL_LIMIT])
async def test_what_cannot_be_kept_stays_in_the_reply(house: House) -> None:
    with_href = (await house.client.post(SALIENCY, json={"images": [TEXT]})).json()["results"][0]["overlay"]
    picture = await fetched(house, with_href)
    break_database(house.home)
    house.storage.database.close()
    inline = (await house.client.post(SALIENCY, json={"images": [TEXT]})).json()["results"][0]["overlay"]
    assert base64.b64decode(inline) == picture


@pytest.mark.parametrize("settings", [SMALL_LIMIT.model_copy(update={"href_s": 0.3})])
async def test_an_href_of_a_reply_ends_and_one_that_a_job_needs_stays(house: House) -> None:
    at_once = (await house.client.post(SALIENCY, json={"images": [TEXT]})).json()["results"][0]["overlay"]
    other = await house.client.post(SALIENCY, json={"images": [base64_of(png(noise(9, 9, seed=7)))]})
    alone = other.json()["results"][0]["overlay"]
    job = (await submit(house, SALIENCY))["id"]
    await house.do(job)
    assert (await look(house, job))["result"]["results"][0]["overlay"] == at_once
    await asyncio.sleep(0.35)
    house.storage.artifacts.sweep(time.time())
    await fetched(house, at_once)
    assert_problem(await house.client.get(alone["href"]), 404, "NOT_FOUND")
    age(house, job, 1)
    assert_problem(await house.client.get(at_once["href"]), 404, "NOT_FOUND")
    swept(house)
    assert house.storage.artifacts.usage().count == 0


# ── whose it is ─────────────────────────────────────────────────────────────────────────────────────────────────────

#: Every route that names a job, with what it answers whom it belongs to.
ROUTES = [
    ("GET", "", 200),
    ("GET", "/events", 200),
    ("POST", "/cancel", 200),
    ("DELETE", "", 204),
]


@pytest.mark.parametrize("house", [KEYS], indirect=True)
@pytest.mark.parametrize("settings", [SMALL_LIMIT])
async def test_anothers_job_and_its_artifacts_are_as_if_they_never_were(house: House) -> None:
    job = (await submit(house, SALIENCY, ALICE))["id"]
    await house.do(job)
    reference = (await look(house, job, ALICE))["result"]["results"][0]["overlay"]
    never = "0" * 64
    for headers, there in ((BOB, False), (ALICE, True), (ADMIN, True)):
        listed = (await house.client.get("/api/v1/jobs", headers=headers)).json()["jobs"]
        assert [one["id"] for one in listed] == ([job] if there else [])
    for verb, path, _ in ROUTES:
        answers = [await house.client.request(verb, f"/api/v1/jobs/{name}{path}", headers=BOB) for name in (job, NEVER)]
        found, missing = (assert_problem(answer, 404, "NOT_FOUND")["detail"] for answer in answers)
        assert found.replace(job, NEVER) == missing
    found, missing = [
        assert_problem(await house.client.get(f"/api/v1/artifacts/{name}", headers=BOB), 404, "NOT_FOUND")["detail"]
        for name in (reference["sha256"], never)
    ]
    assert found.replace(reference["sha256"][:70], never[:70]) == missing
    for headers in (ALICE, ADMIN):
        await fetched(house, reference, headers)
        for verb, path, status in ROUTES[:-1]:
            answer = await house.client.request(verb, f"/api/v1/jobs/{job}{path}", headers=headers)
            assert answer.status_code == status
    assert (await house.client.delete(f"/api/v1/jobs/{job}", headers=ADMIN)).status_code == 204


@pytest.mark.parametrize("house", [KEYS], indirect=True)
@pytest.mark.parametrize("settings", [SMALL_LIMIT])
async def test_the_same_request_id_and_content_are_still_two_owners(house: House) -> None:
    headers = {"X-Request-ID": "the-same"}
    answers = [
        (await house.client.post(SALIENCY, json={"images": [TEXT]}, headers=owner | headers)).json()
        for owner in (ALICE, BOB)
    ]
    first, second = (answer["results"][0]["overlay"] for answer in answers)
    assert first == second
    for owner in (ALICE, BOB):
        await fetched(house, first, owner)


@pytest.mark.parametrize("house", [KEYS], indirect=True)
@pytest.mark.parametrize("settings", [SMALL_LIMIT.model_copy(update={"inline_bytes": 100})])
async def test_a_key_for_queries_alone_has_nothing_of_it(house: House) -> None:
    for verb, path in (
        ("GET", "/jobs"),
        *((verb, f"/jobs/{NEVER}{path}") for verb, path, _ in ROUTES),
        ("GET", "/datasets"),
        ("POST", "/datasets"),
        ("GET", "/datasets/ds_0123456789abcdefghij"),
        ("DELETE", "/datasets/ds_0123456789abcdefghij"),
        ("GET", f"/artifacts/{'0' * 64}"),
    ):
        assert_problem(await house.client.request(verb, f"/api/v1{path}", headers=BOX), 403, "FORBIDDEN")
    answer = await house.client.post(CLASSIFY, json={"images": [TEXT]}, headers=BOX | LATER)
    assert_problem(answer, 403, "FORBIDDEN")
    answer = await house.client.post(CLASSIFY, json={"dataset": "ds_0123456789abcdefghij"}, headers=BOX)
    assert_problem(answer, 403, "FORBIDDEN")
    large = {"images": [TEXT], "parameters": {"layers": ["0"]}}
    others = await house.client.post(CLASSIFY, json=large, headers=BOB)
    assert others.json()["results"][0]["activations"]["0"].keys() == {"href", "sha256", "bytes"}
    assert_problem(await house.client.post(CLASSIFY, json=large, headers=BOX), 403, "FORBIDDEN")


@pytest.mark.parametrize(
    ("verb", "path", "allowed"),
    [
        ("PUT", "/jobs", "GET"),
        ("POST", f"/jobs/{NEVER}", "DELETE, GET"),
        ("GET", f"/jobs/{NEVER}/cancel", "POST"),
        ("POST", f"/jobs/{NEVER}/events", "GET"),
        ("DELETE", f"/artifacts/{'0' * 64}", "GET"),
    ],
)
async def test_a_wrong_verb_is_a_405(house: House, verb: str, path: str, allowed: str) -> None:
    answer = await house.client.request(verb, f"/api/v1{path}")
    assert_problem(answer, 405, "METHOD_NOT_ALLOWED")
    assert set(answer.headers["allow"].split(", ")) <= set(allowed.split(", "))


# ── lists ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_pages_walk_over_each_once_while_others_arrive(house: House) -> None:
    old = [(await submit(house))["id"] for _ in range(7)]
    seen: list[str] = []
    query: dict[str, Any] = {"page_size": 3}
    for _ in range(10):
        page = (await house.client.get("/api/v1/jobs", params=query)).json()
        seen += [job["id"] for job in page["jobs"]]
        await submit(house)
        if (token := page["next_page_token"]) is None:
            break
        query["page_token"] = token
    assert seen == old[::-1]


async def test_a_list_may_be_of_one_state(house: House) -> None:
    queued, done = (await submit(house))["id"], (await submit(house))["id"]
    await house.do(done)
    for state, expected in (("queued", [queued]), ("succeeded", [done]), ("failed", [])):
        listed = (await house.client.get("/api/v1/jobs", params={"state": state})).json()["jobs"]
        assert [job["id"] for job in listed] == expected
    assert (
        "interrupted"
        in assert_problem(await house.client.get("/api/v1/jobs?state=lost"), 422, "BAD_PARAMETER")["detail"]
    )


# ── a store that is away ────────────────────────────────────────────────────────────────────────────────────────────


async def test_without_a_database_jobs_are_a_503_and_all_else_goes_on(house: House) -> None:
    job = (await submit(house))["id"]
    break_database(house.home)
    house.storage.database.close()
    for verb, path in (
        ("GET", "/jobs"),
        *((verb, f"/jobs/{job}{path}") for verb, path, _ in ROUTES),
        ("GET", "/datasets"),
        ("GET", "/datasets/ds_0123456789abcdefghij"),
        ("DELETE", "/datasets/ds_0123456789abcdefghij"),
        ("GET", f"/artifacts/{'0' * 64}"),
    ):
        answer = await house.client.request(verb, f"/api/v1{path}")
        assert_problem(answer, 503, "STORAGE_AWAY")
        assert int(answer.headers["retry-after"]) > 0
    assert_problem(await house.client.post(CLASSIFY, json={"images": [TEXT]}, headers=LATER), 503, "STORAGE_AWAY")
    assert (await house.client.post(CLASSIFY, json={"images": [TEXT]})).status_code == 200
    assert (await house.client.get("/readyz")).status_code == 200
    mend_database(house.home)
    assert (await look(house, job))["state"] == "queued"


async def test_a_job_waits_for_a_database_that_is_away_and_loses_nothing(house: House, talkative: None) -> None:
    async with doing_jobs(house.core):
        job = (await submit(house, ATTACK, **LONG))["id"]
        assert (await under_way(house, job))["state"] == "running"
        break_database(house.home)
        house.storage.database.close()
        await asyncio.sleep(1.5)
        mend_database(house.home)
        found = await ended(house, job)
    assert (found["state"], found["attempts"]) == ("succeeded", 1)


# ── whatever is sent ────────────────────────────────────────────────────────────────────────────────────────────────

ODD = st.text(max_size=30) | st.binary(max_size=20).map(lambda raw: raw.decode("latin-1"))
NUMBERS = st.integers().map(str) | st.floats().map(str)
PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
TOKENS = st.binary(max_size=40) | st.recursive(PLAIN, lambda part: st.lists(part, max_size=3)).map(
    lambda value: json.dumps(value).encode()
)
HEADERS = st.dictionaries(
    st.sampled_from(["Last-Event-ID", "Prefer", "Idempotency-Key", "Accept", "X-Request-ID"]),
    (ODD | NUMBERS).map(lambda text: text.encode(errors="replace").translate(None, b"\r\n\0")),
    max_size=3,
)
QUERIES = st.dictionaries(
    st.sampled_from(["page_size", "page_token", "state", "name"]),
    ODD | NUMBERS | TOKENS.map(lambda raw: base64.urlsafe_b64encode(raw).decode()),
)
PATHS = st.sampled_from(["/jobs/{}", "/jobs/{}/events", "/jobs/{}/cancel", "/datasets/{}", "/artifacts/{}"])
NAMES = st.sampled_from([NEVER, "job_" + "é" * 20, "0" * 64, "%00", "..", "ds_0123456789abcdefghij"]) | st.binary(
    min_size=1, max_size=20
).map(lambda raw: "".join(f"%{byte:02x}" for byte in raw))


@examples(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    verb=st.sampled_from(["GET", "POST", "DELETE", "HEAD"]),
    path=st.builds(str.format, PATHS, NAMES) | st.sampled_from(["/jobs", "/datasets", "/models/small/classify"]),
    query=QUERIES,
    headers=HEADERS,
)
async def test_no_query_is_our_fault(
    house: House, verb: str, path: str, query: dict[str, str], headers: dict[str, bytes]
) -> None:
    params = {name: value.encode(errors="surrogatepass") for name, value in query.items()}
    body = {"json": {"images": [TEXT]}} if verb == "POST" else {}
    request = house.client.build_request(verb, f"/api/v1{path}", params=params, headers=headers, **body)
    answer = await house.client.send(request)
    assert answer.status_code < 500, answer.text


# ── the same on PostgreSQL ──────────────────────────────────────────────────────────────────────────────────────────


class TestOnPostgres:
    """What its own ways could spoil: odd characters, connections that break, two who write at once."""

    @pytest.fixture
    def settings(self, postgres: Postgres, tmp_path: Path) -> Iterator[Settings]:
        url = postgres.database()
        yield Settings(home=tmp_path, database=url, heartbeat_s=0.05)  # type: ignore[arg-type]
        postgres.drop(url)

    @pytest.mark.parametrize("name", ["%00", "job_%00", "job_" + "%c3%a9" * 20, "%ff", "x" * 9999, NEVER])
    async def test_no_id_is_our_fault(self, house: House, name: str) -> None:
        for verb, path, _ in ROUTES:
            assert_problem(await house.client.request(verb, f"/api/v1/jobs/{name}{path}"), 404, "NOT_FOUND")
        for path in (f"/datasets/{name}", f"/artifacts/{name}"):
            assert_problem(await house.client.get(f"/api/v1{path}"), 404, "NOT_FOUND")

    async def test_from_the_beginning_to_the_end(self, house: House, doing: None) -> None:
        headers = {"Idempotency-Key": "one"}
        body = {"images": [TEXT], "method": "pgd", "parameters": {"steps": 20}}
        found = await asyncio.gather(*(submit(house, ATTACK, headers, **body) for _ in range(4)))
        (job,) = {one["id"] for one in found}
        told = [event async for event in events(house, job)]
        assert [event["id"] for event in told] == [str(i + 1) for i in range(len(told))]
        assert json.loads(told[-1]["data"]) == {"state": "succeeded", **(await look(house, job))["result"]}
        assert (await house.client.delete(f"/api/v1/jobs/{job}")).status_code == 204
        assert_problem(await house.client.get(f"/api/v1/jobs/{job}"), 404, "NOT_FOUND")

    async def test_a_server_that_is_stopped_is_a_503_until_it_is_back(self, house: House, postgres: Postgres) -> None:
        job = (await submit(house))["id"]
        with postgres.stopped():
            answer = await house.client.get(f"/api/v1/jobs/{job}")
            assert_problem(answer, 503, "STORAGE_AWAY")
            assert int(answer.headers["retry-after"]) > 0
            assert (await house.client.post(CLASSIFY, json={"images": [TEXT]})).status_code == 200
        assert (await look(house, job))["state"] == "queued"
