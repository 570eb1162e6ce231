"""What tells a broken evaluation from a robust model: Athalye et al. 2018, section 3.1; Carlini et al. 2019, section 5.

Every check holds a share of images against another, which it must not exceed beyond their 95 % intervals. The shares
are of the small attacks of `rakinglight.audit.trials`. Needs no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rakinglight.audit.statistics import share
from rakinglight.audit.trials import FEW, MANY, QUERIES

#: An image's part of `robustness`, with the outcome of its trials.
Entry = Mapping[str, Any]
#: Which of the images have something, and which have what that is held against: None is none of them. Of the trials at
#: one epsilon, if it is not None.
Held = tuple[float | None, list[bool], list[bool] | None]

#: What must be none of the images may be an accident up to this share: the lower end of the interval must not be above.
ACCIDENTS = 0.01


@dataclass(frozen=True)
class Check:
    """What must hold, what it means where it does not, and what of the trials shows it."""

    must: str
    else_: str
    holding: Callable[[Sequence[Entry], Sequence[float]], Iterator[Held]]


def checks(entries: Sequence[Entry], epsilons: Sequence[float]) -> list[dict[str, Any]]:
    """Every check, by what the trials of `entries` found; those of which they did not come to their end are left out.

    epsilons  of the trials, ascending
    Returns for each {"name", "passed", "detail", "comparisons"}, of which each is {"epsilon", "share", "against"}.
    `passed` is None where there was nothing to compare.
    """
    examined = [entry for entry in entries if entry.get("checks")]
    return [_made(name, check, examined, epsilons) for name, check in CHECKS.items()]


def _made(name: str, check: Check, entries: Sequence[Entry], epsilons: Sequence[float]) -> dict[str, Any]:
    comparisons: list[dict[str, Any]] = [
        {"epsilon": epsilon, "share": share(found), "against": None if against is None else share(against)}
        for epsilon, found, against in check.holding(entries, epsilons)
    ]
    known = [one for one in comparisons if one["share"]["of"]]
    passed = all(map(_holds, known)) if known else None
    detail = check.must if passed is not False else f"{check.must} It does not hold: {check.else_}"
    return {"name": name, "passed": passed, "detail": detail, "comparisons": comparisons}


def _holds(one: Mapping[str, Any]) -> bool:
    found, against = one["share"], one["against"]
    if against is None:
        return bool(found["low"] <= ACCIDENTS)
    # One interval alone is narrow at its end: of 24 images, 24 are beyond the interval of 23.
    return bool(found["value"] <= against["high"] or found["low"] <= against["value"])


# ── what is held against what ───────────────────────────────────────────────────────────────────────────────────────


def _right(entries: Sequence[Entry]) -> list[Entry]:
    """Those that are classified rightly where nothing attacks."""
    return [entry for entry in entries if entry["correct"]]


def _withstood(entries: Sequence[Entry], i: int, *kinds: str) -> list[bool]:
    """Which of `entries` are right after the trials of all `kinds` at epsilon number `i`. None is that was wrong."""
    return [entry["correct"] and not any(entry["checks"][kind][i] for kind in kinds) for entry in entries]


def _gradients(entries: Sequence[Entry], _epsilons: Sequence[float]) -> Iterator[Held]:
    yield None, [entry["checks"]["gradient"] == 0 for entry in _right(entries)], None


def _more_steps(entries: Sequence[Entry], epsilons: Sequence[float]) -> Iterator[Held]:
    for i, epsilon in enumerate(epsilons):
        yield epsilon, _withstood(entries, i, "many_steps"), _withstood(entries, i, "few_steps")


def _larger_epsilon(entries: Sequence[Entry], epsilons: Sequence[float]) -> Iterator[Held]:
    for i, epsilon in enumerate(epsilons[1:], 1):
        yield epsilon, _withstood(entries, i, "many_steps"), _withstood(entries, i - 1, "many_steps")


def _unbounded(entries: Sequence[Entry], _epsilons: Sequence[float]) -> Iterator[Held]:
    yield None, [entry["correct"] and not entry["checks"]["unbounded"] for entry in entries], None


def _white_box(entries: Sequence[Entry], epsilons: Sequence[float]) -> Iterator[Held]:
    for i, epsilon in enumerate(epsilons):
        yield epsilon, _withstood(entries, i, "few_steps", "many_steps"), _withstood(entries, i, "black_box")


def _iterated(entries: Sequence[Entry], epsilons: Sequence[float]) -> Iterator[Held]:
    for i, epsilon in enumerate(epsilons):
        yield epsilon, _withstood(entries, i, "few_steps", "many_steps"), _withstood(entries, i, "one_step")


def _leaked(entries: Sequence[Entry], epsilons: Sequence[float]) -> Iterator[Held]:
    for i, epsilon in enumerate(epsilons):
        # Here an image counts that was wrong, and is right after a step which only its label could direct.
        after = [not entry["checks"]["one_step"][i] for entry in entries]
        yield epsilon, after, [bool(entry["correct"]) for entry in entries]


CHECKS: dict[str, Check] = {
    "gradients_not_zero": Check(
        "The loss must have a gradient: no image's may be exactly zero.",
        "attacks that follow gradients have nothing to follow, as where a softmax is saturated or a layer rounds.",
        _gradients,
    ),
    "more_steps": Check(
        f"PGD of {MANY} steps must not leave a higher accuracy than PGD of {FEW}.",
        "the steps do not converge, so no number of them says how robust the model is.",
        _more_steps,
    ),
    "larger_epsilon": Check(
        "PGD in a larger ball must not leave a higher accuracy than in a smaller one, which it contains.",
        "the attack does not find what is there.",
        _larger_epsilon,
    ),
    "unbounded_epsilon": Check(
        f"In a ball that holds every image PGD of {MANY} steps must leave no image right.",
        "gradients do not lead away from images, however far one may go.",
        _unbounded,
    ),
    "white_box": Check(
        f"PGD, which sees gradients, must not leave a higher accuracy than Square with {QUERIES} scores.",
        "gradients mislead, and attacks that follow them say nothing of the model's robustness.",
        _white_box,
    ),
    "masked_gradients": Check(
        "PGD must not leave a higher accuracy than FGSM, which is one step of it.",
        "gradients are of use far from the image only, or by luck: they are masked.",
        _iterated,
    ),
    "label_leaking": Check(
        "After FGSM with the true label the accuracy must not be higher than on clean images.",
        "the model reads the label out of the perturbation, as one that was trained on FGSM (Kurakin et al., "
        '"Adversarial Machine Learning at Scale", 2017).',
        _leaked,
    ),
}
