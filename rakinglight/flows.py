"""How a client talks to a service over HTTP, told by generators, which do no input or output themselves.

In the way of this project's algorithms, a flow yields what it wants done, is sent what came of it, and returns what it
found. `over_http` drives flows, once with threads and once with asyncio.

    httpx2.Request   is sent; its response comes, read whole
    Listen(request)  is sent; its response comes, and if it is no error, its events wait to be heard
    Hear()           the next of these events comes, or None after the last
    seconds          are waited, a float
    News(value)      is for whoever looks on
"""

from __future__ import annotations

import hashlib
import io
import ipaddress
import json
import random
import uuid
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import quote

import httpx2
import numpy as np

from rakinglight import __version__, reply
from rakinglight.call import DEADLINE_S, Call, Reply, ServiceAway
from rakinglight.catalogue import OPERATIONS
from rakinglight.errors import (
    BadParameter,
    InternalError,
    JobCancelled,
    RakinglightError,
    RateLimited,
    Unavailable,
    from_problem,
)
from rakinglight.results import OVER, Progress, is_reference

R = TypeVar("R")

JSON, NPZ, EVENTS = "application/json", "application/x-npz", "text/event-stream"
#: Arrays come as NPZ, a quarter smaller than base64 and as exact; who asks a black box is answered in JSON alone.
ANSWER = f"{NPZ}, {JSON};q=0.9"
#: How often a service that is away for the moment is asked again, and how long the client waits in between at most.
RETRIES = 4
LONGEST_WAIT_S = 30.0
#: The longest wait where a key sends too much at once: what it may send is counted over a minute.
LONGEST_RATE_WAIT_S = 65.0
#: Seconds on top of a call's own deadline after which the client gives up: the way there and back, and the pictures.
MARGIN_S = 30.0
#: Seconds for which a service that is away is waited for by who follows a job, and the longest between two tries.
PATIENCE_S = 300.0
LONGEST_PAUSE_S = 2.0
#: Seconds that a service may take to look through an uploaded dataset.
UPLOAD_S = 600.0
#: Seconds between two looks at a job that a service makes of whatever takes its time.
LOOK_S = 0.25
#: Entries of a list that are asked for at once.
PAGE_SIZE = 100


@dataclass(frozen=True)
class Listen:
    """Send this, and leave the events of the response to be heard one by one. One response is listened to at a time."""

    request: httpx2.Request


@dataclass(frozen=True)
class Hear:
    """Wait for the next event of the response that is listened to."""


@dataclass(frozen=True)
class News:
    """Something to tell before the flow is at its end."""

    value: Any


Flow = Generator[httpx2.Request | Listen | Hear | float | News, Any, R]


def told(flow: Flow[Any]) -> Flow[None]:
    """`flow`, which tells its result as the last of its news."""
    yield News((yield from flow))


class Patience:
    """Of who waits for a service that is away: a longer pause each time, up to PATIENCE_S seconds in all."""

    def __init__(self) -> None:
        self._waited = 0.0
        self._pause = 0.05

    def after(self, e: Unavailable) -> float:
        """Seconds to wait before the next try. Raises `e` where it was enough."""
        if self._waited >= PATIENCE_S:
            raise e
        self._pause = min(2 * self._pause, LONGEST_PAUSE_S)
        wait = max(_scattered(self._pause), min(e.retry_after_s or 0.0, LONGEST_WAIT_S))
        self._waited += wait
        return wait


