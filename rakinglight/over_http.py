"""Calls over HTTP: what drives the flows of `rakinglight.call`, with threads and with asyncio."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, closing, suppress
from typing import Any, TypeVar

import httpx2

from rakinglight.call import Address, Call, Flow, Reply, ServiceAway, read_event
from rakinglight.results import Progress

R = TypeVar("R")

#: Bytes of one event: the largest reply that the service sends, as base64, with room to spare.
EVENT_LIMIT = 128 * 2**20


class HttpTransport:
    """Calls over HTTP, from any number of threads."""

    def __init__(self, address: Address, transport: httpx2.BaseTransport | None = None) -> None:
        self.address = address
        self._http = httpx2.Client(transport=transport, trust_env=not address.loopback)

    def __repr__(self) -> str:
        return self.address.url

    def models(self) -> list[dict[str, Any]]:
        return list(self._driven(self.address.get("models"))["models"])

    def model(self, name: str, version: str | None = None) -> dict[str, Any]:
        return dict(self._driven(self.address.get(_model_path(name, version))))

    def ask(self, call: Call) -> Reply:
        return self._driven(self.address.ask(call))

    def stream(self, call: Call) -> _HttpStream:
        return _HttpStream(self, call)

    def close(self) -> None:
        self._http.close()

    def _driven(self, flow: Flow[R], *, stream: bool = False) -> R:
        """Do what `flow` asks, and return what it returns."""
        try:
            asked = next(flow)
            while True:
                try:
                    response = None
                    if isinstance(asked, httpx2.Request):
                        response = self._http.send(asked, stream=stream)
                        if stream and response.is_error:
                            response.read()
                    else:
                        time.sleep(asked)
                except httpx2.TransportError as e:
                    asked = flow.throw(e)
                else:
                    asked = flow.send(response)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]


class _HttpStream:
    """The events of one call. Reading happens in one thread; `close` may come from another, in the middle of it."""

    def __init__(self, transport: HttpTransport, call: Call) -> None:
        self._transport = transport
        self._call = call
        self._response: httpx2.Response | None = None
        self._closed = False

    def __iter__(self) -> Iterator[Progress | Reply]:
        address = self._transport.address
        with closing(self._transport._driven(address.open(self._call), stream=True)) as response:
            self._response = response
            if self._closed:
                return
            try:
                for event in httpx2.EventSource(response, EVENT_LIMIT):
                    if self._closed:
                        return
                    if (news := read_event(event)) is not None:
                        yield news
                        if not isinstance(news, Progress):
                            return
            except httpx2.HTTPError as e:
                if self._closed:
                    return
                raise address.away(e) from e
            if not self._closed:
                raise _cut_short(address)

    def close(self) -> None:
        self._closed = True
        if self._response is not None and not self._response.is_closed:
            # Whoever waits for the next byte wakes up from this, which closing alone would not do.
            with suppress(OSError, KeyError, AttributeError):
                line = self._response.extensions["network_stream"].get_extra_info("socket")
                line.shutdown(socket.SHUT_RDWR)


class AsyncHttpTransport:
    """`HttpTransport`, for asyncio."""

    def __init__(self, address: Address, transport: httpx2.AsyncBaseTransport | None = None) -> None:
        self.address = address
        self._http = httpx2.AsyncClient(transport=transport, trust_env=not address.loopback)

    def __repr__(self) -> str:
        return self.address.url

    async def models(self) -> list[dict[str, Any]]:
        return list((await self._driven(self.address.get("models")))["models"])

    async def model(self, name: str, version: str | None = None) -> dict[str, Any]:
        return dict(await self._driven(self.address.get(_model_path(name, version))))

    async def ask(self, call: Call) -> Reply:
        return await self._driven(self.address.ask(call))

    async def stream(self, call: Call) -> AsyncGenerator[Progress | Reply, None]:
        async with aclosing(await self._driven(self.address.open(call), stream=True)) as response:
            try:
                async for event in httpx2.EventSource(response, EVENT_LIMIT):
                    if (news := read_event(event)) is not None:
                        yield news
                        if not isinstance(news, Progress):
                            return
            except httpx2.HTTPError as e:
                raise self.address.away(e) from e
            raise _cut_short(self.address)

    async def close(self) -> None:
        await self._http.aclose()

    async def _driven(self, flow: Flow[R], *, stream: bool = False) -> R:
        try:
            asked = next(flow)
            while True:
                try:
                    response = None
                    if isinstance(asked, httpx2.Request):
                        response = await self._http.send(asked, stream=stream)
                        if stream and response.is_error:
                            await response.aread()
                    else:
                        await asyncio.sleep(asked)
                except httpx2.TransportError as e:
                    asked = flow.throw(e)
                else:
                    asked = flow.send(response)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]


def _model_path(name: str, version: str | None) -> str:
    return f"models/{name}" + (f"/versions/{version}" if version else "")


def _cut_short(address: Address) -> ServiceAway:
    return address.away(ConnectionError("the stream ended before its result"))
