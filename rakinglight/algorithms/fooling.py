"""Images that nobody recognises, and the model is sure of."""

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from rakinglight.algorithms.evolution import Direct, Found, Patterns, Search, evolved, noise_pictures, rounded
from rakinglight.card import Card
from rakinglight.errors import BadParameter
from rakinglight.inversion_parameters import (
    Confidence,
    FoolingEncoding,
    FoolingStep,
    FoolingTarget,
    MutationRate,
    NoiseImages,
    Population,
)
from rakinglight.inverted import Inverted
from rakinglight.noise import Noise
from rakinglight.objectives import LogProbability
from rakinglight.parameters import Queries
from rakinglight.queries import Algorithm, Compute, Forward, Gradient, Progress, Scores, State, wave

if TYPE_CHECKING:
    from torch import Tensor


def fooling(
    x: "Tensor",
    card: Card,
    noise: Noise,
    state: State | None = None,
    *,
    target: FoolingTarget,
    encoding: FoolingEncoding = "gradient",
    confidence: Confidence = 0.996,
    queries: Queries = 10_000,
    step_size: FoolingStep = 0.02,
    population: Population = 20,
    mutation_rate: MutationRate = 0.1,
    noise_images: NoiseImages = 1000,
) -> "Algorithm[Inverted]":
    """Makes an unrecognisable image that the model is sure of: by gradients, or evolved from its scores alone.

    Nguyen, Yosinski and Clune, "Deep Neural Networks are Easily Fooled: High Confidence Predictions for Unrecognizable
    Images", CVPR 2015. All that is asked about is of 8 bits, so the confidence is that of the PNG. The search ends at
    the first picture whose confidence is above `confidence`. Beside it stands the largest confidence that any of
    `noise_images` pictures of uniform noise has, of which nothing was made.

    gradient  steps up the gradient of log p, from noise
    direct    the pixels evolve
    cppn      graphs evolve that paint regular pictures

    x      [C, H, W]; nothing is taken from it but its shape
    noise  the run's own random numbers
    state  from which to go on, as its Progress had it
    Returns a picture [C, H, W] of k / 255; its `confidence`, whether it is `fooled`, that is, the confidence is above
    what was asked for; the rows that the search asked about, as `evaluations`, and the `generations` of an evolution;
    and of the `noise` how many `images` there were, and the best one's `confidence`.
    Raises BadParameter for a class that the model does not know, and where there are no gradients to climb.
    """
    c = card.class_index(target)
    if encoding == "gradient" and not card.differentiable:
        detail = (
            f"encoding 'gradient' climbs gradients, and {card.name} answers none; 'direct' and 'cppn' evolve the "
            "picture from its scores alone."
        )
        raise BadParameter.at("/parameters/encoding", detail)

    search, state = Search(x, card.labels, c, confidence, queries), state or {}
    if "beside" in state:  # the search is over
        best, beside = Found(**state["found"]), state["beside"]
        noise.go_on(state["noise"])
    else:
        if encoding == "gradient":
            best = yield from _climbed(search, step_size, noise, state)
        else:
            written = Direct(search.shape, mutation_rate) if encoding == "direct" else Patterns(search.shape)
            best = yield from evolved(written, search, population, noise, state)
        beside = {"images": 0, "confidence": 0.0}
    of = best.evaluations + noise_images
    while (drawn := beside["images"]) < noise_images:
        n = min(wave(x), noise_images - drawn)
        rows = yield Compute(partial(noise_pictures, noise, n, search.shape), stoppable=True)
        scores: Scores = yield Forward(rows, seen=True)
        p = math.exp(search.log_p(scores.logits).max())
        beside = {"images": drawn + n, "confidence": max(beside["confidence"], p)}
        kept = {"found": best.kept, "beside": beside, "noise": noise.state}
        yield Progress(best.evaluations + drawn + n, of, -best.log_p, search.shown(best, beside), kept)
    return search.shown(best, beside if noise_images else None)


def _climbed(search: Search, step_size: float, noise: Noise, state: Mapping[str, Any]) -> "Algorithm[Found]":
    """Steps up the gradient of log p, from uniform noise (section 3.5), each as long as its largest change is.

    The gradient is that at the rounded picture, taken as if nothing were rounded: what is less than a grey level adds
    up in z. That a picture is what is looked for is said by `Forward`, as `classify` would say it.
    """
    z, best = noise.uniform(search.x, 0, 1), Found(search.x, -math.inf, 0)
    if state:
        z, best = state["z"], Found(**state["found"])
        noise.go_on(state["noise"])
    while not search.over(best):
        picture = rounded(z)
        _, g, logits = yield Gradient(picture, LogProbability(search.target), seen=True)
        asked, log_p = best.evaluations + 1, float(search.log_p(logits))
        if math.exp(log_p) > search.confidence and asked < search.queries:
            asked, log_p = asked + 1, float(search.log_p((yield Forward(picture, seen=True)).logits))
        best = replace(best, evaluations=asked, trace=[*best.trace, -log_p]).better(picture, log_p)
        z = (z + step_size * g / g.abs().max().clamp(min=1e-37)).clamp(0, 1)
        kept = {"z": z, "found": best.kept, "noise": noise.state}
        yield Progress(asked, search.queries, -log_p, search.shown(best), kept)
    return best
