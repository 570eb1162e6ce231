"""The Python client: numpy arrays and pictures in and out, of a service at a URL. Needs no torch.

    import rakinglight

    model = rakinglight.connect("http://127.0.0.1:8000").model("efficientnet-lite0")
    model.classify("cat.jpg").prediction                        # Prediction(index=285, label='Egyptian cat', ...)
    model.saliency("cat.jpg", "gradient").overlay.show()
    model.saliency("cat.jpg", ["gradient", "grad_cam"]).overlay.show()  # side by side
    model.attack(["cat.jpg", "dog.jpg"], "pgd", epsilon="8/255")  # a list in, a list out
    model.inversion("cat.jpg", "style", style="waves.jpg").picture.show()
    model.inversion(method="activation_maximization", target="lynx").picture.show()  # of no image

`connect_async` is the same with `await`. `rakinglight.local()` is the same with no service at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator, Iterator, Sequence
from contextlib import aclosing, closing
from pathlib import Path
from typing import Any, Generic, Protocol, Self, TypeVar, get_args, overload

from rakinglight.call import Call, Image, Method, Reply
from rakinglight.errors import BadParameter, NotFound, near, shown
from rakinglight.flows import Address, segment
from rakinglight.jobs import AsyncJob, Job, ServiceJob, Stream, answered
from rakinglight.over_http import AsyncHttpTransport, HttpTransport
from rakinglight.packing import packed
from rakinglight.results import (
    Answer,
    Attack,
    Classification,
    Inversion,
    Occlusion,
    Progress,
    Robustness,
    Saliency,
    State,
    Substitute,
    Units,
    Universal,
)

A = TypeVar("A", bound=Answer)

Answers = list[Any]


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


class Transport(Protocol):
    """How a client's calls reach an engine: `over_http`, or `in_process`."""

    def models(self) -> list[dict[str, Any]]: ...

    def model(self, name: str, version: str | None = None) -> dict[str, Any]: ...

    def ask(self, call: Call) -> Reply: ...

    def stream(self, call: Call) -> Stream: ...

    def submit(self, call: Call) -> Job[Any]: ...

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

    def jobs(self, state: State | None = None) -> Iterator[ServiceJob[Answers]]:
        """Your jobs, newest first, page by page; those in `state` alone, if one is named.

        Raises BadParameter, at once, for a state that there is not.
        """
        service = self._service
        pages = service.news(service.address.pages("jobs", "jobs", state=_checked(state)))
        return (ServiceJob(service, members) for members in pages)

    def job(self, job: str) -> ServiceJob[Answers]:
        """The job of this id. Its result is a list, one answer an image. Raises NotFound, and Expired."""
        return ServiceJob(self._service, {"id": job}).refresh()

    def datasets(self) -> Iterator[dict[str, Any]]:
        """The datasets that you may use, as the service describes them: those that it offers, and yours."""
        return self._service.news(self._service.address.pages("datasets", "datasets"))

    def dataset(self, dataset: str) -> dict[str, Any]:
        """The dataset of this id: its name, how many images, their classes. Raises NotFound."""
        return dict(self._service.run(self._service.address.get(f"datasets/{segment(dataset)}")))

    def upload_dataset(self, path: str | Path, name: str | None = None) -> dict[str, Any]:
        """Have the service keep the images in `path`: a folder by class, a zip of one, or an NPZ.

        name  by default that of the file or folder
        Returns the dataset, whose "id" goes as `dataset` into calls. Raises NotADataset, which says what is wrong.
        """
        return self._service.run(self._service.address.upload(*_upload(path, name)))

    def delete_dataset(self, dataset: str) -> None:
        """Forget a dataset. Jobs that are about it keep what they need."""
        self._service.run(self._service.address.delete(f"datasets/{segment(dataset)}"))

    def perturbations(self) -> Iterator[dict[str, Any]]:
        """The universal perturbations that you have had made, newest first."""
        return self._service.news(self._service.address.pages("perturbations", "perturbations"))

    def perturbation(self, perturbation: str) -> dict[str, Any]:
        """The perturbation of this id: for which model it was made, and how many images it fools. Raises NotFound."""
        return dict(self._service.run(self._service.address.get(f"perturbations/{segment(perturbation)}")))

    def delete_perturbation(self, perturbation: str) -> None:
        """Forget a perturbation."""
        self._service.run(self._service.address.delete(f"perturbations/{segment(perturbation)}"))

    def substitutes(self) -> Iterator[dict[str, Any]]:
        """The substitutes that you have had made, newest first."""
        return self._service.news(self._service.address.pages("substitutes", "substitutes"))

    def substitute(self, substitute: str) -> dict[str, Any]:
        """The substitute of this id: of which model, how often it agrees, where its archive is. Raises NotFound."""
        return dict(self._service.run(self._service.address.get(f"substitutes/{segment(substitute)}")))

    def delete_substitute(self, substitute: str) -> None:
        """Forget a substitute."""
        self._service.run(self._service.address.delete(f"substitutes/{segment(substitute)}"))

    @property
    def _service(self) -> HttpTransport:
        if not isinstance(self._transport, HttpTransport):
            raise NotFound(
                f"Only a service keeps jobs and datasets, and here is {self._transport}; ask one, by "
                "`rakinglight.connect(url)`."
            )
        return self._transport


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
        self.inversion: Asking[Inversion] = Asking(self, "inversion")
        self.units: Asking[Units] = Asking(self, "units")
        self.robustness: Asking[Robustness] = Asking(self, "robustness")
        self.universal: Asking[Universal] = Asking(self, "universal")
        self.substitute: Asking[Substitute] = Asking(self, "substitute")

    def __repr__(self) -> str:
        return f"<Model {_named(self.name, self.version)} of {self._transport}>"

    def describe(self) -> dict[str, Any]:
        """Its labels, layers, input, provenance, and the operations and methods with their parameters."""
        return self._transport.model(self.name, self.version)

    def ask(self, operation: str, images: Image | Sequence[Image] = (), method: Method = None, **options: Any) -> Any:
        """`operation` by its name: what `.classify`, `.saliency`, `.occlusion` and `.attack` are short for."""
        return Asking[Answer](self, operation)(images, method, **options)

    def stream(
        self, operation: str, images: Image | Sequence[Image] = (), method: Method = None, **options: Any
    ) -> Generator[Progress | Any, None, None]:
        """The progress of `operation` as it comes, and its answer as the last."""
        return Asking[Answer](self, operation).stream(images, method, **options)

    def submit(
        self, operation: str, images: Image | Sequence[Image] = (), method: Method = None, **options: Any
    ) -> Job[Any]:
        """`operation`, not waited for."""
        return Asking[Answer](self, operation).submit(images, method, **options)


