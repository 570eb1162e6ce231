"""A network of one's own that stands in for another, and what is made on it does to that one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from rakinglight.audit.statistics import share
from rakinglight.card import Card
from rakinglight.errors import BadParameter
from rakinglight.method import Chosen
from rakinglight.noise import Noise
from rakinglight.parameters import (
    Answers,
    Control,
    KnownLabels,
    MaxQueries,
    Seeds,
    Shuffle,
    TransferEpsilons,
    TransferTargeted,
    WhiteBox,
)
from rakinglight.queries import Algorithm, Compute, Progress, State, Stopped, wave
from rakinglight.relays import as_part, resumable
from rakinglight.subject import Subject
from rakinglight.substitutes.allowance import Allowance, seed_count
from rakinglight.substitutes.archive import packed
from rakinglight.substitutes.judging import Bench, asked
from rakinglight.substitutes.student import Student

if TYPE_CHECKING:
    from torch import Tensor

R = TypeVar("R")

#: The loop itself, and the control that tells something.
SIGNS = ("jacobian", "random")
#: What ends a run before it is done.
ENDED = ("budget", "deadline", "rows")


def substitute(
    subjects: Sequence[Subject],
    method: Chosen[dict[str, Any]],
    state: State | None = None,
    *,
    labels: KnownLabels = None,
    seeds: Seeds = None,
    shuffle: Shuffle = True,
    answers: Answers = "auto",
    max_queries: MaxQueries = None,
    epsilons: TransferEpsilons = (0.1, 0.2),
    targeted: TransferTargeted = True,
    control: Control = True,
    white_box: WhiteBox = True,
) -> Algorithm[dict[str, Any]]:
    """Teach a small network what the model answers, and try on the model what is made on that.

    Some of the images are seeds, from which the substitute is made; by the others, which are held out, it is judged,
    after every round: how often its answer is the model's, and how often a picture that fools it fools the model too.
    All are seen at the model's input size and in eight bits.

    state  from which to go on, as its Progress had it
    Returns {"results": one an image, "summary": what there is to say of all}.
    """
    import torch

    state = state or {}
    card, n, seed = subjects[0].card, len(subjects), subjects[0].noise.seed
    soft = answers == "soft" or (answers == "auto" and card.tells != "labels")
    s, drawn = seed_count(n, seeds), Noise(seed)
    x: Tensor = yield Compute(lambda: torch.stack([(one.seen * 255).round().to(torch.uint8) for one in subjects]))
    order = drawn.uniform(torch.empty(n), 0, 1).argsort() if shuffle else torch.arange(n)
    given, held_out = order[:s], order[s:]
    said = state["said"] if state else (yield from asked(x))
    K, k = said.shape[1], said.argmax(1)
    allowed = Allowance.of(method.parameters, s, n - s, max_queries, len(epsilons), targeted=targeted, control=control)
    right = held_out[_right(subjects, labels, said)[held_out]]
    tried = right[: allowed.judged]
    elsewhere = (1 + drawn.uniform(torch.empty(n), 0, 1) * (K - 1)).long().clamp(max=K - 1)
    bench = Bench(x[tried], k[tried], ((k + elsewhere) % K)[tried], epsilons, targeted)
    sent = dict(state.get("sent", dict.fromkeys(SIGNS, 0)))  # pictures to be judged, of each loop
    known: dict[str, Any] = {"said": said, "sent": sent, "made": list(state.get("made", ()))}

    def loop(signs: str) -> Algorithm[dict[str, Any]]:
        """What comes of stepping along these signs."""

        def count(n: int) -> None:
            sent[signs] += n

        def judge(student: Student, point: dict[str, Any]) -> Algorithm[None]:
            if "agreement" not in point:
                answers = yield from _answers(student, x[held_out])
                point |= {"agreement": share((answers.argmax(1) == k[held_out]).tolist()), "transfer": []}
                yield Progress(0, 0)
            if allowed.judges(point["round"]) and len(tried):
                yield from bench.transferred(student, point["transfer"], count)

        def begin(state: State | None) -> Algorithm[dict[str, Any]]:
            offered = {"x": x[given], "o": said[given], "noise": Noise(seed), "judge": judge, "soft": soft}
            return method.begin(**offered, signs=signs, limit=allowed.images, state=state)

        place = SIGNS.index(signs)
        return as_part(resumable(begin, state, signs, **known), place, 1 + control)

    for signs in SIGNS[len(known["made"]) : 1 + control]:
        try:
            found = yield from loop(signs)
        except Stopped as e:
            if not known["made"]:
                raise
            found = {"curve": [], "queries": s, "stopped_by": e.reason}
        known["made"] = [*known["made"], found]
        if found["stopped_by"] not in ("rounds", "queries"):
            break
    (mine, *controls) = known["made"]
    stopped_by = next((one["stopped_by"] for one in known["made"] if one["stopped_by"] in ENDED), mine["stopped_by"])
    white: dict[str, Any] = {}
    if white_box:
        white = yield from _white_box(card, bench, stopped_by)
    student = Student(
        method.parameters["architecture"],
        card.input_shape,
        K,
        method.parameters["side"],
        Noise(seed),
        {"weights": mine["weights"], "m": [], "v": [], "t": 0},
    )
    thinks = yield from _answers(student, x)
    archive = yield Compute(lambda: packed(student, card, mine["queries"]))
    seeded = set(given.tolist())
    results = [
        {
            "prediction": subject.prediction(said[i]),
            "substitute": _told(card, thinks[i]),
            "seed": i in seeded,
        }
        for i, subject in enumerate(subjects)
    ]
    summary = {
        "architecture": method.parameters["architecture"],
        "side": max(-(-side // student.cell) for side in card.input_shape[1:]),
        "tells": card.tells,
        "answers": "soft" if soft else "hard",
        "seeds": s,
        "held_out": n - s,
        "judged": len(tried),
        "curve": mine["curve"],
        **({"random_sign": controls[0]["curve"]} if controls else {}),
        **white,
        "queries": {
            "training": mine["queries"],
            "evaluation": n - s + sent["jacobian"],
            "control": sum(one["queries"] - s for one in controls) + sent["random"],
        },
        "max_queries": max_queries,
        "stopped_by": stopped_by,
        "archive": np.frombuffer(archive, np.uint8),
        **({"partial": True} if stopped_by in ENDED else {}),
    }
    return {"results": results, "summary": summary}


def check_answers(parameters: dict[str, Any], card: Card) -> dict[str, Any]:
    """`parameters`, if the model tells what is to be learnt from. Raises BadParameter."""
    if parameters["answers"] == "soft" and card.tells == "labels":
        detail = f"answers is 'soft', and {card.name} tells labels alone; take 'hard', or 'auto' for what there is."
        raise BadParameter.at("/parameters/answers", detail)
    return parameters


def _right(subjects: Sequence[Subject], labels: Any, said: Tensor) -> Tensor:
    """Whether the oracle's answer is the label, of an image without one always: bool [n]."""
    import torch

    each = labels if isinstance(labels, list) else [labels] * len(subjects)
    found = [
        label is None or subject.class_index(label, logits) == int(logits.argmax())
        for subject, label, logits in zip(subjects, each, said, strict=True)
    ]
    return torch.tensor(found)


def _answers(student: Student, levels: Tensor) -> Algorithm[Tensor]:
    """The student's logits [n, K] for pictures uint8 [n, C, H, W], some at a time."""
    from torch import cat

    size, found = wave(levels[0]), []
    for first in range(0, len(levels), size):
        logits = yield Compute(partial(student.answers, levels[first : first + size]))
        found.append(logits)
    return cat(found)


def _told(card: Card, logits: Tensor) -> dict[str, Any]:
    """The student's first answer."""
    index = int(logits.argmax())
    return {"index": index, "label": card.labels[index], "probability": float(logits.double().softmax(0)[index])}


def _white_box(card: Card, bench: Bench, stopped_by: str) -> Algorithm[dict[str, Any]]:
    """What there is to say of attacks that know the model itself: how far they get, or why nobody knows."""
    if not card.differentiable:
        return {"white_box_note": f"{card.name} answers no gradients, so what they would give is not known."}
    if stopped_by in ENDED or not len(bench.levels):
        return {"white_box_note": "The run was over before it was tried."}
    try:
        return {"white_box": (yield from bench.white_box())}
    except Stopped:
        return {"white_box_note": "The run was over before it was tried."}
