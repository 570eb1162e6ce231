"""Budgets, exact to the image: under concurrency, retries, crashes, and in several processes.

    reserve ──> the images are classified ──> commit    the charge, the ledger and the answers, in one transaction
                                        └───> release   nothing was answered

**A budget of N never yields N + 1 answered images.** Only `commit` makes an answer, and no reply leaves before it has
returned. It locks the key's row, reads what was spent by then, refuses what does not fit, and adds to it in the same
transaction as the answers. Whatever was reserved, whoever died, and whatever a clock said, has no part in that.

**A retry is not charged.** Answers stand under (key, Idempotency-Key, image), which no two entries of the ledger share.
`reserve` and `commit` look there first, under the same lock: who finds them gives those, and charges nothing.

**Nobody works in vain, as a rule.** A reservation is a promise that the commit will find room: `reserve` counts what is
spent, and what is promised to others. It is a lease of LEASE_S, renewed every RENEW_S by the process that does the
work; when that dies, the promise runs out, and the room is others' again. Should it run out while its process lives
(which was frozen, or whose clock is wrong), the commit looks for room as if there had been none.

So what is refused for good (BudgetSpent) is what is spent for good. What others have been promised may come back, and
is worth another try (RateLimited).
"""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from rakinglight.errors import BudgetSpent, Conflict, Expired, FieldError, RateLimited, TooLarge, Unauthenticated
from rakinglight.noticing import Notice
from service.ask import Array
from service.black_box.keys import kept
from service.black_box.ledger import Asked, Ledger
from service.black_box.views import cut
from service.black_box.watch import watch
from service.database import Database
from service.database.schema import keys, ledger, reservations
from service.keys import KeptKey, View

#: Seconds that a reservation lasts without a sign of life, and between two of them.
LEASE_S, RENEW_S = 5.0, 1.0
#: Seconds over which a rate is counted.
MINUTE_S = 60.0
#: Seconds after which room that is promised to others may be there again; and by which two clocks may differ.
SOON_S = 1.0
#: Seconds that an image takes of a noticed key whose response is `slow`, and the longest that a request waits here.
SLOW_S, SLOWEST_S = 0.5, 10.0


@dataclass(frozen=True)
class Reservation:
    """Room that was promised, until `commit` or `release`.

    wait_s  seconds that a slowed key's request waits
    """

    id: str
    wait_s: float = 0.0


@dataclass(frozen=True)
class Told:
    """The answer to a request.

    predictions  of each image, what its key's view shows
    remaining    images that are left of the budget; None: there is none
    charged      images that this call was charged: none where the answer was there already
    noticed      whether this call is the one at which the key's questions first looked like a copyist's
    """

    predictions: Sequence[Sequence[dict[str, Any]]]
    remaining: int | None
    charged: int
    noticed: Notice | None = None


@dataclass(frozen=True)
class Found:
    """What a model found in the images of a request.

    predictions  of each image, of every class that the view needs, the best first
    images       each as the model saw it, float32 [C, h, w] in [0, 1]
    view, top_k  what is shown of it
    holder       what `Ledger.keep` returned
    """

    predictions: Sequence[Sequence[dict[str, Any]]]
    images: Sequence[Array]
    view: View
    top_k: int
    holder: str | None = None


