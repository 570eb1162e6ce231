"""One call of a client: its images, its request, what may be done about its reply. Does no input or output itself.

How a call goes over HTTP is told by a generator, in the way of this project's algorithms: it yields a request, or a
number of seconds to wait, and is sent the response. `client.py` drives it, once with threads and once with asyncio.
"""

from __future__ import annotations

import base64
import io
import ipaddress
import json
import random
import uuid
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import numpy as np
from PIL import Image as PillowImage
from PIL import ImageOps

from rakinglight import __version__, pictures, reply
from rakinglight.errors import BadParameter, RakinglightError, Unavailable, from_problem
from rakinglight.results import Progress
from rakinglight.wire import array_to_json

Array = np.ndarray[Any, Any]
Reply = dict[str, Any]
R = TypeVar("R")

#: A path, the bytes of a file, a picture, uint8 [H, W] or [H, W, C], or an exact float tensor [C, H, W] in [0, 1].
Image = str | Path | bytes | PillowImage.Image | Array
#: The name of a method, of several, or None for the operation's first.
Method = str | Sequence[str] | None
#: Yields what to send, or seconds to wait; is sent the response, or None after a wait.
Flow = Generator[httpx2.Request | float, httpx2.Response | None, R]

#: How often a service that is away for the moment is asked again, and how long the client waits in between at most.
RETRIES = 4
LONGEST_WAIT_S = 30.0
#: Seconds on top of a call's own deadline after which the client gives up: the way there and back, and the pictures.
MARGIN_S = 30.0
#: What the service takes as a deadline where none is given (`docs/`, settings).
DEADLINE_S = 60.0


class ServiceAway(Unavailable):
    """Nobody answers at the service's address."""

    code, title = "SERVICE_AWAY", "Nobody answers there"


@dataclass(frozen=True, eq=False)
class Call:
    """An operation on some images of one model.

    images   each the bytes of an image file, or an exact float32 tensor [C, H, W]
    listed   whether the caller gave a list, and so wants one
    method   None for the operation's first; several to have their maps side by side
    compare  the maps that are wanted side by side, each {"method", "parameters", "target"}, of which any may be missing
    """

    operation: str
    model: str
    images: tuple[bytes | Array, ...]
    listed: bool = False
    version: str | None = None
    method: str | tuple[str, ...] | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    include: tuple[str, ...] | None = None
    seed: int = 0
    deadline_s: float | None = None
    max_rows: int | None = None
    purpose: str | None = None
    compare: tuple[Mapping[str, Any], ...] | None = None

    @staticmethod
    def of(
        operation: str,
        model: str,
        images: Image | Sequence[Image],
        method: Method = None,
        *,
        compare: Sequence[Mapping[str, Any]] | None = None,
        version: str | None = None,
        include: Sequence[str] | None = None,
        seed: int = 0,
        deadline_s: float | None = None,
        max_rows: int | None = None,
        purpose: str | None = None,
        **parameters: Any,
    ) -> Call:
        """The call that these arguments mean.

        images      one image, or a list; an array [n, ...] of four dimensions is a list
        method      the operation's first, if it is None; a list has the map of each, side by side
        compare     instead of method: the maps to have side by side, as [{"method": "rise", "target": "lynx"}, ...]
        include     arrays and pictures that the answer brings, by name; None means all
        deadline_s  seconds for the work; an attack cut short answers with its best so far, marked partial
        max_rows    rows that an image may send through the network
        parameters  those of the operation and the method
        """
        listed = isinstance(images, list | tuple) or (isinstance(images, np.ndarray) and images.ndim == 4)
        several: Any = images if listed else [images]
        return Call(
            operation,
            model,
            tuple(encoded(image) for image in several),
            listed,
            version,
            method if method is None or isinstance(method, str) else tuple(method),
            reply.to_json({k: v for k, v in parameters.items() if v is not None}),
            None if include is None else tuple(include),
            seed,
            deadline_s,
            max_rows,
            purpose,
            None if compare is None else tuple(reply.to_json(compare)),
        )

    def __repr__(self) -> str:
        methods = [self.method] if isinstance(self.method, str) else self.method
        by = f" by {' and '.join(methods)}" if methods else ""
        return f"<Call: {self.operation}{by} of {len(self.images)} images on {self.model}>"

    @property
    def path(self) -> str:
        """Where the call is posted, below `/api/v1`."""
        version = f"/versions/{self.version}" if self.version else ""
        return f"models/{self.model}{version}/{self.operation}"

    @property
    def body(self) -> dict[str, Any]:
        """The JSON that is posted. What was not given is left to the service's defaults."""
        images = [
            base64.b64encode(image).decode() if isinstance(image, bytes) else array_to_json(image)
            for image in self.images
        ]
        said = {
            "images": images,
            "method": list(self.method) if isinstance(self.method, tuple) else self.method,
            "compare": None if self.compare is None else [dict(part) for part in self.compare],
            "parameters": dict(self.parameters) or None,
            "include": None if self.include is None else list(self.include),
            "seed": self.seed or None,
            "deadline_s": self.deadline_s,
            "max_rows": self.max_rows,
            "purpose": self.purpose,
        }
        return {name: value for name, value in said.items() if value is not None}


