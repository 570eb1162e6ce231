"""Who may ask: whoever shows a key that is known, or, where only this machine can call, everybody.

Both doors call `Keyring.admit`, and nothing else decides. Only the keys' digests are kept in memory.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, get_args
from urllib.parse import urlsplit

from rakinglight.errors import Forbidden, Unauthenticated

Scope = Literal["query", "explain", "attack", "metrics", "admin"]
SCOPES: frozenset[str] = frozenset(get_args(Scope))
#: Of which one is needed to have anything kept.
KEEPING = ("explain", "attack", "admin")

#: What the one is called who has a key without a name.
OPERATOR = "operator"
_NAME = re.compile(rb"[a-z0-9][a-z0-9-]{0,31}")
_SECRET = re.compile(rb"[\x21-\x7e]+")
#: Characters of a secret that nobody guesses, at least.
SECRET_LENGTH = 16

#: The names that a browser on this machine may call loopback by.
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True)
class Caller:
    """Who asks, as far as fairness, policy and logs care.

    name    tells callers apart; never the key, nor anything it could be guessed from
    scopes  what they may do
    """

    name: str = ""
    scopes: frozenset[str] = SCOPES

    @property
    def sees(self) -> str | None:
        """Whose jobs, datasets and artifacts the caller may see: its own, or with None those of all."""
        return None if "admin" in self.scopes else self.name

    def require(self, scope: str) -> None:
        """Raises Forbidden where the caller may not do what `scope` allows."""
        if scope not in self.scopes:
            yours = ", ".join(sorted(self.scopes)) or "none"
            raise Forbidden(f"This needs a key with the scope {scope!r}; yours has {yours}.")

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


class Keyring:
    """The keys that are known.

    lines  one key a line: `SECRET` (all scopes), `NAME SECRET` (all but admin), or `NAME SCOPE,SCOPE SECRET`; blank
           lines, and those that begin with #, say nothing. None lets everybody in
    Raises ValueError, which names the line at fault and nothing that stands there.
    """

    def __init__(self, lines: bytes | None = None) -> None:
        self._keys = None if lines is None else _read(lines)

    def __repr__(self) -> str:
        return f"<Keyring: {'no key, everybody is let in' if self._keys is None else f'{len(self._keys)} keys'}>"

    @property
    def open(self) -> bool:
        """Whether there is no key to show."""
        return self._keys is None

    def admit(self, authorization: str | None, scope: str | None = None) -> Caller:
        """The caller who shows `authorization` ("Bearer <key>") and wants what `scope` allows; None is any key at all.

        Raises Unauthenticated, always in the same words, and Forbidden.
        """
        if self._keys is None:
            return Caller()
        kind, _, secret = (authorization or "").partition(" ")
        shown = hashlib.sha256(secret.strip().encode(errors="surrogateescape")).digest()
        # All of them, whichever it is: how long it takes tells nothing.
        known = [key.caller for key in self._keys if hmac.compare_digest(shown, key.digest)]
        if not known or kind.lower() != "bearer":
            raise Unauthenticated("Send a key of this service as: Authorization: Bearer <key>.")
        (caller,) = known
        if scope is not None:
            caller.require(scope)
        return caller


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
    scopes = SCOPES if not said else SCOPES - {"admin"}
    if len(said) == 2:
        scopes = frozenset(word.decode(errors="replace") for word in said[1].split(b","))
    if not scopes <= SCOPES:
        raise ValueError(f"it has a scope that there is not; there are {', '.join(sorted(SCOPES))}, joined by commas.")
    name = said[0].decode() if said else OPERATOR
    return Key(hashlib.sha256(secret).digest(), Caller(name, scopes))


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
