"""A service for tests of the client: a real gateway at a real port, its store and who does its jobs, in a thread."""

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvicorn
from torch import nn

from service.core import Core
from service.decode import DecodePool
from service.keys import Keyring
from service.rest import application
from service.settings import Settings
from tests.networks import network_of
from tests.service.in_process import InProcessEngine, doing_jobs, storage_in

KEY = "a-key-for-a-test-long-enough"


def until(true: Callable[[], bool], seconds: float = 40) -> None:
    """Wait until `true()`; fail after `seconds`."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.01)


class House:
    """A gateway on a free port. `url` is where it answers, `engine` who answers."""

    def __init__(self, home: Path, **given: Any) -> None:
        module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 6 * 6, 5))
        self.engine = InProcessEngine([network_of("small", module, (3, 8, 8), layers={"0": (4, 6, 6)})])
        settings = Settings(home=home, decoders=1, heartbeat_s=0.2, worker_images=1, state_s=0.05, **given)
        self.decoder = DecodePool.of(settings)
        self.decoder.start()
        self.storage = storage_in(home, settings, self.decoder)
        self.core = Core(self.engine, settings, self.decoder, self.storage)
        self.port = 0
        self._ways: list[asyncio.Server] = []
        self._ending = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._work(),), daemon=True)
        self._thread.start()
        self.open()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def open(self) -> None:
        """Let the gateway answer, at the port that it had before."""
        app = application(self.core, Keyring(KEY.encode()))
        config = uvicorn.Config(app, port=self.port, log_config=None, lifespan="off", timeout_graceful_shutdown=0)
        self._server = uvicorn.Server(config)
        listening = config.bind_socket()
        self.port = int(listening.getsockname()[1])
        self._serving = asyncio.run_coroutine_threadsafe(self._server.serve([listening]), self._loop)
        until(lambda: self._server.started)

    def shut(self) -> None:
        """End the gateway and all its connections. Jobs go on."""
        self._server.should_exit = True
        self._serving.result(10)

    def close(self) -> None:
        self.shut()
        self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join()
        self._loop.close()
        self.engine.worker.stop()
        self.storage.close()
        self.decoder.close()

    def way(self, cuts: list[int], where: bytes = b"/events") -> str:
        """The URL of a way here that breaks, as `broken_way` says."""
        self._ways.append(asyncio.run_coroutine_threadsafe(broken_way(self.port, cuts, where), self._loop).result(10))
        return f"http://127.0.0.1:{self._ways[-1].sockets[0].getsockname()[1]}"

    async def _work(self) -> None:
        async with doing_jobs(self.core):
            await self._ending.wait()
        for way in self._ways:
            way.close()


async def broken_way(to: int, cuts: list[int], where: bytes) -> asyncio.Server:
    """Who carries bytes to the port `to` and back.

    cuts   of each connection that asks for `where`, the bytes of the answer after which it is cut. They are used up
    """

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind, ahead = await asyncio.open_connection("127.0.0.1", to)
        left: int | None = None

        async def forth() -> None:
            nonlocal left
            while data := await reader.read(2**16):
                if where in data and cuts:
                    left = cuts.pop(0)
                ahead.write(data)

        async def back() -> None:
            nonlocal left
            while data := await behind.read(2**16):
                if left is not None:
                    data = data[:left]
                    left -= len(data)
                writer.write(data)
                if left == 0:
                    return

        ways = [asyncio.create_task(forth()), asyncio.create_task(back())]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for task in ways:
            task.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        for end in (ahead, writer):
            end.close()

    return await asyncio.start_server(carry, "127.0.0.1", 0)
