"""A budget of a thousand images, fifty clients, two services on one database, and a SIGKILL in the middle."""

import asyncio
import io
import os
import random
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import psutil
from PIL import Image

from service.artifacts import Artifacts
from service.black_box.keys import Keys
from service.black_box.ledger import Ledger
from service.database import Database
from service.settings import Settings
from tests.live_service import ROOT, free_port
from tests.service.test_metrics import of

BUDGET, CLIENTS = 1000, 50
#: Answered images after which one of the two is killed, as its clients know of them.
MIDDLE = 400
CLASSIFY = "/api/v1/models/lenet5-digits/classify"


@dataclass
class Serving:
    """One service, in a process of its own. Its clients' request ids begin with its name."""

    name: str
    url: str
    process: subprocess.Popen[bytes]


@contextmanager
def black_box(name: str, database: str, home: Path, archive_store: Path) -> Iterator[Serving]:
    (home / "archives").mkdir(parents=True)
    shutil.copy(archive_store / "archives" / "lenet5-digits.mar", home / "archives")
    if (measured := archive_store / "probes.json").exists():
        shutil.copy(measured, home)
    port = free_port()
    settings = {
        "home": home,
        "port": port,
        "grpc_port": free_port(),
        "database": database,
        "artifacts": home.parent / "artifacts",
        "models": "lenet5-digits",
        "black_box": "true",
        "require_key": "true",
        "decoders": 1,
    }
    environment = os.environ | {f"RAKINGLIGHT_{key.upper()}": str(value) for key, value in settings.items()}
    with (home / "log").open("wb") as output:
        program = [Path(sys.executable).with_name("rakinglight"), "serve"]
        process = subprocess.Popen(program, env=environment, cwd=ROOT, stdout=output, stderr=output)
        try:
            yield Serving(name, f"http://127.0.0.1:{port}", process)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            process.wait(30)


async def ready(service: Serving, client: httpx2.AsyncClient) -> None:
    async with asyncio.timeout(60):
        while True:
            assert service.process.poll() is None
            with suppress(httpx2.HTTPError):
                if (await client.get(f"{service.url}/readyz")).status_code == 200:
                    return
            await asyncio.sleep(0.1)


@dataclass
class Crowd:
    """What fifty clients have been told, by their own record: (Idempotency-Key, image) -> label."""

    services: list[Serving]
    answered: dict[tuple[str, int], int] = field(default_factory=dict)
    said: Counter[str] = field(default_factory=Counter)

    async def client(self, number: int, http: httpx2.AsyncClient) -> None:
        """Asks until not one image more is answered; asks again, under the same key, whenever it was told nothing."""
        rng, most = random.Random(number), 8
        for request in range(10**6):
            name, images = f"{number}-{request}", [digit(rng) for _ in range(rng.randint(1, most))]
            match await self.told(name, images, rng, http):
                case None if len(images) == 1:
                    return
                case None:
                    most = 1
                case told:
                    for i, label in enumerate(told):
                        assert self.answered.setdefault((name, i), label) == label

    async def told(self, name: str, images: list[bytes], rng: random.Random, http: httpx2.AsyncClient) -> Any:
        """The labels; None where the budget does not reach."""
        files = [("images", ("digit.png", image, "image/png")) for image in images]
        for attempt in range(1000):
            service = rng.choice(self.services)
            headers = {"Idempotency-Key": name, "X-Request-ID": f"{service.name}-{name}-{attempt}"}
            try:
                answer = await http.post(f"{service.url}{CLASSIFY}", files=files, headers=headers)
            except httpx2.HTTPError:
                self.said["gone"] += 1
                await asyncio.sleep(0.05)
                continue
            if answer.status_code == 200:
                self.said["answered"] += 1
                return [result["predictions"][0]["index"] for result in answer.json()["results"]]
            code = answer.json()["code"]
            self.said[code] += 1
            if code == "BUDGET_SPENT":
                return None
            assert code in ("RATE_LIMITED", "OVERLOADED", "STORAGE_AWAY", "ENGINE_AWAY"), answer.text
            await asyncio.sleep(rng.uniform(0.05, 0.3))
        raise AssertionError(f"{name} was never told anything.")

    async def killed(self) -> None:
        """Ends the first service, without a word, when MIDDLE images are answered."""
        while len(self.answered) < MIDDLE:
            await asyncio.sleep(0.005)
        dead = self.services[0]
        children = psutil.Process(dead.process.pid).children(recursive=True)
        dead.process.kill()
        self.services.remove(dead)
        _, alive = await asyncio.to_thread(psutil.wait_procs, children, timeout=15)
        assert not alive


def digit(rng: random.Random) -> bytes:
    """A picture that nobody else sends."""
    pixels = np.random.default_rng(rng.getrandbits(64)).integers(0, 256, (32, 32), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", compress_level=1)
    return out.getvalue()


async def metrics(service: Serving, secret: str, http: httpx2.AsyncClient) -> dict[Any, float]:
    from prometheus_client.parser import text_string_to_metric_families

    text = (await http.get(f"{service.url}/metrics", headers={"Authorization": f"Bearer {secret}"})).text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples}


async def test_a_budget_is_exact_across_two_processes_of_which_one_is_killed(
    database_url: str, tmp_path: Path, archive_store: Path
) -> None:
    with ExitStack() as stack:
        database = stack.enter_context(closing(Database(database_url)))
        database.migrate()
        keys = Keys(database)
        key, secret = keys.make("fifty-clients", budget=BUDGET)
        _, scraping = keys.make("prometheus", scopes=["metrics"])
        services = [
            stack.enter_context(black_box(name, database_url, tmp_path / name, archive_store)) for name in ("a", "b")
        ]
        crowd, survivor = Crowd(list(services)), services[1]
        limits = httpx2.Limits(max_connections=2 * CLIENTS)
        async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {secret}"}, limits=limits, timeout=60) as http:
            await asyncio.gather(*(ready(service, http) for service in services))
            async with asyncio.TaskGroup() as group:
                group.create_task(crowd.killed())
                for number in range(CLIENTS):
                    group.create_task(crowd.client(number, http))
            files = {"images": ("digit.png", digit(random.Random()), "image/png")}
            last = await http.post(f"{survivor.url}{CLASSIFY}", files=files)
            samples = await metrics(survivor, scraping, http)
        store = Artifacts(database, str(tmp_path / "artifacts"))
        entries = list(Ledger(database, store, Settings()).export(key=key["id"]))

        assert (last.status_code, last.json()["code"]) == (429, "BUDGET_SPENT")
        assert last.headers["X-Query-Budget-Remaining"] == "0"
        assert crowd.said["gone"] > 0
        assert len(crowd.answered) == BUDGET
        assert {(entry["idempotency_key"], entry["image"]) for entry in entries} == set(crowd.answered)
        assert len({entry["sha256"] for entry in entries}) == len(entries) == BUDGET
        assert keys.get(key["id"])["spent"] == BUDGET
        by_survivor = sum(entry["request_id"].startswith("b-") for entry in entries)
        assert 0 < by_survivor < BUDGET
        assert of(samples, "black_box_images_total", outcome="answered") == by_survivor
