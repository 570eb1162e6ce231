"""Metrics for Prometheus. What the doors answered is counted here; the engine's own numbers are asked of it.

Labels take values from fixed sets only: the names of the catalogue, of the loaded models, of the error codes. What a
caller wrote is never a label; a name that is not known is `unknown`, and one that is not said is empty.
"""

from __future__ import annotations

import asyncio
import platform
import time
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

import sqlalchemy as sa
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder

from rakinglight import __version__, catalogue
from rakinglight.errors import CODES
from rakinglight.results import State
from service.database.schema import keys
from service.engines import EngineState
from service.keys import Response

if TYPE_CHECKING:
    from service.core import Core
    from service.database import Database
    from service.storage import Storage

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each, which nobody reads

#: Seconds. A classification is the shortest, an attack of a thousand steps the longest.
LATENCY_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
#: Rows of a pass, and runs that share one.
COUNT_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128)
#: Seconds that a scrape waits for the engine; then it shows what it knew last.
PATIENCE_S = 1.0

OPERATIONS = frozenset(catalogue.OPERATIONS) | {
    "models", "health", "metrics", "docs", "jobs", "datasets", "perturbations", "substitutes", "artifacts", "keys",
    "ledger",
}  # fmt: skip
#: `several` is what a request that compares is done by.
METHODS = frozenset(name for operation in catalogue.OPERATIONS.values() for name in operation.by_name) | {"several"}
#: What comes of an image that a black box is asked about.
ASKED = frozenset({"answered", "repeated", "budget_spent", "rate_limited"})
RESPONSES = frozenset(get_args(Response))
OUTCOMES = frozenset(CODES) | {"OK", "CANCELLED"}


@dataclass(frozen=True)
class KeysInAll:
    """All keys of the database that are not revoked.

    noticed  of them, those that were noticed to copy a model
    left     images that those with a budget may still ask about, and spent those that were answered
    """

    count: int = 0
    noticed: int = 0
    left: int = 0
    spent: int = 0

    @staticmethod
    def of(database: Database) -> KeysInAll:
        """As they are now. Raises StorageAway."""
        limited = keys.c.budget.is_not(None)
        wanted = sa.select(
            sa.func.count(),
            sa.func.count(keys.c.noticed),
            sa.func.coalesce(sa.func.sum(keys.c.budget - keys.c.spent).filter(limited), 0),
            sa.func.coalesce(sa.func.sum(keys.c.spent).filter(limited), 0),
        ).where(keys.c.revoked_at.is_(None))
        with database.reading() as connection:
            return KeysInAll(*map(int, connection.execute(wanted).one()))


@dataclass(frozen=True)
class Stored:
    """What the database says.

    jobs     how many there are of each state
    workers  that do jobs, and live
    """

    jobs: Mapping[str, int] = field(default_factory=dict)
    workers: int = 0
    artifacts: int = 0
    artifact_bytes: int = 0
    keys: KeysInAll = field(default_factory=lambda: KeysInAll())

    @staticmethod
    def of(storage: Storage) -> Stored:
        """As it is now. Raises StorageAway, and may take as long as the database does: call it in a thread."""
        usage = storage.artifacts.usage()
        keys = KeysInAll.of(storage.database)
        return Stored(storage.jobs.counts(), storage.jobs.workers(), usage.count, usage.bytes, keys)


