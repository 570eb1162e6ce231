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

from rakinglight import archives, catalogue, images
from rakinglight.call import DEADLINE_S, Call, Reply
from rakinglight.card import Card
from rakinglight.client import Client
from rakinglight.description import describe
from rakinglight.errors import BadParameter, EngineAway, NotFound, from_problem, near
from rakinglight.jobs import LocalJob, Stream, answered
from rakinglight.picture_parameters import decoded
from rakinglight.plan import Plan
from rakinglight.question import Question
from rakinglight.results import Progress
from rakinglight.wire import Frame

if TYPE_CHECKING:
    from rakinglight.network import Network
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
    return Client(FromArchives(Path(home or os.environ.get("RAKINGLIGHT_HOME") or ".rakinglight"), say))


class InProcess:
    """A client's transport whose engine is here: one worker a model, started when the model is first asked.

    Where the models come from is for its forms to say: `FromArchives`, and `over_classify.BlackBox`.
    """

    def __init__(self) -> None:
        self._cards: dict[str, Card] = {}
        self._workers: dict[frozenset[str], Worker] = {}
        self._starting = threading.Lock()

    def models(self) -> list[dict[str, Any]]:
        """What there is, as `describe` has it."""
        raise NotImplementedError

    def read_card(self, name: str) -> Card:
        """The card of the model called `name`. Raises NotFound."""
        raise NotImplementedError

    def load_network(self, card: Card) -> Network:
        """The model of `card`, ready to answer. Raises ModuleNotFoundError where torch is not installed."""
        raise NotImplementedError

    def end(self, name: str) -> None:
        """A run of the model called `name` is over, and nobody was told yet. May raise what spoils its figures."""

    def model(self, name: str, version: str | None = None) -> dict[str, Any]:
        return describe(self.card(name, version))

    def ask(self, call: Call) -> Reply:
        *_, last = _LocalStream(self, call, watched=False)
        assert not isinstance(last, Progress)
        return last

    def stream(self, call: Call) -> Stream:
        return _LocalStream(self, call, watched=True)

    def submit(self, call: Call) -> LocalJob[Any]:
        return LocalJob(self.stream(call), lambda reply: answered(reply, listed=call.listed))

    def close(self) -> None:
        """Cancel what is under way and let the models go."""
        with self._starting:
            for worker in self._workers.values():
                worker.stop()
            self._workers.clear()

    def card(self, name: str, version: str | None = None) -> Card:
        """The card of a model, read once. Raises NotFound."""
        if name not in self._cards:
            self._cards[name] = self.read_card(name)
        card = self._cards[name]
        if version not in (None, card.version):
            raise NotFound(f"{name} has no version {version!r}; there is {card.version!r}.")
        return card

    def worker(self, card: Card, *others: Card) -> Worker:
        """The worker of a model, which knows others too; it is started if there is none.

        Raises EngineAway where torch is not installed.
        """
        names = frozenset(each.name for each in (card, *others))
        with self._starting:
            if names not in self._workers:
                try:
                    from rakinglight.worker import Worker

                    networks = [self.load_network(each) for each in (card, *others)]
                except ModuleNotFoundError as e:
                    raise EngineAway(
                        f"An engine in this process needs {e.name}, which is not installed: "
                        "pip install 'rakinglight[engine,cpu]', or let a service do the work, by its URL."
                    ) from e
                self._workers[names] = Worker(networks)
            return self._workers[names]


class FromArchives(InProcess):
    """The models in `home`, whose archives are built first where they can be. No service is asked.

    say  told when something takes long
    """

    def __init__(self, home: Path, say: Callable[[str], None] = log.info) -> None:
        super().__init__()
        self.home = home
        self.say = say

    def __repr__(self) -> str:
        return f"this process, with the archives in {self.home}"

    def models(self) -> list[dict[str, Any]]:
        return [describe(archives.read_card(path)) for path in archives.find_archives(self.home).values()]

    def read_card(self, name: str) -> Card:
        return archives.read_card(self._archive(name))

    def load_network(self, card: Card) -> Network:
        (network,) = archives.load_networks([self._archive(card.name)], home=self.home)
        return network

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
    """The news of one call. `close` may come from another thread, in the middle of reading.

    watched  whether somebody looks at the progress
    """

    def __init__(self, transport: InProcess, call: Call, *, watched: bool) -> None:
        self._transport = transport
        self._call = call
        self._watched = watched
        self._closed = threading.Event()

    def __iter__(self) -> Iterator[Progress | Reply]:
        begun, call = time.monotonic(), self._call
        if call.dataset is not None:
            raise BadParameter.at(
                "/dataset", "A dataset is kept by a service, and none is asked here; give the images."
            )
        card = self._transport.card(call.model, call.version)
        plan = Plan.of(
            card,
            catalogue.operation(call.operation),
            len(call.images),
            method=call.method,
            parameters=call.parameters,
            compare=call.compare,
            include=call.include,
        )
        others = {name: self._transport.card(name) for name in plan.others}
        plan.check_others(others)
        plan = plan.showing({at: decoded(value, card, at) for at, value in plan.pictures.items()})
        given = call.images or [images.blank(card)]  # `Plan.of` has seen to it that none is needed there
        pixels = [_pixels(image, card, i) for i, image in enumerate(given)]
        questions = plan.questions(
            pixels,
            seed=call.seed,
            seconds=DEADLINE_S if call.deadline_s is None else call.deadline_s,
            max_rows=call.max_rows,
        )
        if self._watched:
            questions = plan.watched(questions)
        bodies: dict[int, Mapping[str, Any]] = {}
        for number, frame in self._frames(self._transport.worker(card, *others.values()), questions):
            if frame.kind == "progress":
                yield Progress.read(plan.progress(number, questions[number].pixels, frame.body))
            elif frame.kind == "problem":
                raise plan.placed(number, from_problem(frame.body))
            elif frame.kind == "result":
                bodies[number] = frame.body
        if self._closed.is_set():
            return
        for each in (card, *others.values()):
            self._transport.end(each.name)

        answered = [bodies[number] for number in range(len(questions))]
        request_id = uuid.uuid4().hex
        results = plan.results(questions, answered, request_id=request_id)
        yield plan.reply(
            results, answered, seed=call.seed, seconds=time.monotonic() - begun, request_id=request_id
        ).members()

    def close(self) -> None:
        self._closed.set()

    def _frames(self, worker: Worker, questions: Sequence[Question]) -> Iterator[tuple[int, Frame]]:
        """What the worker says of each question, by its number, until all are answered."""
        waiting = {uuid.uuid4().hex: number for number in range(len(questions))}
        try:
            for ticket, number in waiting.items():
                worker.open(ticket, Frame("request", questions[number].to_body()))
            while waiting and not self._closed.is_set():
                worker.wait(LOOK_S)
                for ticket, number in list(waiting.items()):
                    frames, over = worker.collect(ticket)
                    if over:
                        del waiting[ticket]
                    for frame in frames:
                        yield number, frame
        finally:
            for ticket in waiting:
                worker.close(ticket)


def _pixels(image: bytes | Array, card: Card, place: int) -> Array:
    """One image as the model takes it: uint8 [H, W, C], or float32 [C, H, W]."""
    if isinstance(image, bytes):
        return images.for_model(images.decode(image), card)
    return images.exact(image, card, f"/images/{place}")
