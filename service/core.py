"""The one call behind both doors: check, decode, ask the engine, put the answers together. Needs no torch.

Ask ──> begin: everything is checked, every image decoded; one fault refuses the whole request, nothing is spent
            │
            ├──> one Question an image, asked concurrently ──> Progress, Progress, …
            │
            └──> Reply
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from rakinglight import catalogue, images, reply
from rakinglight.card import Card
from rakinglight.catalogue import Operation
from rakinglight.description import describe
from rakinglight.errors import (
    BadParameter,
    EngineAway,
    FieldError,
    InternalError,
    NotAnImage,
    NotFound,
    Overloaded,
    RakinglightError,
    TooLarge,
    near,
)
from rakinglight.plan import Plan, Reply
from rakinglight.question import Question
from service.decode import Decoder
from service.engines import Engine
from service.metrics import Metrics
from service.settings import Settings

Array = np.ndarray[Any, Any]
#: An image as it comes: the bytes of a file, or an exact tensor [C, H, W] in [0, 1].
Image = bytes | Array

#: Most characters of a purpose.
PURPOSE_LENGTH = 500
#: Parameters that say how long a run is, each with a setting of its name.
LENGTHS = ("steps", "masks")
#: Seconds after which it is worth asking a service again that is going down: another may be up by then.
DRAINING_RETRY_S = 5.0


@dataclass(frozen=True, eq=False, kw_only=True)
class Ask:
    """A request, as a door has read it and before anything in it is checked.

    version     None is the newest
    method      None is the operation's first; several are compared
    compare     {"method", "parameters", "target"} of each map, where several are laid side by side
    include     arrays and pictures that a result brings, by name; None is all
    deadline_s  seconds from now; None is the setting's
    max_rows    rows that each image may spend; None is the setting's
    purpose     why, in the caller's words
    caller      whose it is, for fairness
    """

    model: str
    operation: str
    images: Sequence[Image]
    version: str | None = None
    method: str | Sequence[str] | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    compare: Sequence[Mapping[str, Any]] | None = None
    include: Sequence[str] | None = None
    seed: int = 0
    deadline_s: float | None = None
    max_rows: int | None = None
    purpose: str | None = None
    request_id: str = ""
    caller: str = ""


@dataclass(frozen=True)
class Progress:
    """How far the run of one image (counted from 0) is.

    map      which of the maps that are compared, counted from 0
    picture  PNG: the map so far, about once a second and only where the reply will have an overlay
    """

    image: int
    step: int
    of: int
    objective: float | None = None
    map: int | None = None
    picture: bytes | None = None

    def members(self) -> dict[str, Any]:
        """As a caller reads it, the picture still raw."""
        members = asdict(self)
        return {name: value for name, value in members.items() if name == "objective" or value is not None}


@dataclass(frozen=True, eq=False)
class Work:
    """A request that was found good: what is left is to do it.

    begun        on `time.monotonic`'s clock
    exact_image  whether the reply has room for the exact tensors
    """

    ask: Ask
    plan: Plan
    questions: Sequence[Question]
    begun: float
    exact_image: bool

    @property
    def method(self) -> str | None:
        """By which method, as metrics and logs tell of it: `several` where they are compared."""
        return "several" if self.plan.compared else self.plan.parts[0].name


class Hold:
    """The bytes that one request keeps in memory, counted against what all may keep together."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.bytes = 0

    def add(self, count: int) -> None:
        """Count `count` bytes more. Raises Overloaded where all requests together would hold too many."""
        limit, held = self._core.settings.bytes_in_flight, self._core.bytes_held
        if held + count > limit and held > self.bytes:
            raise Overloaded(
                f"Requests under way hold {held} of {limit} bytes, and this one needs {count} more; try again soon.",
                retry_after_s=1.0,
            )
        self.bytes += count
        self._core.bytes_held += count