class Metrics:
    """The registry of one service.

    job_process_restarts  tells how often the job process beside the gateway was started anew
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._snapshot: Mapping[str, Any] = {}
        self._seen_at = 0.0
        self._stored = Stored()
        self._storage_up = False
        self._looking: asyncio.Future[Stored] | None = None
        self.job_process_restarts: Callable[[], int] = lambda: 0
        self.registry = CollectorRegistry(auto_describe=False)
        labels = ("door", "operation", "method", "model")
        self._requests = Counter(
            "rakinglight_requests", "Requests that were answered.", (*labels, "code"), registry=self.registry
        )
        self._latency = Histogram(
            "rakinglight_request_duration_seconds",
            "Time from the first byte of a request to the last of its answer.",
            labels,
            buckets=LATENCY_BUCKETS,
            registry=self.registry,
        )
        self._black_box = Counter(
            "rakinglight_black_box_images",
            "Images that a black box was asked about: answered and charged, repeated from what was answered before, or "
            "refused.",
            ("model", "outcome"),
            registry=self.registry,
        )
        self._alarms = Counter(
            "rakinglight_noticed",
            "Keys whose questions began to look like those of somebody who copies the model, by what is done then.",
            ("response",),
            registry=self.registry,
        )
        ProcessCollector(registry=self.registry)
        self.registry.register(self)

    def answered(
        self,
        door: Literal["rest", "grpc"],
        *,
        code: str,
        seconds: float,
        operation: str | None = None,
        method: str | None = None,
        model: str | None = None,
    ) -> None:
        """Count one request, however it ended. `code` is OK, CANCELLED (by the caller) or an error's."""
        labels = (
            door,
            _known(operation, OPERATIONS),
            _known(method, METHODS),
            _known(model, self._core.engine.models),
        )
        self._requests.labels(*labels, _known(code, OUTCOMES)).inc()
        self._latency.labels(*labels).observe(seconds)

    def asked_black_box(self, model: str | None, outcome: str, images: int) -> None:
        """Count the images of one request to a black box, of which `outcome` is one of ASKED."""
        if images:
            self._black_box.labels(_known(model, self._core.engine.models), _known(outcome, ASKED)).inc(images)

    def noticed(self, response: str) -> None:
        """Count a key whose questions began to look like a copyist's, by its response."""
        self._alarms.labels(_known(response, RESPONSES)).inc()

    async def exposition(self, accept: str | None) -> tuple[bytes, str]:
        """All metrics as text, and its content type: OpenMetrics where `accept` asks for it."""
        await asyncio.gather(self._ask_engine(), self._ask_storage())
        encode, content_type = choose_encoder(accept or "")
        return encode(self.registry), content_type

    async def _ask_engine(self) -> None:
        with suppress(TimeoutError):  # what was known last, and when, is told
            async with asyncio.timeout(PATIENCE_S):
                if snapshot := await self._core.engine.snapshot():
                    self._snapshot, self._seen_at = snapshot, time.time()

    async def _ask_storage(self) -> None:
        # A look that hangs is not added to by the next scrape: it waits for the same one.
        looking = self._looking or asyncio.ensure_future(self._look())
        self._looking = looking
        done, _ = await asyncio.wait([looking], timeout=PATIENCE_S)
        if done:
            self._looking = None
        self._storage_up = bool(done) and looking.exception() is None
        if self._storage_up:
            self._stored = looking.result()

    async def _look(self) -> Stored:
        storage = self._core.storage
        return await storage.do(Stored.of, storage)

    def collect(self) -> Iterator[Metric]:
        """What is read off rather than counted here."""
        core, state = self._core, self._core.engine.state
        build = {"version": __version__, "engine": core.settings.engine, "python": platform.python_version()}
        yield _gauge("build_info", "What runs here; the value is always 1.", {tuple(build.values()): 1}, *build)
        yield _gauge("requests_in_flight", "Requests under way.", {(): core.under_way})
        yield _gauge("held_bytes", "Bytes of bodies and decoded images of requests under way.", {(): core.bytes_held})
        yield from _of_storage(self._stored, up=self._storage_up)
        yield _counter(
            "job_process_restarts", "Restarts of the job process beside the gateway.", {(): self.job_process_restarts()}
        )
        yield from _of_state(state)
        yield from _of_snapshot(self._snapshot)
        yield from _of_torchserve(self._snapshot.get("host", {}))
        yield _gauge(
            "engine_snapshot_timestamp_seconds",
            "When the engine's worker last told its numbers, in Unix time; 0 is never.",
            {(): self._seen_at},
        )


def _of_storage(stored: Stored, *, up: bool) -> Iterator[Metric]:
    yield _gauge(
        "storage_up", "Whether the database answers; if not, what it said last is told of jobs.", {(): int(up)}
    )
    states: dict[tuple[str, ...], float] = {(state,): stored.jobs.get(state, 0) for state in get_args(State)}
    yield _gauge("jobs", "Jobs that are kept, of all who share the database.", states, "state")
    yield _gauge("job_workers", "Job processes that gave a sign of life lately.", {(): stored.workers})
    held = stored.keys
    yield _gauge(
        "keys",
        "Keys of the database that are not revoked, by whether they were noticed to copy a model.",
        {("no",): held.count - held.noticed, ("yes",): held.noticed},
        "noticed",
    )
    yield _gauge(
        "black_box_budget_images",
        "Images of the budgets of all these keys together: those that are left, and those that were answered.",
        {("left",): held.left, ("spent",): held.spent},
        "state",
    )
    yield _gauge("artifacts", "Files in the store of artifacts.", {(): stored.artifacts})
    yield _gauge("artifact_bytes", "Bytes in the store of artifacts.", {(): stored.artifact_bytes})


