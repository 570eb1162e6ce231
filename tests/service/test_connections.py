"""Connections of strangers, on a real port: what they may send before anybody asks for a key, and for how long."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import httpx2
import pytest

from service.connections import HEAD_BYTES
from service.serve import Web
from tests.service.conftest import House

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
async def port(house: House) -> AsyncIterator[int]:
    """Of a real server with few connections and little patience."""
    settings = house.core.settings.model_copy(update={"port": 0, "connections": 3, "head_s": 0.3})
    web = Web(house.app, settings)
    await web.start()
    yield int(web.url.rpartition(":")[2])
    await web.stop()


async def said(connection: Connection, *, within: float = 5.0) -> bytes:
    """All that comes until the end."""
    async with asyncio.timeout(within):
        try:
            return await connection[0].read()
        except ConnectionResetError:
            return b""


async def open_to(port: int, stack: AsyncExitStack) -> Connection:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    stack.callback(writer.close)
    return reader, writer


async def test_a_head_that_is_too_large_is_refused_before_it_is_whole(port: int) -> None:
    async with AsyncExitStack() as stack:
        connection = await open_to(port, stack)
        connection[1].write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 2 * HEAD_BYTES)
        head, _, body = (await said(connection)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400")
    assert b"application/problem+json" in head
    assert json.loads(body)["code"] == "UNREADABLE"


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"GET /healthz HTTP/1.1\r\nHost: local", id="half a head"),
        pytest.param(
            b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /healthz HTTP/1.1\r\nHost: local",
            id="half a second head",
        ),
        pytest.param(
            b"POST /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nbody",
            id="half a body that nobody wants",
        ),
    ],
)
async def test_a_connection_that_does_not_go_on_is_cut(sent: bytes, port: int) -> None:
    async with AsyncExitStack() as stack:
        connection = await open_to(port, stack)
        begun = time.monotonic()
        connection[1].write(sent)
        await said(connection)
    assert 0.2 < time.monotonic() - begun < 3


async def test_a_connection_in_use_is_not_cut(house: House, port: int) -> None:
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        end = time.monotonic() + 0.7
        while time.monotonic() < end:
            assert (await client.get("/healthz")).status_code == 200
            await asyncio.sleep(0.05)


async def test_more_connections_than_there_may_be_are_told_so_and_many_more_cut(port: int) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(3):
            await open_to(port, stack)
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            answer = await client.get("/healthz", headers={"X-Request-ID": "mine"})
        assert (answer.status_code, answer.json()["code"]) == (503, "OVERLOADED")
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["x-request-id"] == "mine"
        assert answer.headers["retry-after"]
        for _ in range(3):
            await open_to(port, stack)
        assert await said(await open_to(port, stack), within=0.2) == b""
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        assert (await client.get("/healthz")).status_code == 200
