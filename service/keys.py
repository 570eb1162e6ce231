"""Who may ask: one key with every scope, or, where only this machine can call, nobody asks for one.

Both doors call `Keyring.admit`, and nothing else decides. Only the key's digest is kept in memory.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, get_args
from urllib.parse import urlsplit

from rakinglight.errors import Forbidden, Unauthenticated

Scope = Literal["query", "explain", "attack", "metrics", "admin"]
SCOPES: frozenset[str] = frozenset(get_args(Scope))

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

    def require(self, scope: str) -> None:
        """Raises Forbidden where the caller may not do what `scope` allows."""
        if scope not in self.scopes:
            yours = ", ".join(sorted(self.scopes)) or "none"
            raise Forbidden(f"This needs a key with the scope {scope!r}; yours has {yours}.")


class Keyring:
    """The keys that are known: one, or none.

    secret  the key; None lets everybody in
    """

    def __init__(self, secret: bytes | None = None) -> None:
        self._digest = None if secret is None else hashlib.sha256(secret).digest()

    def __repr__(self) -> str:
        return f"<Keyring: {'no key, everybody is let in' if self.open else 'one key'}>"

    @property
    def open(self) -> bool:
        """Whether there is no key to show."""
        return self._digest is None

    def admit(self, authorization: str | None, scope: str | None = None) -> Caller:
        """The caller who shows `authorization` ("Bearer <key>") and wants what `scope` allows; None is any key at all.

        Raises Unauthenticated, always in the same words, and Forbidden.
        """
        if self._digest is None:
            return Caller()
        kind, _, key = (authorization or "").partition(" ")
        shown = hashlib.sha256(key.strip().encode(errors="surrogateescape")).digest()
        if not hmac.compare_digest(shown, self._digest) or kind.lower() != "bearer":
            raise Unauthenticated("Send a key of this service as: Authorization: Bearer <key>.")
        caller = Caller("operator")
        if scope is not None:
            caller.require(scope)
        return caller


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
