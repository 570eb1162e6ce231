"""Reading a worker's stream: whole frames, and an end that is known for one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from pathlib import Path

from rakinglight.wire import Frame, FrameReader
from service.engines.boarding import WorkerLost

#: Seconds without a byte after which a worker is taken for dead; it sends a heartbeat many times a second.
SILENCE_S = 5.0


async def frames(read: Callable[[], Awaitable[bytes]], silence_s: float = SILENCE_S) -> AsyncGenerator[Frame, None]:
    """The frames in what `read` gives (b"" at the end), to the terminal one. Heartbeats are left out.

    Raises WorkerLost where the stream is cut, ends early, or falls silent.
    """
    reader, aboard = FrameReader(), False
    while True:
        try:
            async with asyncio.timeout(silence_s):
                chunk = await read()
        except TimeoutError:
            raise WorkerLost(f"no sign of life for {silence_s:g} s", aboard=aboard) from None
        except (OSError, EOFError) as e:
            raise WorkerLost(f"the stream was cut: {e or type(e).__name__}", aboard=aboard) from e
        if not chunk:
            raise WorkerLost("the stream ended without its last frame", aboard=aboard)
        for frame in reader.feed(chunk):
            aboard = True
            if frame.kind != "heartbeat":
                yield frame
            if frame.terminal:
                return


async def answer(path: Path, request: bytes) -> AsyncGenerator[Frame, None]:
    """The frames that answer `request` at the socket `path`, as `frames` reads them. Closing it hangs up.

    Raises WorkerLost where nobody listens, and as `frames` does.
    """
    try:
        reader, writer = await asyncio.open_unix_connection(path, limit=2**22)
    except OSError as e:
        raise WorkerLost(f"nobody listens: {e}", aboard=False) from e
    try:
        writer.write(request)
        async with aclosing(frames(partial(reader.read, 2**20))) as arriving:
            async for frame in arriving:
                yield frame
    finally:
        writer.close()
