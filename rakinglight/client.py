"""The Python client: numpy arrays and pictures in and out, of a service at a URL. Needs no torch.

    import rakinglight

    model = rakinglight.connect("http://127.0.0.1:8000").model("efficientnet-lite0")
    model.classify("cat.jpg").prediction                        # Prediction(index=285, label='Egyptian cat', ...)
    model.saliency("cat.jpg", "gradient").overlay.show()
    model.saliency("cat.jpg", ["gradient", "grad_cam"]).overlay.show()  # side by side
    model.attack(["cat.jpg", "dog.jpg"], "pgd", epsilon="8/255")  # a list in, a list out

`connect_async` is the same with `await`. `rakinglight.local()` is the same with no service at all.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import aclosing, closing
from typing import Any, Generic, Literal, Protocol, Self, TypeVar, overload

from rakinglight.call import Address, Call, Image, Method, Reply
from rakinglight.over_http import AsyncHttpTransport, HttpTransport
from rakinglight.results import Answer, Attack, Classification, Occlusion, Progress, Saliency, answers

R = TypeVar("R")
A = TypeVar("A", bound=Answer)

State = Literal["running", "succeeded", "failed", "cancelled"]


def connect(url: str = "http://127.0.0.1:8000", key: str | None = None, *, timeout: float | None = None) -> Client:
    """A client of the service at `url`. Nothing is sent until something is asked.

    key      the service's, where it wants one
    timeout  seconds without a byte after which a call is given up; by default its deadline and a margin
    """
    return Client(HttpTransport(Address.of(url, key, timeout)))


def connect_async(
    url: str = "http://127.0.0.1:8000", key: str | None = None, *, timeout: float | None = None
) -> AsyncClient:
    """`connect` for asyncio."""
    return AsyncClient(AsyncHttpTransport(Address.of(url, key, timeout)))


class Stream(Protocol):
    """The news of one call: progress, and the reply as the last. `close` cancels the work, from any thread."""

    def __iter__(self) -> Iterator[Progress | Reply]: ...

    def close(self) -> None: ...


class Transport(Protocol):
    """How a client's calls reach an engine: `over_http`, or `in_process`."""

    def models(self) -> list[dict[str, Any]]: ...

    def model(self, name: str, version: str | None = None) -> dict[str, Any]: ...

    def ask(self, call: Call) -> Reply: ...

    def stream(self, call: Call) -> Stream: ...

    def close(self) -> None: ...


# ── with threads ────────────────────────────────────────────────────────────────────────────────────────────────────


class Client:
    """The models that can be asked, here or at a service."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def __repr__(self) -> str:
        return f"<Client of {self._transport}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exit_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections."""
        self._transport.close()

    def models(self) -> list[dict[str, Any]]:
        """What there is to ask: each model's name, versions, input, operations, as the service describes them."""
        return self._transport.models()

    def model(self, name: str, version: str | None = None) -> Model:
        """The model called `name`; the newest version where none is given. Nothing is sent yet."""
        return Model(self._transport, name, version)


class Model:
    """One model. Each operation is asked with an image, or a list, and gives an answer, or a list."""

    def __init__(self, transport: Transport, name: str, version: str | None = None) -> None:
        self._transport = transport
        self.name = name
        self.version = version
        self.classify: Asking[Classification] = Asking(self, "classify")
        self.saliency: Asking[Saliency] = Asking(self, "saliency")
        self.occlusion: Asking[Occlusion] = Asking(self, "occlusion")
        self.attack: Asking[Attack] = Asking(self, "attack")

    def __repr__(self) -> str:
        return f"<Model {_named(self.name, self.version)} of {self._transport}>"

    def describe(self) -> dict[str, Any]:
        """Its labels, layers, input, provenance, and the operations and methods with their parameters."""
        return self._transport.model(self.name, self.version)

    def ask(self, operation: str, images: Image | Sequence[Image], method: Method = None, **options: Any) -> Any:
        """`operation` by its name: what `.classify`, `.saliency`, `.occlusion` and `.attack` are short for."""
        return Asking[Answer](self, operation)(images, method, **options)

    def stream(
        self, operation: str, images: Image | Sequence[Image], method: Method = None, **options: Any
    ) -> Generator[Progress | Any, None, None]:
        """The progress of `operation` as it comes, and its answer as the last."""
        return Asking[Answer](self, operation).stream(images, method, **options)

    def submit(
        self, operation: str, images: Image | Sequence[Image], method: Method = None, **options: Any
    ) -> Job[Any]:
        """`operation` in the background."""
        return Asking[Answer](self, operation).submit(images, method, **options)


