"""The picture that a class, a unit or a channel answers to most."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rakinglight import eight_bit
from rakinglight.card import Card
from rakinglight.energy.canvas import Parametrization
from rakinglight.errors import BadParameter
from rakinglight.inversion_parameters import (
    Alpha,
    AlphaWeight,
    Beta,
    BlurEvery,
    BlurSigma,
    ClippedShare,
    CompareSoftmax,
    Fidelity,
    MaximizedClass,
    MaximizedLayer,
    NearWeight,
    OptimizerChoice,
    ParametrizationChoice,
    RealImages,
    SomeJitter,
    Starts,
    StepLength,
    StepsOfDescent,
    TermsChoice,
    TotalVariationWeight,
    Unit,
)
from rakinglight.inverted import Inverted
from rakinglight.noise import Noise
from rakinglight.objectives import SCORES, Score
from rakinglight.parameters import OtherModels, ScoreChoice
from rakinglight.picture_parameters import seen
from rakinglight.queries import Algorithm, Forward, Gradient, Scores, Slope, State, wave
from rakinglight.subject import Subject

if TYPE_CHECKING:
    from torch import Tensor


#: Strength of the noise at which all starts but the first begin, as a share of a photograph's: as a spectrum, all of it
#: would stay to the end.
FAINT = 0.1


@dataclass(frozen=True)
class Activation:
    """What a unit of a layer puts out: a neuron's value, or the mean of a channel over its places."""

    layer: str
    unit: int

    def __call__(self, outputs: "Mapping[str, Tensor]") -> "Tensor":
        return outputs[self.layer][:, self.unit].flatten(1).mean(1)


def activation_maximization(
    x: "Tensor",
    subject: Subject,
    card: Card,
    noise: Noise,
    state: State | None = None,
    *,
    target: MaximizedClass = None,
    score: ScoreChoice = "logit",
    layer: MaximizedLayer = None,
    unit: Unit = None,
    terms: TermsChoice = "natural",
    starts: Starts = 1,
    fidelity: Fidelity = 1.0,
    near_weight: NearWeight = 0.0,
    alpha: Alpha = 6.0,
    alpha_weight: AlphaWeight = 1.0,
    beta: Beta = 2.0,
    tv_weight: TotalVariationWeight = 3.0,
    blur_sigma: BlurSigma = 0.0,
    blur_every: BlurEvery = 4,
    clip_norm: ClippedShare = 0.0,
    clip_contribution: ClippedShare = 0.0,
    jitter: SomeJitter = None,
    parametrization: ParametrizationChoice = "fourier",
    optimizer: OptimizerChoice = "adam",
    step_size: StepLength = None,
    steps: StepsOfDescent = 128,
    compare_softmax: CompareSoftmax = False,
    real_images: RealImages = (),
    models: OtherModels = (),
) -> "Algorithm[Inverted]":
    """Climbs the score of a class, or what a unit puts out, from nothing, kept like a photograph by the energy's terms.

    Simonyan, Vedaldi and Zisserman, "Deep Inside Convolutional Networks", ICLR workshops 2014, equation 1 (`target`, by
    its logit, with `near_weight` alone: their L2 term). Yosinski et al., "Understanding Neural Networks Through Deep
    Visualization", ICML workshops 2015, section 3: any unit (`layer` and `unit`), the blur and the two clippings. The
    terms and the jitter are those of Mahendran and Vedaldi 2016.

    x      [C, H, W], as the network sees it: where the first start begins; all others begin at faint noise
    card   of the network, with its layers and its mean colour
    noise  the run's own random numbers
    Returns `starts` pictures of x's shape.
    """
    import torch

    from rakinglight.energy import Near, begun, canvas_of, descent_of, minimize, natural
    from rakinglight.energy.pieces import Blur, ClipSmallContribution, ClipSmallNorm, Piece

    mean = torch.tensor(card.mean).view(-1, 1, 1).to(x)
    free = terms == "none"
    objective, at = _objective(card, target, score, layer, unit)
    c = 0 if target is None else card.class_index(target)
    own: Sequence[Any] = [objective] * starts
    if compare_softmax:
        own = [*own, *[SCORES["probability"](c)] * starts]

    def ask(rows: "Tensor") -> "Algorithm[tuple[Tensor, Tensor]]":
        slope: Slope = yield Gradient(rows, own, at=at, seen=True)
        return -fidelity * slope.objective, -fidelity * slope.gradient

    by_softmax = x[None]  # the pictures of the other objective, as far as they are

    def made(images: "Tensor", trace: "Sequence[Sequence[float]]") -> Inverted:
        nonlocal by_softmax
        by_softmax = images[starts:]
        return Inverted(images[:starts], [one[:starts] for one in trace])

    z = mean + FAINT * (begun("noise", mean, x, starts, noise) - mean)
    z[0] = x
    pieces: list[Piece] = [Blur(blur_sigma, blur_every)] if blur_sigma else []
    pieces += [ClipSmallNorm(mean, clip_norm)] if clip_norm else []
    pieces += [ClipSmallContribution(mean, clip_contribution)] if clip_contribution else []
    held = [Near(mean.expand_as(x), near_weight)] if near_weight else []
    on = "pixels" if free else parametrization
    found = yield from minimize(
        canvas_of(on, torch.cat([z, z]) if compare_softmax else z),
        ask,
        () if free else [*natural(mean, alpha, alpha_weight, beta, tv_weight), *held],
        descent_of(optimizer, step_size, on),
        steps=steps,
        noise=noise,
        jitter=0 if free else min(x.shape[1:]) // 14 if jitter is None else jitter,
        pieces=() if free else pieces,
        made=made,
        state=state,
    )
    found = found.ordered()
    best = Subject.of(card, eight_bit.from_float(found.image.numpy()), others=subject.others)
    said: dict[str, Any] = {"score": float((yield from _values(best.x[None], objective, at))[0])}
    if compare_softmax:
        said["softmax"] = yield from _beside(c, best.x, by_softmax[0])
    if real_images:
        scores, many = list[float](), wave(x)
        for first in range(0, len(real_images), many):
            some = real_images[first : first + many]
            rows = torch.stack([seen(card, one) for one in some if not isinstance(one, str)])
            scores += (yield from _values(rows, objective, at)).tolist()
        said["real_images"] = {"scores": scores, "below": sum(one < said["score"] for one in scores)}
    if models:
        said["ranks"] = []
    for name in models:
        told: Scores = yield Forward(best.view_of(name)(best.x), network=name, seen=True)
        rank = 1 + int((told.logits > told.logits[c]).sum())
        said["ranks"].append({"model": name, "rank": rank})
    return Inverted(found.images, found.trace, said)