class Asking(Generic[A]):
    """One operation of one model, to be called.

    The options are those of `Call.of`: `dataset`, `compare`, `include`, `seed`, `deadline_s`, `max_rows`, `purpose`,
    and by their names the parameters of the operation and the method.
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
    @overload
    def __call__(self, *, dataset: str, method: Method = None, **options: Any) -> list[A]: ...
    @overload
    def __call__(self, *, method: Method = None, **options: Any) -> A: ...
    def __call__(self, images: Image | Sequence[Image] = (), method: Method = None, **options: Any) -> A | list[A]:
        """Ask, and wait for the answer. Raises what the service raises (`rakinglight.errors`)."""
        call = self._call(images, method, options)
        answer: A | list[A] = answered(self._model._transport.ask(call), listed=call.listed)
        return answer

    def stream(
        self, images: Image | Sequence[Image] = (), method: Method = None, **options: Any
    ) -> Generator[Progress | A | list[A], None, None]:
        """The progress as it comes, and the answer as the last. Leaving the loop cancels the work."""
        call = self._call(images, method, options)
        with closing(self._model._transport.stream(call)) as stream:
            for news in stream:
                yield news if isinstance(news, Progress) else answered(news, listed=call.listed)

    def submit(self, images: Image | Sequence[Image] = (), method: Method = None, **options: Any) -> Job[A | list[A]]:
        """Have it done without waiting. At a service it goes on when this process ends (`rakinglight.jobs`)."""
        return self._model._transport.submit(self._call(images, method, options))

    def _call(self, images: Image | Sequence[Image], method: Method, options: dict[str, Any]) -> Call:
        return Call.of(self._operation, self._model.name, images, method, version=self._model.version, **options)


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

    def jobs(self, state: State | None = None) -> AsyncGenerator[AsyncJob[Answers], None]:
        return self._jobs(_checked(state))

    async def _jobs(self, state: State | None) -> AsyncGenerator[AsyncJob[Answers], None]:
        async with aclosing(self._transport.news(self._transport.address.pages("jobs", "jobs", state=state))) as found:
            async for members in found:
                yield AsyncJob(self._transport, members)

    async def job(self, job: str) -> AsyncJob[Answers]:
        return await AsyncJob[Answers](self._transport, {"id": job}).refresh()

    def datasets(self) -> AsyncGenerator[dict[str, Any], None]:
        return self._transport.news(self._transport.address.pages("datasets", "datasets"))

    async def dataset(self, dataset: str) -> dict[str, Any]:
        return dict(await self._transport.run(self._transport.address.get(f"datasets/{segment(dataset)}")))

    async def upload_dataset(self, path: str | Path, name: str | None = None) -> dict[str, Any]:
        upload = await asyncio.to_thread(_upload, path, name)
        return await self._transport.run(self._transport.address.upload(*upload))

    async def delete_dataset(self, dataset: str) -> None:
        await self._transport.run(self._transport.address.delete(f"datasets/{segment(dataset)}"))

    def perturbations(self) -> AsyncGenerator[dict[str, Any], None]:
        return self._transport.news(self._transport.address.pages("perturbations", "perturbations"))

    async def perturbation(self, perturbation: str) -> dict[str, Any]:
        address = self._transport.address
        return dict(await self._transport.run(address.get(f"perturbations/{segment(perturbation)}")))

    def substitutes(self) -> AsyncGenerator[dict[str, Any], None]:
        return self._transport.news(self._transport.address.pages("substitutes", "substitutes"))

    async def substitute(self, substitute: str) -> dict[str, Any]:
        address = self._transport.address
        return dict(await self._transport.run(address.get(f"substitutes/{segment(substitute)}")))

    async def delete_substitute(self, substitute: str) -> None:
        await self._transport.run(self._transport.address.delete(f"substitutes/{segment(substitute)}"))

    async def delete_perturbation(self, perturbation: str) -> None:
        await self._transport.run(self._transport.address.delete(f"perturbations/{segment(perturbation)}"))


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
        self.inversion: AsyncAsking[Inversion] = AsyncAsking(self, "inversion")
        self.units: AsyncAsking[Units] = AsyncAsking(self, "units")
        self.robustness: AsyncAsking[Robustness] = AsyncAsking(self, "robustness")
        self.universal: AsyncAsking[Universal] = AsyncAsking(self, "universal")
        self.substitute: AsyncAsking[Substitute] = AsyncAsking(self, "substitute")

    def __repr__(self) -> str:
        return f"<AsyncModel {_named(self.name, self.version)} of {self._transport}>"

    async def describe(self) -> dict[str, Any]:
        return await self._transport.model(self.name, self.version)

    async def ask(
        self, operation: str, images: Image | Sequence[Image] = (), method: Method = None, **options: Any
    ) -> Any:
        return await AsyncAsking[Answer](self, operation)(images, method, **options)

    def stream(
        self, operation: str, images: Image | Sequence[Image] = (), method: Method = None, **options: Any
    ) -> AsyncGenerator[Progress | Any, None]:
        return AsyncAsking[Answer](self, operation).stream(images, method, **options)

    async def submit(
        self, operation: str, images: Image | Sequence[Image] = (), method: Method = None, **options: Any
    ) -> AsyncJob[Any]:
        return await AsyncAsking[Answer](self, operation).submit(images, method, **options)


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
    @overload
    async def __call__(self, *, dataset: str, method: Method = None, **options: Any) -> list[A]: ...
    @overload
    async def __call__(self, *, method: Method = None, **options: Any) -> A: ...
    async def __call__(
        self, images: Image | Sequence[Image] = (), method: Method = None, **options: Any
    ) -> A | list[A]:
        call = self._call(images, method, options)
        answer: A | list[A] = answered(await self._model._transport.ask(call), listed=call.listed)
        return answer

    async def stream(
        self, images: Image | Sequence[Image] = (), method: Method = None, **options: Any
    ) -> AsyncGenerator[Progress | A | list[A], None]:
        call = self._call(images, method, options)
        async with aclosing(self._model._transport.stream(call)) as stream:
            async for news in stream:
                yield news if isinstance(news, Progress) else answered(news, listed=call.listed)

    async def submit(
        self, images: Image | Sequence[Image] = (), method: Method = None, **options: Any
    ) -> AsyncJob[A | list[A]]:
        return await self._model._transport.submit(self._call(images, method, options))

    def _call(self, images: Image | Sequence[Image], method: Method, options: dict[str, Any]) -> Call:
        return Call.of(self._operation, self._model.name, images, method, version=self._model.version, **options)


# ── shared ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _checked(state: State | None) -> State | None:
    """`state`. Raises BadParameter where jobs have no such state."""
    if state is not None and state not in get_args(State):
        raise BadParameter.at("/state", f"{shown(state)} is no state of a job: {near(str(state), get_args(State))}")
    return state


def _upload(path: str | Path, name: str | None) -> tuple[str, bytes, str]:
    """What is uploaded of the dataset at `path`: its name, its content and its media type."""
    path = Path(path)
    return name or path.resolve().stem, *packed(path)


def _named(name: str, version: str | None) -> str:
    return f"{name} {version}" if version else name
