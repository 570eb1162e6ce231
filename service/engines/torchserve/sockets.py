"""A TorchServe behind its unix sockets: asking it, and knowing whether it can be asked.

Its own word is not enough for that: its /ping says Healthy with no worker alive. So the states of its workers are
looked at, and a worker that is said to be ready has to answer a probe before anyone is sent to it.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
import shutil
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp

from rakinglight.card import Card
from rakinglight.errors import EngineAway, InternalError
from rakinglight.wire import Frame
from service.engines import trial
from service.engines.boarding import WorkerLost, probe
from service.engines.streams import frames
from service.engines.trial import Stuck, ask_each, smallest

#: The one model that TorchServe knows; its worker loads every archive.
MODEL = "rakinglight"
#: Seconds until the head of an answer has to be there; the handler sends it in its next iteration.
HEAD_S = 10.0
#: Seconds between two looks at a TorchServe that is well, and at one that is coming up.
WELL_S, COMING_UP_S = 2.0, 0.1


@dataclass(frozen=True)
class Folder:
    """What a TorchServe has in its folder, which is private to its user and has a short path, for sockets' sake."""

    path: Path

    @property
    def inference(self) -> Path:
        return self.path / "i.sock"

    @property
    def management(self) -> Path:
        return self.path / "m.sock"

    @property
    def metrics(self) -> Path:
        return self.path / "p.sock"

    @property
    def keys(self) -> Path:
        return self.path / "key_file.json"  # TorchServe writes it into its working directory, anew at each start

    @property
    def store(self) -> Path:
        return self.path / "store"

    @property
    def temporary(self) -> Path:
        return self.path / "t"

    @property
    def configuration(self) -> Path:
        return self.path / "config.properties"

    def clear(self) -> None:
        """Remove what a TorchServe has left in it."""
        for file in (self.inference, self.management, self.metrics, self.keys, self.configuration):
            file.unlink(missing_ok=True)
        for folder in (self.store, self.temporary):
            shutil.rmtree(folder, ignore_errors=True)


