"""The handler, as TorchServe calls it: a fake front end plays the iterations."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from rakinglight.network import Network
from rakinglight.question import Question
from rakinglight.wire import Frame, FrameReader
from tests.conftest import REPOSITORY

FILE = REPOSITORY / "handlers" / "rakinglight_handler.py"
PIXELS = np.arange(3 * 8 * 8, dtype=np.uint8).reshape(8, 8, 3)


def request(operation: str = "classify", **settings: Any) -> bytes:
    return bytes(Frame("request", Question(operation, "small", PIXELS, **settings).to_body()))


class FrontEnd:
    """Does what TorchServe's continuous batching does: every live request, each time, its data once."""

    def __init__(self, handler: Any) -> None:
        self.handler = handler
        self.live: dict[str, bytes | None] = {}
        self.readers: dict[str, FrameReader] = {}
        self.frames: dict[str, list[Frame]] = {}
        self.ended: dict[str, int] = {}
        self.chunks: list[int] = []

    def ask(self, ticket: str, body: bytes) -> None:
        self.live[ticket] = body
        self.readers[ticket], self.frames[ticket] = FrameReader(), []

    def iterate(self) -> None:
        tickets = list(self.live)
        rows = [{"body": bytearray(body)} if body is not None else {} for body in self.live.values()]
        context = SimpleNamespace(get_request_id=tickets.__getitem__, stopping_criteria=None)
        replies = self.handler.handle(rows, context)
        assert len(replies) == len(rows)
        for i, ticket in enumerate(tickets):
            first = self.live[ticket] is not None
            self.live[ticket] = None
            self.frames[ticket] += self.readers[ticket].feed(replies[i])
            self.chunks.append(len(replies[i]))
            if context.stopping_criteria[i](replies[i]):
                assert not first, "a stream that ends with its head leaves its caller without an answer"
                del self.live[ticket]

    def finish(self, iterations: int = 2000) -> None:
        while self.live:
            self.iterate()
            iterations -= 1
            assert iterations, f"{list(self.live)} did not end"

    def kinds(self, ticket: str) -> list[str]:
        return [frame.kind for frame in self.frames[ticket] if frame.kind not in ("heartbeat", "progress")]


@pytest.fixture
def module(small_convolution: Network, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The handler's file as a top-level module, as TorchServe loads it, with a small network for every archive."""
    spec = importlib.util.spec_from_file_location("rakinglight_handler", FILE)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    loaded: list[Path] = []

    def load_networks(paths: list[Path], **settings: Any) -> list[Network]:
        loaded.extend(paths)
        return [small_convolution for _ in paths]

    monkeypatch.setattr(module, "load_networks", load_networks)
    module.loaded = loaded
    return module


@pytest.fixture
def front_end(module: Any) -> Iterator[FrontEnd]:
    handler = module.RakinglightHandler()
    handler.initialize(SimpleNamespace(system_properties={"model_dir": "/models/here", "gpu_id": None}))
    yield FrontEnd(handler)
    handler.worker.stop()


def test_the_file_defines_one_class(module: Any) -> None:
    own = [thing for thing in vars(module).values() if isinstance(thing, type) and thing.__module__ == module.__name__]
    assert [thing.__name__ for thing in own] == ["RakinglightHandler"]


@pytest.mark.parametrize(
    ("chosen", "loaded"),
    [
        pytest.param("/a.mar:/b.mar", ["/a.mar", "/b.mar"], id="the operator's choice"),
        pytest.param("", ["/models/here"], id="the archive it was packed in"),
    ],
)
def test_archives(module: Any, monkeypatch: pytest.MonkeyPatch, chosen: str, loaded: list[str]) -> None:
    monkeypatch.setenv("RAKINGLIGHT_ARCHIVES", chosen)
    handler = module.RakinglightHandler()
    handler.initialize(SimpleNamespace(system_properties={"model_dir": "/models/here"}))
    handler.worker.stop()
    assert [str(path) for path in module.loaded] == loaded


def test_a_stream_begins_with_a_head_and_ends_with_the_result(front_end: FrontEnd) -> None:
    front_end.ask("a", request())
    front_end.iterate()
    assert front_end.kinds("a") == ["head"]
    front_end.finish()
    assert front_end.kinds("a") == ["head", "result"]


def test_a_bad_row_has_its_own_problem_and_disturbs_nobody(front_end: FrontEnd) -> None:
    front_end.ask("good", request("attack", method="pgd"))
    front_end.ask("bad", b"no frame")
    front_end.ask("empty", b"")
    front_end.finish()
    assert front_end.kinds("good") == ["head", "result"]
    assert front_end.kinds("bad") == front_end.kinds("empty") == ["head", "problem"]


def test_requests_join_and_leave_in_the_middle(front_end: FrontEnd) -> None:
    front_end.ask("long", request("attack", method="pgd", parameters={"steps": 400}))
    front_end.iterate()
    front_end.ask("short", request())
    while "short" in front_end.live:
        front_end.iterate()
    assert "long" in front_end.live
    front_end.finish()
    assert front_end.kinds("long") == front_end.kinds("short") == ["head", "result"]


def test_a_row_without_news_is_a_heartbeat(front_end: FrontEnd) -> None:
    front_end.ask("long", request("attack", method="pgd", parameters={"steps": 400}))
    front_end.finish()
    assert {frame.kind for frame in front_end.frames["long"]} <= {"head", "heartbeat", "progress", "result"}


def test_the_run_of_a_row_that_is_gone_is_closed(front_end: FrontEnd) -> None:
    front_end.ask("gone", request("attack", method="pgd", parameters={"steps": 1000}))
    front_end.iterate()
    front_end.iterate()
    del front_end.live["gone"]
    front_end.ask("next", request())
    front_end.iterate()
    front_end.finish()
    counters = front_end.handler.worker.snapshot()
    assert (counters["live"], counters["waiting"]) == (0, 0)
    assert counters["rows"]["gradient"] < 1000


def test_a_large_reply_is_sent_in_slices(front_end: FrontEnd, module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", 512)
    for ticket in "ab":
        front_end.ask(ticket, request("saliency"))
    front_end.finish()
    assert max(front_end.chunks) <= 512
    assert front_end.kinds("a") == front_end.kinds("b") == ["head", "result"]
    assert front_end.frames["a"][-1].body["result"]["map"].shape == (8, 8)