class Asking(Generic[A]):
    """One operation of one model, to be called.

    The options are those of `Call.of`: `compare`, `include`, `seed`, `deadline_s`, `max_rows`, `purpose`, and by their
    names the parameters of the operation and the method.
    """

    def __init__(self, model: Model, operation: str) -> None:
        self._model = model
        self._operation = operation

    def __repr__(self) -> str:
        return f"<{self._operation} by {_named(self._model.name, self._model.version)}>"

    @overload
    def __call__(self, images: Image, method: Method = None, **options: Any) -> A: ...
    @overload
    def __call__(self, images: Sequence[Image], method: Method = None, **options: Any) -> list[A]: ...
    def __call__(self, images: Image | Sequence[Image], method: Method = None, **options: Any) -> A | list[A]:
        """Ask, and wait for the answer. Raises what the service raises (`rakinglight.errors`)."""
        call = self._call(images, method, options)
        answer: A | list[A] = _answered(call, self._model._transport.ask(call))
        return answer

    def stream(
        self, images: Image | Sequence[Image], method: Method = None, **options: Any
    ) -> Generator[Progress | A | list[A], None, None]:
        """The progress as it comes, and the answer as the last. Leaving the loop cancels the work."""
        call = self._call(images, method, options)
        with closing(self._model._transport.stream(call)) as stream:
            for news in stream:
                yield news if isinstance(news, Progress) else _answered(call, news)

    def submit(self, images: Image | Sequence[Image], method: Method = None, **options: Any) -> Job[A | list[A]]:
        """Ask in the background."""
        call = self._call(images, method, options)
        return Job(self._model._transport.stream(call), lambda reply: _answered(call, reply))

    def _call(self, images: Image | Sequence[Image], method: Method, options: dict[str, Any]) -> Call:
        return Call.of(self._operation, self._model.name, images, method, version=self._model.version, **options)


class Job(Generic[R]):
    """A call under way in the background.

    progress  the newest that is known, of any of its images
    """

    def __init__(self, stream: Stream, read: Callable[[Reply], R]) -> None:
        self.progress: Progress | None = None
        self._stream = stream
        self._read = read
        self._future: Future[R] = Future()
        self._cancelled = False
        threading.Thread(target=self._run, name="rakinglight-job", daemon=True).start()

    def __repr__(self) -> str:
        p = self.progress
        return f"<Job: {self.state}{f', step {p.step} of {p.of}' if p and self.state == 'running' else ''}>"

    @property
    def state(self) -> State:
        if not self._future.done():
            return "running"
        error = self._future.exception()
        return "succeeded" if error is None else "cancelled" if isinstance(error, CancelledError) else "failed"

    def result(self, timeout: float | None = None) -> R:
        """The answer, waited for up to `timeout` seconds.

        Raises what the service raised, TimeoutError, or CancelledError (of `concurrent.futures`).
        """
        return self._future.result(timeout)

    def cancel(self) -> None:
        """Give up: the service frees its rows before the next pass."""
        self._cancelled = True
        self._stream.close()

    def _run(self) -> None:
        try:
            for news in self._stream:
                if isinstance(news, Progress):
                    self.progress = news
                else:
                    self._future.set_result(self._read(news))
                    return
            raise CancelledError
        except BaseException as e:
            self._future.set_exception(CancelledError() if self._cancelled else e)


# ── with asyncio: the same names ────────────────────────────────────────────────────────────────────────────────────


class AsyncClient:
    """`Client`, for asyncio."""

    def __init__(self, transport: AsyncHttpTransport) -> None:
        self._transport = transport

    def __repr__(self) -> str:
        return f"<AsyncClient of {self._transport}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exit_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._transport.close()

    async def models(self) -> list[dict[str, Any]]:
        return await self._transport.models()

    def model(self, name: str, version: str | None = None) -> AsyncModel:
        return AsyncModel(self._transport, name, version)


