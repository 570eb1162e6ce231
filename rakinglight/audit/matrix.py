"""The transfer matrix: what is made on each of several models, tried on every one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from rakinglight.audit.attempts import Found, attempted
from rakinglight.audit.statistics import share
from rakinglight.example import Example
from rakinglight.method import Chosen
from rakinglight.norms import NormName
from rakinglight.queries import Algorithm, Progress, State
from rakinglight.relays import addressed, resumable
from rakinglight.subject import Subject

if TYPE_CHECKING:
    from torch import Tensor

#: Of one image: made on a model, tried on a model, which is right about the untouched image, and is fooled.
Cell = Mapping[str, Any]


def tried_on_all(
    subject: Subject,
    models: Sequence[str],
    attack: Chosen[Tensor | Example],
    y: int,
    state: State | None,
    *,
    norm: NormName,
    epsilon: float,
) -> Algorithm[list[Cell]]:
    """Make a picture of the image, whose label is `y`, by `attack` on its model and on each of `models`; show all of
    them to all of these.

    An attack runs to its end: what is only just over one model's border is seldom over another's. On a model that gives
    no gradients nothing is made. Defences are those of the image's own model.

    state  from which to go on, as its Progress had it
    """
    state = state or {}
    # By None the model that is asked: who runs the whole addresses its queries.
    subjects: dict[str | None, Subject] = {None: subject, **{name: subject.before(name) for name in models}}
    clean: list[Tensor] = list(state.get("clean", ()))
    for network, before in [*subjects.items()][len(clean) :]:
        clean = [*clean, (yield from _asked(before.scores(subject.x), network))]
    cells: list[Cell] = list(state.get("cells", ()))
    done: int = state.get("done", 0)
    for i, (network, maker) in enumerate(subjects.items()):
        if i < done or not maker.card.differentiable:
            continue
        begin = partial(_made, maker, attack, y, clean[i], norm, epsilon)
        known = {"clean": clean, "cells": cells, "done": i}
        made = resumable(begin, state if i == done else {}, "made", **known)
        found = yield from _asked(made, network)
        if found is not None:
            for logits, (tried_on, judge) in zip(clean, subjects.items(), strict=True):
                after = yield from _asked(judge.scores(found.picture.x), tried_on)
                right, fooled = int(logits.argmax()) == y, int(after.argmax()) != y
                named = {"made_on": maker.card.name, "tried_on": judge.card.name}
                cells = [*cells, {**named, "correct": right, "fooled": fooled}]
        yield Progress(i + 1, len(subjects), state={"clean": clean, "cells": cells, "done": i + 1})
    return cells


def matrix(images: Sequence[Sequence[Cell]]) -> list[dict[str, Any]]:
    """The shares of images that are fooled, of those that the model they are tried on is right about untouched.

    Returns for each pair of models {"made_on", "tried_on", "fooled"}, a share with its interval.
    """
    pairs: dict[tuple[str, str], list[bool]] = {}
    for cell in (cell for cells in images for cell in cells):
        found = pairs.setdefault((cell["made_on"], cell["tried_on"]), [])
        if cell["correct"]:
            found.append(bool(cell["fooled"]))
    return [{"made_on": made, "tried_on": tried, "fooled": share(found)} for (made, tried), found in pairs.items()]


def _made(
    maker: Subject,
    attack: Chosen[Tensor | Example],
    y: int,
    logits: Tensor,
    norm: NormName,
    epsilon: float,
    state: State | None,
) -> Algorithm[Found | None]:
    return attempted(maker, attack, y, logits, norm, epsilon, state, early_stop=False)


def _asked(algorithm: Algorithm[Any], network: str | None) -> Algorithm[Any]:
    return algorithm if network is None else addressed(algorithm, network)
