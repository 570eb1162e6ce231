"""The black box: `classify` and nothing else, with keys, views and budgets, as a deployed model is seen by a stranger.

    keys     made, listed, topped up, revoked
    views    what of an answer is shown
    budget   what may be asked, exact to the image
    watch    whether the questions look like a copyist's
    ledger   who asked what, and when

What a stranger can reach, and what they are told when they try more, is the doors' business.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import structlog

from rakinglight.errors import BudgetSpent, DeadlineExceeded, RateLimited, StorageAway
from service import limits
from service.ask import Ask
from service.black_box.budget import RENEW_S, Budget, Found, Reservation, Told
from service.black_box.keys import Keys
from service.black_box.ledger import Asked, Ledger
from service.black_box.views import TOP_K, wanted
from service.black_box.watch import seen
from service.database import P, T

if TYPE_CHECKING:
    from service.core import Core, Hold, Work
    from service.keys import Caller, KeptKey

__all__ = ["BlackBox", "Told"]

log = structlog.get_logger("rakinglight.black_box")

#: Seconds between two looks whether the same request, which is under way elsewhere, was answered.
LOOK_S = 0.1
#: The least that a run is given, in seconds, after others were waited for.
LEAST_S = 0.001
#: Transactions of one process that may wait for each other. More would only fill the threads that all others need.
WRITERS = 4
#: Seconds between two sweeps, where no job process does it.
SWEEP_S = 30.0


class BlackBox:
    """That of one gateway."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._writing = asyncio.Semaphore(WRITERS)
        self._promised: set[str] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._renewing: asyncio.Task[None] | None = None

    @property
    def keys(self) -> Keys:
        """Those of the database. Raises StorageAway where there is none."""
        return self._core.storage.keys

    @property
    def ledger(self) -> Ledger:
        """That of the database. Raises StorageAway where there is none."""
        return self._core.storage.ledger

    async def find(self, digest: str) -> KeptKey | None:
        """The key of which `digest` is the SHA-256, in hexadecimal, if it holds now. Raises StorageAway."""
        return await self._core.storage.do(self.keys.find, digest)

    async def remaining(self, caller: Caller) -> int | None:
        """Images that are left of the budget of the caller's key; None where it has none, or nobody can tell now."""
        if caller.key is None or caller.key.budget is None:
            return None
        with suppress(StorageAway):
            return await self._core.storage.do(self._budget.remaining, caller.key.id)
        return None

    async def classify(self, caller: Caller, ask: Ask, hold: Hold, idempotency_key: str | None = None) -> Told:
        """Name what is in the images of `ask`, within what the caller's key has left; what they take is on `hold`.

        Of `ask` only the model, the images, the deadline and what says whose it is are looked at. Charge and answer are
        in the database before this returns; where it fails or is cancelled before, nothing is charged.
        Raises what a caller can mend, BudgetSpent, RateLimited, Conflict, Expired, and StorageAway.
        """
        try:
            asked = await self._asked(caller, ask, idempotency_key)
            told = await self._answered(caller, ask, asked, hold)
        except (BudgetSpent, RateLimited) as e:
            self._core.metrics.asked_black_box(ask.model, e.code.lower(), len(ask.images))
            raise
        if not told.charged:
            self._core.metrics.asked_black_box(ask.model, "repeated", len(ask.images))
        return told

    async def keep(self) -> None:
        """Remove what is over, now and then, until cancelled: for a gateway without a process that does jobs."""
        while True:
            with suppress(StorageAway):
                storage, now = self._core.storage, time.time()
                await storage.do(storage.ledger.sweep, now)
                await storage.do(storage.artifacts.sweep, now)
            await asyncio.sleep(SWEEP_S)

    # ── the parts ───────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def _budget(self) -> Budget:
        return self._core.storage.budget

    async def _asked(self, caller: Caller, ask: Ask, idempotency_key: str | None) -> Asked:
        """`ask` as the ledger has it, once it is found good but for its images."""
        limits.check_idempotency_key(idempotency_key)
        plain = _plain(ask)
        self._core.check_permitted(plain)
        prepared = await self._core.prepare(plain)
        said = replace(plain, key=caller.key_id, caller=caller.name)
        return await asyncio.to_thread(Asked.of, said, prepared.plan.model, idempotency_key=idempotency_key)

    async def _answered(self, caller: Caller, ask: Ask, asked: Asked, hold: Hold) -> Told:
        core, budget = self._core, self._budget
        deadline = time.monotonic() + (core.settings.deadline_s if ask.deadline_s is None else ask.deadline_s)
        while (room := await self._written(budget.reserve, asked, caller.key, deadline - time.monotonic())) is None:
            if time.monotonic() > deadline:
                raise DeadlineExceeded("The same request, which came before, is still being answered; try again.")
            await asyncio.sleep(LOOK_S)
        if isinstance(room, Told):
            return room
        view = caller.view or core.settings.view
        top_k = (caller.key and caller.key.top_k) or TOP_K
        async with self._leased(room):
            await asyncio.sleep(room.wait_s)
            count = wanted(core.card(ask.model), view, top_k)
            left = max(LEAST_S, deadline - time.monotonic())
            work = await core.begin(replace(_plain(ask), parameters={"top_k": count}, deadline_s=left), hold)
            reply = await core.finish(work)
            predictions = [result["predictions"] for result in reply.results]
            images = await asyncio.to_thread(_seen, work)
            holder = await core.storage.do(self.ledger.keep, ask.images)
            found = Found(predictions, images, view, top_k, holder)
            return await self._written(self._committed, room, asked, caller, found)

    def _committed(self, room: Reservation, asked: Asked, caller: Caller, found: Found) -> Told:
        """In a thread, which goes on where the caller has hung up: so what was charged is counted here."""
        told = self._budget.commit(room, asked, caller.key, found)
        self._core.metrics.asked_black_box(asked.model["name"], "answered", told.charged)
        if told.noticed is not None:
            response = (caller.key and caller.key.response) or "log"
            self._core.metrics.noticed(response)
            score = round(told.noticed.score, 3)
            log.warning(
                "noticed",
                why="its questions look like those of somebody who copies the model",
                key=asked.key,
                queries=told.noticed.queries,
                score=score,
                response=response,
            )
        return told

    async def _written(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        async with self._writing:
            return await self._core.storage.do(function, *args, **kwargs)

    @asynccontextmanager
    async def _leased(self, room: Reservation) -> AsyncGenerator[None, None]:
        """Meanwhile `room` is renewed; where this fails, it is given back."""
        self._promised.add(room.id)
        if self._renewing is None:
            self._renewing = self._begin(self._renew())
        try:
            yield
        except BaseException:
            self._begin(self._released(room))
            raise
        finally:
            self._promised.discard(room.id)

    async def _renew(self) -> None:
        """As long as anything is promised."""
        while self._promised:
            with suppress(StorageAway):  # it may be back before the leases are over
                await self._core.storage.do(self._budget.renew, list(self._promised))
            await asyncio.sleep(RENEW_S)
        self._renewing = None

    async def _released(self, room: Reservation) -> None:
        with suppress(StorageAway):  # it runs out by itself
            await self._core.storage.do(self._budget.release, room)

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do `work` whoever hangs up."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _plain(ask: Ask) -> Ask:
    """What of `ask` a black box looks at."""
    return Ask(
        model=ask.model,
        operation="classify",
        images=ask.images,
        deadline_s=ask.deadline_s,
        request_id=ask.request_id,
        caller=ask.caller,
        key=ask.key,
    )


def _seen(work: Work) -> list[Any]:
    return [seen(question.pixels, work.plan.card) for question in work.questions]
