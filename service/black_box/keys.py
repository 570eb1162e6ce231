"""The keys of the database: made, listed, topped up, revoked. Of a secret only the SHA-256 is kept.

A key that may do more than classify is no black box, and has no view and no budget: nothing is cut or counted there.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import fields
from typing import Any, get_args

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from rakinglight.errors import BadParameter, Conflict, NotFound, near, shown
from service.black_box.views import MOST_CLASSES, TOP_K
from service.database import Database
from service.database.pages import Page
from service.database.schema import keys, watches
from service.keys import KEEPING, OPERATOR, SCOPES, KeptKey, Response, View
from service.times import rfc3339

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_ID = re.compile(r"key_[\w-]{20}", re.ASCII)
#: Most images of a budget or a rate: what every database and every reply takes.
MOST = 10**12
#: The year 9999: no time that a reply can say is later.
LATEST = 253_402_300_799.0
#: What a row says, and an admin reads as it is.
_SAID = ("id", "name", "scopes", "view", "top_k", "budget", "spent", "rate", "response")
#: Of every secret, so that who finds one somewhere knows what it opens.
PREFIX = "rl_"


class Keys:
    """Those in `database`. Its calls may take as long as the database does: call them in a thread.

    A key is named by its id, or by its name while it is not revoked. All may raise StorageAway.

    taken  names that no key may have: those of the key file
    clock  tells the time, in seconds since 1970
    """

    def __init__(
        self, database: Database, *, taken: Collection[str] = (), clock: Callable[[], float] = time.time
    ) -> None:
        self._database = database
        self._taken = taken
        self._clock = clock

    def make(
        self,
        name: str,
        *,
        scopes: Iterable[str] = ("query",),
        view: View | None = None,
        top_k: int | None = None,
        budget: int | None = None,
        rate: int | None = None,
        response: Response | None = None,
        expires_at: float | None = None,
    ) -> tuple[dict[str, Any], str]:
        """A new key: its members, and its secret, which nobody can be told again.

        budget      images that it may ask about, ever
        rate        images a minute
        expires_at  seconds since 1970

        None of what only a black box has is its default: view "label", top_k 5, no end of budget and rate, response
        "log". Raises BadParameter, and Conflict where a key has that name already.
        """
        chosen = frozenset(scopes)
        self._check_name(name)
        _check_scopes(chosen)
        if chosen.isdisjoint(KEEPING) and "query" in chosen:
            own = _black_box(view or "label", top_k, budget, rate, response or "log")
        else:
            said = {"view": view, "top_k": top_k, "budget": budget, "rate": rate, "response": response}
            own = _no_black_box({name: value for name, value in said.items() if value is not None})
        if expires_at is not None:
            _check_end(expires_at, self._clock())
        secret = PREFIX + secrets.token_urlsafe(32)
        row = {
            "id": f"key_{secrets.token_urlsafe(15)}",
            "name": name,
            "digest": hashlib.sha256(secret.encode()).hexdigest(),
            "scopes": sorted(chosen),
            **own,
            "created_at": self._clock(),
            "expires_at": expires_at,
        }
        try:
            with self._database.transaction() as connection:
                connection.execute(sa.insert(keys).values(row))
        except IntegrityError:
            raise Conflict(f"There is a key {name!r} already; revoke that, or take another name.") from None
        return self.get(row["id"]), secret

    def get(self, key: str) -> dict[str, Any]:
        """The members of `key`. Raises NotFound."""
        with self._database.reading() as connection:
            return _members(_row(connection, key))

    def list(self, page: Page) -> dict[str, Any]:
        """{"keys", "next_page_token"}: newest first, the revoked ones too. Raises BadParameter."""
        with self._database.reading() as connection:
            rows, token = page.of(connection, sa.select(keys), keys)
        return {"keys": [_members(row) for row in rows], "next_page_token": token}

    def top_up(self, key: str, images: int) -> dict[str, Any]:
        """Let `key` ask about `images` more. Raises NotFound, BadParameter, and Conflict where it has no budget."""
        if isinstance(images, int) and images < 0:
            less = "To lower a budget, revoke the key and make another."
            detail = f"images is {shown(images)}; it is from 1 to {MOST}. {less}"
            raise BadParameter.at("/images", detail)
        _check_range("images", images, MOST)
        with self._database.transaction() as connection:
            row = _row(connection, key, for_update=True)
            if row.revoked_at is not None or row.budget is None:
                revoked = f"was revoked at {rfc3339(row.revoked_at)}"
                why = "has no budget to add to" if row.revoked_at is None else revoked
                raise Conflict(f"{row.name} {why}; make another key.")
            _check_range("images", row.budget + images, MOST, "the budget would be")
            connection.execute(sa.update(keys).where(keys.c.id == row.id).values(budget=row.budget + images))
        return self.get(row.id)

    def revoke(self, key: str) -> dict[str, Any]:
        """Let nobody in by `key` from now on; it stays in the list and in the ledger. Raises NotFound."""
        with self._database.transaction() as connection:
            row = _row(connection, key, for_update=True)
            if row.revoked_at is None:
                connection.execute(sa.update(keys).where(keys.c.id == row.id).values(revoked_at=self._clock()))
                connection.execute(sa.delete(watches).where(watches.c.key == row.id))
        return self.get(row.id)

    def clear(self, key: str) -> dict[str, Any]:
        """Forget that `key` was noticed, and what was seen of its questions. Raises NotFound."""
        with self._database.transaction() as connection:
            row = _row(connection, key, for_update=True)
            connection.execute(sa.update(keys).where(keys.c.id == row.id).values(noticed=None, next_at=None))
            connection.execute(sa.delete(watches).where(watches.c.key == row.id))
        return self.get(row.id)

    def find(self, digest: str) -> KeptKey | None:
        """The key of which `digest` is the SHA-256, in hexadecimal, if it holds now."""
        with self._database.reading() as connection:
            row = connection.execute(sa.select(keys).where(keys.c.digest == digest)).one_or_none()
        if row is None or not hmac.compare_digest(row.digest, digest):
            return None
        found = kept(row)
        return found if found.holds_at(self._clock()) else None

    def _check_name(self, name: str) -> None:
        if not _NAME.fullmatch(name):
            detail = f"name is {shown(name)}; it has 1 to 32 of a-z, 0-9 and -, and does not begin with -."
            raise BadParameter.at("/name", detail)
        if name in self._taken or name == OPERATOR:  # what the one keeps would be the other's
            raise Conflict(f"{name!r} is the name of a key of the key file; take another.")


def kept(row: sa.Row[Any]) -> KeptKey:
    """The key in a row of `keys`."""
    columns = [member.name for member in fields(KeptKey)]
    return KeptKey(**{name: getattr(row, name) for name in columns if name != "scopes"}, scopes=frozenset(row.scopes))


def _check_scopes(scopes: frozenset[str]) -> None:
    if unknown := sorted(scopes - SCOPES):
        raise BadParameter.at("/scopes", f"{shown(unknown[0])} is no scope: {near(str(unknown[0]), SCOPES)}")
    if not scopes:
        raise BadParameter.at("/scopes", f"scopes is empty; there are {', '.join(sorted(SCOPES))}.")


def _black_box(view: str, top_k: int | None, budget: int | None, rate: int | None, response: str) -> dict[str, Any]:
    """What only a black box has, found good."""
    for name, value, known in (("view", view, get_args(View)), ("response", response, get_args(Response))):
        if value not in known:
            raise BadParameter.at(f"/{name}", f"{shown(value)} is no {name}: {near(str(value), known)}")
    if top_k is not None:
        _check_range("top_k", top_k, MOST_CLASSES)
        if view != "top_k":
            detail = f"top_k is {top_k}, which the view {view} does not use; take view top_k, or leave it out."
            raise BadParameter.at("/top_k", detail)
    if view == "label" and response == "round":
        detail = (
            "response is 'round', and the view label has no probability to round; take view top_k, rounded or full, or "
            "response log, slow or refuse."
        )
        raise BadParameter.at("/response", detail)
    if budget is not None:
        _check_range("budget", budget, MOST, least=0)  # with 0 it waits to be topped up
    if rate is not None:
        _check_range("rate", rate, MOST)
    shows = TOP_K if top_k is None else top_k
    return {"view": view, "top_k": shows, "budget": budget, "rate": rate, "response": response}


def _no_black_box(said: Mapping[str, Any]) -> dict[str, Any]:
    for name in said:
        detail = f"{name} is for a key that may only query (scopes query, or query and metrics); leave it out."
        raise BadParameter.at(f"/{name}", detail)
    return {}


def _check_end(expires_at: float, now: float) -> None:
    if not now < expires_at < LATEST:
        year_one = -62_135_596_800.0
        at = rfc3339(expires_at) if year_one <= expires_at < LATEST else f"{shown(expires_at)} seconds since 1970"
        detail = (
            f"expires_at is {at}, which is not to come: it lies after now, {rfc3339(now)}, and before "
            f"{rfc3339(LATEST)}; leave it out for a key that does not end."
        )
        raise BadParameter.at("/expires_at", detail)


def _check_range(name: str, value: int, most: int, words: str | None = None, *, least: int = 1) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        kind = "" if type(value) is int else "an integer "
        detail = f"{words or f'{name} is'} {shown(value)}; it is {kind}from {least} to {most}."
        raise BadParameter.at(f"/{name}", detail)


def _row(connection: sa.Connection, key: str, *, for_update: bool = False) -> sa.Row[Any]:
    """The row of `key`, an id or the name of one that is not revoked."""
    row = None
    if _ID.fullmatch(key) or _NAME.fullmatch(key):  # another may have characters that no database takes
        named = sa.and_(keys.c.name == key, keys.c.revoked_at.is_(None))
        wanted = sa.select(keys).where(sa.or_(keys.c.id == key, named))
        row = connection.execute(wanted.with_for_update() if for_update else wanted).one_or_none()
        if row is None:
            _check_revoked(connection, key)
    if row is None:
        raise NotFound(f"There is no key {shown(key)}. `GET /api/v1/keys` and `rakinglight keys list` list them.")
    return row


def _check_revoked(connection: sa.Connection, name: str) -> None:
    """Raises NotFound where the keys of that name were revoked."""
    last = sa.select(keys).where(keys.c.name == name).order_by(keys.c.revoked_at.desc()).limit(1)
    if (row := connection.execute(last).one_or_none()) is not None:
        raise NotFound(
            f"{name} was revoked at {rfc3339(row.revoked_at)}: it is listed under its id, {row.id}, and opens nothing. "
            "Make another."
        )


def _members(row: sa.Row[Any]) -> dict[str, Any]:
    """A key as an admin reads it."""
    noticed = row.noticed and {"times": 1, "over": False, **row.noticed, "at": rfc3339(row.noticed["at"])}
    said = {name: getattr(row, name) for name in _SAID}
    times = {name: rfc3339(getattr(row, name)) for name in ("created_at", "expires_at", "revoked_at")}
    return {**said, "noticed": noticed, **times}