def encoded(image: Image) -> bytes | Array:
    """`image` in one of the two forms in which it travels: the bytes of an image file, or float32 [C, H, W].

    Raises OSError for a file that cannot be read, BadParameter for what is no image of any kind.
    """
    match image:
        case str() | Path():
            return Path(image).read_bytes()
        case bytes() | bytearray() | memoryview():
            return bytes(image)
        case PillowImage.Image():
            return _png(image)
    array = np.asarray(image)
    channels_last = array.ndim == 2 or (array.ndim == 3 and array.shape[-1] in (1, 3, 4))
    if array.dtype == np.uint8 and channels_last:
        return pictures.to_png(pictures.from_pixels(array if array.ndim == 3 else array[..., None]))
    if array.dtype.kind == "f" and array.ndim == 3 and array.shape[0] in (1, 3):
        return np.ascontiguousarray(array, dtype=np.float32)
    raise BadParameter(
        f"An array of {array.dtype} and shape {list(array.shape)} is no image: give uint8 [H, W, C], or floats in "
        "[0, 1] as [C, H, W], with 1 or 3 channels."
    )


def _png(picture: PillowImage.Image) -> bytes:
    upright = ImageOps.exif_transpose(picture)
    if upright.mode not in ("1", "L", "LA", "I", "I;16", "P", "RGB", "RGBA"):
        upright = upright.convert("RGB")
    out = io.BytesIO()
    upright.save(out, "PNG")
    return out.getvalue()


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

    def request(
        self, verb: str, path: str, body: Any = None, *, accept: str = "application/json", seconds: float = DEADLINE_S
    ) -> httpx2.Request:
        """A request to `/api/v1/{path}` that is given up after `seconds` without a byte."""
        headers = {"Accept": accept, "User-Agent": f"rakinglight/{__version__}"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        if body is not None:
            headers["Idempotency-Key"] = uuid.uuid4().hex  # the same for every retry of this request
        timeout = httpx2.Timeout(self.timeout or seconds, connect=5.0)
        return httpx2.Request(
            verb, f"{self.url}/api/v1/{path}", headers=headers, json=body, extensions={"timeout": timeout.as_dict()}
        )

    def get(self, path: str) -> Flow[Any]:
        """What stands at `path`."""
        response = yield from self._sent(self.request("GET", path))
        return read(response)

    def ask(self, call: Call) -> Flow[Reply]:
        """The reply to `call`. Arrays are asked for as NPZ, a quarter smaller than base64 and as exact."""
        response = yield from self._sent(self._of(call, "application/x-npz"))
        if response.headers.get("Content-Type", "").startswith("application/x-npz") and not response.is_error:
            return reply.from_npz(response.content)
        return dict(reply.from_json(read(response)))

    def open(self, call: Call) -> Flow[httpx2.Response]:
        """The response, its body not yet read, from which the events of `call` come."""
        response = yield from self._sent(self._of(call, "text/event-stream"))
        if response.is_error:
            raise problem(response)
        if not response.headers.get("Content-Type", "").startswith("text/event-stream"):
            raise _stranger(response)
        return response

    def _of(self, call: Call, accept: str) -> httpx2.Request:
        seconds = (DEADLINE_S if call.deadline_s is None else call.deadline_s) + MARGIN_S
        return self.request("POST", call.path, call.body, accept=accept, seconds=seconds)

    def _sent(self, request: httpx2.Request) -> Flow[httpx2.Response]:
        """Send `request`, and again where waiting helps."""
        for attempt in range(RETRIES + 1):
            last = attempt == RETRIES
            backoff = 0.25 * 2**attempt * random.uniform(0.5, 1.0)  # noqa: S311  spreads callers out, hides nothing
            try:
                response = yield request
            except (httpx2.RemoteProtocolError, httpx2.ReadError) as e:
                # A kept-alive connection that the service closed in the meantime, or a service that is starting anew.
                if last:
                    raise self.away(e) from e
            except httpx2.TransportError as e:
                raise self.away(e) from e
            else:
                assert response is not None
                if response.status_code != httpx2.codes.SERVICE_UNAVAILABLE or last:
                    return response
                backoff = max(backoff, _retry_after(response))
                if backoff > LONGEST_WAIT_S:
                    return response
            yield backoff
        raise AssertionError("the last attempt returns or raises")

    def away(self, e: Exception) -> ServiceAway:
        """What to say when the connection failed."""
        if isinstance(e, httpx2.ReadTimeout):
            return ServiceAway(f"{self.url} took the request and did not answer in time; give a longer timeout.")
        return ServiceAway(
            f"Nobody answers at {self.url} ({type(e).__name__}). Start a service with `rakinglight serve`, "
            "or do without one: `--local`, in Python `rakinglight.local()`."
        )


def read(response: httpx2.Response) -> Any:
    """The JSON in `response`, whose body has been read. Raises the error that the service raised."""
    if response.is_error:
        raise problem(response)
    try:
        return response.json()
    except (UnicodeDecodeError, json.JSONDecodeError) as e:
        raise _stranger(response) from e


def read_event(event: httpx2.ServerSentEvent) -> Progress | Reply | None:
    """What `event` says; None where it only says that the service is alive. Raises what the service raised."""
    match event.event:
        case "progress":
            return Progress.read(reply.from_json(_body(event)))
        case "result":
            return dict(reply.from_json(_body(event)))
        case "problem":
            raise from_problem(_body(event))
        case _:
            return None


def _body(event: httpx2.ServerSentEvent) -> dict[str, Any]:
    return dict(json.loads(event.data))


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


def _retry_after(response: httpx2.Response) -> float:
    try:
        return max(0.0, float(response.headers.get("Retry-After", "0")))
    except ValueError:  # the other form is a date, which this service never sends
        return 0.0
