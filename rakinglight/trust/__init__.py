"""Figures that say how far to trust a map, each by its published definition.

A figure is a generator like any method: it asks the network what it must know, and returns plain values and arrays.
All look at the class that the map explains. Needs no torch to be imported.

    deletion, insertion     does the score follow the pixels in the map's order?
    infidelity              does the map foretell what a little noise does to the score?
    max_sensitivity         does the map stay where the image hardly changes?
    randomization           does the map depend on what the network has learnt?
    localization            how much of the map lies on the thing?        wants `boxes`
    pointing_game           does the map's largest value lie on it?       wants `boxes`
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, get_args

from rakinglight.errors import BadParameter
from rakinglight.maps import Map
from rakinglight.noise import Noise
from rakinglight.objectives import SCORES, Objective, Score
from rakinglight.queries import Algorithm, Progress, State
from rakinglight.relays import relayed
from rakinglight.trust.boxes import Box, check_boxes

__all__ = ["BOXED", "FIGURES", "Box", "Case", "Figure", "check", "evaluate"]

if TYPE_CHECKING:
    from torch import Tensor

    from rakinglight.card import Card
    from rakinglight.subject import Subject

Figure = Literal[
    "deletion", "insertion", "infidelity", "max_sensitivity", "randomization", "localization", "pointing_game"
]
FIGURES: tuple[Figure, ...] = get_args(Figure)
#: The figures that need to be told where the class is to be seen.
BOXED: frozenset[Figure] = frozenset(["localization", "pointing_game"])


@dataclass(frozen=True, eq=False)
class Case:
    """A map, and what is needed to examine it.

    subject  the image and its model
    x        [C, H, W]: the image as the model saw it
    c        the class that is explained
    score    what of it was explained
    found    the map
    explain  makes the map of another image of x's shape, with the same noise
    boxes    where the class is to be seen, in pixels of the image as it came
    """

    subject: Subject
    x: Tensor
    c: int
    score: Score
    found: Map
    explain: Callable[[Tensor], Algorithm[Map]]
    boxes: Sequence[Box] = ()

    @property
    def objective(self) -> Objective:
        """The scalar that was explained."""
        return SCORES[self.score](self.c)

    def noise(self) -> Noise:
        """A figure's own draws, of the seed after the run's: what a figure draws is nothing that the method drew."""
        return Noise(self.subject.noise.seed + 1)


def evaluate(case: Case, figures: Collection[Figure], state: State | None = None) -> Algorithm[dict[str, Any]]:
    """The `figures` of `case`, by name. Each is the function of its name in the module of its name.

    Told to stop, or taken up again from a `state`, it has those that are complete.
    """
    figures = list(dict.fromkeys(figures))  # each once, in the order in which they were named
    found: dict[str, Any] = dict(state["best"]) if state else {}

    def counted(asked: Any) -> Any:
        # A figure may make maps of its own, whose progress is none of the caller's: figures are what is counted. Nor
        # are their states: a figure is begun anew, and what was spent on it so far must not be counted twice.
        return Progress(len(found), len(figures), best=dict(found)) if isinstance(asked, Progress) else asked

    if not state:
        yield Progress(0, len(figures), best={}, state={})
    for figure in figures[len(found) :]:
        examine = getattr(import_module(f"rakinglight.trust.{figure}"), figure)
        found[figure] = yield from relayed(examine(case), counted)
        yield Progress(len(found), len(figures), best=dict(found), state={})
    return found


def check(figures: Collection[Figure], boxes: Sequence[Box], card: Card, method: str, *, signed: bool) -> None:
    """Raise BadParameter where a figure that is asked for can never be had; costs no row.

    method  its name
    signed  whether it gives each value of the image a number, by which infidelity multiplies
    """
    if "infidelity" in figures and not signed:
        raise BadParameter.at(
            "/parameters/evaluate",
            f"infidelity multiplies noise by the number that a map has for each value of the image, and {method} has "
            "none; ask it of a method with a signed map, such as gradient, or leave it out.",
        )
    if "randomization" in figures and not card.differentiable:
        raise BadParameter.at(
            "/parameters/evaluate",
            f"{card.name} came as an ONNX file, or is a black box: its weights cannot be made random; leave "
            "randomization out, or give a recipe with safetensors.",
        )
    if not boxes and (boxed := [figure for figure in figures if figure in BOXED]):
        raise BadParameter.at(
            "/parameters/boxes",
            f"{' and '.join(boxed)} must know where the class is to be seen; give boxes: [[top, left, bottom, right]] "
            "in pixels of the image as it came.",
        )
    check_boxes(boxes)
