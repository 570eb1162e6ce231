"""Log lines: one object a line, with what finds a request again and nothing that should not be kept."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from service import logs
from tests.service.conftest import House
from tests.service.pictures_at_hand import base64_of, noise, png

TEXT = base64_of(png(noise()))
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What is logged as JSON meanwhile."""
    root, stream = logging.getLogger(), io.StringIO()
    before, level = list(root.handlers), root.level
    logs.configure("info", "json", stream)
    yield stream
    structlog.reset_defaults()
    root.handlers[:], root.level = before, level


def lines(written: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in written.getvalue().splitlines()]


@pytest.mark.parametrize("house", [b"a-secret-of-somebody"], indirect=True)
async def test_a_request_is_one_line(house: House, written: io.StringIO) -> None:
    await house.client.post(
        "/api/v1/models/small/attack",
        json={"images": [TEXT], "method": "pgd", "parameters": {"steps": 2}},
        headers={"X-Request-ID": "the-one", "traceparent": TRACE, "Authorization": "Bearer a-secret-of-somebody"},
    )
    (line,) = (line for line in lines(written) if line["event"] == "request")
    assert line.pop("timestamp").endswith("Z")
    assert line.pop("duration_ms") > 0
    assert line == {
        "level": "info",
        "event": "request",
        "request_id": "the-one",
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        "span_id": "00f067aa0ba902b7",
        "verb": "POST",
        "route": "/api/v1/models/{model}/attack",
        "operation": "attack",
        "method": "pgd",
        "model": "small",
        "status": 200,
        "code": "OK",
        "forward_rows": 3,
        "gradient_rows": 2,
    }
    assert "secret" not in written.getvalue()
    assert TEXT[:40] not in written.getvalue()


async def test_whoever_logs_says_which_request_it_is(house: House, written: io.StringIO) -> None:
    house.engine.refusal = RuntimeError("broken")
    await house.client.post("/api/v1/models/small/classify", json={"images": [TEXT]}, headers={"X-Request-ID": "r-1"})
    failed, request = (line for line in lines(written) if line["event"] in ("failed", "request"))
    assert failed["request_id"] == request["request_id"] == "r-1"
    assert "RuntimeError: broken" in failed["exception"]
    assert request["level"] == "warning"


async def test_a_callers_words_are_not_logged(house: House, written: io.StringIO) -> None:
    await house.client.post("/api/v1/models/made-up/classify", json={"images": [TEXT]})
    await house.client.post("/api/v1/models/small/attack", json={"images": [TEXT], "method": "made-up"})
    await house.client.get("/made-up%0a%1b[31m")
    requests = [line for line in lines(written) if line["event"] == "request"]
    assert len(requests) == 3
    assert not any("made-up" in str(line) for line in requests)


def test_the_standard_library_logs_in_the_same_form(written: io.StringIO) -> None:
    logging.getLogger("uvicorn.error").warning("a line\nbroken\x1b[31m in %s", "two")
    (line,) = lines(written)
    assert (line["event"], line["level"]) == ("a line\nbroken\x1b[31m in two", "warning")


def test_lines_for_people_move_no_cursor() -> None:
    root, stream = logging.getLogger(), io.StringIO()
    before, level = list(root.handlers), root.level
    try:
        logs.configure("info", "console", stream)
        logging.getLogger("x").warning("red \x1b[31m")
    finally:
        structlog.reset_defaults()
        root.handlers[:], root.level = before, level
    assert "\x1b" not in stream.getvalue()
    assert r"\x1b[31m" in stream.getvalue()


@pytest.mark.parametrize(
    "header", ["", None, "00-0-0-0", TRACE.replace("4bf9", "4BF9"), f"{TRACE}-x", TRACE.replace("00-", "ff-", 1)]
)
def test_what_is_no_traceparent_is_passed_over(header: str | None) -> None:
    assert logs.trace_of(header) == {}
