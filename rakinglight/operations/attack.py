"""A change that fools the model, proven on the picture itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rakinglight import eight_bit
from rakinglight.errors import BadParameter
from rakinglight.method import Chosen
from rakinglight.norms import NORMS
from rakinglight.objectives import Goal
from rakinglight.parameters import AttackTarget, Label, Rank
from rakinglight.queries import Algorithm, Compute, Forward, State
from rakinglight.relays import insisting, resumable, so_far
from rakinglight.subject import Subject
from rakinglight.view import through

if TYPE_CHECKING:
    from torch import Tensor


def attack(
    subject: Subject,
    method: Chosen[Tensor],
    state: State | None = None,
    *,
    target: AttackTarget = None,
    label: Label = None,
) -> Algorithm[dict[str, Any]]:
    """Change the image a little so that the model is wrong, and prove it on the 8-bit picture.

    The attack works at the image's own size, through the model's resize and crop. Whether it succeeded is judged on the
    rounded picture, alone, by the path that `classify` takes.

    state  from which to go on, as its Progress had it
    """
    state = state or {}
    x, see = subject.x, subject.view
    logits = state["logits"] if state else (yield Forward(see(x))).logits
    before = subject.prediction(logits)
    y = subject.class_index(Rank(rank=1) if label is None else label, logits)
    t = None if target is None else subject.class_index(target, logits)
    if t == y:
        detail = f"The target and the label are both {subject.card.labels[y]!r}; a targeted attack needs another class."
        raise BadParameter.at("/parameters/target", detail)

    def begin(state: State | None) -> Algorithm[Tensor]:
        return through(see, method.begin(x=x, goal=Goal(y, t), noise=subject.noise, state=state))

    x_adv, partial = yield from so_far(resumable(begin, state, "method", logits=logits))
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
