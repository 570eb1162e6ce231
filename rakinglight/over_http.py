"""What drives the flows of `rakinglight.flows`, with threads and with asyncio."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from contextlib import AsyncExitStack, ExitStack, aclosing, closing
from typing import Any, TypeVar

import httpx2

from rakinglight.call import Call, Reply
from rakinglight.flows import Address, Flow, Hear, Listen, News, told
from rakinglight.jobs import AsyncJob, ServiceJob
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
        return list(self.run(self.address.get("models"))["models"])

    def model(self, name: str, version: str | None = None) -> dict[str, Any]:
        return dict(self.run(self.address.get(_model_path(name, version))))

    def ask(self, call: Call) -> Reply:
        return self.run(self.address.ask(call))

    def stream(self, call: Call) -> Generator[Progress | Reply, None, None]:
        return self.news(self.address.stream(call))

    def submit(self, call: Call) -> ServiceJob[Any]:
        return ServiceJob(self, self.run(self.address.submit(call)), listed=call.listed)

    def close(self) -> None:
        self._http.close()

    def run(self, flow: Flow[R]) -> R:
        """Do what `flow` wants done, and return what it returns."""
        *_, result = self.news(told(flow))
        return result  # type: ignore[no-any-return]

    def news(self, flow: Flow[Any]) -> Generator[Any, None, None]:
        """Do what `flow` wants done, and yield what it tells. Whoever leaves early ends it."""
        events: Iterator[httpx2.ServerSentEvent] = iter(())
        with closing(flow), ExitStack() as line:
            try:
                step = next(flow)
                while True:
                    came: Any = None
                    try:
                        match step:
                            case News(value):
                                yield value
                            case Hear():
                                came = next(events, None)
                            case Listen(request):
                                line.close()
                                came = line.enter_context(closing(self._http.send(request, stream=True)))
                                events = iter(httpx2.EventSource(came, EVENT_LIMIT))
                                if came.is_error:
                                    came.read()
                            case httpx2.Request():
                                came = self._http.send(step)
                            case float():
                                time.sleep(step)
                    except httpx2.HTTPError as e:
                        step = flow.throw(e)
                    else:
                        step = flow.send(came)
            except StopIteration:
                return


class AsyncHttpTransport:
    """`HttpTransport`, for asyncio."""

    def __init__(self, address: Address, transport: httpx2.AsyncBaseTransport | None = None) -> None:
        self.address = address
        self._http = httpx2.AsyncClient(transport=transport, trust_env=not address.loopback)

    def __repr__(self) -> str:
        return self.address.url

    async def models(self) -> list[dict[str, Any]]:
        return list((await self.run(self.address.get("models")))["models"])

    async def model(self, name: str, version: str | None = None) -> dict[str, Any]:
        return dict(await self.run(self.address.get(_model_path(name, version))))

    async def ask(self, call: Call) -> Reply:
        return await self.run(self.address.ask(call))

    def stream(self, call: Call) -> AsyncGenerator[Progress | Reply, None]:
        return self.news(self.address.stream(call))

    async def submit(self, call: Call) -> AsyncJob[Any]:
        return AsyncJob(self, await self.run(self.address.submit(call)), listed=call.listed)

    async def close(self) -> None:
        await self._http.aclose()

    async def run(self, flow: Flow[R]) -> R:
        async with aclosing(self.news(told(flow))) as news:
            found = [one async for one in news]
        return found[-1]  # type: ignore[no-any-return]

    async def news(self, flow: Flow[Any]) -> AsyncGenerator[Any, None]:
        with closing(flow):
            events: AsyncIterator[httpx2.ServerSentEvent] | None = None
            async with AsyncExitStack() as line:
                try:
                    step = next(flow)
                    while True:
                        came: Any = None
                        try:
                            match step:
                                case News(value):
                                    yield value
                                case Hear():
                                    came = await anext(events, None) if events else None
                                case Listen(request):
                                    await line.aclose()
                                    response = await self._http.send(request, stream=True)
                                    came = await line.enter_async_context(aclosing(response))
                                    events = aiter(httpx2.EventSource(came, EVENT_LIMIT))
                                    if came.is_error:
                                        await came.aread()
                                case httpx2.Request():
                                    came = await self._http.send(step)
                                case float():
                                    await asyncio.sleep(step)
                        except httpx2.HTTPError as e:
                            step = flow.throw(e)
                        else:
                            step = flow.send(came)
                except StopIteration:
                    return


def _model_path(name: str, version: str | None) -> str:
    return f"models/{name}" + (f"/versions/{version}" if version else "")
