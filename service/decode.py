"""Strangers' bytes are opened here and nowhere else: in small processes with limits, outside the gateway.

    gateway ── request frame, the file's bytes ──> python -m service.decode      address space, processor time and
            <── result frame, the pixels ────────                                wall-clock time are limited

A process that dies (a decoder's bug, a limit) costs the one image that killed it and is replaced for the next. Each
ends when its standard input does, so none outlives the gateway.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import math
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, Self

import numpy as np

from rakinglight import images
from rakinglight.errors import NotAnImage, RakinglightError, from_problem
from rakinglight.wire import Frame

if TYPE_CHECKING:  # the processes start faster without
    from service.settings import Settings

log = logging.getLogger("rakinglight.decode")

Array = np.ndarray[Any, Any]


#: Of a pipe, in place of 64 KiB: pixels are tens of megabytes, and each refill is two switches of processes.
PIPE_BYTES = 2**20


class Decoder(Protocol):
    """Makes pixels of files. Raises NotAnImage and TooLarge, as `rakinglight.images.decode` does."""

    async def decode(self, raw: bytes) -> Array: ...


class DecodePool:
    """A few processes that decode, one image each at a time; who comes when all are busy waits for the next to be free.

    processes      how many
    max_pixels     pixels of an image
    max_side       pixels of its longer side
    seconds        of wall clock, and of processor time, for one image
    address_space  bytes that a process may map
    """

    def __init__(self, *, processes: int, max_pixels: int, max_side: int, seconds: float, address_space: int) -> None:
        self.limits = {"max_pixels": max_pixels, "max_side": max_side}
        self.replaced = 0
        self._free = [_Process(seconds, address_space) for _ in range(processes)]
        self._all = tuple(self._free)
        # A thread a process: pixels are read with few large reads that way, and never on the gateway's loop.
        self._threads = ThreadPoolExecutor(processes, thread_name_prefix="decode")

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The pool that `settings` ask for."""
        return cls(
            processes=settings.decoders,
            max_pixels=settings.image_pixels,
            max_side=settings.image_side,
            seconds=settings.decode_s,
            address_space=settings.decode_bytes,
        )

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.close)

    def start(self) -> None:
        """Start the processes, so that the first image need not wait for them."""
        for process in self._all:
            process.start()

    @property
    def pids(self) -> list[int]:
        """Of the processes that were started and not ended since."""
        return [process.pid for process in self._all if process.pid is not None]

    async def decode(self, raw: bytes) -> Array:
        """uint8 [H, W, C] of the picture in `raw`."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._decode, raw)

    def close(self) -> None:
        """End the processes."""
        for process in self._all:
            process.kill()
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _decode(self, raw: bytes) -> Array:
        process = self._free.pop()  # there are as many as threads, so one is free
        try:
            for attempt in (1, 2):  # the first process may die of, or be held up by, something else than this image
                try:
                    return process.ask(raw, self.limits)
                except _Died as died:
                    self.replaced += 1
                    log.warning("a decoding process was replaced: %s", died)
                    if died.of_the_image or attempt == 2:
                        raise NotAnImage(f"The image could not be decoded within its limits: {died}.") from None
            raise AssertionError
        finally:
            self._free.append(process)


class _Died(Exception):
    """A process ended, or was ended, in the middle of an image; it may be certain that this was the image's doing."""

    def __init__(self, reason: str, *, of_the_image: bool) -> None:
        super().__init__(reason)
        self.of_the_image = of_the_image


