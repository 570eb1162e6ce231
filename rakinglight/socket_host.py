"""Hosts a worker at a unix socket, in a process of its own: the engine without TorchServe and without Java.

    python -m rakinglight.socket_host SOCKET ARCHIVE...

A connection is a question: the request frame goes in, frames come out, the last is a result or a problem. Hanging up
closes the run. The process ends when its standard input does, so that it never outlives who started it.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from rakinglight.archives import load_networks
from rakinglight.wire import HEARTBEAT, Frame, first_frame
from rakinglight.worker import Worker, encoded

log = logging.getLogger("rakinglight.worker")

#: Seconds of silence after which a heartbeat is sent, and between two looks for news.
HEARTBEAT_S, LOOK_S = 1.0, 0.025


class SocketHost:
    """The worker's post office."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self._tickets = map(str, itertools.count())
        self._looked = asyncio.Condition()

    async def serve(self, path: Path) -> None:
        """Listen at `path` until cancelled."""
        server = await asyncio.start_unix_server(self._connected, path, backlog=1024, limit=2**22)
        async with server, asyncio.TaskGroup() as tasks:
            tasks.create_task(self._look_for_mail())
            tasks.create_task(server.serve_forever())

    async def _look_for_mail(self) -> None:
        """Tell every connection when a run has ended, and otherwise from time to time."""
        while True:
            await asyncio.to_thread(self.worker.wait, LOOK_S)
            async with self._looked:
                self._looked.notify_all()
            await asyncio.sleep(0.001)  # those who were told collect now, or the next wait would end at once

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ticket = next(self._tickets)
        conversation = asyncio.create_task(self._converse(ticket, reader, writer))
        try:
            with suppress(OSError):
                await conversation
        finally:
            self.worker.close(ticket)
            writer.close()

    async def _converse(self, ticket: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await first_frame(reader)
        if request is None:
            return
        self.worker.open(ticket, request)
        writer.write(bytes(Frame("head")))
        gone = asyncio.create_task(reader.read(1))
        try:
            silent_since, over = asyncio.get_running_loop().time(), False
            while not over and not gone.done():
                async with self._looked:
                    await self._looked.wait()
                news, over = self.worker.collect(ticket)
                now = asyncio.get_running_loop().time()
                if news or now - silent_since > HEARTBEAT_S:
                    silent_since = now
                    letters = b"".join(map(encoded, news)) or HEARTBEAT
                    for start in range(0, len(letters), 2**20):
                        writer.write(letters[start : start + 2**20])
                        await writer.drain()
        finally:
            gone.cancel()


async def _until_standard_input_ends() -> None:
    ended = asyncio.Event()

    def read() -> None:
        if not os.read(sys.stdin.fileno(), 1):
            ended.set()

    asyncio.get_running_loop().add_reader(sys.stdin, read)
    await ended.wait()


async def _main(path: Path, archives: Sequence[Path]) -> None:
    home = os.environ.get("RAKINGLIGHT_HOME")
    worker = Worker(load_networks(archives, home=Path(home) if home else None))
    serving = asyncio.create_task(SocketHost(worker).serve(path))
    ending = asyncio.create_task(_until_standard_input_ends())
    await asyncio.wait([serving, ending], return_when=asyncio.FIRST_COMPLETED)
    if serving.done():
        serving.result()


if __name__ == "__main__":
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    code = 0
    try:
        asyncio.run(_main(Path(sys.argv[1]), [Path(archive) for archive in sys.argv[2:]]))
    except Exception:
        log.critical("the worker cannot go on", exc_info=True)
        code = 1
    os._exit(code)  # a computation under way is nobody's any more, and is not waited for
