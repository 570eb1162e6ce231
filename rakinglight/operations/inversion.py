"""A picture that is made to show what the network knows, and the network's view of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rakinglight import eight_bit
from rakinglight.inverted import Inverted
from rakinglight.method import Chosen
from rakinglight.queries import Algorithm, State
from rakinglight.relays import resumable, so_far
from rakinglight.subject import Subject

if TYPE_CHECKING:
    from torch import Tensor


def inversion(subject: Subject, method: Chosen[Inverted], state: State | None = None) -> Algorithm[dict[str, Any]]:
    """Make a picture of what the network knows: of an image's code, of a class, of a unit.

    Whatever is said of the picture is said of it in 8 bits, as it is sent. Of several pictures the one with the least
    energy is the result, and the others stand under `others`.

    state  from which to go on, as its Progress had it
    """
    state = state or {}
    known: dict[str, Any] = {}
    if subject.given:
        known["logits"] = state["logits"] if state else (yield from subject.scores(subject.x))

    def begin(state: State | None) -> Algorithm[Inverted]:
        offered = {"x": subject.seen, "subject": subject, "card": subject.card, "noise": subject.noise}
        offered["logits"] = known.get("logits")
        return method.begin(**offered, state=state)

    found, partial = yield from so_far(resumable(begin, state, "method", **known))
    found = found.ordered()
    entries = yield from _entries(subject, found)
    return {
        **({"prediction": subject.prediction(known["logits"])} if known else {}),
        **entries[0],
        **found.said,
        **({"others": entries[1:]} if len(entries) > 1 else {}),
        **({"partial": True} if partial else {}),
    }


def _entries(subject: Subject, found: Inverted) -> Algorithm[list[dict[str, Any]]]:
    """What there is to say of each picture."""
    pixels = [eight_bit.from_float(image.numpy()) for image in found.images]
    shown = [Subject.of(subject.card, one) for one in pixels]
    traces = np.array(found.trace, np.float32).reshape(-1, len(pixels))
    entries: list[dict[str, Any]] = []
    for i, one in enumerate(shown):
        reached = one.prediction((yield from one.scores(one.x)))
        entry = {"reached": reached, "image": found.images[i].numpy(), "picture": pixels[i]}
        entries.append(entry | ({"objective": traces[:, i]} if len(traces) else {}))  # of no steps there is no array
    if found.original is not None:
        errors = yield from found.original.errors(_together(shown))
        for name, each in errors.items():
            for entry, value in zip(entries, each, strict=True):
                entry[name] = value
    return entries


def _together(shown: list[Subject]) -> Tensor:
    from torch import stack

    return stack([one.x for one in shown])
