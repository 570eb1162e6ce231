"""One attack on one image at one epsilon, and the picture that comes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rakinglight.example import Example
from rakinglight.front_door import FrontDoor, Picture
from rakinglight.method import Chosen
from rakinglight.noise import Noise
from rakinglight.norms import NormName
from rakinglight.objectives import Goal
from rakinglight.parameters import Rank
from rakinglight.queries import Algorithm, State
from rakinglight.relays import first
from rakinglight.subject import Subject

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Found:
    """What an attack has found.

    picture  of 8 bits, and what the attacked model says of it
    x        the floats that it stands for; None where the attack was ended at the picture
    by       the method, or of `auto` the part of it; where its floats were repaired, it was none of its parts
    """

    picture: Picture
    x: Tensor | None
    by: str


def looks_for_nearest(attack: Chosen[Tensor | Example]) -> bool:
    """Whether it looks for the nearest picture, and knows no ball."""
    return "epsilon" not in attack.method.own


def climbs(attack: Chosen[Tensor | Example]) -> bool:
    """Whether it follows the model's gradient as far as a ball lets it, and does not stop at the border."""
    return not (looks_for_nearest(attack) or attack.method.asks != "gradients" or attack.takes("accept"))


def front_door(subject: Subject, attack: Chosen[Tensor | Example], y: int, norm: NormName, epsilon: float) -> FrontDoor:
    """Where the pictures of `attack` are judged, that shall not be of class `y`."""
    radius = None if looks_for_nearest(attack) else epsilon
    return FrontDoor(subject, Goal(y), norm, radius, gradients=attack.method.asks == "gradients")


def attempted(
    subject: Subject,
    attack: Chosen[Tensor | Example],
    y: int,
    logits: Tensor,
    norm: NormName,
    epsilon: float,
    state: State | None,
    *,
    early_stop: bool,
) -> Algorithm[Found | None]:
    """Attack `subject`, whose label is `y` and whose logits are [K].

    early_stop  end at the first picture that is proven
    Returns what came of it, proven or not. None where the method has a target, and that is the label.
    """
    method = attack.method
    door = front_door(subject, attack, y, norm, epsilon)
    target = method.defaults.get("target")  # of the least likely class, as by `least_likely`
    t = None if target is None else subject.class_index(Rank.model_validate(target), logits)
    if t == y:
        return None
    picture: Picture | None = None

    def accept(row: Tensor) -> Algorithm[Picture | None]:
        nonlocal picture
        picture = yield from door.accept(row)
        return picture

    algorithm = method.choose({**attack.parameters, "norm": norm, "epsilon": epsilon}).begin(
        x=subject.x,
        goal=Goal(y, t),
        # Begun anew for each, so that it is what `attack` would do with this seed, whatever was tried before.
        noise=Noise(subject.noise.seed),
        logits=logits,
        view=subject.view,
        view_of=subject.view_of,
        # Of a method that ends by itself too, the end is its own: what only just fools says nothing of a defence.
        accept=accept if early_stop else _none,
        state=state,
    )
    found: Tensor | Example | None
    if not early_stop or looks_for_nearest(attack) or attack.takes("accept"):
        found = yield from subject.through(algorithm)
    else:
        found, _ = yield from subject.through(first(algorithm, Goal(y), accept))
    example = None if found is None else Example.of(found)
    if picture is None:
        assert example is not None
        picture = yield from door.prove(example.x)
    by = example.facts.get("broken_by") if example else None
    return Found(picture, example.x if example else None, str(by or method.name))


def _none(row: Tensor) -> Algorithm[None]:  # noqa: ARG001  it takes none
    """Takes no row."""
    yield from ()