@dataclass(frozen=True)
class Address:
    """Where a service is, and the key for it."""

    url: str
    key: str | None = field(default=None, repr=False)
    timeout: float | None = None

    @staticmethod
    def of(url: str, key: str | None = None, timeout: float | None = None) -> Address:
        """Raises BadParameter where `url` is no address of a service."""
        full = url if "://" in url else f"http://{url}"
        parsed = httpx2.URL(full)
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise BadParameter(f"{url!r} is no address of a service; it looks like http://127.0.0.1:8000.")
        return Address(full.rstrip("/"), key, timeout)

    @property
    def loopback(self) -> bool:
        """Whether the service is on this machine, and no proxy stands between."""
        host = httpx2.URL(self.url).host
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"

    # ── requests ────────────────────────────────────────────────────────────────────────────────────────────────────

    def request(
        self,
        verb: str,
        path: str,
        body: Any = None,
        *,
        accept: str = JSON,
        seconds: float = DEADLINE_S,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx2.Request:
        """A request to `/api/v1/{path}` that is given up after `seconds` without a byte.

        body   sent as it is where it is bytes, else as JSON
        query  members of None are left out
        """
        said = {"Accept": accept, "User-Agent": f"rakinglight/{__version__}", **(headers or {})}
        if self.key:
            said["Authorization"] = f"Bearer {self.key}"
        if body is not None:
            said["Idempotency-Key"] = uuid.uuid4().hex  # the same for every retry of this request
        timeout = httpx2.Timeout(self.timeout or seconds, connect=5.0)
        return httpx2.Request(
            verb,
            f"{self.url}/api/v1/{path}",
            params={name: value for name, value in (query or {}).items() if value is not None} or None,
            headers=said,
            content=body if isinstance(body, bytes) else None,
            json=None if isinstance(body, bytes) else body,
            extensions={"timeout": timeout.as_dict()},
        )

    def sent(self, step: httpx2.Request | Listen, *, retries: int = RETRIES) -> Flow[httpx2.Response]:
        """The response to `step`, which is sent again where waiting helps. Raises ServiceAway where none comes."""
        for attempt in range(retries + 1):
            last = attempt == retries
            backoff = _scattered(0.25 * 2**attempt)
            try:
                response: httpx2.Response = yield step
            except (httpx2.RemoteProtocolError, httpx2.ReadError) as e:
                # A kept-alive connection that the service closed in the meantime, or a service that is starting anew.
                if last:
                    raise self.away(e) from e
            except httpx2.HTTPError as e:
                raise self.away(e) from e
            else:
                if last or (longest := _longest_wait(response)) is None:
                    return response
                backoff = max(backoff, _retry_after(response))
                if backoff > longest:
                    return response
            yield backoff
        raise AssertionError("the last attempt returns or raises")

    def listening(self, request: httpx2.Request, *, retries: int = RETRIES) -> Flow[None]:
        """From here on the events of the response to `request` are to be heard."""
        response = yield from self.sent(Listen(request), retries=retries)
        if response.is_error:
            raise problem(response)
        if not response.headers.get("Content-Type", "").startswith(EVENTS):
            raise _stranger(response)

    def away(self, e: Exception) -> ServiceAway:
        """What to say when the connection failed."""
        if isinstance(e, httpx2.ReadTimeout):
            return ServiceAway(f"{self.url} took the request and did not answer in time; give a longer timeout.")
        return ServiceAway(
            f"Nobody answers at {self.url} ({type(e).__name__}). Start a service with `rakinglight serve`, or give the "
            "address of one that runs."
        )

    def cut(self) -> ServiceAway:
        """What to say when a stream of events ended before its last."""
        return self.away(ConnectionError("the stream ended before its result"))

    # ── what is asked ───────────────────────────────────────────────────────────────────────────────────────────────

    def get(self, path: str, *, retries: int = RETRIES, seconds: float = DEADLINE_S, **query: Any) -> Flow[Any]:
        """What stands at `path`."""
        request = self.request("GET", path, seconds=seconds, query=query)
        return read((yield from self.sent(request, retries=retries)))

    def post(self, path: str) -> Flow[Any]:
        """What comes of a POST to `path` that says nothing."""
        return read((yield from self.sent(self.request("POST", path))))

    def delete(self, path: str) -> Flow[None]:
        """What stands at `path` goes."""
        if (response := (yield from self.sent(self.request("DELETE", path)))).is_error:
            raise problem(response)

    def pages(self, path: str, name: str, **query: Any) -> Flow[None]:
        """Tell the members called `name` of the list at `path`, page by page, as long as somebody looks on."""
        token = None
        while True:
            page = yield from self.get(path, page_size=PAGE_SIZE, page_token=token, **query)
            for one in page[name]:
                yield News(one)
            if (token := page["next_page_token"]) is None:
                return

    def ask(self, call: Call) -> Flow[Reply]:
        """The reply to `call`."""
        response = yield from self.sent(self._of(call, ANSWER))
        if response.status_code == httpx2.codes.ACCEPTED:  # it takes its time, and is a job whoever asks
            return dict((yield from self._done(read(response)["id"], tell=False)))
        if response.headers.get("Content-Type", "").startswith(NPZ) and not response.is_error:
            return dict((yield from self.fetched(reply.from_npz(response.content))))
        return dict((yield from self.fetched(reply.from_json(read(response)))))

    def stream(self, call: Call) -> Flow[None]:
        """Tell the progress of `call`, and its reply as the last."""
        if (operation := OPERATIONS.get(call.operation)) and operation.is_long(call.method):
            members = yield from self.submit(call)
            yield News((yield from self._done(members["id"], tell=True)))
            return
        if call.operation == "classify" and not call.parameters:
            # One pass has no progress to tell of, and a key that is for this alone is refused a stream.
            yield News((yield from self.ask(call)))
            return
        yield from self.listening(self._of(call, EVENTS))
        try:
            while (event := (yield Hear())) is not None:
                match event.event:
                    case "progress":
                        yield News(Progress.read(reply.from_json(event.json())))
                    case "result":
                        yield News((yield from self.fetched(reply.from_json(event.json()))))
                        return
                    case "problem":
                        raise from_problem(event.json())
        except httpx2.HTTPError as e:
            raise self.away(e) from e
        raise self.cut()

    def submit(self, call: Call) -> Flow[dict[str, Any]]:
        """The members of the job that `call` became."""
        headers = {"Prefer": "respond-async"}
        request = self.request("POST", call.path, call.body, seconds=DEADLINE_S + MARGIN_S, headers=headers)
        return dict(read((yield from self.sent(request))))

    def _done(self, job: str, *, tell: bool) -> Flow[Any]:
        """The reply of `job`, waited for; with `tell`, its progress on the way."""
        told, patience = None, Patience()
        while True:
            try:
                members = yield from self.get(f"jobs/{segment(job)}", retries=0)
            except Unavailable as e:
                yield patience.after(e)
                continue
            patience = Patience()
            if tell and members["progress"] not in (None, told):
                told = members["progress"]
                yield News(Progress.read(told))
            if "result" in members:
                return (yield from self.fetched(reply.from_json(members["result"])))
            if members["state"] in OVER:
                if members["problem"] is None:
                    raise JobCancelled(f"{job} was cancelled, and its partial result has what it found.")
                raise from_problem(members["problem"])
            yield LOOK_S

    def upload(self, name: str, content: bytes, media_type: str) -> Flow[dict[str, Any]]:
        """The members of the dataset that `content` became."""
        headers = {"Content-Type": media_type}
        request = self.request(
            "POST", "datasets", content, seconds=UPLOAD_S + MARGIN_S, query={"name": name}, headers=headers
        )
        return dict(read((yield from self.sent(request))))

    def fetched(self, value: Any) -> Flow[Any]:
        """`value`, a reply or a part of it, in which arrays and pictures stand where it refers to them."""
        found = {}
        for sha256 in sorted(set(_referred(value))):
            found[sha256] = yield from self._artifact(sha256)
        return _filled(value, found)

    def _artifact(self, sha256: str) -> Flow[np.ndarray[Any, Any] | bytes]:
        response = yield from self.sent(self.request("GET", f"artifacts/{segment(sha256)}", accept="*/*"))
        if response.is_error:
            raise problem(response)
        if (found := hashlib.sha256(response.content).hexdigest()) != sha256:
            raise InternalError(f"{response.url} should have the SHA-256 {sha256}, and what came has {found}.")
        if response.headers.get("Content-Type") == "application/x-npy":
            return np.asarray(np.load(io.BytesIO(response.content), allow_pickle=False))
        return response.content

    def _of(self, call: Call, accept: str) -> httpx2.Request:
        seconds = (DEADLINE_S if call.deadline_s is None else call.deadline_s) + MARGIN_S
        return self.request("POST", call.path, call.body, accept=accept, seconds=seconds)


def segment(name: str) -> str:
    """`name`, whatever is in it, as one segment of a path."""
    return quote(name, safe="")


def read(response: httpx2.Response) -> Any:
    """The JSON in `response`, whose body has been read. Raises the error that the service raised."""
    if response.is_error:
        raise problem(response)
    try:
        return response.json()
    except (UnicodeDecodeError, json.JSONDecodeError) as e:
        raise _stranger(response) from e


def problem(response: httpx2.Response) -> RakinglightError:
    """The error that `response` tells of, as the class that the service raised."""
    try:
        members = response.json()
    except (UnicodeDecodeError, json.JSONDecodeError):
        return _stranger(response)
    if not isinstance(members, dict) or "code" not in members:
        return _stranger(response)
    error = from_problem(members)
    if error.retry_after_s is None and "Retry-After" in response.headers:
        error.retry_after_s = _retry_after(response)
    return error


def _stranger(response: httpx2.Response) -> RakinglightError:
    return ServiceAway(
        f"{response.url} answers {response.status_code} with {response.headers.get('Content-Type', 'no type')!r}: "
        "that is not this service. Look at the address."
    )


def _referred(value: Any) -> Iterator[str]:
    """The SHA-256 of all that a tree refers to."""
    if is_reference(value):
        yield value["sha256"]
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _referred(one)


def _filled(value: Any, found: Mapping[str, Any]) -> Any:
    """`value`, in which what was `found` stands where the tree refers to it."""
    if is_reference(value):
        return found[value["sha256"]]
    match value:
        case dict():
            return {name: _filled(v, found) for name, v in value.items()}
        case list():
            return [_filled(v, found) for v in value]
        case _:
            return value


def _longest_wait(response: httpx2.Response) -> float | None:
    """The most seconds after which `response` may be asked for anew; None where waiting does not help."""
    if response.status_code == httpx2.codes.SERVICE_UNAVAILABLE:
        return LONGEST_WAIT_S
    # A spent budget has the same status, and stays spent; and a key that was stopped is not told to come back.
    too_many = response.status_code == httpx2.codes.TOO_MANY_REQUESTS and "Retry-After" in response.headers
    return LONGEST_RATE_WAIT_S if too_many and isinstance(problem(response), RateLimited) else None


def _retry_after(response: httpx2.Response) -> float:
    try:
        return max(0.0, float(response.headers.get("Retry-After", "0")))
    except ValueError:  # the other form is a date, which this service never sends
        return 0.0


def _scattered(seconds: float) -> float:
    return seconds * random.uniform(0.5, 1.0)  # noqa: S311  spreads callers out, hides nothing
