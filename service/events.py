"""Server-sent events: what happens, as it happens, and at the end one `result` or one `problem`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import ExitStack, aclosing
from typing import NamedTuple

from fastapi.responses import Response
from starlette.types import Receive, Scope, Send

from service.doorway import Visit, told, unless_gone
from service.negotiation import EVENTS


class Happened(NamedTuple):
    """An event.

    number  counts from 1, without a gap; None is nothing that a caller could resume after
    data    JSON text
    """

    number: int | None
    name: str
    data: str

    def __bytes__(self) -> bytes:
        number = "" if self.number is None else f"id: {self.number}\n"
        return f"{number}event: {self.name}\ndata: {self.data}\n\n".encode()


class EventStream(Response):
    """`events` as they come; what goes wrong among them is the last. A sign of life where there is none for a while.

    resumable  whether a caller may come back for the rest, so that only `events` have numbers
    held       is given back when the stream ends
    """

    def __init__(
        self,
        events: AsyncGenerator[Happened, None],
        visit: Visit,
        heartbeat_s: float,
        *,
        resumable: bool = False,
        held: ExitStack | None = None,
    ) -> None:
        super().__init__(media_type=EVENTS, headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self.events = events
        self.visit = visit
        self.heartbeat_s = heartbeat_s
        self.resumable = resumable
        self.held = held or ExitStack()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self.held:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await unless_gone(receive, self._pour(send))

    async def _pour(self, send: Send) -> None:
        async with aclosing(self._lines()) as lines:
            async for line in lines:
                await send({"type": "http.response.body", "body": line, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _lines(self) -> AsyncGenerator[bytes, None]:
        number = 0
        async with aclosing(self.events) as events, aclosing(_with_silence(events, self.heartbeat_s)) as heard:
            try:
                async for one in heard:
                    if one is None:
                        yield b": still at it\n\n"
                    else:
                        number = one.number or number
                        yield bytes(one)
            except Exception as e:
                problem = told(e, self.visit).problem() | {"request_id": self.visit.request_id}
                yield bytes(Happened(None if self.resumable else number + 1, "problem", json.dumps(problem)))


async def _with_silence(
    events: AsyncGenerator[Happened, None], longest_s: float
) -> AsyncGenerator[Happened | None, None]:
    """`events`, with None whenever there was none for `longest_s` seconds."""
    while True:
        waiting = asyncio.ensure_future(anext(events, None))
        try:
            while not (await asyncio.wait({waiting}, timeout=longest_s))[0]:
                yield None
            if (one := waiting.result()) is None:
                return
            yield one
        finally:
            waiting.cancel()
            await asyncio.wait({waiting})
