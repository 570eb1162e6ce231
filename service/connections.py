"""Connections of REST, as strangers may use them: so many, each with a head that is small and comes in time.

All of this is before any key is asked for: whoever can reach the port can use as much as is allowed here and no more.
"""

from __future__ import annotations

import asyncio

import h11
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from rakinglight.errors import Overloaded, Unreadable
from service.doorway import Visit, problem, stamp
from service.logs import request_id_of

#: Bytes of a request's head: its first line and all its headers.
HEAD_BYTES = 16 * 1024


def protocol(*, connections: int, head_s: float) -> type[H11Protocol]:
    """The protocol that uvicorn shall speak on each connection. It is h11's, which bounds the head.

    connections  at once; those beyond are told so, and those beyond twice as many are cut
    head_s       seconds that the head of a request may take to arrive
    """

    class Connection(H11Protocol):
        _late: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if len(self.connections) > 2 * connections:
                transport.abort()
            elif len(self.connections) > connections:
                self.app = _refusing(connections)
            self._time_the_head()

        def handle_events(self) -> None:
            super().handle_events()
            self._time_the_head()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self._time_the_head()

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            if self._late:
                self._late.cancel()

        def _time_the_head(self) -> None:
            """Begin to time where the next head is waited for, or what is left of a body whose answer is out."""
            waits = self.conn.their_state is h11.IDLE or self.conn.our_state is h11.DONE
            if waits and self._late is None:
                self._late = self.loop.call_later(head_s, self.transport.abort)
            elif not waits and self._late is not None:
                self._late.cancel()
                self._late = None

        def send_400_response(self, msg: str) -> None:
            """As uvicorn's, in our form."""
            if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):  # else an answer is half out
                detail = f"This is no HTTP request, or its head has more than {HEAD_BYTES} bytes; send fewer headers."
                visit = Visit(request_id_of(None))
                answer = problem(Unreadable(detail), visit)
                stamp(answer.headers, visit)
                answer.headers["Connection"] = "close"
                for event in (
                    h11.Response(status_code=answer.status_code, headers=answer.raw_headers),
                    h11.Data(data=bytes(answer.body)),
                    h11.EndOfMessage(),
                ):
                    self.transport.write(self.conn.send(event) or b"")
            self.transport.close()

    return Connection


def _refusing(connections: int) -> ASGIApp:
    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        visit = Visit(request_id_of(Headers(scope=scope).get("x-request-id")))
        detail = f"{connections} connections are open, which is the most there may be; close some, or try again later."
        answer = problem(Overloaded(detail), visit)
        stamp(answer.headers, visit)
        answer.headers["Connection"] = "close"
        await answer(scope, receive, send)

    return refuse
