"""Does a job: asks the engine about its images, keeps what it finds, and goes on where an earlier attempt was cut off.

    Attempt ──> images without an entry, some at a time ──> a question for each part ──> frames: state, state, result
                                                                                           │
       every half second what is new is kept: states, the newest progress  <───────────────┘

A run is deterministic, and goes on from its state to the same bits. So a job that is cut off anywhere ends with what it
would have ended with, and loses at most the work since its last state.

What is away is waited for: the engine, the database, a disk that is full. Meanwhile the job says so, and work that
needs none of them goes on.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from rakinglight import reply
from rakinglight.errors import Conflict, InternalError, RakinglightError, RunKillsWorker, StorageAway
from rakinglight.plan import Plan, together
from rakinglight.question import Question
from rakinglight.results import State
from rakinglight.wire import Frame
from service import limits
from service.ask import Array, Prepared
from service.core import Core
from service.jobs.attempt import STALLED_LIMIT, Attempt, Superseded
from service.jobs.patience import LONGEST_PAUSE_S, Cancelled, Patience, insisting
from service.jobs.records import CANCELLED
from service.storage import Storage
from service.tasks import task_group

log = logging.getLogger("rakinglight.jobs")

#: Seconds between two times that what is new is kept, and between two looks whether the job is to stop.
KEEP_S, LOOK_S = 0.5, 0.1
#: Every which time that is an event as well: at most one a second, so that there are 86,400 at most of a day's work.
EVENT_EVERY = 2
#: Seconds that a run which is stopped has to put together what it has reached.
LAST_WORDS_S = 0.001
#: Values of an image from which on its states, which may have as many, are kept less often.
LARGE = 2_000_000
#: Bytes of an array or a picture that is not worth a file of its own.
LEAST_BYTES = 256


@dataclass
class News:
    """What has come in and is not kept yet."""

    frames: dict[int, Frame] = field(default_factory=dict)
    progress: dict[str, Any] | None = None

    def taken(self) -> tuple[dict[int, Frame], dict[str, Any] | None]:
        """All of it; from now on there is none."""
        frames, progress, self.frames, self.progress = self.frames, self.progress, {}, None
        return frames, progress

    def put_back(self, frames: Mapping[int, Frame], progress: dict[str, Any] | None) -> None:
        """It could not be kept. What came in since is newer."""
        self.frames = {**frames, **self.frames}
        self.progress = self.progress or progress


class Runner:
    """Does jobs, one after the other or several at once.

    core    has the engine, the decoder and the limits
    worker  the name of this process
    """

    def __init__(self, core: Core, storage: Storage, *, worker: str) -> None:
        self._core = core
        self._storage = storage
        self._worker = worker

    async def run(self, job: str) -> None:
        """Do `job`, or what is left of it. Where this is cancelled, somebody may take it up again."""
        storage, retention_s = self._storage, self._core.settings.retention_s

        def begin() -> Attempt | None:
            return Attempt.begin(storage.database, storage.artifacts, job, worker=self._worker, retention_s=retention_s)

        attempt = await insisting(lambda: asyncio.to_thread(begin))
        if attempt is not None:
            await JobRun(self._core, attempt).do()


class JobRun:
    """One attempt under way."""

    def __init__(self, core: Core, attempt: Attempt) -> None:
        self.core = core
        self.attempt = attempt
        self.news = News()
        self.patience = Patience(attempt.job)
        self.cancelled = asyncio.Event()
        self._told: str | None = None
        self._event_at = -math.inf
        self._begun = time.monotonic()

    @property
    def seconds(self) -> float:
        """That this attempt and all before it have worked."""
        return self.attempt.seconds + time.monotonic() - self._begun

    async def do(self) -> None:
        """To its end, whichever that is."""
        try:
            state, problem = await self._worked()
            await self._finish(state, problem)
        except Superseded:
            log.warning("%s is another worker's by now, or over", self.attempt.job)
        except asyncio.CancelledError:
            await asyncio.to_thread(self._leave)
            raise

    async def _worked(self) -> tuple[State, Mapping[str, Any] | None]:
        """Do all there is to do. How it ended, and the problem if there was one. Raises Superseded."""
        attempt = self.attempt
        if attempt.cancel_requested:
            self._cancel()
        try:
            if attempt.stalled > STALLED_LIMIT:
                raise RunKillsWorker(
                    f"{STALLED_LIMIT} workers in a row ended with this job, none of them having got any further, so it "
                    "is not tried again. Report it with the image and the parameters."
                )
            async with self._watched():
                await self._images(await self._prepared())
        except Cancelled:
            return "cancelled", None if attempt.done else {**CANCELLED, "request_id": attempt.request_id}
        except Superseded:
            raise
        except Exception as e:
            if not isinstance(e, RakinglightError):
                log.exception("%s failed", attempt.job)
                e = InternalError(f"The job failed with {type(e).__name__}; the worker's log has the trace.")
            return "failed", {**e.problem(), "request_id": attempt.request_id}
        return "succeeded", None

    async def _prepared(self) -> Prepared:
        """What was asked, found good once more. Raises Conflict where the model is another by now."""
        ask = await self.patience.storing(self.attempt.ask)
        prepared = await self.patience.waiting(lambda: self.core.prepare(ask, job=True, file=self.attempt.dataset))
        card, wanted = prepared.plan.card, self.attempt.model["sha256"]
        if card.sha256 != wanted:
            raise Conflict(
                f"The job was submitted to weights {wanted[:12]}… of {card.name}, and {card.sha256[:12]}… are loaded "
                "now: its result would be that of neither. Submit it anew."
            )
        return prepared

    # ── images ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _images(self, prepared: Prepared) -> None:
        """Answer for every image that has no entry, some at a time. One that fails ends the others."""
        if prepared.plan.operation.together:
            await self._together(prepared)
            return
        left = iter([image for image in range(len(prepared.source)) if image not in self.attempt.done])

        async def some() -> None:
            for image in left:
                with suppress(Cancelled):  # nothing to show of this one; of others there may be
                    await self._image(prepared, image)
                if self.cancelled.is_set():
                    return

        async with task_group(Superseded) as group:
            for _ in range(self.core.settings.worker_images):
                group.create_task(some())
        if self.cancelled.is_set():
            raise Cancelled

    async def _image(self, prepared: Prepared, image: int) -> None:
        """The entry of `image`. Raises Cancelled where there is nothing to show."""
        plan, ask, count = prepared.plan, prepared.ask, len(prepared.plan.parts)
        pixels = await self.patience.waiting(lambda: self.core.pixels(prepared, image))
        questions = plan.questions_of(
            image,
            pixels,
            seed=ask.seed,
            max_rows=prepared.rows,
            # The owner, not the job: one key has one share of the engine, however many jobs and requests it sends.
            caller=ask.caller,
            state_s=self.core.settings.state_s * max(1, pixels.size / LARGE),
        )
        numbers = range(image * count, (image + 1) * count)
        async with task_group(Superseded) as group:
            runs = [
                group.create_task(self._run(number, question, prepared))
                for number, question in zip(numbers, questions, strict=True)
            ]
        bodies = [run.result() for run in runs]
        (found,) = await asyncio.to_thread(plan.results, questions, bodies, request_id=ask.request_id)
        entry = await self.patience.storing(lambda: self._spilled(found, prepared))
        around = plan.reply([], [], seed=ask.seed, seconds=0.0, request_id=ask.request_id).members()
        around["include"] = ask.include  # which the summary asks for, that is made when the job is looked at
        await self.patience.storing(lambda: self.attempt.put_entry(image, entry, together(bodies), numbers, around))
        for number in numbers:
            self.news.frames.pop(number, None)

    async def _together(self, prepared: Prepared) -> None:
        """The entries of all images, which one run finds."""
        plan, ask, attempt, storage = prepared.plan, prepared.ask, self.attempt, self.core.storage
        if len(attempt.done) == len(prepared.source):
            return
        images: list[Array] = []
        for i in range(len(prepared.source)):
            images.append(await self.patience.waiting(partial(self.core.pixels, prepared, i)))
            limits.check_together(images)
        (question,) = plan.questions(
            images, seed=ask.seed, max_rows=prepared.rows, caller=ask.caller, state_s=self.core.settings.state_s
        )
        body = await self._run(0, question, prepared)
        found = await asyncio.to_thread(plan.results, [question], [body], request_id=ask.request_id)
        if keep := _keeping(storage, attempt, plan, body["result"]["summary"]):
            found[0]["summary"]["id"] = await self.patience.storing(keep)
        around = plan.reply([], [], seed=ask.seed, seconds=0.0, request_id=ask.request_id).members()
        left = [image for image in range(len(found)) if image not in attempt.done]
        for image in left:
            entry = await self.patience.storing(partial(self._spilled, found[image], prepared))
            spent = together([body]) if image == 0 else {"cost": {}, "answered_by": {}}
            over = [0] if image == left[-1] else []  # until then the run's result is what another attempt goes on from
            await self.patience.storing(partial(attempt.put_entry, image, entry, spent, over, around))
        self.news.frames.pop(0, None)

    async def _run(self, number: int, question: Question, prepared: Prepared) -> Mapping[str, Any]:
        """The body of the result frame of run `number`, gone on with from its newest frame."""
        newest = await self.patience.storing(lambda: self.attempt.newest(number))

        async def ask() -> None:
            nonlocal newest
            left = max(LAST_WORDS_S, prepared.seconds - self.seconds)
            asked = replace(question, seconds=left, saved=newest.body["saved"] if newest else None)
            async with aclosing(self._until_cancelled(asked)) as frames:
                async for frame in frames:
                    newest = self._took(number, frame, prepared) or newest
                    if frame.kind == "result":
                        return  # whatever comes over the engine afterwards, it is there

        try:
            while newest is None or newest.kind != "result":
                await self.patience.waiting(ask)
        except Cancelled:
            return await self._last_words(question, newest)
        except RakinglightError as e:
            raise prepared.plan.placed(number, e) from None
        return newest.body

    def _took(self, number: int, frame: Frame, prepared: Prepared) -> Frame | None:
        """Note down what `frame` tells. Returns it where the run can go on from it."""
        self.patience.there()
        if frame.kind == "progress":
            told = {name: value for name, value in frame.body.items() if name != "saved"}
            progress = prepared.plan.progress(number, None, told)
            # As JSON has it: an objective need not be finite.
            self.news.progress = reply.to_json(
                {**progress, "done": len(self.attempt.done), "images": len(prepared.source)}
            )
            if "saved" not in frame.body:
                return None
        self.news.frames[number] = frame
        return frame

    async def _until_cancelled(self, question: Question) -> AsyncGenerator[Frame, None]:
        """The frames that answer `question`. Raises Cancelled, once its rows are stopped."""
        if self.cancelled.is_set():
            raise Cancelled
        async with aclosing(self.core.engine.ask(question, request_id=self.attempt.request_id)) as frames:
            stop = asyncio.create_task(self.cancelled.wait())
            try:
                while True:
                    coming = asyncio.ensure_future(anext(frames, None))
                    try:
                        await asyncio.wait([coming, stop], return_when=asyncio.FIRST_COMPLETED)
                    finally:
                        if not coming.done():  # who closes the generator must not find it at work
                            coming.cancel()
                            await asyncio.wait([coming])
                    if coming.cancelled():
                        raise Cancelled
                    if (frame := coming.result()) is None:
                        return
                    yield frame
            finally:
                stop.cancel()

    async def _last_words(self, question: Question, newest: Frame | None) -> Mapping[str, Any]:
        """What a run that was cancelled had reached. Raises Cancelled where that is nothing."""
        if newest is None:
            raise Cancelled
        asked = replace(question, seconds=LAST_WORDS_S, saved=newest.body["saved"])

        async def ask() -> Mapping[str, Any]:
            async with aclosing(self.core.engine.ask(asked, request_id=self.attempt.request_id)) as frames:
                return [frame async for frame in frames][-1].body

        try:
            return await self.patience.waiting(ask)
        except RakinglightError as e:
            log.info("%s has nothing to show: %s", self.attempt.job, e)
            raise Cancelled from None

    def _spilled(self, entry: Mapping[str, Any], prepared: Prepared) -> dict[str, Any]:
        """`entry`, what is large in it kept by itself: all entries together fit into one reply."""
        settings, sizes = self.core.settings, list(reply.sizes(entry))
        # Half of a reply: base64 makes four bytes of three, and what is said in words needs room, too.
        share, limit = settings.reply_bytes // (2 * len(prepared.source)), settings.inline_bytes
        while limit > LEAST_BYTES and sum(size for size in sizes if size <= limit) > share:
            limit //= 4
        kept: dict[str, Any] = reply.spilled(entry, limit, self.attempt.spill)
        return kept

    # ── the end ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _finish(self, state: State, problem: Mapping[str, Any] | None) -> None:
        """Write down how it ended, and beside what was found what that took."""
        attempt, spent = self.attempt, None
        if attempt.done:
            done = [attempt.done[image] for image in sorted(attempt.done)]
            spent = {**together(done), "elapsed_ms": round(1000 * self.seconds, 1)}
        await insisting(
            lambda: asyncio.to_thread(attempt.finish, state, problem=problem, spent=spent), self.patience.say
        )

    def _leave(self) -> None:
        """Keep what is in hand, and say that nobody works on it for now."""
        frames, progress = self.news.taken()
        try:
            self.attempt.save(frames, self.seconds, progress, None)
            self.attempt.interrupt()
        except (StorageAway, Superseded) as e:
            log.warning("%s was interrupted, and could not be marked: %s", self.attempt.job, e)

    # ── what goes on beside the work ────────────────────────────────────────────────────────────────────────────────

    @asynccontextmanager
    async def _watched(self) -> AsyncGenerator[None, None]:
        """Meanwhile news are kept, and the wish to cancel is heard. Raises Superseded out of the middle of the work."""
        async with task_group(Superseded) as group:
            watchers = [group.create_task(self._keep()), group.create_task(self._look())]
            try:
                yield
            finally:
                for watcher in watchers:
                    watcher.cancel()

    async def _keep(self) -> None:
        while True:
            frames, progress = self.news.taken()
            if frames or progress or self.patience.note != self._told:
                try:
                    await self._save(frames, progress)
                    self.patience.there()
                except StorageAway as e:
                    self.news.put_back(frames, progress)
                    self.patience.say(e)
                    with suppress(StorageAway):  # the store of artifacts may be away where the database is not
                        await self._save({}, None)
            await asyncio.sleep(KEEP_S)

    async def _save(self, frames: Mapping[int, Frame], progress: Mapping[str, Any] | None) -> None:
        note = self.patience.note
        now = time.monotonic()
        event = progress is not None and now - self._event_at >= EVENT_EVERY * KEEP_S
        await asyncio.to_thread(self.attempt.save, frames, self.seconds, progress, note, event)
        self._told = note
        self._event_at = now if event else self._event_at

    async def _look(self) -> None:
        while not self.cancelled.is_set():
            pause = LOOK_S
            try:
                if not await asyncio.to_thread(self.attempt.wanted):
                    self._cancel()
            except StorageAway:
                pause = LONGEST_PAUSE_S
            await asyncio.sleep(pause)

    def _cancel(self) -> None:
        self.patience.end_soon()
        self.cancelled.set()


def _keeping(storage: Storage, attempt: Attempt, plan: Plan, summary: Mapping[str, Any]) -> Callable[[], str] | None:
    """What keeps what a run about all images has made, and returns its id; None where it has made nothing to keep."""
    said: dict[str, Any] = {"job": attempt.job, "model": plan.model}
    if plan.operation.name == "substitute":
        last = summary["curve"][-1]
        said |= {"architecture": summary["architecture"], "queries": last["queries"], "agreement": last["agreement"]}
        return partial(storage.substitutes.keep, attempt.owner, summary["archive"].tobytes(), **said)
    if plan.operation.name != "universal":
        return None
    said |= {name: summary[name] for name in ("norm", "epsilon", "given", "held_out")} | {"method": plan.method}
    return partial(storage.perturbations.keep, attempt.owner, summary["perturbation"], **said)
