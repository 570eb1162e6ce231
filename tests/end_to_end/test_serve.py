"""`rakinglight serve` as an operator meets it: starts, says so, answers, and leaves nothing behind."""

import base64
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image

from tests.conftest import REPOSITORY

ENGINES = pytest.mark.parametrize("kind", ["torchserve", "local"])


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
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.process.poll() is None:
            if found := re.search(words, "".join(self.said)):
                return found
            time.sleep(0.02)
        raise AssertionError(f"it did not say {words!r} but:\n{''.join(self.said)}")

    @property
    def url(self) -> str:
        return self.until_it_says(r"REST +(http://\S+?)/docs", 20)[1]

    def until_it_counts(self, line: str, seconds: float = 10) -> None:
        end = time.monotonic() + seconds
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


def _png() -> str:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


PNG = _png()


@contextmanager
def service(kind: str, home: Path) -> Iterator[Service]:
    command = [sys.executable, "-m", "rakinglight.cli", "serve", "--engine", kind, "--home", str(home)]
    command += ["--model", "lenet5-digits", "--port", "0", "--grpc-port", "0"]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=REPOSITORY, env=environment
    )
    try:
        yield (running := Service(process))
    finally:
        if process.poll() is None:
            process.kill()
        running.end()


@ENGINES
def test_it_is_ready_within_thirty_seconds_answers_and_leaves_nothing(kind: str, archive_store: Path) -> None:
    with service(kind, archive_store) as running:
        running.until_it_says("Ready", 30)
        assert running.ready
        assert running.attack(steps=3) == 200
        started = psutil.Process(running.process.pid).children(recursive=True)
        assert started
        running.process.send_signal(signal.SIGINT)
        assert running.end() == 0
        assert "Stopped." in "".join(running.said)
    _, alive = psutil.wait_procs(started, timeout=10)
    assert not alive


def test_what_is_under_way_at_a_stop_is_finished_and_new_work_refused(archive_store: Path) -> None:
    with service("local", archive_store) as running:
        running.until_it_says("Ready", 30)
        statuses: list[int] = []
        under_way = threading.Thread(target=lambda: statuses.append(running.attack(steps=1000)))
        under_way.start()
        running.until_it_counts('rakinglight_engine_runs{state="live"} 1.0')
        running.process.send_signal(signal.SIGTERM)
        running.until_it_says("Stopping: 1 under way", 10)
        assert running.attack(steps=1) == 503
        assert not running.ready
        under_way.join()
        assert statuses == [200]
        assert running.end() == 0


def test_a_wrong_setting_is_told_in_a_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "rakinglight.cli", "serve", "--host", "0.0.0.0", "--home", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=False)
    assert done.returncode == 1
    assert "there is no key" in done.stderr
    assert "Traceback" not in done.stderr
