"""What can go wrong, whose fault it is, and what a door should answer.

    RakinglightError
    ├── CallerError                  the caller can mend it
    │   ├── Unreadable               400  the body is not what it says it is
    │   ├── Unauthenticated          401  no key, or one that is not known
    │   ├── Forbidden                403  the key's scope does not reach this
    │   ├── NotFound                 404  no such model, layer, job or route
    │   ├── MethodNotAllowed         405  the route exists, the verb does not
    │   ├── NotAcceptable            406  a form was asked for that the answer does not have
    │   ├── Conflict                 409  it contradicts what is there already
    │   ├── Expired                  410  it was here, and its time is over
    │   ├── TooLarge                 413  a limit on size was passed
    │   ├── NotAnImage               415  the bytes are no image that this service opens
    │   ├── BadParameter             422  a value is out of range, unknown, or contradicts another
    │   ├── NotADataset              422  the bytes are no dataset that this service takes
    │   ├── RunKillsWorker           422  this run ended every worker that it boarded
    │   ├── JobCancelled             409  somebody cancelled the job before there was anything to show
    │   ├── RateLimited              429  more images in a minute than the key may send
    │   └── BudgetSpent              429  more images than the key has left
    ├── Unavailable                  503  waiting helps
    │   ├── Overloaded               503  more work is waiting than can be taken on
    │   ├── EngineAway               503  no worker is there to answer
    │   ├── StorageAway              503  the database, or the store of artifacts, cannot be reached or is full
    │   └── OracleAway               503  a model elsewhere, which is asked over HTTP, does not answer
    ├── OracleError                  502  a model elsewhere is not what it should be
    │   ├── OracleFault              502  it answers what cannot be its answer
    │   └── OracleChanged            502  it answers the same image otherwise than before
    ├── DeadlineExceeded             504  time ran out before there was anything to show
    └── InternalError                500  our own fault, always worth a report

Every message says what was sent, what is taken, and what to do: its reader has no other documentation open.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from typing import Any, ClassVar, Self

#: Most fields at fault that one error names, and most characters of what it says of each, and in all. A caller can send
#: thousands of faults in one request; the first few teach as much as all of them.
FIELDS, FIELD_LENGTH, DETAIL_LENGTH = 20, 400, 2000
#: Most characters of a caller's value, and most members of a caller's list, that an error quotes.
SHOWN_LENGTH, SHOWN_MEMBERS = 80, 8
#: How many of the names that there are an error lists, where more are left than a few.
NAMED = 12


@dataclass(frozen=True)
class FieldError:
    """One field at fault: a JSON pointer into the request, and what is wrong there."""

    pointer: str
    detail: str


class RakinglightError(Exception):
    """The root: everything that this project raises on purpose.

    detail         what was sent, what is taken, and what to do, in a sentence or two
    errors         the fields at fault, if there are any; of more than FIELDS, the last says how many are left out
    retry_after_s  seconds after which trying again is worth it, if waiting helps
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "INTERNAL"
    title: ClassVar[str] = "Something broke that should not have"
    grpc_status: ClassVar[str] = "INTERNAL"

    def __init__(self, detail: str, *, errors: Iterable[FieldError] = (), retry_after_s: float | None = None) -> None:
        self.detail = _cut(detail, DETAIL_LENGTH)
        super().__init__(self.detail)
        self.errors = _first_of(errors)
        self.retry_after_s = retry_after_s

    def __reduce__(self) -> Any:
        return _rebuild, (type(self), self.detail, self.errors, self.retry_after_s)

    def problem(self) -> dict[str, Any]:
        """This error as the members of an RFC 9457 problem."""
        problem: dict[str, Any] = {
            "type": f"https://rakinglight.dev/problems/{self.code.lower().replace('_', '-')}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
        }
        if self.errors:
            problem["errors"] = [{"pointer": e.pointer, "detail": e.detail} for e in self.errors]
        if self.retry_after_s is not None:
            problem["retry_after_s"] = self.retry_after_s
        return problem


class CallerError(RakinglightError):
    """The caller can mend it by asking otherwise."""

    status = 400
    grpc_status = "INVALID_ARGUMENT"


class Unreadable(CallerError):
    status, code, title = 400, "UNREADABLE", "The request cannot be read"


class Unauthenticated(CallerError):
    status, code, title = 401, "UNAUTHENTICATED", "A key is needed"
    grpc_status = "UNAUTHENTICATED"


class Forbidden(CallerError):
    status, code, title = 403, "FORBIDDEN", "This key may not do that"
    grpc_status = "PERMISSION_DENIED"


class NotFound(CallerError):
    status, code, title = 404, "NOT_FOUND", "There is no such thing here"
    grpc_status = "NOT_FOUND"


class MethodNotAllowed(CallerError):
    status, code, title = 405, "METHOD_NOT_ALLOWED", "The route exists, this verb does not"
    grpc_status = "UNIMPLEMENTED"


class NotAcceptable(CallerError):
    status, code, title = 406, "NOT_ACCEPTABLE", "The answer does not come in that form"


class Conflict(CallerError):
    status, code, title = 409, "CONFLICT", "That contradicts what is there already"
    grpc_status = "ALREADY_EXISTS"


class Expired(CallerError):
    status, code, title = 410, "EXPIRED", "It was here, and its time is over"
    grpc_status = "NOT_FOUND"


class TooLarge(CallerError):
    status, code, title = 413, "TOO_LARGE", "That is more than is taken"
    grpc_status = "RESOURCE_EXHAUSTED"


class NotAnImage(CallerError):
    status, code, title = 415, "NOT_AN_IMAGE", "The bytes are not an image"