class TorchServe:
    """One TorchServe, whoever runs it, and however often it is started again. It is the engine's `Transport`.

    models   that its worker must have loaded to count as ready
    silence  what it means that nobody answers, for whoever asks
    """

    def __init__(self, models: Mapping[str, Card], *, silence: str) -> None:
        self.models = models
        self.silence = silence
        self.reason = "not started"
        self.workers = 0
        self.restarts = 0
        self.stuck = False
        self._tried_at = -math.inf
        self._folder = Folder(Path())
        self._ready = asyncio.Event()
        self._doubted = asyncio.Event()
        self._closed = False
        self._known: frozenset[tuple[int, str]] = frozenset()
        self._keys: dict[str, Any] = {}
        self._sessions: dict[str, aiohttp.ClientSession] = {}
        self._knocks: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<TorchServe at {self._folder.path}: {self.reason}>"

    @property
    def ready(self) -> bool:
        """Whether a worker has every model loaded and has answered a probe."""
        return self._ready.is_set()

    @property
    def has_had_worker(self) -> bool:
        """Whether a worker was ever ready since it was last gone."""
        return bool(self._known)

    @asynccontextmanager
    async def connected(self, folder: Folder) -> AsyncIterator[None]:
        """While this lasts, it is the TorchServe in `folder` that is asked."""
        self._folder = folder
        async with AsyncExitStack() as stack:
            for place in ("inference", "management", "metrics"):
                connector = aiohttp.UnixConnector(str(getattr(folder, place)), limit=0, force_close=True)
                timeout = aiohttp.ClientTimeout(total=None if place == "inference" else 5.0)
                self._sessions[place] = await stack.enter_async_context(
                    aiohttp.ClientSession("http://torchserve", connector=connector, timeout=timeout, read_bufsize=2**20)
                )
            try:
                yield
            finally:
                self.close()
                for knock in self._knocks:
                    knock.cancel()
                await asyncio.gather(*self._knocks, return_exceptions=True)

    def close(self) -> None:
        """Turn away whoever waits for it or still comes."""
        self._closed = True
        self.gone()
        self.reason = "stopped"

    # ── asking ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def up(self) -> None:
        """As `Transport.up`."""
        if self._closed:
            raise EngineAway("The service is stopping; ask again when it is back.", retry_after_s=5.0)
        await self._ready.wait()

    async def stream(self, request: bytes) -> AsyncGenerator[Frame, None]:
        """As `Transport.stream`."""
        whole = False
        try:
            async with asyncio.timeout(HEAD_S):
                # As a file, because aiohttp complains of large bytes.
                response = await self._sessions["inference"].post(
                    f"/predictions/{MODEL}", data=BytesIO(request), headers=self._token("inference")
                )
            try:
                if response.status != 200:
                    raise await _refusal(response)
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
            if not whole and self.ready:
                knock = asyncio.create_task(self._knock())
                self._knocks.add(knock)
                knock.add_done_callback(self._knocks.discard)

    async def counters(self) -> dict[str, float]:
        """What is useful of TorchServe's own counters; nothing where it does not tell.

        Not its queue latency: with continuous batching that runs on until a request's last iteration.
        """
        try:
            async with self._sessions["metrics"].get("/metrics") as response:
                told = dict(re.findall(r"^(\w+)\{[^}]*\} (\S+)$", await response.text(), re.MULTILINE))
        except (aiohttp.ClientError, OSError):
            return {}
        units = {
            "requests": ("ts_inference_requests_total", 1),
            "inference_s": ("ts_inference_latency_microseconds", 1e-6),
            "load_s": ("WorkerLoadTime", 1e-3),
        }
        return {name: float(told[source]) * unit for name, (source, unit) in units.items() if source in told}

    async def _knock(self) -> None:
        """Have the handler called once more. It sees then that a caller has gone, even if nobody else is aboard."""
        with suppress(WorkerLost):
            await probe(self)

    def _token(self, kind: str) -> dict[str, str]:
        """The header that TorchServe demands."""
        return {"Authorization": f"Bearer {self._keys[kind]['key']}", "Content-Type": "application/octet-stream"}

    def _doubt(self, reason: str) -> None:
        """Send nobody more until a look has shown that there is a worker."""
        if self.ready:
            self._ready.clear()
            self.reason = reason
        self._doubted.set()

    # ── watching ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def watch(self) -> None:
        """Look, again and again: for a TorchServe that somebody else runs."""
        never: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        while True:
            await self.look()
            await self.pause(never)

    async def look(self) -> list[int] | None:
        """See how it is. Questions may go once a worker that is said to be ready has shown that it is.

        Returns the process ids of the workers that it knows of, dead or alive, with -1 for one that has not had a
        process yet; None where nobody answers.
        """
        workers = await self._worker_states()
        ready = frozenset(worker for worker, status in (workers or {}).items() if status == "READY")
        if self._known and ready and ready != self._known:
            self.restarts += 1
        if ready != self._known or not ready:
            self._ready.clear()
            self.reason = self.silence if workers is None else "the worker is loading its networks"
        self.workers = len(ready)
        self._known = ready or self._known
        if ready and (not self.ready or time.monotonic() - self._tried_at > trial.EVERY_S):
            await self._try_out()
        return None if workers is None else [pid for pid, _ in workers]

    async def pause(self, ended: asyncio.Future[Any]) -> None:
        """Until the next look: sooner where there is doubt, or `ended` is done."""
        if not self.ready:
            await asyncio.wait([ended], timeout=COMING_UP_S)
            return
        self._doubted.clear()
        doubt = asyncio.create_task(self._doubted.wait())
        await asyncio.wait([ended, doubt], timeout=WELL_S, return_when=asyncio.FIRST_COMPLETED)
        doubt.cancel()

    def gone(self) -> None:
        """Take note that it has ended, or is about to."""
        self._ready.clear()
        self.workers, self._known, self.stuck = 0, frozenset(), False

    async def _try_out(self) -> None:
        """See whether the worker answers: at first each of its models, later the smallest."""
        try:
            if not self.ready:
                loaded = (await probe(self))["networks"]
                if missing := [name for name in self.models if name not in loaded]:
                    self.reason = f"the worker has not loaded {', '.join(missing)}"
                    return
            await ask_each(self, smallest(self.models.values()) if self.ready else self.models.values())
        except Stuck as e:
            self._ready.clear()
            self.reason, self.stuck = f"the worker is stuck: {e}", True
        except WorkerLost as e:
            self._doubt("a worker was lost")
            self.reason = f"the worker does not answer: {e}"
        else:
            self._tried_at = time.monotonic()
            self.reason = "ready"
            self._ready.set()

    async def _worker_states(self) -> dict[tuple[int, str], str] | None:
        """The status of each worker, by its process id and start; None where TorchServe does not answer.

        In a container of its own a worker has the same process id after every start, hence the time.
        """
        try:
            self._keys = json.loads(self._folder.keys.read_text())
            headers = self._token("management")
            async with self._sessions["management"].get(f"/models/{MODEL}", headers=headers) as response:
                models = await response.json() if response.status == 200 else []
            workers = [worker for model in models for worker in model["workers"]]
            return {(worker["pid"], worker["startTime"]): worker["status"] for worker in workers}
        except (aiohttp.ClientError, OSError, ValueError, KeyError):
            return None


async def _refusal(response: aiohttp.ClientResponse) -> Exception:
    """What an answer other than 200 means. None of them comes from the handler."""
    text = (await response.text(errors="replace"))[:300]
    if response.status in (500, 507):  # "Worker died."; 507 where it was killed, which is taken for out of memory
        return WorkerLost(f"TorchServe answered {response.status}", aboard="died" in text)
    if response.status == 503:  # its queue is full, or a batch failed as a whole
        return WorkerLost(f"TorchServe answered 503: {text}", aboard="failed" in text)
    return InternalError(f"TorchServe answered {response.status}: {text}")


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """What has arrived; raises OSError where the stream is cut."""
    try:
        return await response.content.readany()
    except aiohttp.ClientError as e:
        raise ConnectionResetError(str(e)) from e
