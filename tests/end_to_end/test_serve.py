"""`rakinglight serve` as an operator meets it: starts, says so, answers, and leaves nothing behind."""

import base64
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import psutil
import pytest
from PIL import Image

from tests.conftest import REPOSITORY
from tests.live_service import PATIENCE


class Service:
    """A service in a process of its own, and what it has said so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said: list[str] = []
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        self.said.extend(iter(self.process.stdout.readline, ""))

    def until_it_says(self, words: str, seconds: float) -> re.Match[str]:
        end = time.monotonic() + PATIENCE * seconds
        while time.monotonic() < end and self.process.poll() is None:
            if found := re.search(words, "".join(self.said)):
                return found
            time.sleep(0.02)
        raise AssertionError(f"it did not say {words!r} but:\n{''.join(self.said)}")

    @property
    def url(self) -> str:
        return self.until_it_says(r"REST +(http://\S+?)/docs", 20)[1]

    @property
    def ports(self) -> set[int]:
        """Of its two doors."""
        return {int(self.until_it_says(words, 20)[1]) for words in (r"REST +\S+:(\d+)/docs", r"gRPC +\S+:(\d+)\n")}

    @property
    def processes(self) -> list[psutil.Process]:
        """Its own, and all that it has started."""
        root = psutil.Process(self.process.pid)
        return [root, *root.children(recursive=True)]

    def until(self, happens: Callable[[], bool], seconds: float = 30) -> None:
        end = time.monotonic() + PATIENCE * seconds
        while not happens():
            assert time.monotonic() < end, "".join(self.said)
            time.sleep(0.05)

    def until_it_counts(self, line: str, seconds: float = 10) -> None:
        end = time.monotonic() + PATIENCE * seconds
        while time.monotonic() < end:
            with urllib.request.urlopen(self.url + "/metrics") as answer:
                if line in answer.read().decode():
                    return
        raise AssertionError(f"its metrics did not show {line!r}")

    @property
    def ready(self) -> bool:
        return self.status("/readyz") == 200

    def status(self, path: str, body: dict[str, Any] | None = None) -> int:
        request = urllib.request.Request(self.url + path, headers={"Content-Type": "application/json"})
        request.data = json.dumps(body).encode() if body else None
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                answer.read()
                return int(answer.status)
        except urllib.error.HTTPError as e:
            with e:
                return e.code

    def attack(self, steps: int) -> int:
        """A PGD attack on a digit; the status of the answer."""
        parameters = {"steps": steps}
        body = {"images": [PNG], "method": "pgd", "parameters": parameters, "include": []}
        return self.status("/api/v1/models/lenet5-digits/attack", body)

    def end(self) -> int:
        code = self.process.wait(timeout=30)
        self._listener.join()
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


def assert_gone(processes: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=10)
    assert not alive


def _png() -> str:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


PNG = _png()


@contextmanager
def running(command: list[str], **settings: object) -> Iterator[Service]:
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    environment |= {f"RAKINGLIGHT_{name.upper()}": str(value) for name, value in settings.items()}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=REPOSITORY, env=environment
    )
    service = Service(process)
    try:
        yield service
    finally:
        if process.poll() is None:
            process.kill()
        service.end()


def serving(kind: str, home: Path, **settings: object) -> AbstractContextManager[Service]:
    """`rakinglight serve` with LeNet-5, on free ports."""
    command = [sys.executable, "-m", "rakinglight.cli", "serve", "--engine", kind, "--home", str(home)]
    return running([*command, "--model", "lenet5-digits", "--port", "0", "--grpc-port", "0"], **settings)


@pytest.fixture(scope="module", params=["torchserve", "local"])
def idle(request: pytest.FixtureRequest, archive_store: Path) -> Iterator[tuple[str, Service]]:
    """The kind of engine, and a service that is ready within thirty seconds, and at its end leaves nothing."""
    with serving(request.param, archive_store) as service:
        service.until_it_says("Ready", 30)
        yield request.param, service
        _, *started = service.processes
        assert started
        service.process.send_signal(signal.SIGINT)
        assert service.end() == 0
        assert "Stopped." in "".join(service.said)
    assert_gone(started)


def test_it_is_ready_within_thirty_seconds_answers_and_leaves_nothing(idle: tuple[str, Service]) -> None:
    _, service = idle
    assert service.ready
    assert service.attack(steps=3) == 200


def listening_by(*processes: psutil.Process) -> list[Any]:
    """The addresses that `processes` listen at."""
    return [
        connection.laddr
        for process in processes
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]


def test_it_listens_at_its_two_doors_and_answers_nobody_elsewhere(idle: tuple[str, Service]) -> None:
    kind, service = idle
    gateway, *children = service.processes
    assert not service.ports & {address.port for address in listening_by(*children)}, "a door was inherited"
    listening = listening_by(gateway, *children)
    assert {address.ip for address in listening} <= {"127.0.0.1", "::ffff:127.0.0.1"}
    ports = {address.port for address in listening}
    assert ports >= service.ports
    others = ports - service.ports
    assert len(others) == {"torchserve": 2, "local": 0}[kind], "more than TorchServe's gRPC, which stays on TCP"
    for port in others:
        assert_refuses(port)


def assert_refuses(port: int) -> None:
    """That TorchServe's gRPC at `port` does nothing for who does not have its token."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        for route in (
            "inference.InferenceAPIsService/Ping",
            "inference.InferenceAPIsService/Predictions",
            "inference.InferenceAPIsService/StreamPredictions",
            "management.ManagementAPIsService/ListModels",
            "management.ManagementAPIsService/ScaleWorker",
        ):
            call = channel.unary_unary(f"/org.pytorch.serve.grpc.{route}")
            with pytest.raises(grpc.RpcError) as refused:
                call(b"", timeout=5)
            assert refused.value.code() in (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNIMPLEMENTED), route


