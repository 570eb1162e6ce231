"""Who may ask: whoever shows a key that is known, or, where only this machine can call, everybody.

    Authorization ──> Keyring.admit ──> one of the key file's?  one of the database's?  none shown, and none needed?
                                                     └────────────────────┴──> Caller

Both doors call `Keyring.admit`, and nothing else decides. Only the keys' digests are kept, in memory and elsewhere.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args
from urllib.parse import urlsplit

import structlog

from rakinglight.errors import Forbidden, Unauthenticated

if TYPE_CHECKING:
    from service.settings import Settings

log = structlog.get_logger("rakinglight.keys")

Scope = Literal["query", "explain", "attack", "metrics", "admin"]
SCOPES: frozenset[str] = frozenset(get_args(Scope))
#: Of which one is needed to have anything kept.
KEEPING = ("explain", "attack", "admin")

#: What a black box shows of its answers, from the least to the most.
View = Literal["label", "top_k", "rounded", "full"]
#: What is done where a key's questions look like those of somebody who copies the model.
Response = Literal["log", "round", "slow", "refuse"]

#: What the one is called who has a key without a name.
OPERATOR = "operator"
_NAME = re.compile(rb"[a-z0-9][a-z0-9-]{0,31}")
_SECRET = re.compile(rb"[\x21-\x7e]+")
#: Characters of a secret that nobody guesses, at least.
SECRET_LENGTH = 16

#: The names that a browser on this machine may call loopback by.
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True)
class KeptKey:
    """A key of the database, as it was when it was looked at. Its secret is nowhere.

    view, top_k  what it shows of an answer, and how many classes `top_k` does; None: it is no black box
    budget       images that it may ask about, ever; None: any number
    spent        images that were answered
    rate         images a minute; None: any number
    response     what is done once its questions look like a copyist's
    noticed      {"at", "queries", "score"} of when they first did, {"times"} that they began to, {"over"} where they no
                 longer do; None: they never did
    expires_at, revoked_at  None: it does not end, it was not revoked

    Times are seconds since 1970.
    """

    id: str
    name: str
    scopes: frozenset[str]
    view: View | None
    top_k: int | None
    budget: int | None
    spent: int
    rate: int | None
    response: Response | None
    noticed: Mapping[str, Any] | None
    created_at: float
    expires_at: float | None
    revoked_at: float | None

    @property
    def alarmed(self) -> bool:
        """Whether its questions look like a copyist's now."""
        return self.noticed is not None and not self.noticed.get("over", False)

    def holds_at(self, now: float) -> bool:
        """Whether it lets its bearer in."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True)
class Caller:
    """Who asks, as far as fairness, policy and logs care.

    name    tells callers apart; never the key, nor anything it could be guessed from
    scopes  what they may do
    key     the database's that was shown; None where another was, or none
    view    what is shown of an answer to a black box's caller; None where the setting `view` says it
    """

    name: str = ""
    scopes: frozenset[str] = SCOPES
    key: KeptKey | None = None
    view: View | None = None

    @property
    def is_black_box(self) -> bool:
        """Whether the model is a black box to them: they may classify, and do nothing else."""
        return "query" in self.scopes and not self.keeps

    @property
    def key_id(self) -> str:
        """What the ledger knows their key by: `key_…`, the name of one that is in no database, or "" for none."""
        return self.key.id if self.key is not None else self.name

    @property
    def sees(self) -> str | None:
        """Whose jobs, datasets and artifacts the caller may see: its own, or with None those of all."""
        return None if "admin" in self.scopes else self.name

    def require(self, scope: str) -> None:
        """Raises Forbidden where the caller may not do what `scope` allows."""
        if scope not in self.scopes:
            yours = ", ".join(sorted(self.scopes)) or "none"
            raise Forbidden(f"This needs a key with the scope {scope!r}; yours has {yours}.")

    def require_any(self, scopes: Collection[str]) -> None:
        """Raises Forbidden where the caller may do nothing of what `scopes` allow."""
        if self.scopes.isdisjoint(scopes):
            self.require(min(scopes))

    def require_admin(self) -> None:
        """Raises Unauthenticated where no key was shown, however open the service is, and Forbidden for another key.

        Who is let in for nothing now is not to make a key that holds when the service has long been closed.
        """
        if not self.name:
            raise Unauthenticated(
                "Keys and the ledger are for who shows a key with the scope 'admin', on an open service too. Make the "
                "first by `rakinglight keys make NAME --scope admin`, and send it as: Authorization: Bearer <key>."
            )
        self.require("admin")

    @property
    def keeps(self) -> bool:
        """Whether anything may be kept for the caller: jobs, datasets, artifacts. For a black box there is none."""
        return not self.scopes.isdisjoint(KEEPING)

    def require_keeping(self) -> None:
        """Raises Forbidden where nothing is kept for the caller."""
        if not self.keeps:
            yours = ", ".join(sorted(self.scopes)) or "none"
            raise Forbidden(f"This needs a key with one of the scopes {', '.join(KEEPING)}; yours has {yours}.")


@dataclass(frozen=True)
class Key:
    """Who comes with a secret of which this is the SHA-256."""

    digest: bytes
    caller: Caller


#: The key of the database of which this is the SHA-256, in hexadecimal; None where there is none that holds.
Find = Callable[[str], Awaitable[KeptKey | None]]


def one_of(authorizations: Sequence[str]) -> str | None:
    """What is shown where these are the Authorization headers; of several none is taken, lest two readers differ."""
    return None if not authorizations else authorizations[0] if len(authorizations) == 1 else ""


class Keyring:
    """The keys that are known.

    lines     one key a line: `SECRET` (all scopes), `NAME SECRET` (all but admin), or `NAME SCOPE,SCOPE SECRET`; blank
              lines, and those that begin with #, say nothing
    required  whether a key has to be shown; None: where `lines` has any
    find      looks a key up that is not among `lines`; None: there are no others
    nobody    who comes without a key, where none is required
    Raises ValueError, which names the line at fault and nothing that stands there.
    """

    def __init__(
        self,
        lines: bytes | None = None,
        *,
        required: bool | None = None,
        find: Find | None = None,
        nobody: Caller = Caller(),
    ) -> None:
        self._keys = () if lines is None else tuple(_read(lines))
        self._required = bool(self._keys) if required is None else required
        self._find = find
        self._nobody = nobody

    @staticmethod
    def of(settings: Settings, find: Find | None = None) -> Keyring:
        """As `settings` say, with those that `find` knows."""
        nobody = Caller(scopes=frozenset({"query"}), view=settings.view) if settings.black_box else Caller()
        return Keyring(settings.keys, required=settings.needs_key, find=find, nobody=nobody)

    def __repr__(self) -> str:
        return f"<Keyring: {len(self._keys)} keys, {'needed' if self._required else 'everybody is let in'}>"

    @property
    def open(self) -> bool:
        """Whether there is no key to show."""
        return not self._required

    @property
    def names(self) -> frozenset[str]:
        """Of the keys that are in no database."""
        return frozenset(key.caller.name for key in self._keys)

    async def admit(self, authorization: str | None, scope: str | None = None) -> Caller:
        """The caller who shows `authorization` ("Bearer <key>") and wants what `scope` allows; None is any key at all.

        Who shows a key is its bearer, even where none is needed: one that was revoked is not to open more doors than
        before. Raises Unauthenticated, always in the same words; Forbidden; StorageAway where the key is none of the
        file's and the database cannot be asked.
        """
        caller = self._nobody if authorization is None and not self._required else await self._bearer(authorization)
        if caller is None:
            raise Unauthenticated("Send a key of this service as: Authorization: Bearer <key>.")
        if scope is not None:
            caller.require(scope)
        return caller

    async def _bearer(self, authorization: str | None) -> Caller | None:
        kind, _, secret = (authorization or "").partition(" ")
        secret = secret.strip()
        if kind.lower() != "bearer" or not secret:
            return None
        shown = hashlib.sha256(secret.encode(errors="surrogateescape")).digest()
        # All of them, whichever it is: how long it takes tells nothing.
        known = [key.caller for key in self._keys if hmac.compare_digest(shown, key.digest)]
        if known:
            return known[0]
        kept = await self._find(shown.hex()) if self._find is not None else None
        if kept is None:
            return None
        if kept.name in self.names:  # what the one keeps would be the other's
            log.warning("key_not_let_in", key=kept.id, why="its name is one of the key file's")
            return None
        caller = Caller(kept.name, kept.scopes, kept)
        return replace(caller, view=kept.view) if caller.is_black_box else caller


def _read(lines: bytes) -> list[Key]:
    """The keys that `lines` say. Their words are never quoted: any of them may be a secret in the wrong place."""
    keys: list[Key] = []
    first: dict[str | bytes, int] = {}
    for number, line in enumerate(lines.splitlines(), start=1):
        words = line.split()
        if not words or words[0].startswith(b"#"):
            continue
        try:
            key = _key(words)
        except ValueError as e:
            raise ValueError(f"line {number} of the keys: {e}") from None
        for what, value in (("name", key.caller.name), ("secret", key.digest)):
            if first.setdefault(value, number) != number:
                raise ValueError(f"line {number} of the keys: its {what} is that of line {first[value]} already.")
        keys.append(key)
    if not keys:
        raise ValueError("there is no key; write a long random one on a line of its own (openssl rand -hex 32).")
    return keys


def _key(words: list[bytes]) -> Key:
    if len(words) > 3:
        raise ValueError(f"it has {len(words)} words; a key is SECRET, NAME SECRET, or NAME SCOPE,SCOPE SECRET.")
    *said, secret = words
    if not _SECRET.fullmatch(secret):
        raise ValueError(
            "its secret has characters that no header carries; use printable ASCII (openssl rand -hex 32)."
        )
    if len(secret) < SECRET_LENGTH:
        raise ValueError(
            f"its secret has {len(secret)} characters; one to rely on has {SECRET_LENGTH} at least (openssl rand -hex "
            "32)."
        )
    if said and not _NAME.fullmatch(said[0]):
        raise ValueError("its name is not 1 to 32 of a-z, 0-9 and -, or begins with -.")
    scopes: frozenset[str] = SCOPES if not said else SCOPES - {"admin"}
    if len(said) == 2:
        scopes = frozenset(word.decode(errors="replace") for word in said[1].split(b","))
    if not scopes <= SCOPES:
        raise ValueError(f"it has a scope that there is not; there are {', '.join(sorted(SCOPES))}, joined by commas.")
    caller = Caller(said[0].decode() if said else OPERATOR, scopes)
    if caller.is_black_box:
        caller = replace(caller, view="label")  # who wants to show more makes a key that says so
    return Key(hashlib.sha256(secret).digest(), caller)


def check_place(host: str | None, origin: str | None, allowed_hosts: Collection[str] = ()) -> None:
    """Refuse what a web page elsewhere makes a browser on this machine send. Only needed where no key is asked for.

    host    the Host header: a page whose name was pointed at 127.0.0.1 still says its own name here
    origin  the Origin header, which a browser adds to what a page sends: only our own pages' is known, which came from
            the host and port that they call; another port of this machine is another's
    Raises Forbidden.
    """
    known = LOOPBACK | set(allowed_hosts)
    name = _name(f"//{host}")
    if host is not None and name not in known:
        raise Forbidden(
            f"The host {name!r} is none of this service's: call it by localhost or 127.0.0.1, or name the host in "
            "RAKINGLIGHT_ALLOWED_HOSTS."
        )
    own = host is not None and origin is not None and origin.lower() == f"http://{host}".lower()
    if origin is not None and not own and _name(origin) not in allowed_hosts:
        raise Forbidden(
            f"A page of {origin[:100]!r} may not call this service; name its host in RAKINGLIGHT_ALLOWED_HOSTS, or set "
            "a key."
        )


def _name(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
