"""What a black box tells, by either door: the model's cut answers, and no word about anything else that is here.

    images ──> classified ──> core.black_box, charge and answer at once ──> {"model": {"name"}, "request_id", "results"}

An error tells of what the caller sent. What would tell of the service, its other models or its other callers has one
sentence for each code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rakinglight.card import Card
from rakinglight.errors import (
    BadParameter,
    DeadlineExceeded,
    EngineAway,
    Forbidden,
    NotFound,
    OracleAway,
    OracleChanged,
    OracleFault,
    Overloaded,
    RakinglightError,
    RunKillsWorker,
    StorageAway,
)
from service.ask import Ask, Image
from service.keys import Caller
from service.settings import Settings

if TYPE_CHECKING:
    from service.core import Core, Hold
    from service.doorway import Visit

#: The one operation that a black box has.
OPERATION = "classify"
#: What a black box answers over REST, and gRPC.
ROUTES = frozenset({"/api/v1/models/{model}", f"/api/v1/models/{{model}}/{OPERATION}", "/healthz", "/readyz"})
CALLS = frozenset({"GetModel", "Classify"})
REFUSAL = "This key is a black box's: it may have images classified and read a model's labels, and nothing else."

_WORDS: Mapping[type[RakinglightError], str] = {
    NotFound: "There is nothing of that name here.",
    Overloaded: "Too much is waiting; try again soon.",
    EngineAway: "The model cannot be asked now; try again soon.",
    StorageAway: "What is asked cannot be accounted for now, so nothing is answered; try again soon.",
    DeadlineExceeded: "Time ran out before the answer; try again, or send fewer images.",
    RunKillsWorker: "The model cannot answer this; send other images.",
    OracleAway: "The model cannot be asked now; try again soon.",
    OracleFault: "The model cannot be asked now.",
    OracleChanged: "The model cannot be asked now.",
}


def is_black_box(caller: Caller, settings: Settings) -> bool:
    """Whether `caller` is shown a black box and nothing else: a service that is one shows it to everybody."""
    return settings.black_box or caller.is_black_box


def worded(error: RakinglightError) -> RakinglightError:
    """`error` as a black box says it."""
    kind = type(error)
    return kind(_WORDS[kind], retry_after_s=error.retry_after_s) if kind in _WORDS else error


def described(card: Card) -> dict[str, Any]:
    """All that there is to know of a model."""
    return {"name": card.name, "input": {"shape": list(card.input_shape)}, "labels": list(card.labels)}


async def classified(
    core: Core,
    visit: Visit,
    model: str,
    images: Sequence[Image],
    hold: Hold,
    *,
    idempotency_key: str | None,
    deadline_s: float | None = None,
) -> dict[str, Any]:
    """The whole answer. It is charged once it is given, and sent again uncharged to who repeats the request.

    Raises what `Core.begin` does, BudgetSpent, RateLimited, Conflict, and StorageAway.
    """
    if not images:
        raise BadParameter.at("/images", "images is empty; send one at least.")
    allowed = core.settings.allow.get(model)
    if allowed is not None and OPERATION not in allowed:  # as the core says it, without a word of what is allowed
        raise Forbidden("This model is not to be asked by this key.")
    ask = Ask(
        model=model,
        operation=OPERATION,
        images=images,
        deadline_s=deadline_s,
        request_id=visit.request_id,
        caller=visit.caller.name,
        key=visit.caller.key_id,
    )
    told = await core.black_box.classify(visit.caller, ask, hold, idempotency_key)
    visit.remaining = told.remaining
    return {
        "model": {"name": model},
        "request_id": visit.request_id,
        "results": [{"predictions": predictions} for predictions in told.predictions],
    }


async def remaining(core: Core, visit: Visit) -> int | None:
    """Images that the caller's key may still ask about; None where it has no budget, or that cannot be known now."""
    if visit.remaining is None and visit.caller.key is not None and visit.caller.key.budget is not None:
        visit.remaining = await core.black_box.remaining(visit.caller)
    return visit.remaining
