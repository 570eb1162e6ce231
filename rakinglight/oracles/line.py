"""The line to an oracle: sends a request, waits as long as it is worth it, and reads the JSON that comes.

What helps by waiting is waited for within a patience: 429 and 503 as long as they say, a connection that fails with
longer and longer pauses. Where each try may be charged and none is answered, a few are enough. A redirect is not
followed: somebody said that this host may be asked, and no other.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import random
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from queue import Empty, SimpleQueue
from typing import Any

import httpx2

from rakinglight.errors import (
    CODES,
    BadParameter,
    BudgetSpent,
    CallerError,
    Forbidden,
    NotFound,
    OracleAway,
    OracleFault,
    RakinglightError,
    RateLimited,
    TooLarge,
    Unauthenticated,
    from_problem,
)
from rakinglight.oracles.dialect import bare, plain

log = logging.getLogger("rakinglight.oracle")

#: Seconds that one request may take from its first byte to the last of the reply, and that a connection may.
TIMEOUT_S, CONNECT_S = 60.0, 10.0
#: Seconds after which an oracle that does not answer is given up for now.
PATIENCE_S = 120.0
#: Seconds before the second try; each pause is twice the last, up to the longest.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 15.0
#: Tries of a request that are lost in silence, or break the service itself: each may be charged, and fails as the last.
LOST_TRIES = 3
YEAR_S = 365 * 86_400.0
#: Bytes of a reply.
REPLY_BYTES = 64 * 2**20
#: Characters of what an oracle says that a message quotes.
QUOTED = 200

#: What a refusal by status means to who speaks no problem+json.
REFUSALS: dict[int, type[CallerError]] = {401: Unauthenticated, 403: Forbidden, 404: NotFound, 413: TooLarge}


@dataclass(frozen=True)
class Trouble:
    """Why a try came to nothing, where another may come to something.

    lost    whether the images may have been classified all the same, and the answer was lost
    pause   seconds that the oracle wants to be left alone
    broken  whether that it came to nothing is likely to be this request's doing, so that it is not tried often
    hopeless  whether no other try will come to anything
    """

    why: str
    lost: bool
    pause: float = 0.0
    broken: bool = False
    hopeless: bool = False


@dataclass(frozen=True)
class Got:
    """A reply, read whole."""

    status: int
    headers: httpx2.Headers
    content: bytes


class Line:
    """To the oracle at `where`. One request at a time; `close` may come from another thread, and ends a wait at once.

    secrets    are struck out of every message
    called     what messages call it: by default its address. By another name, no address is in them
    patience   seconds over all tries of a request, and the pauses between them, after which none is begun
    timeout    seconds of one try
    remaining  images that the oracle says it will still answer, where it says so
    uncertain  whether a try of the last request may have been answered, and the answer was lost
    """

    def __init__(
        self,
        where: str,
        *,
        secrets: tuple[str, ...] = (),
        patience: float = PATIENCE_S,
        timeout: float | None = None,
        called: str = "",
    ) -> None:
        self.where = where
        self.called = called or where
        self.patience = patience
        self.timeout = timeout or TIMEOUT_S
        self.remaining: int | None = None
        self.uncertain = False
        self._reached = False
        self._secrets = tuple(sorted(filter(None, secrets), key=len, reverse=True))
        self._http = httpx2.Client(follow_redirects=False, trust_env=not loopback(where))
        self._closed = threading.Event()
        self._arriving: SimpleQueue[Got | Trouble | RakinglightError | None] = SimpleQueue()

    def json(self, request: httpx2.Request, again: Callable[[bool], None] = lambda lost: None) -> Any:
        """What the reply to `request` says.

        again  told before every further try: whether the answer to the last was lost on its way
        Raises OracleAway where patience is at its end, BudgetSpent and other refusals at once, OracleFault for a reply
        that is none.
        """
        pause, begun, tries, broken = FIRST_PAUSE_S, time.monotonic(), 0, 0
        certain = True
        while True:
            tries += 1
            self.uncertain = True  # until it is known what became of this one
            came = self._exchange(request)
            if isinstance(came, Got):
                came = self._trouble(came) or came
            if isinstance(came, Got):
                return self._read(came)
            certain = certain and not came.lost
            broken += came.broken
            self.uncertain = not certain
            wait, elapsed = max(_scattered(pause), came.pause), time.monotonic() - begun
            if elapsed + wait > self.patience or broken >= LOST_TRIES or came.hopeless:
                if came.pause > self.patience:
                    raise OracleAway(
                        self.clean(
                            f"{self.called} {came.why}, and asks to wait {_lasting(came.pause)}; patience is "
                            f"{_lasting(self.patience)}. What it answered before is kept; ask again then, or raise "
                            "patience (patience_s in a target file)."
                        ),
                        retry_after_s=came.pause,
                    )
                said = f"{tries} {'try' if tries == 1 else 'tries'} in {elapsed:.0f} s"
                raise OracleAway(
                    self.clean(
                        f"{self.called} {came.why} ({said}). What it answered before is "
                        "kept; ask again when it is back."
                    ),
                    retry_after_s=came.pause or None,
                )
            if tries == 1:
                log.warning("%s", self.clean(f"{self.called} {came.why}; trying for {_lasting(self.patience)}."))
            if self._closed.wait(wait):
                raise self._hung_up()
            pause = min(2 * pause, LONGEST_PAUSE_S)
            again(came.lost)

    def close(self) -> None:
        """Hang up."""
        self._closed.set()
        self._arriving.put(None)
        self._http.close()

    def clean(self, text: str) -> str:
        """`text` with no secret in it, nor what a terminal would obey."""
        text = plain(text)
        for secret in self._secrets:
            text = text.replace(secret, "…")
        return text

    # ── one try ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _exchange(self, request: httpx2.Request) -> Got | Trouble:
        """Send `request` by a thread of its own: a socket's timeouts are for one byte, and none ends who trickles."""
        if self._closed.is_set():
            raise self._hung_up()
        arriving = self._arriving = SimpleQueue()
        threading.Thread(target=lambda: arriving.put(self._try(request)), name="oracle", daemon=True).start()
        try:
            came = arriving.get(timeout=self.timeout)
        except Empty:
            return Trouble(f"has not answered within {self.timeout:g} s", lost=True, broken=True)
        if came is None:
            raise self._hung_up()
        if isinstance(came, RakinglightError):
            raise came
        return came

    def _try(self, request: httpx2.Request) -> Got | Trouble | RakinglightError:
        request.extensions["timeout"] = httpx2.Timeout(self.timeout, connect=min(CONNECT_S, self.timeout)).as_dict()
        until, content = time.monotonic() + self.timeout, bytearray()
        try:
            response = self._http.send(request, stream=True)
            try:
                for chunk in response.iter_bytes():
                    content += chunk
                    if len(content) > REPLY_BYTES:
                        return OracleFault(f"{self.called} answers with more than {REPLY_BYTES} bytes.")
                    if time.monotonic() > until:
                        return Trouble(f"has not answered within {self.timeout:g} s", lost=True, broken=True)
            finally:
                response.close()
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as e:
            if not self._reached and _unknown_name(e):
                return Trouble("cannot be reached: nobody knows that name; look at the address", False, hopeless=True)
            return Trouble(f"cannot be reached: {_reason(e)}", lost=False)
        except httpx2.TimeoutException:
            return Trouble(f"has not answered within {self.timeout:g} s", lost=True, broken=True)
        except httpx2.HTTPError as e:
            return Trouble(f"broke the connection off ({type(e).__name__})", lost=True, broken=True)
        except Exception as e:  # of a thread that nobody waits for any more, or a fault of ours
            return Trouble(f"could not be asked ({type(e).__name__})", lost=True, broken=True)
        self._reached = True
        return Got(response.status_code, response.headers, bytes(content))

    def _trouble(self, got: Got) -> Trouble | None:
        """Why waiting helps, if it does. Raises BudgetSpent, or RateLimited of a stopped key: it never will."""
        pause = retry_after(got.headers)
        match got.status:
            case 429:
                error = self._problem(got)
                stopped = isinstance(error, RateLimited) and "Retry-After" not in got.headers
                if error is not None and (stopped or isinstance(error, BudgetSpent)):
                    raise error
                return Trouble("says that it is asked too much", lost=False, pause=pause)
            case 503 | 425:
                return Trouble("says that it has too much to do", lost=False, pause=pause)
            case 408 | 502 | 521 | 522 | 523:
                return Trouble(f"answers {got.status}", lost=True, pause=pause)
            case 504 | 520 | 524:
                return Trouble(f"answers {got.status}", lost=True, pause=pause, broken=True)
            case status if status >= 500:
                return Trouble(f"answers {status}{self._quoted(got)}", lost=True, pause=pause, broken=True)
        return None

    def _read(self, got: Got) -> Any:
        if 300 <= got.status < 400:
            raise self._sent_elsewhere(got)
        if got.status >= 400:
            raise self._problem(got) or self._refusal(got)
        if (said := got.headers.get("X-Query-Budget-Remaining", "")).isdecimal() and len(said) < 16:
            self.remaining = int(said)
        try:
            return plain(json.loads(got.content))
        except (UnicodeDecodeError, ValueError, RecursionError):
            raise OracleFault(
                self.clean(
                    f"{self.called} answers {got.status} with {got.headers.get('Content-Type', 'no type')!r} that is "
                    f"no JSON{self._quoted(got)}. Look at the address."
                )
            ) from None

    def _problem(self, got: Got) -> RakinglightError | None:
        """The error that a service of ours raised, where it is one."""
        try:
            members = json.loads(got.content)
        except (UnicodeDecodeError, ValueError, RecursionError):
            return None
        if not isinstance(members, dict) or not isinstance(code := members.get("code"), str) or code not in CODES:
            return None
        detail = said if isinstance(said := members.get("detail"), str) else ""
        return from_problem({"code": code, "detail": self.clean(f"{self.called}: {detail}")})

    def _sent_elsewhere(self, got: Got) -> OracleFault:
        if self.called != self.where:  # its callers are not told where it is; its operator has the log
            log.warning("%s sends elsewhere, to %s", self.clean(self.where), self.clean(_target(got)))
            return OracleFault(
                f"{self.called} sends elsewhere, and redirects are not followed; its operator can mend it."
            )
        return OracleFault(
            self.clean(
                f"{self.where} sends elsewhere, to {_target(got)}. Redirects are not followed, since another host was "
                "not asked for; give that address itself, if you may ask it."
            )
        )

    def _refusal(self, got: Got) -> CallerError:
        kind = REFUSALS.get(got.status, BadParameter)
        return kind(self.clean(f"{self.called} refuses with {got.status}{self._quoted(got)}."))

    def _quoted(self, got: Got) -> str:
        """The beginning of what it says, unless that is a page."""
        text = self.clean(got.content[: 64 * QUOTED].decode(errors="replace")).strip()
        if not text or text.startswith("<"):
            return ""
        return f": {text[:QUOTED]!r}"

    def _hung_up(self) -> OracleAway:
        return OracleAway(f"{self.called} is not asked any more: the line was closed.")


