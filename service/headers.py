"""What the heads of requests say beside what is negotiated."""

from __future__ import annotations

import re

from starlette.requests import Request

from rakinglight.errors import BadParameter

_QUOTED, _ENDS_NAME = re.compile(r'"(?:[^"\\]|\\.)*"'), re.compile("[;=]")


def wants_job(request: Request) -> bool:
    """Whether the answer is not waited for (RFC 7240, section 4.1)."""
    # Without what stands in quotes, which may hold any character.
    said = _QUOTED.sub("", ",".join(request.headers.getlist("prefer")))
    return any(_ENDS_NAME.split(wish)[0].strip().lower() == "respond-async" for wish in said.split(","))


def idempotency_key(request: Request) -> str | None:
    """What names the request, so that sending it again is not asking again. Raises BadParameter where it has two."""
    given = request.headers.getlist("idempotency-key")
    if len(given) > 1:
        raise BadParameter.at("/Idempotency-Key", f"Idempotency-Key is given {len(given)} times; once is enough.")
    return given[0] if given else None
