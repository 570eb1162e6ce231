"""Times as replies have them."""

from __future__ import annotations

from datetime import UTC, datetime

from rakinglight.errors import BadParameter, shown


def rfc3339(seconds: float | None) -> str | None:
    """`seconds` since 1970 as RFC 3339, in UTC, to the millisecond; None stays None."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def seconds_of(said: str, pointer: str) -> float:
    """The seconds since 1970 of a time in RFC 3339, or of a day, which begins in UTC. Raises BadParameter."""
    try:
        time = datetime.fromisoformat(said)
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        taken = "it looks like 2026-11-22T15:00:00Z, or like 2026-11-22"
        raise BadParameter.at(pointer, f"{pointer.strip('/')} is {shown(said)}, which is no time; {taken}.") from None
