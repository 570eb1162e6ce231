"""How one kind of service is asked to classify, and how its reply is read. Needs no torch.

    rows ──> as_sent ──> request ──> [ HTTP ] ──> read ──> Said

A dialect neither sends nor waits, counts nor remembers: that is `rakinglight.oracles.oracle`'s.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Protocol

import httpx2
import numpy as np

from rakinglight import __version__
from rakinglight.card import Card, Tells
from rakinglight.errors import BadParameter, OracleFault, shown

Array = np.ndarray[Any, Any]

#: Images of one request, where nothing says otherwise: what a service of ours takes.
AT_ONCE = 16
#: Values of one request: of 16 images of 3 x 224 x 224.
VALUES_AT_ONCE = 16 * 3 * 224 * 224
#: Values of one image, and classes of a model: what is more no oracle has, whatever it says.
LARGEST, CLASSES = 3 * 2048 * 2048, 100_000
#: What reading JSON raises that is of another form than it should be, whatever a stranger puts into it.
MALFORMED = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError, MemoryError)
#: What moves a terminal's cursor, or turns the order of its letters; and halves of characters, which nothing can write.
UNSHOWN = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]+")
#: Scores that are probabilities sum to one, but for their rounding.
SUM = 0.02


@dataclass(frozen=True, eq=False)
class Said:
    """What an oracle says of n images.

    labels  [n], the class that it names first
    scores  [n, K], where it tells those of all classes
    tells   what the scores are; None where that is to be seen from them
    """

    labels: Array
    scores: Array | None = None
    tells: Tells | None = None

    @property
    def shown(self) -> Tells:
        """What it tells, by what it says of itself, or by the look of the scores."""
        if self.scores is None:
            return "labels"
        return self.tells or ("probabilities" if _are_probabilities(self.scores) else "logits")


class Dialect(Protocol):
    """An oracle's address, its card and its language.

    where    what people are shown: an address with no secret in it
    url      of its host, for the question whether it may be asked
    at_once  images of one request
    secrets  what must appear in no message
    card     name, input and labels; `tells` is found out, where `tells` is None
    """

    where: str
    url: str
    at_once: int
    secrets: tuple[str, ...]
    card: Card
    tells: Tells | None

    def as_sent(self, rows: Array) -> Array:
        """`rows`, float32 [n, C, H, W] in [0, 1], as they will be there: rounded, where they travel as pictures."""
        ...

    def request(self, rows: Array, key: str) -> httpx2.Request:
        """The request to classify `rows`; `key` is its Idempotency-Key, the same for every retry."""
        ...

    def read(self, body: Any, n: int) -> Said:
        """What `body`, the reply's JSON, says of n images. Raises OracleFault."""
        ...


def post(url: str, body: bytes | Any, headers: dict[str, str], key: str) -> httpx2.Request:
    """A POST of JSON that is known again by `key`."""
    raw = body if isinstance(body, bytes) else json.dumps(body, separators=(",", ":")).encode()
    said = {"Content-Type": "application/json", "Idempotency-Key": key, **common(), **headers}
    return httpx2.Request("POST", url, headers=said, content=raw)


def common() -> dict[str, str]:
    """The headers of every request. A reply that is packed could unpack to anything."""
    return {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": f"rakinglight/{__version__}"}


def plain(said: Any) -> Any:
    """`said`, text or JSON of a stranger, without the characters of its texts that nobody is to be shown."""
    match said:
        case str():
            return UNSHOWN.sub(" ", said) if UNSHOWN.search(said) else said
        case list():
            return [plain(member) for member in said]
        case dict():
            return {plain(name): plain(member) for name, member in said.items()}
        case _:
            return said


def address(url: str) -> httpx2.URL:
    """`url`, an address over HTTP. Raises BadParameter, also where it holds a password: addresses are shown."""
    full = url if "://" in url else f"http://{url}"
    try:
        parsed = httpx2.URL(full)
    except httpx2.InvalidURL:
        raise BadParameter(f"{shown(url)} is no address; it looks like http://127.0.0.1:8000.") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise BadParameter(f"{shown(url)} is no address; it looks like http://127.0.0.1:8000.")
    if parsed.userinfo:
        raise BadParameter(
            f"The address of {parsed.host} holds a password, and addresses are shown; give a key, or a header of a "
            "target file that takes it from the environment."
        )
    return parsed


def bare(url: httpx2.URL | str) -> str:
    """`url` without what may be secret in it: who asks, and the query."""
    parsed = httpx2.URL(url)
    port = f":{parsed.port}" if parsed.port else ""
    host = f"[{parsed.host}]" if ":" in parsed.host else parsed.host
    return f"{parsed.scheme}://{host}{port}{parsed.path.rstrip('/')}"


def class_of(value: Any, card: Card) -> int:
    """The index of the class that `value` names, an index or a label. Raises OracleFault for one that there is not."""
    if isinstance(value, str) and value in card.labels:
        return card.labels.index(value)
    if isinstance(value, str) and value.isdecimal() and len(value) < 10:
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(card.labels):
        return value
    raise OracleFault(
        f"It answers {shown(value)}, which is none of the {len(card.labels)} classes of {card.name}; mend the list of "
        "its classes."
    )


def numbers(value: Any, shape: tuple[int, ...]) -> Array:
    """`value` as float64 of this shape. Raises OracleFault for what is not numbers, not finite, or too many of them."""
    try:
        raw = np.asarray(value)
    except (ValueError, TypeError, OverflowError):  # lists of several lengths
        raw = np.asarray(None)
    if raw.dtype.kind not in "iuf":
        raise OracleFault(f"It answers {shown(value)} where numbers should be.")
    found = raw.astype(np.float64)
    if found.shape != shape:
        raise OracleFault(f"It answers numbers of the shape {list(found.shape)}, and {list(shape)} were expected.")
    if not np.isfinite(found).all():
        raise OracleFault("It answers NaN or infinity among its scores.")
    return found


def several(value: Any, n: int, what: str) -> list[Any]:
    """`value`, a list of n. Raises OracleFault."""
    if not isinstance(value, list) or len(value) != n:
        found = f"{len(value)} of them" if isinstance(value, list) else shown(value)
        raise OracleFault(f"It answers {n} images with {found} as {what}, where a list of {n} should be.")
    return value


def _are_probabilities(scores: Array) -> bool:
    slack = SUM + 0.005 * scores.shape[1]  # each may be rounded to two decimals
    return bool((scores >= 0).all() and (scores <= 1).all() and (abs(scores.sum(1) - 1) <= slack).all())
