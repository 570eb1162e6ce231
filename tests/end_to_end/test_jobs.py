"""Jobs outlive every process here: killed, frozen, stopped, or without their database, they end with the same bits."""

import json
import resource
import shutil
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.end_to_end.test_serve import PNG, Service, assert_gone, running, serving
from tests.live_service import PATIENCE
from tests.postgres import Postgres
from tests.service.jobs.conftest import newer

TAKEOVER_S = 2.0


Homes = Callable[[str], Path]


@pytest.fixture(scope="session")
def homes(archive_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Homes:
    """Makes homes with the archives, and with what was measured, in them."""

    def make(name: str) -> Path:
        home = tmp_path_factory.mktemp(name)
        (home / "archives").symlink_to(archive_store / "archives")
        shutil.copy(archive_store / "probes.json", home)
        return home

    return make


@pytest.fixture(scope="session")
def alone(homes: Homes) -> str:
    """The bits of a job that is left alone."""
    with house(homes("alone")) as service:
        service.until_it_says("Ready", 30)
        return bits(ended(service, submitted(service)))


@pytest.fixture
def shared(postgres: Postgres, tmp_path: Path) -> Iterator[dict[str, object]]:
    """Settings of who shares a PostgreSQL and a store."""
    url = postgres.database()
    yield {"database": url, "artifacts": tmp_path / "shared", "takeover_s": TAKEOVER_S}
    postgres.drop(url)


def house(home: Path, **settings: object) -> AbstractContextManager[Service]:
    return serving("local", home, **{"state_s": 0.2, "log_level": "warning", "worker_images": 1} | settings)


def called(service: Service, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
    headers = {"Content-Type": "application/json", "Prefer": "respond-async", "X-Request-ID": "one"}
    request = urllib.request.Request(service.url + path, json.dumps(body).encode() if body else None, headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as e:
        with e:
            return e.code, json.load(e)


def attack(service: Service, steps: int, images: int = 2) -> tuple[int, dict[str, Any]]:
    parameters = {"steps": steps, "random_start": True}
    body = {"images": [PNG] * images, "method": "pgd", "parameters": parameters, "seed": 7}
    return called(service, "/api/v1/models/lenet5-digits/attack", body)


def submitted(service: Service, images: int = 3) -> str:
    """An attack on digits that takes longer than another service takes to start."""
    status, job = attack(service, 1000, images)
    assert status == 202, job
    return str(job["id"])


def job_of(service: Service, job: str) -> dict[str, Any]:
    status, found = called(service, f"/api/v1/jobs/{job}")
    assert status == 200, found
    return found


def step_of(service: Service, job: str) -> int:
    return int((job_of(service, job)["progress"] or {"step": 0})["step"])


def until_halfway(service: Service, job: str, step: int = 20) -> None:
    service.until(lambda: step_of(service, job) > step)


def ended(service: Service, job: str) -> dict[str, Any]:
    service.until(lambda: job_of(service, job)["state"] == "succeeded", 60)
    return job_of(service, job)


def bits(job: dict[str, Any]) -> str:
    """What was found; equal text, equal bits."""
    return json.dumps({k: v for k, v in job["result"].items() if k not in ("elapsed_ms", "request_id")})


def job_process(service: Service) -> psutil.Process:
    (found,) = [one for one in service.processes if "service.jobs.process" in one.cmdline()]
    return found


def rows(service: Service) -> float:
    """That its engine has answered."""
    with urllib.request.urlopen(service.url + "/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("rakinglight_engine_rows_total{"))


def until_it_waits_and_goes_on(service: Service, job: str) -> None:
    """Until what `job` needs has been missed, and its rows have gone on nevertheless."""
    service.until_it_says(f"{job} waits: ", 30)
    before = rows(service)
    service.until(lambda: rows(service) > before)


def test_whoever_is_killed_it_ends_with_the_same_bits(homes: Homes, alone: str) -> None:
    """The job process, then the engine, then the gateway and with it all; and no process is left."""
    home = homes("a")
    with house(home) as service:
        service.until_it_says("Ready", 30)
        job = submitted(service)
        until_halfway(service, job)
        job_process(service).kill()
        service.until(lambda: job_of(service, job)["attempts"] == 2)
        (engine,) = [one for one in service.processes if "rakinglight.socket_host" in one.cmdline()]
        at = step_of(service, job)
        service.until(lambda: step_of(service, job) != at)  # it is aboard again
        at = step_of(service, job)
        engine.kill()
        service.until_it_says("lost its worker", 10)
        service.until(lambda: step_of(service, job) != at)
        family = service.processes
        service.process.kill()
        assert_gone(family)
    with house(home) as service:
        service.until_it_says("Ready", 30)
        found = ended(service, job)
        assert bits(found) == alone
        assert found["attempts"] == 3


def test_stopped_in_good_order_it_is_marked_and_goes_on_at_the_next_start(homes: Homes, alone: str) -> None:
    home = homes("a")
    with house(home) as service:
        service.until_it_says("Ready", 30)
        job = submitted(service)
        until_halfway(service, job)
        family = service.processes
        service.process.send_signal(signal.SIGTERM)
        assert service.end() == 0
        assert_gone(family)
    with house(home, worker_jobs=1) as service:
        assert job_of(service, job)["state"] in ("interrupted", "running")
        assert ended(service, job)["attempts"] == 2


def test_of_two_on_one_database_the_other_takes_over(homes: Homes, alone: str, shared: dict[str, object]) -> None:
    with house(homes("a"), **shared) as first:
        first.until_it_says("Ready", 30)
        job = submitted(first, images=8)  # on a busy machine, too, it lasts until the second is up
        until_halfway(first, job)
        with house(homes("b"), **shared) as second:
            second.until_it_says("Ready", 30)
            assert job_of(first, job)["state"] == "running"
            first.process.kill()
            begun = time.monotonic()
            second.until(lambda: job_of(second, job)["attempts"] == 2)
            assert time.monotonic() - begun < TAKEOVER_S + 4 * PATIENCE
            found = ended(second, job)["result"]["results"]
            assert found == [json.loads(alone)["results"][0]] * 8


def test_two_on_one_database_share_the_jobs_and_do_each_once(homes: Homes, shared: dict[str, object]) -> None:
    with house(homes("a"), **shared) as first, house(homes("b"), **shared) as second:
        both = first, second
        for service in both:
            service.until_it_says("Ready", 30)
        jobs = {str(attack(service, 30)[1]["id"]) for _ in range(4) for service in both}
        assert len(jobs) == 8
        for job in jobs:
            ended(first, job)
        for service in both:
            listed = called(service, "/api/v1/jobs")[1]["jobs"]
            assert {job["id"] for job in listed} == jobs
            assert {(job["state"], job["attempts"]) for job in listed} == {("succeeded", 1)}
        assert len({bits(job_of(service, job)) for job in jobs for service in both}) == 1


def test_a_torchserve_worker_that_is_killed_is_not_noticed_in_the_bits(homes: Homes) -> None:
    with serving("torchserve", homes("a"), state_s=0.2, log_level="warning") as service:
        service.until_it_says("Ready", 30)
        alone = str(attack(service, 1000)[1]["id"])
        ended(service, alone)
        job = str(attack(service, 1000)[1]["id"])
        until_halfway(service, job)
        (worker,) = [one for one in service.processes if "model_service_worker" in " ".join(one.cmdline())]
        worker.kill()
        service.until_it_says("lost its worker", 10)
        found = ended(service, job)
        assert bits(found) == bits(job_of(service, alone))
        assert found["attempts"] == 1


@pytest.mark.parametrize("command", ["serve", "worker"])
def test_with_a_newer_database_it_ends_and_says_why(homes: Homes, tmp_path: Path, command: str) -> None:
    program = [sys.executable, "-m", "rakinglight.cli", command, "--engine", "local", "--model", "lenet5-digits"]
    settings = {"home": homes("a"), "database": newer(tmp_path), "port": 0, "grpc_port": 0}
    with running(program, **settings) as service:
        assert service.end() == 2
        said = "".join(service.said)
    assert f"rakinglight {command}: the database was migrated by a newer rakinglight" in said
    assert "Traceback" not in said


def test_a_worker_that_was_only_frozen_does_no_harm(homes: Homes, alone: str, shared: dict[str, object]) -> None:
    """Beside a gateway, `rakinglight worker` with an engine of its own."""
    with house(homes("a"), **shared) as service:
        service.until_it_says("Ready", 30)
        job = submitted(service)
        until_halfway(service, job)
        command = [sys.executable, "-m", "rakinglight.cli", "worker", "--engine", "local", "--model", "lenet5-digits"]
        with running([*command, "--home", str(homes("b"))], state_s=0.2, **shared) as other:
            other.until_it_says("worker is up", 30)
            frozen = job_process(service)
            frozen.suspend()
            service.until(lambda: job_of(service, job)["attempts"] == 2)
            frozen.resume()
            found = ended(service, job)
            assert (bits(found), found["attempts"]) == (alone, 2)
            assert frozen.is_running()
            family = other.processes
            other.process.send_signal(signal.SIGINT)
            assert other.end() == 0
            assert "Stopped." in "".join(other.said)
            assert_gone(family)


def test_a_database_that_is_away_is_waited_for(
    homes: Homes, alone: str, shared: dict[str, object], postgres: Postgres
) -> None:
    with postgres.stopped():
        service_of = house(homes("a"), **shared)
        service = service_of.__enter__()
        service.until_it_says("Ready", 30)
        assert service.attack(steps=3) == 200
        status, problem = called(service, "/api/v1/jobs")
        assert (status, problem["code"]) == (503, "STORAGE_AWAY")
    try:
        service.until(lambda: attack(service, 3)[0] == 202)
        job = submitted(service)
        until_halfway(service, job)
        with postgres.stopped():
            assert called(service, f"/api/v1/jobs/{job}")[0] == 503
            until_it_waits_and_goes_on(service, job)
        service.until(lambda: called(service, f"/api/v1/jobs/{job}")[0] == 200)
        service.until(lambda: job_of(service, job)["note"] is not None)
        found = ended(service, job)
        assert (bits(found), found["attempts"]) == (alone, 1)
        ended(service, attack(service, 3)[1]["id"])
    finally:
        service_of.__exit__(None, None, None)


def test_a_full_disk_is_told_and_waited_for(homes: Homes, alone: str) -> None:
    """Full to the job process and the gateway: no file may grow past a limit, which is then lifted."""
    with house(homes("a")) as service:
        service.until_it_says("Ready", 30)
        job = submitted(service)
        until_halfway(service, job)
        writers = [service.process.pid, job_process(service).pid]
        for pid in writers:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        status, problem = attack(service, 5)
        assert (status, problem["code"]) == (503, "STORAGE_AWAY")
        until_it_waits_and_goes_on(service, job)
        for pid in writers:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        service.until(lambda: job_of(service, job)["note"] is not None)
        found = ended(service, job)
        assert (bits(found), found["attempts"]) == (alone, 1)
