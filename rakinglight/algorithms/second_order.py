"""Gradient and curvature: what the score does where its first derivative says nothing."""

from math import sqrt
from statistics import fmean, stdev
from typing import TYPE_CHECKING

from rakinglight.fills import filled
from rakinglight.maps import Map
from rakinglight.noise import Noise
from rakinglight.objectives import Objective
from rakinglight.parameters import Filling, NSamples, Sigma
from rakinglight.queries import Algorithm, Gradient, Progress, State, wave

if TYPE_CHECKING:
    from torch import Tensor


def second_order(
    x: "Tensor",
    score: Objective,
    noise: Noise,
    state: State | None = None,
    *,
    n_samples: NSamples = 32,
    sigma: Sigma = 0.1,
    baseline: Filling = "mean",
) -> "Algorithm[Map]":
    """The first and second order of the score along x' = x - baseline: x' (grad S + H x' / 2).

    Singla et al., "Understanding Impacts of High-Order Loss Approximations and Features in Deep Learning
    Interpretation", ICML 2019, section 3, along a given x'. A network of rectifiers is linear in pieces and has no
    second derivative, so H is that of the score smoothed by a Gaussian, E[grad S(x + sigma u) u'] / sigma (Stein's
    identity; Lin et al., "Stein's Lemma for the Reparameterization Trick with Exponential Family Mixtures", arXiv
    2019), and only its product with x' is ever made.

    Each u is asked about together with its mirror image in the plane across x', which is as likely. With d = x' / |x'|
    and v = u.d the two make |x'| v (grad S(x + sigma u) - grad S(x + sigma (u - 2 v d))) / (2 sigma), whose mean is
    H x'. What of the noise lies across x' is in both, so that its effect on the gradient cancels.

    x      [C, H, W], pixels in [0, 1]
    score  the objective that is explained
    noise  the run's own random numbers
    state  from which to go on, as its Progress had it
    Returns the map in units of score. Of the facts, `first_order` and `second_order` are what the two terms add to the
    map's sum, x'.grad S and x'.H x' / 2, and `standard_error` is that of the latter, which `n_samples` draws estimate.
    Their sum is about S(x + x') - S(x), and the first less the second about S(x) - S(baseline).
    """
    import torch
    from torch.nn.functional import normalize

    moved = x - filled(x, baseline, noise)
    d, length = normalize(moved.flatten(), dim=0).view_as(x), moved.norm()  # zero where nothing moved
    if state:
        first, total, sums = state["first"], state["total"], state["sums"]
        found: Map = state["best"]
        noise.go_on(state["noise"])
    else:
        first = (yield Gradient(x, score)).gradient
        total, sums = torch.zeros_like(x), []
    pairs = wave(x) // 2
    for asked in range(len(sums), n_samples, pairs):
        u = noise.normal(x.expand(min(pairs, n_samples - asked), *x.shape))
        v = (u * d).sum((1, 2, 3), keepdim=True)
        value, g, _ = yield Gradient(torch.cat([x + sigma * u, x + sigma * (u - 2 * v * d)]), score)
        g, mirrored = g.chunk(2)
        products = length * v * (g - mirrored) / (2 * sigma)  # H x' as each draw has it
        total = total + products.sum(0)
        sums += ((products * moved).double().sum((1, 2, 3)) / 2).tolist()
        done = len(sums)
        found = Map.of_shares(
            moved * (first + total / done / 2),
            moved,
            sigma=sigma,
            n_samples=done,
            first_order=float((moved * first).double().sum()),
            second_order=fmean(sums),
            standard_error=stdev(sums) / sqrt(done) if done > 1 else None,
        )
        kept = {"first": first, "total": total, "sums": sums, "noise": noise.state}
        yield Progress(done, n_samples, float(value.mean()), best=found, state=kept)
    return found
