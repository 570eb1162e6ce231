"""Logs: one JSON object a line, or lines for people on a terminal. Never image bytes, keys, or a caller's raw text.

Every line that is written while a request is answered carries its request id, whoever writes it.
"""

from __future__ import annotations

import logging
import re
import sys
import uuid
from collections.abc import MutableMapping
from typing import Any, Literal, TextIO

import structlog

#: What `X-Request-ID` may be.
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
#: W3C Trace Context, version 00 and those after it that begin alike.
TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?P<trace_id>(?!0{32})[0-9a-f]{32})-(?P<span_id>(?!0{16})[0-9a-f]{16})-[0-9a-f]{2}"
)

_CONTROLS = {c: f"\\x{c:02x}" for c in (*range(0x20), *range(0x7F, 0xA0)) if chr(c) not in "\n\t"}


def configure(
    level: str = "info", form: Literal["auto", "json", "console"] = "auto", stream: TextIO | None = None
) -> None:
    """Send all logs of this process, the standard library's too, to `stream` (standard error) in one form."""
    stream = stream or sys.stderr
    people = form == "console" or (form == "auto" and stream.isatty())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="timestamp"),
        structlog.processors.StackInfoRenderer(),
    ]
    last: list[Any] = (
        # Plain traces: the pretty ones show local variables, and those are images and keys.
        [
            _escaped,
            structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback),
        ]
        if people
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder(), _without_colours],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def request_id_of(given: str | None) -> str:
    """The request id that a caller gave, or one made anew where it is none."""
    return given if given and REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def trace_of(traceparent: str | None) -> dict[str, str]:
    """`trace_id` and `span_id` of a traceparent header, for the logs; nothing where it is none."""
    found = TRACEPARENT.fullmatch(traceparent or "")
    return found.groupdict() if found else {}


def _without_colours(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Drop what uvicorn says a second time, in colour."""
    event.pop("color_message", None)
    return event


def _escaped(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Control characters made visible: a line for people must not move their cursor. JSON does so by itself."""
    return {k: v.translate(_CONTROLS) if isinstance(v, str) else v for k, v in event.items()}