def loopback(url: str) -> bool:
    """Whether `url` is of this machine."""
    host = httpx2.URL(url).host
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def retry_after(headers: httpx2.Headers) -> float:
    """Seconds that `headers` want to be waited: a number, or a date. At most a year."""
    said = headers.get("Retry-After", "")
    try:
        seconds = float(said)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(said) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError, OverflowError):
            return 0.0
    return min(max(0.0, seconds), YEAR_S)


def _target(got: Got) -> str:
    """Where a redirect would go, without what may be secret in it."""
    try:
        return bare(httpx2.URL(got.headers.get("Location", ""))) or "nowhere"
    except (httpx2.InvalidURL, ValueError):
        return "an address that is none"


def _causes(error: BaseException) -> list[BaseException]:
    """`error`, what it came of, and so on."""
    found: list[BaseException] = []
    at: BaseException | None = error
    while at is not None and at not in found:
        found.append(at)
        at = at.__cause__ or at.__context__
    return found


def _unknown_name(error: BaseException) -> bool:
    return any(isinstance(cause, socket.gaierror) for cause in _causes(error))


def _reason(error: BaseException) -> str:
    """Why no connection came about, in the system's words where it has some."""
    words = [cause.strerror for cause in _causes(error) if isinstance(cause, OSError) and cause.strerror]
    return words[-1].lower() if words else type(error).__name__


def _lasting(seconds: float) -> str:
    """A time in words: 15 s, 2 min 5 s, 27 h 46 min."""
    if seconds < 120:
        return f"{seconds:.3g} s"
    minutes, hours = divmod(int(seconds), 60), divmod(int(seconds) // 60, 60)
    if seconds < 3600:
        return f"{minutes[0]} min {minutes[1]} s" if minutes[1] else f"{minutes[0]} min"
    return f"{hours[0]} h {hours[1]} min" if hours[1] else f"{hours[0]} h"


def _scattered(seconds: float) -> float:
    return seconds * random.uniform(0.5, 1.0)  # noqa: S311  spreads callers out, hides nothing