class _Process:
    """One decoding process, started when it is first needed and again after it died."""

    def __init__(self, seconds: float, address_space: int) -> None:
        self.seconds = seconds
        self.address_space = address_space
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return None if self._child is None else self._child.pid

    def start(self) -> subprocess.Popen[bytes]:
        if self._child is not None and self._child.poll() is not None:
            self.kill()
        if self._child is None:
            command = [sys.executable, "-m", "service.decode", str(self.seconds), str(self.address_space)]
            # No key where strangers' bytes are; and one thread: numpy's matrix library would map memory for many.
            environment = {name: value for name, value in os.environ.items() if not name.startswith("RAKINGLIGHT_")}
            environment |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
            # A session of its own, so that Ctrl-C in a terminal does not end it before the gateway does.
            self._child = subprocess.Popen(  # noqa: S603  our own module
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=environment,
                bufsize=0,
                start_new_session=True,
            )
            for pipe in (self._child.stdin, self._child.stdout):
                assert pipe is not None
                with suppress(OSError, AttributeError):  # refused, or not Linux: it is only slower
                    fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        return self._child

    def ask(self, raw: bytes, limits: Mapping[str, int]) -> Array:
        """The pixels of `raw`. Raises what was found wrong with it, or _Died; the next to ask finds another process."""
        child = self.start()
        assert child.stdin is not None
        assert child.stdout is not None
        too_long = threading.Event()

        def give_up() -> None:
            too_long.set()
            child.kill()

        watch = threading.Timer(self.seconds, give_up)
        watch.start()
        try:
            # The child reads the whole question before it answers, so neither waits for the other.
            _write(child.stdin, bytes(Frame("request", {"count": len(raw), "limits": limits})))
            _write(child.stdin, raw)
            answer = _read_frame(child.stdout)
            if answer.kind == "problem":
                raise from_problem(answer.body)
            pixels = np.empty(answer.body["shape"], np.uint8)
            _fill(child.stdout, pixels.data)
            return pixels
        except (BrokenPipeError, EOFError):
            status = child.wait()
            self.kill()
            if too_long.is_set():
                raise _Died(f"it took longer than {self.seconds:g} s", of_the_image=False) from None
            raise _Died(f"the process ended with {status}", of_the_image=status == -signal.SIGXCPU) from None
        finally:
            watch.cancel()

    def kill(self) -> None:
        if self._child is None:
            return
        child, self._child = self._child, None
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout):
            assert pipe is not None
            pipe.close()


# Files and pixels follow their frame as they are: they are tens of megabytes, and each copy takes as long as decoding.


def _write(stream: Any, content: bytes | memoryview) -> None:
    rest = memoryview(content).cast("B")
    while rest:
        rest = rest[stream.write(rest) :]


def _read_frame(stream: Any) -> Frame:
    """The next frame. Raises EOFError at the end of the stream."""
    whole = bytearray(4)
    _fill(stream, whole)
    whole += bytes(int.from_bytes(whole))
    _fill(stream, memoryview(whole)[4:])
    return Frame.read(bytes(whole))


def _fill(stream: Any, room: bytearray | memoryview) -> None:
    rest = memoryview(room).cast("B")
    while rest:
        if not (count := stream.readinto(rest)):
            raise EOFError
        rest = rest[count:]


# ── in the process ──────────────────────────────────────────────────────────────────────────────────────────────────


def main(seconds: float, address_space: int) -> None:
    """Decode what comes in on standard input until it ends."""
    resource.setrlimit(resource.RLIMIT_AS, (address_space, address_space))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # it has no file to write
    source: BinaryIO = open(0, "rb", buffering=0, closefd=False)  # noqa: SIM115  they are standard streams
    sink: BinaryIO = open(1, "wb", buffering=0, closefd=False)  # noqa: SIM115
    with suppress(BrokenPipeError, EOFError, KeyboardInterrupt):
        while True:
            question = _read_frame(source).body
            raw = bytearray(question["count"])
            _fill(source, raw)
            used = resource.getrusage(resource.RUSAGE_SELF)
            allowed = math.ceil(used.ru_utime + used.ru_stime + seconds)
            resource.setrlimit(resource.RLIMIT_CPU, (allowed, resource.RLIM_INFINITY))
            try:
                pixels = np.ascontiguousarray(images.decode(bytes(raw), **question["limits"]))
            except RakinglightError as e:
                _write(sink, bytes(Frame("problem", e.problem())))
            else:
                _write(sink, bytes(Frame("result", {"shape": list(pixels.shape)})))
                _write(sink, pixels.data)


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]))
