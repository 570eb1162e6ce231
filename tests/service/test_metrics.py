"""What Prometheus is told, and that no caller can make it told more."""

import asyncio
import subprocess
import threading
import time
from typing import Any

import pytest
import sqlalchemy as sa
from prometheus_client.parser import text_string_to_metric_families

from service.database.schema import workers
from service.metrics import METHODS, Metrics
from tests.service.conftest import House
from tests.service.in_process import break_database, mend_database
from tests.service.pictures_at_hand import base64_of, noise, png
from tests.tools import need

TEXT = base64_of(png(noise()))


async def scraped(house: House, **headers: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    text = (await house.client.get("/metrics", headers=headers)).text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples}


def of(samples: dict[Any, float], name: str, **labels: str) -> float:
    return sum(v for (n, said), v in samples.items() if n == f"rakinglight_{name}" and labels.items() <= set(said))


async def ask(house: House, model: str = "small", operation: str = "classify", **body: Any) -> None:
    await house.client.post(f"/api/v1/models/{model}/{operation}", json={"images": [TEXT]} | body)


async def test_requests_are_counted_by_what_became_of_them(house: House) -> None:
    await ask(house)
    await ask(house, operation="attack", method="pgd", parameters={"steps": 2})
    await ask(house, operation="attack", method="pgd", parameters={"steps": 0})
    samples = await scraped(house)
    assert of(samples, "requests_total", operation="classify", model="small", code="OK", door="rest") == 1
    assert of(samples, "requests_total", operation="attack", method="pgd", code="OK") == 1
    assert of(samples, "requests_total", operation="attack", method="pgd", code="BAD_PARAMETER") == 1
    assert of(samples, "request_duration_seconds_count", operation="attack") == 2


@pytest.mark.parametrize("kept", ["jobs", "datasets", "perturbations"])
async def test_what_is_kept_is_counted_by_its_name(house: House, kept: str) -> None:
    await house.client.get(f"/api/v1/{kept}")
    assert of(await scraped(house), "requests_total", operation=kept, code="OK") == 1


async def test_a_callers_words_are_no_labels(house: House) -> None:
    await ask(house, model="made-up-model")
    await ask(house, operation="attack", method="made-up-method")
    await house.client.get("/made-up-route")
    text = (await house.client.get("/metrics")).text
    assert "made-up" not in text
    samples = await scraped(house)
    assert of(samples, "requests_total", model="unknown", code="NOT_FOUND") == 1
    assert of(samples, "requests_total", method="unknown", code="BAD_PARAMETER") == 1
    assert of(samples, "requests_total", operation="", code="NOT_FOUND") == 1


async def test_the_engine_tells_of_its_passes(house: House) -> None:
    await ask(house, operation="attack", method="pgd", parameters={"steps": 4})
    samples = await scraped(house)
    assert of(samples, "engine_up") == 1
    assert (of(samples, "engine_restarts_total"), of(samples, "engine_retries_total")) == (2, 3)
    assert of(samples, "engine_rows_total", kind="gradient") == 4
    assert of(samples, "engine_rows_total", kind="forward") == 3
    assert of(samples, "engine_passes_total") == 7
    assert of(samples, "engine_padding_rows_total") == 7 * 3  # one row in passes of four
    assert of(samples, "engine_rows_per_pass_bucket", le="1") == of(samples, "engine_rows_per_pass_count") == 7
    assert of(samples, "engine_rows_per_pass_sum") == 7
    assert of(samples, "engine_runs", state="live") == 0
    assert of(samples, "build_info") == 1


async def test_what_is_useful_of_torchserves_own_is_told_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    told = {
        "torchserve_requests_total": 5,
        "torchserve_inference_seconds_total": 1.25,
        "torchserve_worker_load_seconds": 2.5,
    }
    samples = await scraped(house)
    assert {name: of(samples, name) for name in told} == told

    async def of_another_host() -> dict[str, Any]:
        return house.engine.worker.snapshot()

    monkeypatch.setattr(house.engine, "snapshot", of_another_host)
    assert not [name for name, _ in await scraped(house) if "torchserve" in name]


