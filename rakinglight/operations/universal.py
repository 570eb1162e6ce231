"""One change that fools the model on most images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from rakinglight.audit.statistics import share
from rakinglight.errors import BadParameter
from rakinglight.geometry import Geometry
from rakinglight.method import Chosen
from rakinglight.noise import Noise
from rakinglight.norms import NORMS
from rakinglight.parameters import Holdout, ImageCounts, OtherModels
from rakinglight.perturbed import scores
from rakinglight.queries import Algorithm, Compute, State, Stopped
from rakinglight.relays import as_part, resumable, so_far
from rakinglight.subject import Subject

if TYPE_CHECKING:
    from torch import Tensor

R = TypeVar("R")


def universal(
    subjects: Sequence[Subject],
    method: Chosen[Tensor],
    state: State | None = None,
    *,
    holdout: Holdout = 0.2,
    image_counts: ImageCounts = (),
    models: OtherModels = (),
) -> Algorithm[dict[str, Any]]:
    """Make one perturbation that, added to any image, changes what the model says of it.

    An image is fooled where the model's first answer is another than to the untouched image, whichever is right. The
    perturbation is of the model's input size, and is judged on images that it was not made of.

    state  from which to go on, as its Progress had it
    Returns {"results": one an image, "summary": what there is to say of all}.
    """
    import torch

    state = state or {}
    seed, n = subjects[0].noise.seed, len(subjects)
    ball, epsilon = NORMS[method.parameters["norm"]], method.parameters["epsilon"]
    x = yield Compute(lambda: torch.stack([subject.seen for subject in subjects]))
    clean = state["logits"] if state else (yield from scores(x))
    k = clean.argmax(1)
    order = Noise(seed).uniform(x.new_empty(n), 0, 1).argsort()
    kept_aside = _kept_aside(n, holdout)
    held_out, given = order[:kept_aside], order[kept_aside:]
    judged_by = held_out if kept_aside else given
    counts = sorted({len(given), *(c for c in image_counts or _halves(len(given)) if c < len(given))}, reverse=True)
    curve, partial = yield from _curve(method, x, clean, given, held_out, counts, seed, state)
    v = curve[0]["v"]
    after = yield from scores(x, v)
    noise = Noise(seed).normal(v)
    random = yield from scores(x[judged_by], epsilon * ball.direction(noise))
    judges, transfer = [subjects[i] for i in judged_by.tolist()], []
    for name in () if partial else models:
        fooled = yield from _tried_on(name, judges, v)
        transfer += [{"model": name, **fooled}]
    results = [
        {
            "prediction": subject.prediction(clean[i]),
            "after": subject.prediction(after[i]),
            "fooled": bool(after[i].argmax() != k[i]),
            "held_out": bool((held_out == i).any()),
        }
        for i, subject in enumerate(subjects)
    ]
    summary = {
        "perturbation": v.numpy(),
        "norm": method.parameters["norm"],
        "epsilon": epsilon,
        "distance": {name: float(norm.size(v)) for name, norm in NORMS.items()},
        "given": curve[0]["given"],
        "held_out": curve[0]["held_out"],
        "noise": share((random.argmax(1) != k[judged_by]).tolist()),
        "curve": [{name: one[name] for name in ("images", "given", "held_out")} for one in reversed(curve)],
        "transfer": transfer,
        **({"partial": True} if partial else {}),
    }
    return {"results": results, "summary": summary}


def check_counts(image_counts: Sequence[int], n: int, holdout: float) -> None:
    """Raise BadParameter for a count of more images than it is made of: n, but for those that are kept aside."""
    given = n - _kept_aside(n, holdout)
    for i, count in enumerate(image_counts):
        if count > given:
            detail = f"image_counts names {count}, and it is made of {given} of {n} images; name fewer, or send more."
            raise BadParameter.at(f"/parameters/image_counts/{i}", detail)


def _kept_aside(n: int, holdout: float) -> int:
    """How many of n images it is judged by. One at least is left to make it of."""
    return min(round(holdout * n), n - 1)


def _halves(n: int) -> list[int]:
    """An eighth, a quarter and half of n images, where that is one at least."""
    return [n // part for part in (8, 4, 2) if n // part]


def _curve(
    method: Chosen[Tensor],
    x: Tensor,
    clean: Tensor,
    given: Tensor,
    held_out: Tensor,
    counts: Sequence[int],
    seed: int,
    state: State,
) -> Algorithm[tuple[list[dict[str, Any]], bool]]:
    """What is made of so many of the `given` images, for each of `counts` anew, and how many images that fools.

    x      [n, C, H, W], of which `given` and `held_out` are places
    clean  [n, K], the logits of x
    state  that of the whole run
    Returns [{"images", "given", "held_out", "v"}], and whether it was stopped. Then some counts are left out, the last
    ones, but never the first.
    """
    k = clean.argmax(1)

    def rate(which: Tensor, after: Tensor) -> dict[str, Any] | None:
        """How many of the images `which`, by place, have another first answer in the logits `after`, one an image."""
        return share((after.argmax(1) != k)[which].tolist()) if len(which) else None

    curve: list[dict[str, Any]] = list(state.get("curve", ()))
    for place, count in list(enumerate(counts))[len(curve) :]:
        chosen = given[:count]

        def begin(state: State | None, chosen: Tensor = chosen) -> Algorithm[Tensor]:
            return method.begin(x=x[chosen], k=k[chosen], noise=Noise(seed), state=state)

        made = so_far(resumable(begin, state, f"of {count}", logits=clean, curve=curve))
        try:
            v, partial = yield from as_part(made, place, len(counts))
        except Stopped:
            if not curve:
                raise
            return curve, True  # what was made of more images is there
        after = yield from scores(x, v)
        curve = [*curve, {"images": count, "given": rate(chosen, after), "held_out": rate(held_out, after), "v": v}]
        if partial:
            return curve, True
    return curve, False


def _tried_on(network: str, subjects: Sequence[Subject], v: Tensor) -> Algorithm[dict[str, Any]]:
    """How many images have another first answer by another network with v, brought to its input size."""
    import torch

    x = yield Compute(lambda: torch.stack([subject.view_of(network)(subject.x) for subject in subjects]))
    _, height, width = v.shape
    resized = Geometry.of(height, width, subjects[0].others[network].input_shape)
    A, B = (torch.from_numpy(side).to(v) for side in resized.matrices())
    clean = yield from scores(x, network=network)
    after = yield from scores(x, A @ v @ B.T, network=network)
    return share((clean.argmax(1) != after.argmax(1)).tolist())