def _values(rows: "Tensor", objective: Any, at: tuple[str, ...]) -> "Algorithm[Tensor]":
    """The objective of each of rows [n, C, H, W], without its slope: [n]."""
    scores: Scores = yield Forward(rows, at, seen=True, short=bool(at))
    values: Tensor = objective(scores.activations if at else scores.logits)
    return values


def _beside(c: int, by_score: "Tensor", by_softmax: "Tensor") -> "Algorithm[dict[str, Any]]":
    """What climbing the score of class c came to beside climbing its probability, of pictures [C, H, W] in 8 bits."""
    from torch import from_numpy, stack

    pixels = eight_bit.from_float(by_softmax.numpy())
    rows = stack([by_score, from_numpy(eight_bit.to_float(pixels))])
    scores: Scores = yield Forward(rows, seen=True)
    logits, probabilities = scores.logits[:, c].tolist(), scores.logits.double().softmax(1)[:, c].tolist()
    sides = zip(("by_score", "by_probability"), logits, probabilities, strict=True)
    return {name: {"logit": logit, "probability": probability} for name, logit, probability in sides} | {
        "picture": pixels
    }


def _objective(
    card: Card, target: int | str | None, score: Score, layer: str | None, unit: int | None
) -> tuple[Any, tuple[str, ...]]:
    """What is climbed, and the layers that it is made of. Raises BadParameter."""
    if target is not None:
        return SCORES[score](card.class_index(target)), ()
    assert layer is not None and unit is not None, "`check_climbed` has seen to it"
    card.check_unit(layer, unit)
    return Activation(layer, unit), (layer,)


def check_climbed(
    _shape: tuple[int, int, int],
    target: object,
    layer: object,
    unit: object,
    score: Score,
    compare_softmax: bool,
    models: Sequence[str],
    parametrization: Parametrization,
    blur_sigma: float,
    clip_norm: float,
    clip_contribution: float,
) -> None:
    """Raise BadParameter unless there is one thing to climb, a class or a unit of a layer, on a canvas that fits."""
    of_pixels = {"blur_sigma": blur_sigma, "clip_norm": clip_norm, "clip_contribution": clip_contribution}
    name = ""
    if target is None and layer is None and unit is None:
        name, detail = "target", "There is nothing to climb: name a target, or a layer and a unit."
    elif target is not None and (layer is not None or unit is not None):
        name, detail = "target", "A class and a unit cannot both be climbed: leave target out, or layer and unit."
    elif target is None and (layer is None or unit is None):
        name = "unit" if unit is None else "layer"
        detail = f"A unit is told by its layer and its number: name the {name}, too."
    elif target is None and (compare_softmax or models):
        name = "compare_softmax" if compare_softmax else "models"
        detail = f"A unit is no class, and {name} is about classes; leave it out, or climb a target."
    elif target is None and score != "logit":
        name, detail = "score", f"A unit has no {score}: it is climbed as it is; leave score out, or climb a target."
    elif parametrization != "pixels" and any(of_pixels.values()):
        name = next(each for each, value in of_pixels.items() if value)
        detail = f"{name} is done to pixels between the steps: set parametrization to 'pixels', too."
    if name:
        raise BadParameter.at(f"/parameters/{name}", detail)