def _of_state(state: EngineState) -> Iterator[Metric]:
    yield _gauge(
        "engine_up", "Whether a worker has every model loaded and has answered a probe.", {(): int(state.ready)}
    )
    yield _gauge("engine_workers", "Workers that are up.", {(): state.workers})
    yield _counter("engine_restarts", "Restarts of a worker or of its host.", {(): state.restarts})
    yield _counter("engine_retries", "Questions asked again because their worker died.", {(): state.retries})
    yield _gauge(
        "engine_questions",
        "Questions that wait for a place at a worker, and that are with one.",
        {("waiting",): state.waiting, ("running",): state.running},
        "state",
    )


def _of_snapshot(snapshot: Mapping[str, Any]) -> Iterator[Metric]:
    def by_kind(name: str) -> dict[tuple[str, ...], float]:
        return {(kind,): snapshot.get(name, {}).get(kind, 0) for kind in ("forward", "gradient")}

    yield _gauge(
        "engine_runs",
        "Runs that the worker has begun, and that wait to begin.",
        {(name,): snapshot.get(name, 0) for name in ("live", "waiting")},
        "state",
    )
    yield _counter("engine_passes", "Passes through a network.", by_kind("passes"), "kind")
    yield _counter("engine_rows", "Rows that were asked for and answered.", by_kind("rows"), "kind")
    yield _counter("engine_padding_rows", "Rows that only fill a pass up.", by_kind("padding"), "kind")
    yield _counter("engine_failed_passes", "Passes that failed.", {(): snapshot.get("failed_passes", 0)})
    yield _histogram("engine_rows_per_pass", "Rows that shared a pass.", snapshot.get("rows_a_pass", {}))
    yield _histogram("engine_runs_per_pass", "Runs that shared a pass.", snapshot.get("runs_a_pass", {}))


def _of_torchserve(told: Mapping[str, float]) -> Iterator[Metric]:
    """What is useful of TorchServe's own; no samples where it is not the engine's host, or does not tell."""

    def value(name: str) -> dict[tuple[str, ...], float]:
        return {(): told[name]} if name in told else {}

    yield _counter(
        "torchserve_requests",
        "Requests that TorchServe has taken since it was last started, the gateway's probes among them.",
        value("requests"),
    )
    yield _counter(
        "torchserve_inference_seconds",
        "Seconds that requests spent in TorchServe since it was last started, from their arrival to their last byte.",
        value("inference_s"),
    )
    yield _gauge(
        "torchserve_worker_load_seconds",
        "Seconds that its worker took to start and to load every network.",
        value("load_s"),
    )


def _known(value: str | None, names: Container[str]) -> str:
    """`value` as a label."""
    return "" if value is None else value if value in names else "unknown"


def _gauge(name: str, help_: str, values: Mapping[tuple[str, ...], float], *labels: str) -> Metric:
    family = GaugeMetricFamily(f"rakinglight_{name}", help_, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def _counter(name: str, help_: str, values: Mapping[tuple[str, ...], float], *labels: str) -> Metric:
    family = CounterMetricFamily(f"rakinglight_{name}", help_, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def _histogram(name: str, help_: str, times: Mapping[str, int]) -> Metric:
    """The histogram of {number: how often it was seen}."""
    counted = {int(number): count for number, count in times.items()}
    buckets = [(str(le), float(sum(c for n, c in counted.items() if n <= le))) for le in COUNT_BUCKETS]
    buckets.append(("+Inf", float(sum(counted.values()))))
    family = HistogramMetricFamily(f"rakinglight_{name}", help_)
    family.add_metric([], buckets, sum_value=float(sum(n * c for n, c in counted.items())))
    return family