class Budget:
    """Of the keys in `database`. Its calls may take as long as the database does: call them in a thread.

    All may raise StorageAway.

    clock  tells the time, in seconds since 1970
    """

    def __init__(self, database: Database, ledger: Ledger, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._ledger = ledger
        self._clock = clock

    def reserve(self, asked: Asked, key: KeptKey | None, patience_s: float = math.inf) -> Reservation | Told | None:
        """Room for `asked`; or what it was told before; or None while the same request is under way elsewhere.

        key         the database's, whose budget it is; None has none
        patience_s  seconds that it may wait

        Raises BudgetSpent, RateLimited and TooLarge, whole; Conflict where the Idempotency-Key came with another
        request; Expired where its answer is no longer kept; Unauthenticated where the key holds no more.
        """
        new, now, wait = f"res_{secrets.token_urlsafe(15)}", self._clock(), 0.0
        row = {
            "id": new,
            "key": asked.key,
            "idempotency_key": asked.idempotency_key,
            "digest": asked.digest,
            "images": asked.images,
            "expires_at": now + LEASE_S,
        }
        try:
            with self._database.transaction() as connection:
                key = self._locked(connection, key)
                if told := self._told_before(connection, asked, key):
                    return told
                if self._under_way(connection, asked):
                    return None
                if key is not None:
                    _check_refused(key)
                    self._check_room(connection, asked, key)
                    self._check_rate(connection, asked, key)
                    wait = self._wait(connection, asked, key, patience_s)
                connection.execute(sa.insert(reservations).values(row))
        except IntegrityError:  # the same key a moment earlier, of which there is no row to lock
            return None
        return Reservation(new, wait)

    def renew(self, promised: Sequence[str]) -> None:
        """Give a sign of life for the reservations of which these are the ids."""
        mine = reservations.c.id.in_(promised)
        with self._database.transaction() as connection:
            connection.execute(sa.update(reservations).where(mine).values(expires_at=self._clock() + LEASE_S))

    def commit(self, reservation: Reservation, asked: Asked, key: KeptKey | None, found: Found) -> Told:
        """Charge `asked` and write down what it is told. Only what this returns may leave.

        Raises BudgetSpent and RateLimited where the reservation ran out and its room is gone, RateLimited where the key
        was stopped meanwhile, and Unauthenticated where it was revoked.
        """
        try:
            return self._commit(reservation, asked, key, found)
        except IntegrityError:  # as above: somebody else has answered it
            with self._database.transaction() as connection:
                if told := self._told_before(connection, asked, key):
                    return told
            raise

    def _commit(self, reservation: Reservation, asked: Asked, key: KeptKey | None, found: Found) -> Told:
        with self._database.transaction() as connection:
            key = self._locked(connection, key)
            self._end(connection, reservation, asked)
            if before := self._told_before(connection, asked, key):
                return before
            if key is not None:
                _check_refused(key)  # an alarm stops whatever was under way beside it
                self._check_room(connection, asked, key)
            labels = [said[0]["index"] for said in found.predictions]
            notice, new = watch(self._database, connection, asked.key, found.images, labels)
            harder = notice.alarm and key is not None and key.response == "round"
            told = [cut(said, found.view, found.top_k, harder=harder) for said in found.predictions]
            self._ledger.write(connection, asked, charged=True, holder=found.holder, answers=told)
            if key is not None:
                key = self._charged(connection, key, asked.images, notice)
        return Told(told, _remaining(key), asked.images, notice if new else None)

    def release(self, reservation: Reservation) -> None:
        """Give back what was promised: nothing was answered."""
        with self._database.transaction() as connection:
            connection.execute(sa.delete(reservations).where(reservations.c.id == reservation.id))

    def remaining(self, key: str) -> int | None:
        """Images that are left of the budget of the key with this id, by what was answered; None: it has none."""
        with self._database.reading() as connection:
            wanted = sa.select(keys.c.budget - keys.c.spent).where(keys.c.id == key)
            return connection.execute(wanted).scalar_one_or_none()

    # ── the parts ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _locked(self, connection: sa.Connection, key: KeptKey | None) -> KeptKey | None:
        """`key` as it is now; until the end of the transaction nobody else changes it, or reserves or charges there."""
        if key is None:
            return None
        row = connection.execute(sa.select(keys).where(keys.c.id == key.id).with_for_update()).one_or_none()
        if row is None or not kept(row).holds_at(self._clock()):
            raise Unauthenticated("Send a key of this service as: Authorization: Bearer <key>.")
        return kept(row)

    def _told_before(self, connection: sa.Connection, asked: Asked, key: KeptKey | None) -> Told | None:
        """What this request was told when it came before. Raises Conflict, and Expired."""
        if asked.idempotency_key is None:
            return None
        wanted = (
            sa.select(ledger.c.request, ledger.c.answer)
            .where(ledger.c.key == asked.key, ledger.c.idempotency_key == asked.idempotency_key)
            .order_by(ledger.c.image)
        )
        rows = connection.execute(wanted).all()
        if not rows:
            return None
        if rows[0].request != asked.digest:
            raise _other_request(asked.idempotency_key)
        if any(row.answer is None for row in rows):
            raise Expired(
                "This request was answered and charged before, and its answer is no longer kept; to be told again, "
                "send it with a new Idempotency-Key, which is charged again."
            )
        return Told([row.answer for row in rows], _remaining(key), 0)

    def _under_way(self, connection: sa.Connection, asked: Asked) -> bool:
        """Whether the same request is being answered. What a dead process left of it is removed. Raises Conflict."""
        if asked.idempotency_key is None:
            return False
        same = reservations.c.key == asked.key, reservations.c.idempotency_key == asked.idempotency_key
        row = connection.execute(sa.select(reservations).where(*same)).one_or_none()
        if row is None:
            return False
        if row.expires_at <= self._clock():
            connection.execute(sa.delete(reservations).where(reservations.c.id == row.id))
            return False
        if row.digest != asked.digest:
            raise _other_request(asked.idempotency_key)
        return True

    def _end(self, connection: sa.Connection, reservation: Reservation, asked: Asked) -> None:
        """Remove the reservation, or that of who took this request up when it seemed to have run out."""
        mine = reservations.c.id == reservation.id
        if asked.idempotency_key is not None:
            same = sa.and_(reservations.c.key == asked.key, reservations.c.idempotency_key == asked.idempotency_key)
            mine = sa.or_(mine, same)
        connection.execute(sa.delete(reservations).where(mine))

    def _check_room(self, connection: sa.Connection, asked: Asked, key: KeptKey) -> None:
        """Refuse, whole, what does not fit beside what is spent and what is promised to others."""
        if key.budget is None:
            return
        n, left = asked.images, key.budget - key.spent
        if n > left:
            raise BudgetSpent(
                f"Images sent: {n}; left of this key's budget of {key.budget}: {left}. None was answered or charged. "
                f"{'Send fewer, or ask' if left else 'Ask'} the operator for more."
            )
        promised = self._promised(connection, asked)
        if n > left - promised:
            raise RateLimited(
                f"Images sent: {n}; left of this key's budget of {key.budget}: {left}, of which requests under way may "
                f"need {promised}. None was answered or charged. Try again soon.",
                retry_after_s=SOON_S,
            )

    def _check_rate(self, connection: sa.Connection, asked: Asked, key: KeptKey) -> None:
        """Refuse, whole, what is more than the key may ask about in a minute."""
        if key.rate is None:
            return
        n, now = asked.images, self._clock()
        since = now - MINUTE_S
        if n > key.rate:
            detail = f"Images sent: {n}; this key may send {key.rate} a minute. Send fewer at once."
            raise TooLarge(detail, errors=[FieldError("/images", detail)])
        # What is not to come yet was written before a clock was set back.
        minute = ledger.c.created_at > since, ledger.c.created_at <= now + SOON_S
        lately = sa.select(ledger.c.created_at).where(ledger.c.key == key.id, *minute)
        count = connection.execute(sa.select(sa.func.count()).select_from(lately.subquery())).scalar_one()
        over = count + self._promised(connection, asked) + n - key.rate
        if over > 0:
            # So many have to be a minute old; if there are not as many, requests under way have to end first.
            oldest = lately.order_by(ledger.c.created_at).offset(over - 1).limit(1)
            last = connection.execute(oldest).scalar_one_or_none()
            wait = SOON_S if last is None else min(max(0.1, round(last - since, 1)), MINUTE_S)
            raise RateLimited(
                f"Images sent: {n}; this key may send {key.rate} a minute. None was answered or charged. Try again in "
                f"{wait:g} s.",
                retry_after_s=wait,
            )

    def _wait(self, connection: sa.Connection, asked: Asked, key: KeptKey, patience_s: float) -> float:
        """Seconds until `asked` is answered: the requests of a key that is slowed stand in one row, and no wait is cut.

        Raises, whole, RateLimited where it would be longer than SLOWEST_S for those before it, and TooLarge where it
        would be for its own images alone.
        """
        if not key.alarmed or key.response != "slow":
            return 0.0
        now, takes = self._clock(), SLOW_S * asked.images
        stored = connection.execute(sa.select(keys.c.next_at).where(keys.c.id == key.id)).scalar_one()
        if takes > SLOWEST_S:
            detail = f"Images sent: {asked.images}; this key may send {int(SLOWEST_S / SLOW_S)} at once. Send fewer."
            raise TooLarge(detail, errors=[FieldError("/images", detail)])
        # A turn that is farther away than any was given before a clock was set back.
        begins = now if stored is None or stored > now + SLOWEST_S + SOON_S else max(now, stored)
        wait = begins - now + takes
        if wait > (longest := min(SLOWEST_S, patience_s)):
            later = max(wait - longest, SOON_S)
            raise RateLimited(
                f"Images sent: {asked.images}; it is not this key's turn. None was answered or charged. Try again in "
                f"{later:.1f} s{', or give it more time' if patience_s < SLOWEST_S else ''}.",
                retry_after_s=later,
            )
        connection.execute(sa.update(keys).where(keys.c.id == key.id).values(next_at=begins + takes))
        return wait

    def _promised(self, connection: sa.Connection, asked: Asked) -> int:
        """Images that are promised to requests of the same key."""
        wanted = sa.select(sa.func.coalesce(sa.func.sum(reservations.c.images), 0))
        live = reservations.c.key == asked.key, reservations.c.expires_at > self._clock()
        return int(connection.execute(wanted.where(*live)).scalar_one())

    def _charged(self, connection: sa.Connection, key: KeptKey, images: int, notice: Notice) -> KeptKey:
        """`key`, with `images` more spent, and noticed or not. That it was noticed once stays; a stop does not end."""
        noticed = key.noticed
        if notice.alarm and noticed is None:
            found = {"at": self._clock(), "queries": notice.queries, "score": notice.score}
            noticed = {**found, "times": 1, "over": False}
        elif notice.alarm and noticed is not None and not key.alarmed:
            noticed = {**noticed, "times": noticed.get("times", 1) + 1, "over": False}
        elif not notice.alarm and key.alarmed and key.response != "refuse":
            noticed = {**(noticed or {}), "over": True}
        key = replace(key, spent=key.spent + images, noticed=noticed)
        changes = {"spent": key.spent, "noticed": noticed}
        connection.execute(sa.update(keys).where(keys.c.id == key.id).values(changes))
        return key


def _remaining(key: KeptKey | None) -> int | None:
    return None if key is None or key.budget is None else key.budget - key.spent


def _check_refused(key: KeptKey) -> None:
    """Refuse whoever was noticed, where the operator wants that."""
    if key.alarmed and key.response == "refuse":
        raise RateLimited("This key was stopped, for what it was asked; its operator can let it go on.")


def _other_request(idempotency_key: str) -> Conflict:
    return Conflict(
        f"The Idempotency-Key {idempotency_key[:80]!r} came with another request before; a new request needs a new key."
    )
