"""A service of the tests' own, in its own process, as a person would start it."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

#: How many times the seconds that something takes on a quiet machine are waited for it: that guards against a hang, and
#: measures nothing.
PATIENCE = 4.0

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class LiveService:
    """Where it listens, on 127.0.0.1, the process that does, and its database."""

    port: int
    grpc_port: int
    pid: int
    database: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def serving(engine: str, seconds: float = 90, **settings: str) -> Iterator[LiveService]:
    """`rakinglight serve` on free ports, ready; at the end it is asked to stop, and has to.

    Its archives are those of the checkout, and its database its own: of two on one, either may take the other's jobs.
    """
    port, grpc_port = free_port(), free_port()
    program = Path(sys.executable).with_name("rakinglight")
    with tempfile.TemporaryFile() as output, tempfile.TemporaryDirectory() as kept:
        given = {"port": port, "grpc_port": grpc_port, "engine": engine, "home": ROOT / ".rakinglight"}
        given |= {"database": f"sqlite:///{kept}/rakinglight.db", "artifacts": f"{kept}/artifacts"} | settings
        environment = os.environ | {f"RAKINGLIGHT_{name.upper()}": str(value) for name, value in given.items()}
        process = subprocess.Popen([program, "serve"], env=environment, cwd=ROOT, stdout=output, stderr=output)

        def said() -> str:
            output.seek(0)
            return output.read().decode(errors="replace")[-4000:]

        service = LiveService(port, grpc_port, process.pid, str(given["database"]))
        try:
            _wait_until_ready(service, process, seconds)
            yield service
        finally:
            process.send_signal(signal.SIGINT)
            try:
                code = process.wait(timeout=45)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise AssertionError(f"It did not stop within 45 s:\n{said()}") from None
            assert code == 0, said()


def _wait_until_ready(service: LiveService, process: "subprocess.Popen[bytes]", seconds: float) -> None:
    until = time.monotonic() + PATIENCE * seconds
    while time.monotonic() < until and process.poll() is None:
        with (
            contextlib.suppress(urllib.error.URLError, OSError),
            urllib.request.urlopen(f"{service.url}/readyz", timeout=5),
        ):
            return
        time.sleep(0.1)
    raise AssertionError(f"{service.url} was not ready within {seconds:g} s, exit code {process.poll()}.")


@pytest.fixture(scope="session")
def live_service(archive_store: Path) -> Iterator[LiveService]:
    """One service for all tests that only ask: the local engine, with `lenet5-digits` and `efficientnet-lite0`."""
    with serving("local", home=str(archive_store)) as service:
        yield service
