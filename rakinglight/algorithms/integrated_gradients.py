"""Integrated gradients."""

from typing import TYPE_CHECKING

from rakinglight.fills import filled
from rakinglight.maps import Map
from rakinglight.noise import Noise
from rakinglight.objectives import Objective
from rakinglight.parameters import Filling, NSteps
from rakinglight.queries import Algorithm, Forward, Gradient, Progress, State, wave

if TYPE_CHECKING:
    from torch import Tensor


def integrated_gradients(
    x: "Tensor",
    score: Objective,
    noise: Noise,
    state: State | None = None,
    *,
    n_steps: NSteps = 50,
    baseline: Filling = 0.0,
) -> "Algorithm[Map]":
    """The mean gradient on the straight path from a baseline to the image, times the way that each value goes.

    Sundararajan et al., "Axiomatic Attribution for Deep Networks", ICML 2017, equation 1. The integral is taken at the
    Gauss-Legendre points, which are exact for polynomials of degree 2 n_steps - 1.

    x      [C, H, W], pixels in [0, 1]
    score  the objective that is explained
    noise  the run's own random numbers, for a baseline of noise
    state  from which to go on, as its Progress had it
    Returns the map in units of score. Of the facts, `score_difference` is S(x) - S(baseline), to which the map would
    add up if the integral were exact (axiom of completeness), and `completeness_gap` how much more than that it adds
    up to.
    """
    import torch
    from numpy.polynomial.legendre import leggauss

    start = filled(x, baseline, noise)
    moved = x - start
    nodes, weights = ((torch.from_numpy(a) / 2).to(x).view(-1, 1, 1, 1) for a in leggauss(n_steps))
    if state:
        integral, weight, difference, done = state["integral"], state["weight"], state["difference"], state["step"]
        found: Map = state["best"]
    else:
        S = score((yield Forward(torch.stack([x, start]))).logits)
        integral, weight, difference, done = torch.zeros_like(x), 0.0, float(S[0] - S[1]), 0
    waves = -(-n_steps // wave(x))
    for first in range(done, waves):
        part = slice(first, None, waves)  # every wave goes the whole way, so that one alone is an estimate
        value, g, _ = yield Gradient(start + (0.5 + nodes[part]) * moved, score)
        integral = integral + (weights[part] * g).sum(0)
        weight += float(weights[part].sum())
        shares = integral / weight * moved
        gap = float(shares.double().sum()) - difference
        found = Map.of_shares(shares, moved, score_difference=difference, completeness_gap=gap)
        kept = {"integral": integral, "weight": weight, "difference": difference}
        yield Progress(first + 1, waves, float(value.mean()), best=found, state=kept)
    return found
