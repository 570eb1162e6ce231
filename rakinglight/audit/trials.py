"""Small attacks on one image, which show whether an evaluation of it can be believed (`rakinglight.audit.checks`)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from rakinglight.algorithms.fgsm import fgsm
from rakinglight.algorithms.pgd import pgd
from rakinglight.algorithms.square import square
from rakinglight.example import Example
from rakinglight.noise import Noise
from rakinglight.norms import NormName
from rakinglight.objectives import Goal
from rakinglight.queries import Algorithm, Forward, Gradient, Progress, State
from rakinglight.relays import first, relayed

if TYPE_CHECKING:
    from torch import Tensor

#: Steps of the two runs of PGD, of which the second must not break less than the first.
FEW, MANY = 10, 40
#: Scores that the black-box attack may ask for.
QUERIES = 100


class Trial(NamedTuple):
    """An attack with a ball of radius `epsilon`. `kind` is the name under which its outcome stands in a result."""

    kind: str
    epsilon: float


def trials(
    x: Tensor,
    goal: Goal,
    logits: Tensor,
    state: State | None = None,
    *,
    norm: NormName,
    epsilons: Sequence[float],
    seed: int,
    differentiable: bool,
) -> Algorithm[dict[str, Any]]:
    """Try small attacks on the image x [C, H, W], whose logits are [K], each by itself and judged in floats.

    Each epsilon is tried anew: that what breaks an image at one breaks it at all larger ones is not taken for granted
    here, for that is what is examined. What has broken once in the course of an attack counts as broken by it.

    goal            away from the true label
    state           from which to go on, as its Progress had it
    differentiable  whether there are gradients to be had
    Returns whether the image is misclassified after each: {"one_step", "few_steps", "many_steps", "black_box"}, each
    one bool an epsilon, and {"unbounded"}, a bool; and {"gradient"}, the size of the loss's gradient in linf. Of an
    image that is misclassified without, there is `one_step` alone; where there are no gradients, nothing.
    """
    wrong = bool(goal.reached(logits))
    attacks = list(_planned(x, norm, epsilons, differentiable, wrong))
    broken: list[bool] = list(state["broken"]) if state else []
    gradient = state["gradient"] if state else None
    if state is None and differentiable and not wrong:
        gradient = float((yield Gradient(x, goal.loss)).gradient.abs().max())
    for trial in attacks[len(broken) :]:
        attack = _ATTACKS[trial.kind](x, goal, Noise(seed), norm, trial.epsilon)
        if trial.kind == "one_step":  # its first row is the image itself, which may be misclassified
            found = yield from attack
            broken.append((yield from _reaches(found, goal)))
        else:
            broken.append((yield from _ever_reaches(attack, goal)))
        yield Progress(len(broken), len(attacks), state={"broken": broken, "gradient": gradient})
    outcome: dict[str, Any] = {} if gradient is None else {"gradient": gradient}
    for trial, was in zip(attacks, broken, strict=True):
        if trial.kind == "unbounded":
            outcome["unbounded"] = was
        else:
            outcome.setdefault(trial.kind, []).append(was)
    return outcome


def _planned(
    x: Tensor, norm: NormName, epsilons: Sequence[float], differentiable: bool, wrong: bool
) -> Iterator[Trial]:
    if not differentiable:
        return
    for epsilon in epsilons:
        yield Trial("one_step", epsilon)
    if wrong:
        return
    for epsilon in epsilons:
        for kind in ("few_steps", "many_steps", "black_box"):
            yield Trial(kind, epsilon)
    # A ball that holds every image.
    yield Trial("unbounded", 1.0 if norm == "linf" else math.sqrt(x.numel()))


def _steps(steps: int) -> Callable[..., Algorithm[Tensor | Example]]:
    return lambda x, goal, noise, norm, epsilon: pgd(x, goal, noise, norm=norm, epsilon=epsilon, steps=steps)


_ATTACKS: dict[str, Callable[..., Algorithm[Tensor | Example]]] = {
    "one_step": lambda x, goal, noise, norm, epsilon: fgsm(x, goal, norm=norm, epsilon=epsilon),
    "few_steps": _steps(FEW),
    "many_steps": _steps(MANY),
    "black_box": lambda x, goal, noise, norm, epsilon: square(
        x, goal, noise, norm=norm, epsilon=epsilon, queries=QUERIES
    ),
    "unbounded": _steps(MANY),
}


def _ever_reaches(attack: Algorithm[Tensor | Example], goal: Goal) -> Algorithm[bool]:
    """Whether any row that `attack` asks about, or what it returns, reaches `goal`."""

    def out(asked: Any) -> Any:
        # How far the attack is says nothing of how far the trials are.
        return Progress(asked.step, asked.of) if isinstance(asked, Progress) else asked

    found, taken = yield from relayed(first(attack, goal, _taking), out)
    if taken is not None:
        return True
    assert found is not None
    return (yield from _reaches(found, goal))


def _reaches(found: Tensor | Example, goal: Goal) -> Algorithm[bool]:
    return bool(goal.reached((yield Forward(Example.of(found).x)).logits))


def _taking(row: Tensor) -> Algorithm[Tensor]:
    yield from ()
    return row