class Core:
    """What the service does, whatever the door.

    engine   answers questions
    decoder  makes pixels of files
    metrics  of this service, which both doors count in
    """

    def __init__(self, engine: Engine, settings: Settings, decoder: Decoder) -> None:
        self.engine = engine
        self.settings = settings
        self.decoder = decoder
        self.metrics = Metrics(self)
        self.bytes_held = 0
        self.under_way = 0
        self.draining = False
        self._idle = asyncio.Event()
        self._idle.set()

    # ── health and farewell ─────────────────────────────────────────────────────────────────────────────────────────

    @property
    def ready(self) -> bool:
        """Whether a request that came now would be answered."""
        return self.engine.state.ready and not self.draining

    @property
    def reason(self) -> str:
        """Why it is not ready, or that it is."""
        return "The service is going down." if self.draining else self.engine.state.reason

    def drain(self) -> None:
        """Take on nothing new from now on. What is under way goes on; `drained` waits for it."""
        self.draining = True

    async def drained(self) -> None:
        """Wait until nothing is under way."""
        await self._idle.wait()

    @contextmanager
    def hold(self) -> Iterator[Hold]:
        """A Hold, whose bytes are given back at the end. Raises EngineAway once the service is going down."""
        if self.draining:
            raise EngineAway("The service is going down and takes nothing new on.", retry_after_s=DRAINING_RETRY_S)
        hold = Hold(self)
        self.under_way += 1
        self._idle.clear()
        try:
            yield hold
        finally:
            self.bytes_held -= hold.bytes
            self.under_way -= 1
            if not self.under_way:
                self._idle.set()

    # ── models ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def card(self, name: str, version: str | None = None) -> Card:
        """The card of a model. Raises NotFound with the near names."""
        if name not in self.engine.models:
            raise NotFound(f"There is no model {name!r}: {near(name, self.engine.models)}")
        card = self.engine.models[name]
        if version and version != card.version:
            raise NotFound(f"{name} has no version {version!r}: there is {card.version!r}.")
        return card

    def models(self) -> list[dict[str, Any]]:
        """What `model` says of each, by name."""
        return [self.model(name) for name in sorted(self.engine.models)]

    def model(self, name: str, version: str | None = None) -> dict[str, Any]:
        """All that a caller may want to know of a model before asking it something."""
        return {**describe(self.card(name, version)), "limits": self.limits()}

    def limits(self) -> dict[str, float]:
        """The limits that a request meets, by the settings' names."""
        names = (
            "body_bytes", "reply_bytes", "images", "image_pixels", "image_side", "request_pixels", "attack_pixels",
            "maps", "runs", "steps", "masks", "rows", "deadline_s", "deadline_limit_s",
        )  # fmt: skip
        return {name: getattr(self.settings, name) for name in names}

    # ── asking ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def answer(self, ask: Ask) -> Reply:
        """Everything at once. Cancelling it cancels the work."""
        with self.hold() as hold:
            return await self.finish(await self.begin(ask, hold))

    async def stream(self, ask: Ask) -> AsyncGenerator[Progress | Reply, None]:
        """Progress as it comes, the newest of each image for who reads slowly; at the end the reply.

        Closing the generator cancels the work.
        """
        with self.hold() as hold:
            work = await self.begin(ask, hold)
            async with aclosing(self.follow(work)) as news:
                async for one in news:
                    yield one

    async def begin(self, ask: Ask, hold: Hold) -> Work:
        """Check `ask` and decode its images; what they take is counted on `hold`. Nothing is spent yet.

        Raises what a caller can mend, of the first fault that is found.
        """
        begun = time.monotonic()
        card = self.card(ask.model, ask.version)
        operation = catalogue.operation(ask.operation)
        seconds, rows = self._check_limits(ask)
        plan = Plan.of(
            card,
            operation,
            len(ask.images),
            method=ask.method,
            parameters=ask.parameters,
            compare=ask.compare,
            include=ask.include,
        )
        self._check_lengths(plan)
        pixels = await self._decoded(ask, card, operation, hold)
        left = max(0.001, begun + seconds - time.monotonic())
        questions = plan.questions(pixels, seed=ask.seed, seconds=left, max_rows=rows, caller=ask.caller)
        exact_image = self._has_room_for_exact(pixels, ask, operation)
        return Work(ask, plan, questions, begun, exact_image)

    async def finish(self, work: Work, report: Callable[[Progress], None] = lambda progress: None) -> Reply:
        """Do `work`. `report` is told of progress. One image that fails ends the others."""
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._one(work, i, report)) for i in range(len(work.questions))]
        except BaseExceptionGroup as failures:
            raise _first(failures) from None
        bodies = [task.result() for task in tasks]
        results = await asyncio.to_thread(
            work.plan.results, work.questions, bodies, request_id=work.ask.request_id, exact_image=work.exact_image
        )
        self.check_size(_weight(results))
        return work.plan.reply(results, bodies, seed=work.ask.seed, begun=work.begun, request_id=work.ask.request_id)

    async def follow(self, work: Work) -> AsyncGenerator[Progress | Reply, None]:
        """Do `work`, yielding progress and at the end the reply. Closing the generator cancels the work."""
        newest: dict[tuple[int, int], Progress] = {}
        news = asyncio.Event()

        def report(progress: Progress) -> None:
            run = progress.image, progress.map or 0
            unseen = newest[run].picture if run in newest else None
            newest[run] = replace(progress, picture=progress.picture or unseen)
            news.set()

        watched = replace(work, questions=work.plan.watched(work.questions))
        task = asyncio.create_task(self.finish(watched, report))
        task.add_done_callback(lambda _: news.set())
        try:
            while not task.done():
                await news.wait()
                news.clear()
                while newest:
                    yield newest.pop(min(newest))
            yield task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    # ── the parts ───────────────────────────────────────────────────────────────────────────────────────────────────

    def check_count(self, images: int) -> None:
        """Refuse a request of too many images; a door may ask before it unpacks them."""
        if images > self.settings.images:
            detail = f"{images} images are over the limit of {self.settings.images} a request; send several requests."
            raise TooLarge(detail, errors=[FieldError("/images", detail)])

    def _check_lengths(self, plan: Plan) -> None:
        """Refuse a run that is longer than the settings allow."""
        for part in plan.parts:
            for name in LENGTHS:
                length, limit = part.parameters.get(name, 0), getattr(self.settings, name)
                if length > limit:
                    detail = f"{name} is {length}; the limit here is {limit}."
                    raise part.placed(BadParameter.at(f"/parameters/{name}", detail))

    def _check_maps(self, ask: Ask) -> None:
        """Refuse more maps than one request may have, before anything looks into them."""
        settings = self.settings
        listed, pointer = (ask.method, "/method") if ask.compare is None else (ask.compare, "/compare")
        maps = 1 if listed is None or isinstance(listed, str) else len(listed)
        if maps > settings.maps:
            raise BadParameter.at(
                pointer, f"{maps} maps of each image are over the limit of {settings.maps}; send several requests."
            )
        if maps > 1 and (runs := maps * len(ask.images)) > settings.runs:
            raise BadParameter.at(
                pointer,
                f"{maps} maps of each of {len(ask.images)} images are {runs} runs; one request may have "
                f"{settings.runs}, or it would keep all others waiting. Send fewer images at once.",
            )

    def _check_limits(self, ask: Ask) -> tuple[float, int]:
        """The seconds and the rows that `ask` has."""
        settings = self.settings
        self.check_count(len(ask.images))
        if not ask.images:
            raise BadParameter.at("/images", f"images is empty; {ask.operation} needs one at least.")
        self._check_maps(ask)
        if len(ask.purpose or "") > PURPOSE_LENGTH:
            detail = f"purpose has {len(ask.purpose or '')} characters; {PURPOSE_LENGTH} are enough."
            raise BadParameter.at("/purpose", detail)
        if not 0 <= ask.seed < 2**63:
            raise BadParameter.at("/seed", f"seed is {ask.seed}; it is a whole number from 0 to 2^63 - 1.")
        seconds = settings.deadline_s if ask.deadline_s is None else ask.deadline_s
        if not (math.isfinite(seconds) and 0 < seconds <= settings.deadline_limit_s):
            detail = f"deadline_s is {seconds:g}; it is above 0 and at most {settings.deadline_limit_s:g} seconds."
            raise BadParameter.at("/deadline_s", detail)
        rows = settings.rows if ask.max_rows is None else ask.max_rows
        if not 0 < rows <= settings.rows:
            raise BadParameter.at("/max_rows", f"max_rows is {rows}; it is from 1 to {settings.rows} for each image.")
        return seconds, rows

    async def _decoded(self, ask: Ask, card: Card, operation: Operation, hold: Hold) -> list[Array]:
        """The images of `ask` as this model takes them, uint8 [H, W, C] or float32 [C, H, W]."""
        decoded: list[Array] = []
        for i, image in enumerate(ask.images):
            pixels = await self._pixels(image, i, card)
            hold.add(pixels.nbytes)
            decoded.append(pixels)
            self._check_pixels(decoded, ask, card, operation)
        return decoded

    async def _pixels(self, image: Image, i: int, card: Card) -> Array:
        pointer, settings = f"/images/{i}", self.settings
        if not isinstance(image, bytes):
            sides = {"max_pixels": settings.image_pixels, "max_side": settings.image_side}
            return await asyncio.to_thread(images.exact, image, card, pointer, **sides)
        try:
            return images.for_model(await self.decoder.decode(image), card)
        except (NotAnImage, TooLarge) as e:
            raise type(e)(f"Image {i}: {e.detail}", errors=[FieldError(pointer, e.detail)]) from None

    def _check_pixels(self, decoded: Sequence[Array], ask: Ask, card: Card, operation: Operation) -> None:
        settings, i = self.settings, len(decoded) - 1
        sizes = [pixels.size // card.input_shape[0] for pixels in decoded]
        if sum(sizes) > settings.request_pixels:
            raise TooLarge(
                f"{len(sizes)} images have {sum(sizes)} pixels together; the limit of a request is "
                f"{settings.request_pixels}. Send fewer at once."
            )
        if "adversarial" not in operation.include:
            return
        if sizes[-1] > settings.attack_pixels:
            h, w = _height_width(decoded[-1])
            detail = (
                f"An attack changes the image at its own size, up to {settings.attack_pixels} pixels; this one is "
                f"{w} x {h}, {sizes[-1]}. Send it smaller: {card.name} looks at {card.input_shape[1]} x "
                f"{card.input_shape[2]}."
            )
            raise TooLarge(f"Image {i}: {detail}", errors=[FieldError(f"/images/{i}", detail)])
        self._has_room_for_exact(decoded, ask, operation)

    def _has_room_for_exact(self, decoded: Sequence[Array], ask: Ask, operation: Operation) -> bool:
        """Whether the exact tensors of these images fit into the reply beside what else it carries, at worst.

        Raises TooLarge where they do not and were asked for by name, or where the rest does not fit without them:
        better refused now than after the work.
        """
        if "adversarial" not in operation.include:
            return True
        sizes = [(*_height_width(pixels), pixels.size) for pixels in decoded]

        def most(names: Collection[str]) -> int:
            return sum(reply.most_bytes(names, h, w, size // (h * w)) for h, w, size in sizes)

        wanted, limit = reply.check_include(operation, ask.include), self.settings.reply_bytes
        if (count := most(wanted)) <= limit:
            return True
        if ask.include is None and most(wanted - {"exact"}) <= limit:
            return False
        narrower = wanted > {"adversarial"} and most({"adversarial"}) <= limit
        remedy = 'Narrow it with "include": ["adversarial"], or send' if narrower else "Send"
        detail = f"The reply may take {count} bytes; the limit is {limit}. {remedy} fewer or smaller images."
        raise TooLarge(detail, errors=[FieldError("/include" if narrower else "/images", detail)])

    async def _one(self, work: Work, i: int, report: Callable[[Progress], None]) -> Mapping[str, Any]:
        """The body of the result frame for question `i`."""
        question, plan = work.questions[i], work.plan
        async with aclosing(self.engine.ask(question, request_id=work.ask.request_id)) as frames:
            try:
                async for frame in frames:
                    if frame.kind == "progress":
                        said = i, question.pixels, frame.body
                        draws = "map" in frame.body
                        members = await asyncio.to_thread(plan.progress, *said) if draws else plan.progress(*said)
                        report(Progress(**members))
                    elif frame.kind == "result":
                        return frame.body
            except RakinglightError as e:
                raise plan.placed(i, e) from None
        raise InternalError("The engine's answer ended before its result.")

    def check_size(self, count: int) -> None:
        """Refuse a reply of `count` bytes where that is more than one may have. Raises TooLarge."""
        if count > self.settings.reply_bytes:
            raise TooLarge(
                f"The reply has {count} bytes; the limit is {self.settings.reply_bytes}. Narrow it with include, or "
                "send fewer or smaller images."
            )


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """The failure that the caller is told: of those raised on purpose the first, else the first."""
    leaves = list(failures.exceptions)
    return next((e for e in leaves if isinstance(e, RakinglightError)), leaves[0])


def _height_width(pixels: Array) -> tuple[int, int]:
    height, width = pixels.shape[:2] if pixels.dtype == np.uint8 else pixels.shape[1:]
    return height, width


def _weight(value: Any) -> int:
    """Bytes of the arrays and pictures in a tree."""
    match value:
        case np.ndarray():
            return value.nbytes
        case bytes():
            return len(value)
        case Mapping():
            return sum(map(_weight, value.values()))
        case list() | tuple():
            return sum(map(_weight, value))
        case _:
            return 0
