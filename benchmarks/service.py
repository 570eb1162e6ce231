"""A service of our own, started for the measurement and stopped after it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.request import urlopen

from rakinglight.client import Client, connect


@dataclass(frozen=True)
class Service:
    """A service that is ready.

    engine  `torchserve` or `local`
    url     of its REST door
    """

    engine: str
    url: str
    client: Client

    def count(self, what: str, kind: str = "") -> int:
        """How many `passes` or `rows` its engine has counted, of one kind of query or of all."""
        with urlopen(f"{self.url}/metrics", timeout=10) as reply:
            lines = reply.read().decode().splitlines()
        name = f"rakinglight_engine_{what}_total{{"
        counted = [line for line in lines if line.startswith(name) and (not kind or f'kind="{kind}"' in line)]
        return int(sum(float(line.rpartition(" ")[2]) for line in counted))


@contextmanager
def running(engine: str, model: str, home: Path) -> Iterator[Service]:
    """`rakinglight serve` on free ports, with the archives of `home` and a home of its own. Raises RuntimeError."""
    with TemporaryDirectory(prefix="rakinglight-") as own_home:
        for shared in ("archives", "probes.json"):
            (Path(own_home) / shared).symlink_to((home / shared).resolve())
        program = str(Path(sys.executable).with_name("rakinglight"))
        command = [program, "serve", "--engine", engine, "--model", model, "--home", own_home]
        command += ["--port", "0", "--grpc-port", "0"]
        log = (
            Path(own_home) / "serve.log"
        )  # a file: a pipe that nobody reads is full some day, and then the server waits
        with log.open("w") as out, subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT) as server:
            try:
                url = _ready(server, log)
                with connect(url) as client:
                    yield Service(engine, url, client)
            finally:
                server.terminate()
                server.wait()


def _ready(server: subprocess.Popen[bytes], log: Path) -> str:
    """The URL of REST, once the server says that it is ready."""
    while server.poll() is None:
        said = log.read_text()
        if "\nReady" in said:
            (rest,) = (line for line in said.splitlines() if line.startswith("REST"))
            return rest.split()[1].removesuffix("/docs")
        time.sleep(0.1)
    raise RuntimeError(f"rakinglight serve ended with {server.returncode}:\n{log.read_text()[-2000:]}")