@pytest.mark.parametrize("kind", ["torchserve", "local"])
def test_what_is_under_way_at_a_stop_is_finished_and_new_work_refused(kind: str, archive_store: Path) -> None:
    with serving(kind, archive_store) as service:
        service.until_it_says("Ready", 30)
        statuses: list[int] = []
        under_way = threading.Thread(target=lambda: statuses.append(service.attack(steps=1000)))
        under_way.start()
        service.until_it_counts('rakinglight_engine_runs{state="live"} 1.0')
        service.process.send_signal(signal.SIGTERM)
        service.until_it_says("Stopping: 1 under way", 10)
        assert service.attack(steps=1) == 503
        assert not service.ready
        under_way.join()
        assert statuses == [200]
        assert service.end() == 0


def refused(*options: str) -> str:
    """What `rakinglight serve` says when it will not start: its last line, and the code of a wrong command."""
    command = [sys.executable, "-m", "rakinglight.cli", "serve", "--engine", "local", "--model", "lenet5-digits"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, cwd=REPOSITORY, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()[-1]


def test_a_wrong_setting_is_told_in_a_line(tmp_path: Path) -> None:
    said = refused("--host", "0.0.0.0", "--home", str(tmp_path))
    assert said.startswith("rakinglight serve: host is '0.0.0.0'")
    assert "there is no key" in said


@pytest.mark.parametrize(("option", "other"), [("--port", "--grpc-port"), ("--grpc-port", "--port")])
def test_a_port_that_is_taken_is_told_with_a_remedy(option: str, other: str, archive_store: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refused(option, str(port), other, "0", "--home", str(archive_store))
    assert f"cannot listen on 127.0.0.1:{port}" in said
    assert "0 takes a free one" in said


# ── TorchServe in another container ─────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def sockets() -> Iterator[Path]:
    """A folder that both sides know, with a path that is short enough for sockets."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="rakinglight-") as folder:
        yield Path(folder) / "run"


def torchserve_alone(home: Path, sockets: Path) -> AbstractContextManager[Service]:
    command = [sys.executable, "-m", "service.engines.torchserve"]
    return running(command, home=home, models="lenet5-digits", engine_sockets=sockets)


def contents(folder: Path) -> dict[Path, int]:
    """Every path in `folder`, and when it was changed."""
    return {path: path.stat().st_mtime_ns for path in [folder, *folder.rglob("*")]}


def test_it_asks_a_torchserve_that_somebody_else_runs(archive_store: Path, sockets: Path, tmp_path: Path) -> None:
    archives = tmp_path / "archives"
    archives.mkdir()
    shutil.copy(archive_store / "archives" / "lenet5-digits.mar", archives)
    untouched = contents(archives)
    with serving("torchserve", tmp_path / "home", engine_sockets=sockets, archive_folder=archives) as gateway:
        gateway.until_it_says("no TorchServe answers", 10)
        assert not gateway.ready
        with torchserve_alone(archive_store, sockets) as torchserve:
            gateway.until_it_says("Ready", 30)
            assert gateway.attack(steps=3) == 200
            _, *started = torchserve.processes
            torchserve.process.kill()
            gateway.until(lambda: not gateway.ready)
        assert_gone(started)
        with torchserve_alone(archive_store, sockets) as torchserve:
            gateway.until(lambda: gateway.ready)
            assert gateway.attack(steps=3) == 200
            gateway.until_it_counts("rakinglight_engine_restarts_total 1.0")
            assert sockets.stat().st_mode & 0o077 == 0
            _, *started = torchserve.processes
            torchserve.process.send_signal(signal.SIGTERM)
            assert torchserve.end() == 0
        assert_gone(started)
        assert list(sockets.iterdir()) == []
        gateway.process.send_signal(signal.SIGTERM)
        assert gateway.end() == 0
    assert contents(archives) == untouched


@pytest.mark.parametrize(
    ("sockets", "words"),
    [
        pytest.param("", "RAKINGLIGHT_ENGINE_SOCKETS is not set", id="none"),
        pytest.param("/tmp/" + "long" * 25, "shorter path", id="too long for a socket"),
    ],
)
def test_torchserve_alone_needs_a_place_for_its_sockets(sockets: str, words: str, archive_store: Path) -> None:
    with torchserve_alone(archive_store, Path(sockets) if sockets else "") as torchserve:  # type: ignore[arg-type]
        assert torchserve.end() == 1
        assert words in "".join(torchserve.said)