class AsyncModel:
    """`Model`, for asyncio."""

    def __init__(self, transport: AsyncHttpTransport, name: str, version: str | None = None) -> None:
        self._transport = transport
        self.name = name
        self.version = version
        self.classify: AsyncAsking[Classification] = AsyncAsking(self, "classify")
        self.saliency: AsyncAsking[Saliency] = AsyncAsking(self, "saliency")
        self.occlusion: AsyncAsking[Occlusion] = AsyncAsking(self, "occlusion")
        self.attack: AsyncAsking[Attack] = AsyncAsking(self, "attack")

    def __repr__(self) -> str:
        return f"<AsyncModel {_named(self.name, self.version)} of {self._transport}>"

    async def describe(self) -> dict[str, Any]:
        return await self._transport.model(self.name, self.version)

    async def ask(self, operation: str, images: Image | Sequence[Image], method: Method = None, **options: Any) -> Any:
        return await AsyncAsking[Answer](self, operation)(images, method, **options)

    def stream(
        self, operation: str, images: Image | Sequence[Image], method: Method = None, **options: Any
    ) -> AsyncGenerator[Progress | Any, None]:
        return AsyncAsking[Answer](self, operation).stream(images, method, **options)

    def submit(
        self, operation: str, images: Image | Sequence[Image], method: Method = None, **options: Any
    ) -> AsyncJob[Any]:
        return AsyncAsking[Answer](self, operation).submit(images, method, **options)


class AsyncAsking(Generic[A]):
    """`Asking`, for asyncio."""

    def __init__(self, model: AsyncModel, operation: str) -> None:
        self._model = model
        self._operation = operation

    def __repr__(self) -> str:
        return f"<{self._operation} by {_named(self._model.name, self._model.version)}>"

    @overload
    async def __call__(self, images: Image, method: Method = None, **options: Any) -> A: ...
    @overload
    async def __call__(self, images: Sequence[Image], method: Method = None, **options: Any) -> list[A]: ...
    async def __call__(self, images: Image | Sequence[Image], method: Method = None, **options: Any) -> A | list[A]:
        call = self._call(images, method, options)
        answer: A | list[A] = _answered(call, await self._model._transport.ask(call))
        return answer

    async def stream(
        self, images: Image | Sequence[Image], method: Method = None, **options: Any
    ) -> AsyncGenerator[Progress | A | list[A], None]:
        call = self._call(images, method, options)
        async with aclosing(self._model._transport.stream(call)) as stream:
            async for news in stream:
                yield news if isinstance(news, Progress) else _answered(call, news)

    def submit(self, images: Image | Sequence[Image], method: Method = None, **options: Any) -> AsyncJob[A | list[A]]:
        call = self._call(images, method, options)
        return AsyncJob(self._model._transport.stream(call), lambda reply: _answered(call, reply))

    def _call(self, images: Image | Sequence[Image], method: Method, options: dict[str, Any]) -> Call:
        return Call.of(self._operation, self._model.name, images, method, version=self._model.version, **options)


class AsyncJob(Generic[R]):
    """`Job`, for asyncio. It runs as a task of the loop that submitted it."""

    def __init__(self, stream: AsyncGenerator[Progress | Reply, None], read: Callable[[Reply], R]) -> None:
        self.progress: Progress | None = None
        self._read = read
        self._task = asyncio.create_task(self._run(stream))

    def __repr__(self) -> str:
        p = self.progress
        return f"<AsyncJob: {self.state}{f', step {p.step} of {p.of}' if p and self.state == 'running' else ''}>"

    @property
    def state(self) -> State:
        if not self._task.done():
            return "running"
        if self._task.cancelled():
            return "cancelled"
        return "failed" if self._task.exception() else "succeeded"

    async def result(self, timeout: float | None = None) -> R:  # noqa: ASYNC109  the same name as in `Job`
        """The answer. Raises what the service raised, TimeoutError, or `asyncio.CancelledError`."""
        return await asyncio.wait_for(asyncio.shield(self._task), timeout)

    def cancel(self) -> None:
        self._task.cancel()

    async def _run(self, stream: AsyncGenerator[Progress | Reply, None]) -> R:
        async with aclosing(stream):
            async for news in stream:
                if not isinstance(news, Progress):
                    return self._read(news)
                self.progress = news
        raise AssertionError("a stream ends with its reply or raises")


# ── shared ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _answered(call: Call, reply: Reply) -> Any:
    """The answer to `call`: one for one image, a list for a list."""
    several = answers(reply)
    return several if call.listed else several[0]


def _named(name: str, version: str | None) -> str:
    return f"{name} {version}" if version else name
