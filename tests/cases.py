"""Maps to examine: what `rakinglight.trust` is given, made by hand or by a method."""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor

from rakinglight.engine import Engine
from rakinglight.geometry import Geometry
from rakinglight.maps import Map
from rakinglight.network import Network
from rakinglight.noise import Noise
from rakinglight.objectives import SCORES, Score
from rakinglight.queries import Algorithm, Forward
from rakinglight.subject import Subject
from rakinglight.trust import Case
from rakinglight.trust.boxes import Box
from rakinglight.view import View


def case_of(
    network: Network,
    x: Tensor,
    method: Callable[..., Algorithm[Map]] | Map,
    c: int | None = None,
    *,
    score: Score = "logit",
    boxes: tuple[Box, ...] = (),
    seed: int = 0,
    **parameters: Any,
) -> Case:
    """The case of a method's map of the image x, which is of the model's size; or of a map made by hand.

    c  the class; None is the model's first answer
    """
    engine, shape = Engine([network]), network.card.input_shape
    if c is None:
        c = int(engine.drive(one(Forward(x))).logits.argmax())
    if isinstance(method, Map):
        explain: Callable[[Tensor], Algorithm[Map]] = partial(unasked, method)
    else:
        explain = partial(method, score=SCORES[score](c), **parameters)
    subject = Subject(network.card, x, View(Geometry.of(*x.shape[1:], shape), x), Noise(seed))
    return Case(subject, x, c, score, engine.drive(explain(x)), explain, boxes)


def examined(network: Network, case: Case, figure: Callable[[Case], Algorithm[dict[str, Any]]]) -> dict[str, Any]:
    """The `figure` of `case`."""
    return Engine([network]).drive(figure(case))


def one(query: Any) -> Algorithm[Any]:
    """The answer to one query."""
    return (yield query)


def unasked(found: Map, _x: Tensor) -> Algorithm[Map]:
    """A method that finds the same in every image, and asks nobody."""
    yield from ()
    return found