async def test_a_scrape_does_not_wait_for_an_engine_that_hangs(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await ask(house)
    before = await scraped(house)

    async def hangs() -> dict[str, Any]:
        await asyncio.sleep(60)
        return {}

    monkeypatch.setattr(house.engine, "snapshot", hangs)
    monkeypatch.setattr("service.metrics.PATIENCE_S", 0.01)
    after = await scraped(house)
    for name in ("engine_rows_total", "engine_snapshot_timestamp_seconds"):
        assert of(after, name) == of(before, name) > 0


async def test_an_engine_that_is_away_is_down_and_nothing_else(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing() -> dict[str, Any]:
        return {}

    monkeypatch.setattr(house.engine, "snapshot", nothing)
    house.engine.ready = False
    samples = await scraped(house)
    assert of(samples, "engine_up") == 0
    assert of(samples, "engine_rows_total") == 0


async def test_the_database_is_asked_what_is_kept(house: House) -> None:
    body, headers = {"images": [TEXT], "method": "fgsm"}, {"Prefer": "respond-async"}
    for _ in range(2):
        await house.client.post("/api/v1/models/small/attack", json=body, headers=headers)
    (job, _) = (await house.client.get("/api/v1/jobs")).json()["jobs"]
    await house.do(job["id"])
    house.core.metrics.job_process_restarts = lambda: 7
    samples = await scraped(house)
    states = ("queued", "running", "succeeded", "failed", "cancelled", "interrupted")
    assert [of(samples, "jobs", state=state) for state in states] == [1, 0, 1, 0, 0, 0]
    assert (of(samples, "storage_up"), of(samples, "job_workers"), of(samples, "job_process_restarts_total")) == (
        1,
        0,
        7,
    )
    assert of(samples, "artifacts") >= 2
    assert of(samples, "artifact_bytes") > len(TEXT)
    assert of(samples, "requests_total", operation="jobs", code="OK") == 1
    beat = {"name": "w", "beats": 1, "started_at": 0.0}
    with house.storage.database.transaction() as connection:
        connection.execute(sa.insert(workers).values(seen_at=time.time(), **beat))
        connection.execute(sa.insert(workers).values(seen_at=time.time() - 3600, **{**beat, "name": "dead"}))
    assert of(await scraped(house), "job_workers") == 1

    break_database(house.home)
    house.storage.database.close()
    without = await scraped(house)
    assert of(without, "storage_up") == 0
    assert of(without, "jobs", state="succeeded") == 1
    mend_database(house.home)
    assert of(await scraped(house), "storage_up") == 1


async def test_a_scrape_does_not_wait_for_a_database_that_hangs(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.metrics.PATIENCE_S", 0.05)
    looks, ends = 0, threading.Event()

    def hangs() -> dict[str, int]:
        nonlocal looks
        looks += 1
        ends.wait(10)
        return {"queued": 3}

    monkeypatch.setattr(house.storage.jobs, "counts", hangs)
    for _ in range(3):
        assert of(await scraped(house), "storage_up") == 0
    assert looks == 1
    ends.set()
    monkeypatch.setattr("service.metrics.PATIENCE_S", 5)
    samples = await scraped(house)
    assert (of(samples, "storage_up"), of(samples, "jobs", state="queued")) == (1, 3)


async def test_openmetrics_is_spoken_where_it_is_asked_for(house: House) -> None:
    answer = await house.client.get("/metrics", headers={"Accept": "application/openmetrics-text;version=1.0.0"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")


async def test_promtool_finds_nothing(house: House) -> None:
    promtool = need("promtool", package="prometheus")
    await ask(house)
    await ask(house, operation="attack", method="nothing")
    text = (await house.client.get("/metrics")).content
    found = await asyncio.to_thread(subprocess.run, [promtool, "check", "metrics"], input=text, capture_output=True)
    assert (found.returncode, found.stdout + found.stderr) == (0, b"")


def test_the_methods_are_the_catalogues() -> None:
    assert {"pgd", "fgsm", "gradient"} <= METHODS


async def test_two_services_keep_their_counts_apart(house: House) -> None:
    house.core.metrics.answered("grpc", code="OK", seconds=0.1, operation="classify", model="small")
    other = Metrics(house.core)
    assert b'door="grpc"' in (await house.core.metrics.exposition(None))[0]
    assert b'door="grpc"' not in (await other.exposition(None))[0]
