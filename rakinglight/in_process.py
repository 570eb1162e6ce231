"""The client with no service: the same algorithms, engine and replies, in this process.

    import rakinglight

    rakinglight.local().model("lenet5-digits").attack("seven.png", "fgsm", epsilon=0.2)

Nothing here loads torch until a model is asked something.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rakinglight import archives, catalogue, images, reply
from rakinglight.call import DEADLINE_S, Call, Reply
from rakinglight.card import Card
from rakinglight.client import Client, Stream
from rakinglight.description import describe
from rakinglight.errors import EngineAway, NotFound, from_problem, near
from rakinglight.question import Question
from rakinglight.results import Progress
from rakinglight.wire import Frame

if TYPE_CHECKING:
    from rakinglight.worker import Worker

Array = np.ndarray[Any, Any]

log = logging.getLogger("rakinglight.in_process")

#: Seconds between two looks at the mailboxes: progress is shown this often.
LOOK_S = 0.05


def local(home: str | Path | None = None, *, say: Callable[[str], None] = log.info) -> Client:
    """A client of the models in `home`, with no service.

    home  where the archives are: by default RAKINGLIGHT_HOME, or `.rakinglight` here. What is missing is built, where
          the recipes of the project's own checkout are at hand.
    say   told when something takes long
    """
    return Client(InProcess(Path(home or os.environ.get("RAKINGLIGHT_HOME") or ".rakinglight"), say))


class InProcess:
    """A client's transport that goes nowhere: one worker a model, started when the model is first asked."""

    def __init__(self, home: Path, say: Callable[[str], None] = log.info) -> None:
        self.home = home
        self.say = say
        self._cards: dict[str, Card] = {}
        self._workers: dict[str, Worker] = {}
        self._starting = threading.Lock()

    def __repr__(self) -> str:
        return f"this process, with the archives in {self.home}"

    def models(self) -> list[dict[str, Any]]:
        return [describe(archives.read_card(path)) for path in archives.find_archives(self.home).values()]

    def model(self, name: str, version: str | None = None) -> dict[str, Any]:
        return describe(self.card(name, version))

    def ask(self, call: Call) -> Reply:
        *_, last = self.stream(call)
        assert not isinstance(last, Progress)
        return last

    def stream(self, call: Call) -> Stream:
        return _LocalStream(self, call)

    def close(self) -> None:
        """Cancel what is under way and let the models go."""
        with self._starting:
            for worker in self._workers.values():
                worker.stop()
            self._workers.clear()

    def card(self, name: str, version: str | None = None) -> Card:
        """The card of a model, whose archive is built first where it can be. Raises NotFound."""
        if name not in self._cards:
            self._cards[name] = archives.read_card(self._archive(name))
        card = self._cards[name]
        if version not in (None, card.version):
            raise NotFound(f"{name} has no version {version!r}; there is {card.version!r}.")
        return card

    def worker(self, card: Card) -> Worker:
        """The worker of a model; it is started if there is none. Raises EngineAway where torch is not installed."""
        with self._starting:
            if card.name not in self._workers:
                try:
                    from rakinglight.worker import Worker

                    (network,) = archives.load_networks([self._archive(card.name)], home=self.home)
                except ModuleNotFoundError as e:
                    raise EngineAway(
                        f"Without a service this needs {e.name}, which is not installed: "
                        "pip install 'rakinglight[engine,cpu]', or give the URL of a service."
                    ) from e
                self._workers[card.name] = Worker([network])
            return self._workers[card.name]

    def _archive(self, name: str) -> Path:
        try:
            from model_store.build import ensure
        except ModuleNotFoundError:  # a checkout has it, the wheel has not
            pass
        else:
            ensure([name], self.home, self.say)
        there = archives.find_archives(self.home)
        if name not in there:
            raise NotFound(
                f"There is no archive of {name!r} in {self.home}: {near(name, there) if there else 'it holds none.'} "
                "Set RAKINGLIGHT_HOME to where the archives are, or build one in a checkout of this project with "
                "`python -m model_store build`."
            )
        return there[name]


class _LocalStream:
    """The news of one call. `close` may come from another thread, in the middle of reading."""

    def __init__(self, transport: InProcess, call: Call) -> None:
        self._transport = transport
        self._call = call
        self._closed = threading.Event()

    def __iter__(self) -> Iterator[Progress | Reply]:
        begun, call = time.monotonic(), self._call
        card = self._transport.card(call.model, call.version)
        operation = catalogue.operation(call.operation)
        method = operation.method(call.method)
        reply.check_include(operation, call.include)
        filled, each = operation.check(method, call.parameters, card, len(call.images))
        questions = [
            Question(
                operation=operation.name,
                model=card.name,
                pixels=_pixels(image, card, i),
                method=method.name if method else None,
                parameters=parameters,
                seed=call.seed,
                seconds=DEADLINE_S if call.deadline_s is None else call.deadline_s,
                max_rows=call.max_rows,
            )
            for i, (image, parameters) in enumerate(zip(call.images, each, strict=True))
        ]
        bodies: dict[int, Mapping[str, Any]] = {}
        for image, frame in self._frames(self._transport.worker(card), questions):
            if frame.kind == "progress":
                yield Progress.read({"image": image, **frame.body})
            elif frame.kind == "result":
                bodies[image] = frame.body
        if self._closed.is_set():
            return

        request_id = uuid.uuid4().hex
        facts = reply.facts(card, method.name if method else None, filled, request_id)
        results = []
        for image, question in enumerate(questions):
            result = dict(bodies[image]["result"])
            if "adversarial" in result:
                result["queries"] = sum(bodies[image]["cost"].values())
            results.append(reply.finish(operation, result, question.pixels, card, call.include, facts))
        costs = [body["cost"] for body in bodies.values()]
        yield {
            "model": {"name": card.name, "version": card.version, "sha256": card.sha256},
            "operation": operation.name,
            "method": method.name if method else None,
            "parameters": filled,
            "seed": call.seed,
            "results": results,
            "cost": {kind: sum(cost[kind] for cost in costs) for kind in ("forward_rows", "gradient_rows")},
            "answered_by": bodies[0].get("answered_by", {}),
            "elapsed_ms": round(1000 * (time.monotonic() - begun), 1),
            "request_id": request_id,
        }

    def close(self) -> None:
        self._closed.set()

    def _frames(self, worker: Worker, questions: Sequence[Question]) -> Iterator[tuple[int, Frame]]:
        """What the worker says of each question, until all are answered. Raises the first problem."""
        waiting = {uuid.uuid4().hex: i for i in range(len(questions))}
        try:
            for ticket, image in waiting.items():
                worker.open(ticket, Frame("request", questions[image].to_body()))
            while waiting and not self._closed.is_set():
                worker.wait(LOOK_S)
                for ticket, image in list(waiting.items()):
                    frames, over = worker.collect(ticket)
                    if over:
                        del waiting[ticket]
                    for frame in frames:
                        if frame.kind == "problem":
                            raise from_problem(frame.body)
                        yield image, frame
        finally:
            for ticket in waiting:
                worker.close(ticket)


def _pixels(image: bytes | Array, card: Card, place: int) -> Array:
    """One image as the model takes it: uint8 [H, W, C], or float32 [C, H, W]."""
    if isinstance(image, bytes):
        return images.for_model(images.decode(image), card)
    return images.exact(image, card, f"/images/{place}")
