"""A job, and everything under it killed again and again: does it end with the same bits, and what is done twice?

The campaign `jobs` of `scripts/evidence.py`.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import psutil
import sqlalchemy as sa

from rakinglight import pictures
from rakinglight.wire import Frame
from scripts.docs import table
from service.artifacts import Artifacts
from service.database import Database
from service.database.schema import job_runs
from tests.live_service import free_port
from tests.postgres import Postgres

ROOT = Path(__file__).parent.parent
PHOTOGRAPH = ROOT / "docs" / "chelsea.jpg"
Victim = Literal["gateway", "job process", "TorchServe worker"]
VICTIMS: tuple[Victim, ...] = ("gateway", "job process", "TorchServe worker")
#: What the command line of each process has in it; the gateway is the one that was started.
SIGNS = {"job process": "service.jobs.process", "TorchServe worker": "model_service_worker"}
#: Seconds that anything may take before the campaign gives up.
PATIENCE_S = 600.0
#: Seconds within which all progress from before a kill is told; nothing that was killed is back by then.
SETTLE_S = 1.0


class House:
    """`rakinglight serve` with TorchServe on one model, at one address and in one home however often it is killed."""

    def __init__(self, home: Path, database: str | None) -> None:
        self.home = home
        self.port = free_port()
        settings = {
            "home": home, "port": self.port, "grpc_port": free_port(), "models": "efficientnet-lite0",
            "log_level": "warning",
        } | ({"database": database} if database else {})  # fmt: skip
        self._environment = os.environ | {f"RAKINGLIGHT_{name.upper()}": str(value) for name, value in settings.items()}
        self.database = Database(database or f"sqlite:///{home}/rakinglight.db")
        self.artifacts = Artifacts(self.database, str(home / "artifacts"))
        home.mkdir(exist_ok=True)
        (home / "archives").symlink_to(ROOT / ".rakinglight" / "archives")
        shutil.copy(ROOT / ".rakinglight" / "probes.json", home)
        self._log = (home / "serve.log").open("ab")
        self.start()

    def start(self) -> None:
        program = Path(sys.executable).with_name("rakinglight")
        self._gateway = subprocess.Popen(
            [program, "serve"], env=self._environment, cwd=ROOT, stdout=self._log, stderr=self._log
        )
        self.until(lambda: self.get("/readyz").get("ready"), "the service is ready")

    def kill(self, victim: Victim) -> None:
        """SIGKILL; the gateway is started again, the others somebody else starts again."""
        if victim == "gateway":
            self._gateway.kill()
            self._gateway.wait()
            self.start()
            return
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in psutil.Process(self._gateway.pid).children(recursive=True):
                if any(SIGNS[victim] in word for word in process.cmdline()):
                    process.kill()

    def stop(self) -> None:
        self._gateway.send_signal(signal.SIGINT)
        self._gateway.wait(timeout=60)
        self.database.close()
        self._log.close()

    def get(self, path: str) -> dict[str, Any]:
        """What is at `path`; nothing where nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
                return dict(json.load(answer))
        except (urllib.error.URLError, OSError):
            return {}

    def submit(self, steps: int) -> str:
        """A PGD of `steps` steps as a job; its path."""
        asked = {
            "images": [base64.b64encode(PHOTOGRAPH.read_bytes()).decode()],
            "method": "pgd",
            "parameters": {"steps": steps, "random_start": True},
        }
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api/v1/models/efficientnet-lite0/attack",
            json.dumps(asked).encode(),
            {"Content-Type": "application/json", "Prefer": "respond-async"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return str(answer.headers["Location"])

    def saved_step(self, job: str) -> int:
        """The step of the last state that is kept."""
        with self.database.reading() as connection:
            wanted = sa.select(job_runs.c.saved).where(job_runs.c.job == job.rpartition("/")[2])
            found = connection.execute(wanted).scalar_one_or_none()
        return int(Frame.read(self.artifacts.read(found)).body.get("step", 0)) if found else 0

    def until(self, done: Any, what: str) -> None:
        end = time.monotonic() + PATIENCE_S
        while not done():
            if time.monotonic() > end:
                raise TimeoutError(f"Not within {PATIENCE_S:g} s: {what}; see {self.home}/serve.log.")
            time.sleep(0.1)


@dataclass
class Tally:
    """What came of the kills of one kind."""

    kills: int = 0
    jobs: int = 0
    equal: int = 0
    again: list[int] = field(default_factory=list)
    back: list[float] = field(default_factory=list)


def campaign(kills: int = 20, steps: int = 1000) -> str:
    """The table. Both databases are tried at the same time, since most of it is waiting for what was killed."""
    with ThreadPoolExecutor(2) as both:
        rows = [row for found in both.map(partial(_tried, kills, steps), ("SQLite", "PostgreSQL")) for row in found]
    words = (
        f"A PGD of {steps} steps on EfficientNet-Lite0, a state every two seconds. `same bits` compares results, cost "
        "included, with a job that was left alone. `steps again` are those between the last state that was kept and "
        "the last progress before the kill; `back after` is the time from the kill until the job is further than "
        "before. Median and worst; both databases at once on one machine."
    )
    heads = ["database", "killed", "times", "jobs with the same bits", "steps again", "back after"]
    return f"{words}\n\n{table(heads, rows)}"


def _tried(kills: int, steps: int, kind: str) -> list[list[str]]:
    """The rows of one kind of database."""
    dice, rows = random.Random(0), []
    with tempfile.TemporaryDirectory(prefix="rl_kills_") as folder, _database(kind) as url:
        house = House(Path(folder) / "home", url)
        try:
            alone = _over(house, house.submit(steps))
            print(f"{kind}: one left alone took {alone['elapsed_ms'] / 1000:.0f} s", flush=True)
            for victim in VICTIMS:
                tally = _killing(house, victim, kills, steps, _bits(alone), dice)
                again, back = sorted(tally.again), sorted(tally.back)
                rows.append([
                    kind, victim, str(tally.kills), f"{tally.equal} of {tally.jobs}",
                    f"{again[len(again) // 2]} and {again[-1]}", f"{back[len(back) // 2]:.1f} and {back[-1]:.1f} s",
                ])  # fmt: skip
                print(rows[-1], flush=True)
        finally:
            house.stop()
    return rows


def _killing(house: House, victim: Victim, kills: int, steps: int, alone: str, dice: random.Random) -> Tally:
    tally = Tally()
    while tally.kills < kills:
        job = house.submit(steps)
        tally.jobs += 1
        while tally.kills < kills:
            _goes_on(house, job, beyond=_step(house, job))
            time.sleep(dice.uniform(0, 4))
            if _is_over(house, job):
                break
            step, kept, killed = _step(house, job), house.saved_step(job), time.monotonic()
            house.kill(victim)
            tally.kills += 1
            tally.again.append(max(0, step - kept))
            time.sleep(SETTLE_S)
            _goes_on(house, job, beyond=_step(house, job))
            tally.back.append(time.monotonic() - killed)
        tally.equal += _bits(_over(house, job)) == alone
    return tally


def _step(house: House, job: str) -> int:
    """How far the job says it is."""
    return int((house.get(job).get("progress") or {}).get("step", 0))


def _goes_on(house: House, job: str, *, beyond: int) -> None:
    """Wait until `job` has come further than step `beyond`, or to its end."""
    house.until(lambda: _step(house, job) > beyond or _is_over(house, job), "the job goes on")


def _is_over(house: House, job: str) -> bool:
    return house.get(job).get("state") in ("succeeded", "failed", "cancelled")


def _over(house: House, job: str) -> dict[str, Any]:
    """The result of `job`, once it has one."""
    house.until(lambda: _is_over(house, job), "the job is over")
    found = house.get(job)
    assert found["state"] == "succeeded", found["problem"]
    return dict(found["result"])


def _bits(result: dict[str, Any]) -> str:
    """Of all but what says when and under which number."""
    entries = json.loads(json.dumps(result["results"]))
    for entry in entries:
        entry["adversarial"] = _pixels(entry["adversarial"])
    return hashlib.sha256(json.dumps([entries, result["cost"]], sort_keys=True).encode()).hexdigest()


def _pixels(picture: str) -> str:
    """Those of a PNG, without its text chunks, which name the request."""
    return hashlib.sha256(pictures.from_png(base64.b64decode(picture)).tobytes()).hexdigest()


@contextlib.contextmanager
def _database(kind: str) -> Iterator[str | None]:
    """The URL of an empty database; None is the one that the service makes itself."""
    if kind == "SQLite":
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="rl_pg_", dir="/tmp", ignore_cleanup_errors=True) as folder:
        server = Postgres(Path(folder) / "data")
        try:
            yield server.database()
        finally:
            server.close()