class BadParameter(CallerError):
    status, code, title = 422, "BAD_PARAMETER", "A parameter cannot be used"

    @classmethod
    def at(cls, pointer: str, detail: str) -> Self:
        """Of one field, at `pointer`, of which `detail` is all that there is to say."""
        return cls(detail, errors=[FieldError(pointer, detail)])


class NotADataset(CallerError):
    status, code, title = 422, "NOT_A_DATASET", "The bytes are no dataset"


class RunKillsWorker(CallerError):
    status, code, title = 422, "RUN_KILLS_WORKER", "This run ended every worker that took it up"
    grpc_status = "FAILED_PRECONDITION"


class JobCancelled(CallerError):
    status, code, title = 409, "JOB_CANCELLED", "The job was cancelled before there was anything to show"
    grpc_status = "CANCELLED"


class RateLimited(CallerError):
    status, code, title = 429, "RATE_LIMITED", "More was asked than this key may at once"
    grpc_status = "RESOURCE_EXHAUSTED"


class BudgetSpent(CallerError):
    status, code, title = 429, "BUDGET_SPENT", "This key's budget is spent"
    grpc_status = "RESOURCE_EXHAUSTED"


class Unavailable(RakinglightError):
    """Nothing is wrong with the request; waiting helps."""

    status = 503
    grpc_status = "UNAVAILABLE"


class Overloaded(Unavailable):
    status, code, title = 503, "OVERLOADED", "More work is waiting than can be taken on"


class EngineAway(Unavailable):
    status, code, title = 503, "ENGINE_AWAY", "No worker is there to answer"


class StorageAway(Unavailable):
    status, code, title = 503, "STORAGE_AWAY", "The database or the store of artifacts cannot be used"


class OracleAway(Unavailable):
    status, code, title = 503, "ORACLE_AWAY", "The model elsewhere does not answer"


class OracleError(RakinglightError):
    """Something is wrong with a model elsewhere. What it answered before is kept, and is not asked again."""

    status = 502
    grpc_status = "FAILED_PRECONDITION"


class OracleFault(OracleError):
    status, code, title = 502, "ORACLE_FAULT", "The model elsewhere answers what cannot be its answer"


class OracleChanged(OracleError):
    status, code, title = 502, "ORACLE_CHANGED", "The model elsewhere is no longer the one that was asked before"


class DeadlineExceeded(RakinglightError):
    status, code, title = 504, "DEADLINE_EXCEEDED", "Time ran out before there was anything to show"
    grpc_status = "DEADLINE_EXCEEDED"


class InternalError(RakinglightError):
    """Our own fault. The detail says where to look and never what the caller sent."""


def _rebuild(
    kind: type[RakinglightError], detail: str, errors: tuple[FieldError, ...], retry_after_s: float | None
) -> RakinglightError:
    return kind(detail, errors=errors, retry_after_s=retry_after_s)


def _tree(root: type[RakinglightError]) -> Iterable[type[RakinglightError]]:
    yield root
    for child in root.__subclasses__():
        yield from _tree(child)


#: Every code that a caller can meet, with the class that raises it.
CODES: dict[str, type[RakinglightError]] = {
    kind.code: kind for kind in _tree(RakinglightError) if kind is InternalError or "code" in vars(kind)
}


def from_problem(problem: dict[str, Any]) -> RakinglightError:
    """The error that `problem` (the members of an RFC 9457 reply) was made from."""
    kind = CODES.get(str(problem.get("code")), InternalError)
    errors = [FieldError(str(e["pointer"]), str(e["detail"])) for e in problem.get("errors", ())]
    return kind(str(problem.get("detail", "")), errors=errors, retry_after_s=problem.get("retry_after_s"))


def near(name: str, names: Iterable[str]) -> str:
    """The end of a message about an unknown name: what was probably meant, or what there is."""
    name, names = name[:SHOWN_LENGTH], sorted(names)
    if close := get_close_matches(name, names, n=3, cutoff=0.5):
        return "did you mean " + " or ".join(repr(c) for c in close) + "?"
    named = names if len(names) <= NAMED + 2 else names[:NAMED]  # to say "1 more" takes as long as to name it
    shown = ", ".join(repr(n) for n in named)
    return f"there is {shown}" + (f" and {len(names) - NAMED} more." if len(names) > len(named) else ".")


def shown(value: Any) -> str:
    """`value` as Python writes it, None as JSON does, in SHOWN_LENGTH characters at most.

    What is left out costs nothing.
    """
    return _cut(_written(value, 3), SHOWN_LENGTH)


def _written(value: Any, depth: int) -> str:
    match value:
        case str():
            return repr(value[:SHOWN_LENGTH])
        case dict() if depth:
            members = [f"{_written(k, 0)}: {_written(v, depth - 1)}" for k, v in islice(value.items(), SHOWN_MEMBERS)]
            return "{" + ", ".join(members) + (", …}" if len(value) > len(members) else "}")
        case list() | tuple() if depth:
            members = [_written(member, depth - 1) for member in value[:SHOWN_MEMBERS]]
            return "[" + ", ".join(members) + (", …]" if len(value) > len(members) else "]")
        case dict() | list() | tuple():
            return "…"
        case None:
            return "null"
        case _:
            return repr(value)


def _cut(text: str, length: int) -> str:
    """`text`, in at most `length` characters all of them UTF-8, which a caller's need not be."""
    text = text if len(text) <= length else f"{text[: length - 1]}…"
    return text.encode(errors="replace").decode()


def _first_of(errors: Iterable[FieldError]) -> tuple[FieldError, ...]:
    errors = list(errors)
    if len(errors) > FIELDS:
        errors[FIELDS - 1 :] = [FieldError("", f"And {len(errors) - FIELDS + 1} more.")]
    return tuple(FieldError(_cut(e.pointer, FIELD_LENGTH), _cut(e.detail, FIELD_LENGTH)) for e in errors)
