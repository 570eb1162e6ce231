"""A worker: mail in, mail out, one bad letter harms nobody."""

import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

from rakinglight.maps import Map
from rakinglight.network import Network
from rakinglight.queries import Progress
from rakinglight.question import Question
from rakinglight.wire import Frame
from rakinglight.worker import Mailbox, Worker, encoded

PIXELS = np.arange(3 * 8 * 8, dtype=np.uint8).reshape(8, 8, 3)


def request(operation: str = "classify", **settings: Any) -> Frame:
    return Frame("request", Question(operation, "small", PIXELS, **settings).to_body())


@pytest.fixture
def worker(small_convolution: Network) -> Iterator[Worker]:
    worker = Worker([small_convolution])
    yield worker
    worker.stop()


def until(happens: Callable[[], bool], seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.002)


def last(worker: Worker, ticket: str) -> Frame:
    """The frame that ends `ticket`."""
    end = time.monotonic() + 5.0
    while time.monotonic() < end:
        frames, over = worker.collect(ticket)
        if over:
            return frames[-1]
        worker.wait(0.05)
    raise AssertionError(f"{ticket} did not end")


def test_a_question_is_answered_with_its_cost_and_who_answered(worker: Worker) -> None:
    worker.open("a", request())
    frame = last(worker, "a")
    assert frame.kind == "result"
    assert frame.body["result"]["prediction"]["label"].startswith("class ")
    assert frame.body["cost"] == {"forward_rows": 1, "gradient_rows": 0}
    assert frame.body["answered_by"]["forward"].startswith("torch")


def test_who_answered_patches_is_said_where_there_were_any(worker: Worker) -> None:
    asked = {
        "a": request("occlusion", method="sliding", parameters={"window": 4}),
        "b": request("occlusion", method="rise", parameters={"masks": 8}),
        "c": request("saliency"),
    }
    for ticket, question in asked.items():
        worker.open(ticket, question)
    said = {ticket: last(worker, ticket).body["answered_by"].get("patched") for ticket in asked}
    assert said == {"a": "whole passes", "b": None, "c": None}


def test_a_request_may_be_bytes(worker: Worker) -> None:
    worker.open("a", bytes(request("saliency")))
    assert isinstance(last(worker, "a").body["result"]["map"], np.ndarray)


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        pytest.param(b"", "INTERNAL", id="nothing"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", "TOO_LARGE", id="not a frame"),
        pytest.param(Frame("heartbeat"), "UNREADABLE", id="no request"),
        pytest.param(Frame("request", {"operation": "classify"}), "INTERNAL", id="half a question"),
        pytest.param(request("paint"), "NOT_FOUND", id="unknown operation"),
        pytest.param(request("saliency", method="tea leaves"), "BAD_PARAMETER", id="unknown method"),
        pytest.param(request(parameters={"top_k": -1}), "BAD_PARAMETER", id="bad parameter"),
        pytest.param(request("saliency", parameters={"target": 99}), "BAD_PARAMETER", id="no such class"),
    ],
)
def test_a_bad_request_is_the_problem_of_its_ticket_alone(worker: Worker, bad: bytes | Frame, code: str) -> None:
    worker.open("good", request("attack", method="pgd"))
    worker.open("bad", bad)
    frame = last(worker, "bad")
    assert (frame.kind, frame.body["code"]) == ("problem", code)
    assert last(worker, "good").kind == "result"


def test_an_unknown_model_is_named(worker: Worker) -> None:
    worker.open("a", Frame("request", Question("classify", "smal", PIXELS).to_body()))
    assert "did you mean 'small'?" in last(worker, "a").body["detail"]


def test_progress_that_nobody_collects_is_replaced_by_newer(worker: Worker) -> None:
    worker.open("a", request("attack", method="pgd", parameters={"steps": 50}))
    worker.wait(5.0)
    (progress, result), over = worker.collect("a")
    assert over
    assert (progress.kind, progress.body["step"], progress.body["of"]) == ("progress", 50, 50)
    assert result.kind == "result"


def test_a_closed_ticket_frees_its_rows(worker: Worker) -> None:
    worker.open("a", request("attack", method="pgd", parameters={"steps": 1000}))
    until(lambda: worker.snapshot()["live"] == 1)
    worker.close("a")
    until(lambda: worker.snapshot()["live"] == 0)
    spent = worker.snapshot()["rows"].get("gradient", 0)  # none, where it was closed before its first pass
    assert spent < 1000
    assert worker.collect("a")[0][0].body["code"] == "INTERNAL"


def test_a_ticket_that_nobody_asks_for_is_closed(small_convolution: Network) -> None:
    worker = Worker([small_convolution], patience=0.05)
    try:
        worker.open("a", request("attack", method="pgd", parameters={"steps": 1000}, seconds=60.0))
        until(lambda: worker.snapshot()["live"] == 1)
        until(lambda: worker.snapshot()["live"] == 0)
        assert worker.snapshot()["rows"]["gradient"] < 1000
    finally:
        worker.stop()


def test_waiting_ends_with_a_run_and_not_with_its_progress(worker: Worker) -> None:
    worker.open("a", request("attack", method="pgd", parameters={"steps": 20}))
    worker.wait(5.0)
    assert worker.collect("a")[1]


def test_a_snapshot_can_be_asked_for_like_anything_else(worker: Worker) -> None:
    worker.open("a", request())
    last(worker, "a")
    worker.open("b", Frame("request", {"operation": "snapshot"}))
    counters = last(worker, "b").body["result"]
    assert counters["rows"] == {"forward": 1}
    assert counters["padding"] == {"forward": 3}
    assert counters["rows_a_pass"] == {"1": 1}
    assert counters["networks"]["small"]["counts"] == {"forward": [4], "gradient": [4]}


def test_what_cannot_be_encoded_is_told_as_a_problem() -> None:
    assert Frame.read(encoded(Frame("result", {"odd": object()}))).kind == "problem"


def test_stopping_ends_what_is_under_way(worker: Worker) -> None:
    worker.open("a", request("attack", method="pgd", parameters={"steps": 1000}))
    until(lambda: worker.snapshot()["live"] == 1)
    worker.stop()
    assert worker.snapshot()["live"] == 0


@pytest.mark.parametrize(("map_s", "brings"), [(None, False), (0.0, True), (3600.0, False)])
def test_progress_brings_the_map_so_far_to_who_wants_it_and_no_more_often(
    worker: Worker, map_s: float | None, brings: bool
) -> None:
    worker.open("a", request("occlusion", method="rise", parameters={"masks": 80}, map_s=map_s))
    worker.wait(5.0)
    (progress, result), over = worker.collect("a")
    assert over
    assert (progress.kind, "map" in progress.body) == ("progress", brings)
    if brings:
        np.testing.assert_array_equal(progress.body["map"], result.body["result"]["map"])
        assert progress.body["map"].dtype == np.float32


def test_a_map_that_nobody_has_collected_stays(worker: Worker) -> None:
    mailbox, m = Mailbox(drawn_at=-math.inf), torch.ones(2, 2)
    watched = Question("saliency", "small", PIXELS, map_s=3600.0)
    worker._tell(mailbox, Progress(1, 3, best=Map(m)), watched)
    m += 1  # an algorithm may go on adding to what it has shown
    worker._tell(mailbox, Progress(2, 3, best=Map(m)), watched)
    assert mailbox.progress is not None
    assert mailbox.progress.body["step"] == 2
    np.testing.assert_array_equal(mailbox.progress.body["map"], np.ones((2, 2)))
