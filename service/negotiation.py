"""In which form the answer goes out: RFC 9110, section 12.5.1."""

from __future__ import annotations

from collections.abc import Sequence

from rakinglight.errors import NotAcceptable

JSON = "application/json"
NPZ = "application/x-npz"
PNG = "image/png"
EVENTS = "text/event-stream"
LINES = "application/x-ndjson"


def chosen(accept: str | None, offered: Sequence[str]) -> str:
    """The one of `offered` that an Accept header wants most; among equals, the first.

    Raises NotAcceptable where it wants none of them.
    """
    if not accept or not accept.strip():
        return offered[0]
    ranges = [found for part in accept.split(",") if (found := _range(part)) is not None]
    best = max(offered, key=lambda kind: _wish(kind, ranges))
    if _wish(best, ranges) <= 0:
        raise NotAcceptable(f"This answer comes as {', '.join(offered)}, and Accept is {accept[:200]!r}.")
    return best


def _range(part: str) -> tuple[str, float] | None:
    """A media range and its q; None where it cannot be read, which is as if it were not there."""
    kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
    q = 1.0
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                q = float(value)
            except ValueError:
                return None
            if not 0 <= q <= 1:
                return None
    return (kind, q) if kind.count("/") == 1 else None


def _wish(kind: str, ranges: Sequence[tuple[str, float]]) -> float:
    """How much `kind` is wanted: the q of the most specific range that holds it."""
    for pattern in (kind, f"{kind.partition('/')[0]}/*", "*/*"):
        if found := [q for name, q in ranges if name == pattern]:
            return max(found)
    return 0.0
