"""What needs a real connection: events as they come, callers who hang up, bodies without end."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa
import uvicorn

from rakinglight import reply
from rakinglight.errors import Overloaded
from service.database.schema import jobs
from service.settings import Settings
from tests.service.conftest import House
from tests.service.pictures_at_hand import base64_of, noise, png

TEXT = base64_of(png(noise()))
CLASSIFY = "/api/v1/models/small/classify"
ATTACK = "/api/v1/models/small/attack"
#: As many steps as there may be, by three images: longer than any of these tests waits.
LONG = {"images": [TEXT] * 3, "method": "pgd", "parameters": {"steps": 1000}, "include": []}
EVENTS = {"Accept": "text/event-stream"}


@pytest.fixture
async def address(house: House) -> AsyncIterator[tuple[str, int]]:
    """Of a real server on a free port."""
    config = uvicorn.Config(house.app, port=0, log_config=None, lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    socket = config.bind_socket()
    serving = asyncio.create_task(server.serve([socket]))
    while not server.started:
        await asyncio.sleep(0.005)
    yield socket.getsockname()
    server.should_exit = True
    await serving
    socket.close()


@pytest.fixture
async def client(address: tuple[str, int]) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{address[1]}", timeout=30) as client:
        yield client


async def events(response: httpx2.Response) -> AsyncGenerator[dict[str, str], None]:
    """The events of a stream, each with its id, name and text; a comment is an event of its own."""
    event: dict[str, str] = {}
    async for line in response.aiter_lines():
        if line.startswith(":"):
            yield {"comment": line}
        elif line:
            name, _, value = line.partition(": ")
            event[name] = value
        elif event:
            yield event
            event = {}


async def all_events(client: httpx2.AsyncClient, path: str, body: dict[str, Any]) -> list[dict[str, str]]:
    async with client.stream("POST", path, json=body, headers=EVENTS) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        return [event async for event in events(response)]


async def test_progress_and_then_one_result(client: httpx2.AsyncClient) -> None:
    body = LONG | {"images": [TEXT], "parameters": {"steps": 300}}
    told = [event for event in await all_events(client, ATTACK, body) if "id" in event]
    assert [event["event"] for event in told] == ["progress"] * (len(told) - 1) + ["result"]
    assert [int(event["id"]) for event in told] == sorted({int(event["id"]) for event in told})
    progress = [json.loads(event["data"]) for event in told[:-1]]
    assert all(set(p) == {"image", "step", "of", "objective"} and p["of"] == 300 for p in progress)
    result = json.loads(told[-1]["data"])
    plain = (await client.post(ATTACK, json=body)).json()
    assert result["results"] == plain["results"]


async def test_silence_is_filled(client: httpx2.AsyncClient, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    ask = house.engine.ask

    async def late(*args: Any, **named: Any) -> AsyncGenerator[Any, None]:
        await asyncio.sleep(4 * house.core.settings.heartbeat_s)
        async with aclosing(ask(*args, **named)) as frames:
            async for frame in frames:
                yield frame

    monkeypatch.setattr(house.engine, "ask", late)
    told = await all_events(client, CLASSIFY, {"images": [TEXT]})
    assert "comment" in told[0]
    assert told[-1]["event"] == "result"


async def test_what_goes_wrong_on_the_way_is_an_event(client: httpx2.AsyncClient, house: House) -> None:
    house.engine.refusal = Overloaded("129 wait.", retry_after_s=2)
    (event,) = await all_events(client, CLASSIFY, {"images": [TEXT]})
    assert event["event"] == "problem"
    problem = json.loads(event["data"])
    assert (problem["code"], problem["retry_after_s"]) == ("OVERLOADED", 2)
    assert problem["request_id"]


async def test_what_was_wrong_from_the_start_is_no_stream(client: httpx2.AsyncClient) -> None:
    answer = await client.post(ATTACK, json={"images": [TEXT], "method": "pdg"}, headers=EVENTS)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


async def gone(house: House) -> None:
    """Wait until the engine has seen its caller go, and all is given back."""
    async with asyncio.timeout(10):
        await house.engine.ended_early.wait()
        await house.core.drained()
    assert house.core.bytes_held == 0
    assert set(house.engine.cancelled) == {"the-one"}


async def test_who_closes_a_stream_ends_the_work(client: httpx2.AsyncClient, house: House) -> None:
    headers = EVENTS | {"X-Request-ID": "the-one"}
    stream = client.stream("POST", ATTACK, json=LONG, headers=headers)
    async with stream as response, aclosing(events(response)) as told:
        while "comment" in (first := await anext(told)):  # a heartbeat, where the first step takes its time
            pass
        assert first["event"] == "progress"
    await gone(house)


async def test_who_hangs_up_on_a_plain_request_ends_the_work(client: httpx2.AsyncClient, house: House) -> None:
    asking = asyncio.create_task(client.post(ATTACK, json=LONG, headers={"X-Request-ID": "the-one"}))
    await house.engine.begun.wait()
    asking.cancel()
    await asyncio.wait([asking])
    await gone(house)


async def test_a_slow_reader_does_not_keep_the_others_waiting(client: httpx2.AsyncClient) -> None:
    async with client.stream("POST", ATTACK, json=LONG | {"images": [TEXT]}, headers=EVENTS):
        assert (await client.post(CLASSIFY, json={"images": [TEXT]})).status_code == 200


async def test_a_hundred_megabytes_are_refused(client: httpx2.AsyncClient, house: House) -> None:
    answer = await client.post(CLASSIFY, content=bytes(100 * 2**20), headers={"Content-Type": "application/json"})
    assert answer.status_code == 413
    assert answer.json()["code"] == "TOO_LARGE"
    assert str(house.core.settings.body_bytes) in answer.json()["detail"]
    assert (await client.post(CLASSIFY, json={"images": [TEXT]})).status_code == 200


async def test_a_body_of_no_stated_length_is_cut_off_at_the_limit(client: httpx2.AsyncClient, house: House) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield bytes(2**20)

    answer = await client.post(CLASSIFY, content=endless(), headers={"Content-Type": "application/json"})
    assert answer.status_code == 413
    assert house.core.bytes_held == 0


@asynccontextmanager
async def connected(address: tuple[str, int]) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(*address)
    try:
        yield reader, writer
    finally:
        writer.close()
        await writer.wait_closed()


async def test_who_waits_for_leave_is_told_before_it_sends(address: tuple[str, int]) -> None:
    """As curl does with large files."""
    async with connected(address) as (reader, writer):
        writer.write(
            f"POST {CLASSIFY} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            "Content-Length: 104857600\r\nExpect: 100-continue\r\n\r\n".encode()
        )
        async with asyncio.timeout(5):
            assert await reader.readline() == b"HTTP/1.1 413 Request Entity Too Large\r\n"


@pytest.mark.parametrize("settings", [Settings(upload_s=0.1)])
async def test_who_sends_a_body_too_slowly_is_told(address: tuple[str, int]) -> None:
    async with connected(address) as (reader, writer):
        writer.write(
            f"POST {CLASSIFY} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            "Content-Length: 1000\r\n\r\n{".encode()
        )
        async with asyncio.timeout(5):
            assert await reader.readline() == b"HTTP/1.1 400 Bad Request\r\n"


async def test_who_hangs_up_in_the_middle_of_a_body_leaves_nothing(address: tuple[str, int], house: House) -> None:
    async with connected(address) as (_, writer):
        writer.write(
            f"POST {CLASSIFY} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            "Content-Length: 1000\r\n\r\n{".encode()
        )
        await writer.drain()
        async with asyncio.timeout(5):
            while not house.core.under_way:
                await asyncio.sleep(0.005)
    async with asyncio.timeout(5):
        await house.core.drained()
    assert house.core.bytes_held == 0


async def test_merged_answers_are_those_one_gets_alone(client: httpx2.AsyncClient) -> None:
    bodies = [
        (ATTACK, {"method": "pgd", "parameters": {"steps": 5 + i}, "include": ["exact"], "images": [TEXT]})
        for i in range(6)
    ]
    bodies += [(f"/api/v1/models/small/{name}", {"images": [TEXT]}) for name in ("classify", "saliency")] * 3
    together = await asyncio.gather(*(client.post(path, json=body) for path, body in bodies))
    for (path, body), answer in zip(bodies, together, strict=True):
        alone = await client.post(path, json=body)
        assert reply.from_json(answer.json()["results"][0]["prediction"]) == alone.json()["results"][0]["prediction"]
        assert answer.json()["results"] == alone.json()["results"]


# ── jobs ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_who_closes_the_stream_of_a_job_ends_nothing(
    client: httpx2.AsyncClient, house: House, doing: None
) -> None:
    job = (await client.post(ATTACK, json=LONG, headers={"Prefer": "respond-async"})).json()["id"]
    async with client.stream("GET", f"/api/v1/jobs/{job}/events") as response, aclosing(events(response)) as told:
        while "comment" in (first := await anext(told)):  # a sign of life
            pass
    assert first["event"] == "progress"
    async with client.stream("GET", f"/api/v1/jobs/{job}/events", headers={"Last-Event-ID": first["id"]}) as response:
        rest = [event async for event in events(response) if "comment" not in event]
    assert [int(event["id"]) for event in rest] == list(range(2, len(rest) + 2))
    assert rest[-1]["event"] == "result"
    assert house.engine.cancelled == []


async def test_a_job_that_goes_is_the_end_of_its_stream_and_no_event(client: httpx2.AsyncClient, house: House) -> None:
    job = (await client.post(CLASSIFY, json={"images": [TEXT]}, headers={"Prefer": "respond-async"})).json()["id"]
    async with client.stream("GET", f"/api/v1/jobs/{job}/events") as response, aclosing(events(response)) as told:
        assert "comment" in await anext(told)
        with house.storage.database.transaction() as connection:
            connection.execute(sa.delete(jobs).where(jobs.c.id == job))
        while "comment" in (last := await anext(told)):
            pass
        assert [event async for event in told] == []
    assert (last["event"], json.loads(last["data"])["code"]) == ("problem", "NOT_FOUND")
    assert "id" not in last


async def test_a_submission_whose_caller_hangs_up_is_whole_or_none(client: httpx2.AsyncClient, house: House) -> None:
    body = {"images": [TEXT]}
    for i in range(30):
        headers = {"Prefer": "respond-async", "Idempotency-Key": f"key-{i}"}
        asking = asyncio.create_task(client.post(CLASSIFY, json=body, headers=headers))
        await asyncio.sleep(0.001 * i)
        asking.cancel()
        await asyncio.wait([asking])
    async with asyncio.timeout(10):
        await house.core.drained()
    listed = (await client.get("/api/v1/jobs?page_size=500")).json()["jobs"]
    again = {
        (
            await client.post(CLASSIFY, json=body, headers={"Prefer": "respond-async", "Idempotency-Key": f"key-{i}"})
        ).json()["id"]
        for i in range(30)
    }
    assert {job["id"] for job in listed} <= again
    assert len(again) == 30
    for job in listed:
        await house.do(job["id"])
        assert (await client.get(f"/api/v1/jobs/{job['id']}")).json()["state"] == "succeeded"
    assert house.core.bytes_held == 0
