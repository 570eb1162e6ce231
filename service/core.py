"""The one call behind both doors: check, decode, ask the engine, put the answers together. Needs no torch.

Ask ──> begin: everything is checked, every image decoded; one fault refuses the whole request, nothing is spent
            │
            ├──> one Question an image, asked concurrently ──> Progress, Progress, …
            │
            └──> Reply
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, closing, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog

from rakinglight import catalogue, images, picture_parameters, reply
from rakinglight.card import Card
from rakinglight.catalogue import Operation
from rakinglight.description import describe
from rakinglight.errors import (
    BadParameter,
    EngineAway,
    FieldError,
    Forbidden,
    InternalError,
    NotAnImage,
    NotFound,
    Overloaded,
    RakinglightError,
    StorageAway,
    TooLarge,
    near,
)
from rakinglight.plan import Plan, Reply
from rakinglight.question import Question
from rakinglight.wire import array_to_json
from service import limits
from service.ask import Array, Ask, Image, Listed, Prepared, Source
from service.black_box import BlackBox
from service.black_box.ledger import Asked
from service.decode import Decoder
from service.engines import Engine
from service.metrics import Metrics
from service.settings import Settings
from service.tasks import task_group

if TYPE_CHECKING:
    from service.storage import Storage

#: Seconds after which it is worth asking a service again that is going down: another may be up by then.
DRAINING_RETRY_S = 5.0
#: Seconds that an attack waits for its entry in the ledger, where it may go on without.
NOTE_S = 1.0

log = structlog.get_logger("rakinglight.core")


@dataclass(frozen=True)
class Progress:
    """How far the run of one image (counted from 0) is.

    map      which of the maps that are compared, counted from 0
    picture  PNG: the map or the picture so far, about once a second and only where the reply will have one
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
    hold         what it keeps in memory
    """

    ask: Ask
    plan: Plan
    questions: Sequence[Question]
    begun: float
    exact_image: bool
    hold: Hold

    @property
    def method(self) -> str | None:
        """By which method, as metrics and logs tell of it: `several` where they are compared."""
        return self.plan.method


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

    engine     answers questions
    decoder    makes pixels of files
    metrics    of this service, which both doors count in
    black_box  what it does for who may only classify
    """

    def __init__(self, engine: Engine, settings: Settings, decoder: Decoder, storage: Storage | None = None) -> None:
        self.engine = engine
        self.settings = settings
        self.decoder = decoder
        self._storage = storage
        self.metrics = Metrics(self)
        self.black_box = BlackBox(self)
        self.bytes_held = 0
        self.under_way = 0
        self.draining = False
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def storage(self) -> Storage:
        """Jobs, datasets and artifacts. Raises StorageAway where there are none."""
        if self._storage is None:
            raise StorageAway("This service keeps nothing: it was started without a database.")
        return self._storage

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
            "maps", "runs", "steps", "masks", "rows", "deadline_s", "deadline_limit_s", "job_deadline_s", "many_images",
            "dataset_bytes", "dataset_images", "inline_bytes",
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
        self.check_permitted(ask)
        if ask.dataset is not None:
            await self._count_dataset(ask, ask.dataset, hold)
        prepared = await self.prepare(ask)
        plan = prepared.plan
        with closing(prepared.source):
            pixels = await self._decoded(prepared, hold)
        if plan.operation.together:
            limits.check_together(pixels)
        left = max(0.001, begun + prepared.seconds - time.monotonic())
        questions = plan.questions(pixels, seed=ask.seed, seconds=left, max_rows=prepared.rows, caller=ask.caller)
        exact_image = limits.has_room_for_exact(pixels, ask, plan.operation, self.settings)
        await self._note(ask, plan)
        return Work(ask, plan, questions, begun, exact_image, hold)

    async def prepare(self, ask: Ask, *, job: bool = False, file: str | None = None, outline: bool = False) -> Prepared:
        """Check all of `ask` but its images. Raises what a caller can mend, of the first fault that is found.

        job      whether it is not waited for: then it may take longer, and be about more images of a dataset
        file     what `Datasets.hold` gave for its dataset, for who holds that: the dataset may be gone by now
        outline  whether it is enough to know how many images a dataset has, and what they show
        """
        card = self.card(ask.model, ask.version)
        operation = catalogue.operation(ask.operation)
        source = await self._source(ask, job=job, file=file, outline=outline)
        seconds, rows = limits.check(ask, len(source), self.settings, job=job)
        plan = Plan.of(
            card,
            operation,
            len(source),
            method=ask.method,
            parameters=await self._as_made(ask, _labelled(ask, source, operation)),
            compare=ask.compare,
            include=ask.include,
        )
        source = source if plan.given else Listed([images.blank(card)])
        plan.check_others(self.engine.models)
        limits.check_lengths(plan, self.settings)
        if named := plan.perturbations:
            storage, owner = self.storage, None if ask.sees_all else ask.caller
            read = {name: await storage.do(storage.perturbations.read, name, owner) for name in named}
            plan = plan.applying({name: array_to_json(v) for name, v in read.items()})
        if sent := plan.pictures:
            picture_parameters.check_sent(sent)
            plan = plan.showing({at: await self._picture(value, at, card) for at, value in sent.items()})
        return Prepared(ask, plan, source, seconds, rows)

    async def _as_made(self, ask: Ask, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        """`parameters`; where they name a kept perturbation, what they leave out is what it was made with.

        Raises NotFound, Expired, and BadParameter for another norm, in which no epsilon is known.
        """
        name = parameters.get("perturbation")
        if (ask.operation, ask.method) != ("attack", "universal") or not isinstance(name, str):
            return parameters
        kept = await self.storage.do(self.storage.perturbations.get, name, None if ask.sees_all else ask.caller)
        filled = {"norm": kept["norm"], "epsilon": kept["epsilon"], **parameters}
        if filled["norm"] != kept["norm"] and "epsilon" not in parameters:
            raise BadParameter.at(
                "/parameters/epsilon",
                f"{name} was made in {kept['norm']} with epsilon {kept['epsilon']:g}; to cut it in another norm, say "
                "the epsilon.",
            )
        return filled

    async def pixels(self, prepared: Prepared, i: int) -> Array:
        """Image `i` as the model takes it: uint8 [H, W, C] or float32 [C, H, W]. Raises NotAnImage and TooLarge."""
        card = prepared.plan.card
        pixels = await self._pixels(await asyncio.to_thread(prepared.source.image, i), i, card)
        limits.check_image(pixels, i, prepared, self.settings)
        return pixels

    async def submit(self, ask: Ask, hold: Hold, *, idempotency_key: str | None = None) -> dict[str, Any]:
        """Check `ask` and its images, and have it done as a job. Returns the job.

        Raises what a caller can mend, Conflict where the key came with another request, and StorageAway.
        """
        storage = self.storage
        limits.check_idempotency_key(idempotency_key)
        # Before all else: what was good then need not be now, as where its dataset is gone.
        if idempotency_key and (earlier := await storage.do(storage.jobs.earlier, ask, ask.caller, idempotency_key)):
            return earlier
        self.check_permitted(ask)
        prepared = await self.prepare(ask, job=True, outline=True)
        if ask.dataset is None:
            await self._decoded(prepared, hold)
        plan = prepared.plan
        await self._note(ask, plan)
        return await storage.do(
            storage.jobs.submit,
            ask,
            owner=ask.caller,
            model=plan.model,
            method=plan.method,
            images=len(prepared.source),
            dataset=ask.dataset,
            idempotency_key=idempotency_key,
        )

    async def finish(self, work: Work, report: Callable[[Progress], None] = lambda progress: None) -> Reply:
        """Do `work`. `report` is told of progress. One image that fails ends the others."""
        async with task_group() as group:
            tasks = [group.create_task(self._one(work, i, report)) for i in range(len(work.questions))]
        bodies = [task.result() for task in tasks]
        results = await asyncio.to_thread(
            work.plan.results, work.questions, bodies, request_id=work.ask.request_id, exact_image=work.exact_image
        )
        self._hold_results(results, work.hold)
        seconds, request_id = time.monotonic() - work.begun, work.ask.request_id
        said = partial(work.plan.reply, results, bodies, seed=work.ask.seed, seconds=seconds, request_id=request_id)
        return await asyncio.to_thread(said)  # it may draw a picture

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

    # ── policy ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def check_permitted(self, ask: Ask) -> None:
        """Refuse what the operator does not allow of the model, and an attack without a purpose where one is needed."""
        allowed = self.settings.allow.get(ask.model)
        if allowed is not None and ask.operation not in allowed:
            there = ", ".join(sorted(allowed)) or "nothing"
            raise Forbidden(f"{ask.operation} is not allowed on {ask.model} here; allowed is {there}.")
        attacks = catalogue.operation(ask.operation).scope_of(ask.method) == "attack"
        if attacks and self.settings.require_purpose and not (ask.purpose or "").strip():
            raise BadParameter.at("/purpose", "An attack needs a purpose here: say in a sentence what it is for.")

    async def _note(self, ask: Ask, plan: Plan) -> None:
        """Write an attack into the ledger, as it is taken on; where that cannot be written, into the log.

        Raises StorageAway where the operator wants a purpose of each, and so all of them in the ledger.
        """
        if plan.operation.scope_of(ask.method) != "attack":
            return
        asked = await asyncio.to_thread(Asked.of, ask, plan.model, method=plan.method)
        try:
            async with asyncio.timeout(None if self.settings.require_purpose else NOTE_S):
                await self.storage.do(self.storage.ledger.note, asked, ask.images)
        except (StorageAway, TimeoutError):
            if self.settings.require_purpose:
                raise
            log.warning("attack_not_in_ledger", **asdict(asked))

    # ── the parts ───────────────────────────────────────────────────────────────────────────────────────────────────

    def check_count(self, images: int, operation: Operation) -> None:
        """Refuse a request of too many images for `operation`; a door may ask before it unpacks them."""
        limit = self.settings.many_images if operation.together else self.settings.images
        if images > limit:
            detail = f"{images} images are over the limit of {limit} a request; send several requests."
            raise TooLarge(detail, errors=[FieldError("/images", detail)])

    async def _source(self, ask: Ask, *, job: bool, file: str | None, outline: bool) -> Source:
        """The images that are meant. Raises BadParameter where it is not said, or said twice; NotFound; TooLarge."""
        if ask.dataset is None:
            self.check_count(len(ask.images), catalogue.operation(ask.operation))
            return Listed(ask.images)
        if ask.images:
            raise BadParameter.at("/dataset", "dataset stands beside images; give one of the two.")
        datasets, owner = self.storage.datasets, None if ask.sees_all else ask.caller
        source: Source
        if outline:
            source = await datasets.outline(ask.dataset, owner)
        else:
            source = await (datasets.reopen(file) if file else datasets.open(ask.dataset, owner))
        limit = self.settings.many_images if job else self.settings.images
        if len(source) > limit:
            ask_for_job = "submit a job (--job, or Prefer: respond-async), which may have more"
            remedy = "upload a smaller one" if job else ask_for_job
            detail = f"The dataset has {len(source)} images, over the limit of {limit}; {remedy}."
            raise TooLarge(detail, errors=[FieldError("/dataset", detail)])
        return source

    async def _count_dataset(self, ask: Ask, dataset: str, hold: Hold) -> None:
        """Count the file of `dataset` on `hold`, once all else of `ask` is found good: before it is in memory."""
        await self.prepare(ask, outline=True)
        members = await self.storage.datasets.get(dataset, None if ask.sees_all else ask.caller)
        hold.add(members.get("bytes", 0))

    async def _decoded(self, prepared: Prepared, hold: Hold) -> list[Array]:
        """The images as this model takes them, uint8 [H, W, C] or float32 [C, H, W]."""
        decoded: list[Array] = []
        card, settings = prepared.plan.card, self.settings
        for i in range(len(prepared.source)):
            pixels = await self.pixels(prepared, i)
            hold.add(pixels.nbytes)
            decoded.append(pixels)
            sizes = [pixels.size // card.input_shape[0] for pixels in decoded]
            if sum(sizes) > settings.request_pixels:
                raise TooLarge(
                    f"{len(sizes)} images have {sum(sizes)} pixels together; the limit of a request is "
                    f"{settings.request_pixels}. Send fewer at once."
                )
        return decoded

    async def _pixels(self, image: Image, i: int, card: Card) -> Array:
        pointer = f"/images/{i}"
        if not isinstance(image, bytes):
            return await self._exact(image, card, pointer)
        try:
            return images.for_model(await self.decoder.decode(image), card)
        except (NotAnImage, TooLarge) as e:
            raise type(e)(f"Image {i}: {e.detail}", errors=[FieldError(pointer, e.detail)]) from None

    async def _exact(self, tensor: Array | Mapping[str, Any], card: Card, pointer: str, *, grey: bool = False) -> Array:
        pixels, side = self.settings.image_pixels, self.settings.image_side
        exact = partial(images.exact, tensor, card, pointer, max_pixels=pixels, max_side=side, grey=grey)
        return await asyncio.to_thread(exact)

    async def _picture(self, value: str | Mapping[str, Any], at: str, card: Card) -> Array:
        """A picture among the parameters, decoded: uint8 [H, W, C] or float32 [C, H, W]. Raises as `_pixels` does."""
        if not isinstance(value, str):
            return await self._exact(value, card, at, grey=True)
        with picture_parameters.placed(at):
            return await self.decoder.decode(await asyncio.to_thread(picture_parameters.file_of, value, at))

    async def _one(self, work: Work, i: int, report: Callable[[Progress], None]) -> Mapping[str, Any]:
        """The body of the result frame for question `i`."""
        question, plan = work.questions[i], work.plan
        async with aclosing(self.engine.ask(question, request_id=work.ask.request_id)) as frames:
            try:
                async for frame in frames:
                    if frame.kind == "progress":
                        said = i, question.pixels, frame.body
                        draws = not {"map", "picture"}.isdisjoint(frame.body)
                        members = await asyncio.to_thread(plan.progress, *said) if draws else plan.progress(*said)
                        report(Progress(**members))
                    elif frame.kind == "result":
                        return frame.body
            except RakinglightError as e:
                raise plan.placed(i, e) from None
        raise InternalError("The engine's answer ended before its result.")

    def _hold_results(self, results: Any, hold: Hold) -> None:
        """Count what is more than a reply takes, of which a door may keep parts elsewhere. Raises TooLarge."""
        weight, settings = sum(reply.sizes(results)), self.settings
        if weight > settings.bytes_in_flight:
            raise TooLarge(
                f"The results have {weight} bytes; the limit is {settings.bytes_in_flight}. Narrow them with include, "
                "or submit a job (--job, or Prefer: respond-async), which keeps them image by image."
            )
        hold.add(max(0, weight - settings.reply_bytes))

    def check_weight(self, value: Any) -> None:
        """Refuse a reply whose arrays and pictures alone are more than one may have, before it is written out."""
        self.check_size(sum(reply.sizes(value)))

    def check_size(self, count: int) -> None:
        """Refuse a reply of `count` bytes where that is more than one may have. Raises TooLarge."""
        if count > self.settings.reply_bytes:
            raise TooLarge(
                f"The reply has {count} bytes; the limit is {self.settings.reply_bytes}. Narrow it with include, or "
                "send fewer or smaller images."
            )


def _labelled(ask: Ask, source: Source, operation: Operation) -> Mapping[str, Any]:
    """The parameters of `ask`; where it says no label, and the dataset knows each image's, those."""
    name = next((name for name in ("label", "labels") if name in operation.own_parameters), None)
    if ask.dataset is None or name is None or name in ask.parameters or ask.compare:
        return ask.parameters
    labels = [source.label(i) for i in range(len(source))]
    return ask.parameters if None in labels else {**ask.parameters, name: labels}
