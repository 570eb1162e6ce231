"""The operations: what a caller can have done to one image. Each is a run: an algorithm and what goes around it.

An operation's keyword-only arguments are its parameters, as an algorithm's are; the catalogue reads both from here.
What it returns is a tree of plain values and numpy arrays, which both doors encode and the client reads.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from rakinglight import eight_bit
from rakinglight.card import Card
from rakinglight.errors import BadParameter, FieldError
from rakinglight.geometry import Geometry
from rakinglight.method import Chosen
from rakinglight.noise import Noise
from rakinglight.norms import NORMS
from rakinglight.objectives import SCORES, Goal
from rakinglight.parameters import AttackTarget, Label, LayerNames, Rank, ScoreChoice, Target, TopK
from rakinglight.queries import Algorithm, Compute, Forward, Progress, Scores, Stopped, relayed
from rakinglight.view import View, through

if TYPE_CHECKING:
    from torch import Tensor

    from rakinglight.algorithms.gradient import Map

R = TypeVar("R")


@dataclass
class Subject:
    """One image before one network.

    x     [C, H, W] in [0, 1], at its own size
    view  the way from there to what the model sees
    """

    card: Card
    x: Tensor
    view: View
    noise: Noise

    @staticmethod
    def of(card: Card, pixels: np.ndarray[Any, Any], seed: int = 0) -> Subject:
        """The subject of `pixels`: uint8 [H, W, C], or an exact float32 tensor [C, H, W] in [0, 1]."""
        import torch

        x = torch.from_numpy(eight_bit.to_float(pixels) if pixels.dtype == np.uint8 else np.array(pixels, np.float32))
        geometry = Geometry.of(x.shape[1], x.shape[2], card.input_shape, card.resize)
        return Subject(card, x, View(geometry, x), Noise(seed))

    @property
    def seen(self) -> Tensor:
        """[C, h, w]: the image as the model sees it."""
        return self.view(self.x)

    def class_index(self, reference: int | str | Rank, logits: Tensor) -> int:
        """The class that `reference` means for this image, whose logits are [K]."""
        if isinstance(reference, Rank):
            place = reference.rank - 1 if reference.rank > 0 else reference.rank
            return int(logits.argsort(descending=True, stable=True)[place])
        return self.card.class_index(reference)

    def prediction(self, logits: Tensor, index: int | None = None) -> dict[str, Any]:
        """What the model says: its first answer, or what it gives to class `index`."""
        index = int(logits.argmax()) if index is None else index
        probability = float(logits.double().softmax(0)[index])
        return {"index": index, "label": self.card.labels[index], "probability": probability}


def classify(subject: Subject, *, top_k: TopK = 5, layers: LayerNames = ()) -> Algorithm[dict[str, Any]]:
    """Name what is in the image: the best classes, and the activations of named layers."""
    x = subject.seen
    logits, _ = yield Forward(x)
    best = logits.argsort(descending=True, stable=True)[:top_k].tolist()
    result: dict[str, Any] = {
        "prediction": subject.prediction(logits),
        "predictions": [{**subject.prediction(logits, c), "logit": float(logits[c])} for c in best],
    }
    if layers:  # asked apart: another backend may answer, and a prediction must not depend on what else is asked
        _, activations = yield Forward(x, layers)
        result["activations"] = {layer: a.numpy() for layer, a in activations.items()}
    return result


def saliency(
    subject: Subject, method: Chosen[Map], *, target: Target = None, score: ScoreChoice = "logit"
) -> Algorithm[dict[str, Any]]:
    """Show which pixels a class score depends on: a map of the image as the model saw it."""
    x = subject.seen
    logits, _ = yield Forward(x)
    c = subject.class_index(Rank(rank=1) if target is None else target, logits)
    found = yield from method.begin(x=x, score=SCORES[score](c), noise=subject.noise)
    result = {
        "prediction": subject.prediction(logits),
        "target": subject.prediction(logits, c),
        "map": found.map.numpy(),
        "seen": eight_bit.from_float(x.numpy()),
    }
    if found.signed is not None:
        result["signed_map"] = found.signed.numpy()
    return result


def attack(
    subject: Subject, method: Chosen[Tensor], *, target: AttackTarget = None, label: Label = None
) -> Algorithm[dict[str, Any]]:
    """Change the image a little so that the model is wrong, and prove it on the 8-bit picture.

    The attack works at the image's own size, through the model's resize and crop. Whether it succeeded is judged on the
    rounded picture, alone, by the path that `classify` takes.
    """
    x, see = subject.x, subject.view
    logits, _ = yield Forward(see(x))
    before = subject.prediction(logits)
    y = subject.class_index(Rank(rank=1) if label is None else label, logits)
    t = None if target is None else subject.class_index(target, logits)
    if t == y:
        detail = f"The target and the label are both {subject.card.labels[y]!r}; a targeted attack needs another class."
        raise BadParameter(detail, errors=[FieldError("/parameters/target", detail)])

    x_adv, partial = yield from so_far(through(see, method.begin(x=x, goal=Goal(y, t), noise=subject.noise)))
    norm, epsilon = method.parameters["norm"], method.parameters["epsilon"]
    rounded = yield Compute(lambda: eight_bit.inside_ball(x.numpy(), x_adv.numpy(), norm, epsilon))
    x_png = Subject.of(subject.card, rounded).x

    def judged(picture: Tensor) -> Algorithm[dict[str, Any]]:
        # Alone and by itself: this is the very query that `classify` makes of the posted picture.
        logits, _ = yield from insisting(Forward(see(picture)))
        after = subject.prediction(logits)
        reached = after["index"] == t if t is not None else after["index"] not in (y, before["index"])
        return {"after": after, "success": reached and y == before["index"], "distance": distance(x, picture)}

    on_png = yield from judged(x_png)
    on_exact = yield from judged(x_adv)
    result = {
        "prediction": before,
        "before": before,
        "label": subject.prediction(logits, y),
        "target": None if t is None else subject.prediction(logits, t),
        "already_misclassified": y != before["index"],
        **on_png,
        "adversarial": rounded,
        "exact": {**on_exact, "image": x_adv.numpy()},
    }
    if norm == "linf" and epsilon < 1 / 255 - 1e-9:
        result["success"] = False
        result["note"] = f"epsilon {epsilon:g} is under 1/255, one grey level: no other 8-bit picture is in that ball."
    elif on_png["distance"]["l0"] == 0:
        result["note"] = (
            f"Rounded to grey levels nothing is left of the perturbation; epsilon {epsilon:g} is too small."
        )
    if partial:
        result["partial"] = True
    return result


def so_far(algorithm: Algorithm[R]) -> Algorithm[tuple[R, bool]]:
    """`algorithm`'s result, or, if it is stopped, what its last Progress would show; and whether it was stopped."""
    best: R | None = None

    def out(asked: Any) -> Any:
        nonlocal best
        if isinstance(asked, Progress) and asked.best is not None:
            best = asked.best
        return asked

    try:
        return (yield from relayed(algorithm, out)), False
    except Stopped:
        if best is None:
            raise
        return best, True


def insisting(query: Forward) -> Algorithm[Scores]:
    """The answer to `query`, asked again if the run is told to stop: the reserve is there for it."""
    while True:
        with suppress(Stopped):
            scores: Scores = yield query
            return scores


def distance(x: Tensor, picture: Tensor) -> dict[str, float | int]:
    """How far `picture` is from `x`: linf and l2 in units of [0, 1] over all values, l0 in pixels that changed.

    Counted in grey levels: what is within float32's error of a whole number of them is that number, so that a picture
    made of levels is as far as its levels say and not a rounding further.
    """
    levels = (picture.double() - x.double()) * 255
    whole = levels.round()
    delta = whole.where((levels - whole).abs() < 1e-4, levels) / 255
    return {
        "linf": float(NORMS["linf"].size(delta)),
        "l2": float(NORMS["l2"].size(delta)),
        "l0": int((delta != 0).any(0).sum()),
    }
