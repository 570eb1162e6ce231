"""VarGrad: how much the gradient varies over noisy copies of the image."""

from typing import TYPE_CHECKING

from rakinglight.algorithms.smoothgrad import noisy_copies
from rakinglight.maps import Map
from rakinglight.noise import Noise
from rakinglight.objectives import Objective
from rakinglight.parameters import NoiseLevel, NSamples
from rakinglight.queries import Algorithm, Gradient, Progress, State, wave

if TYPE_CHECKING:
    from torch import Tensor


def vargrad(
    x: "Tensor",
    score: Objective,
    noise: Noise,
    state: State | None = None,
    *,
    n_samples: NSamples = 50,
    noise_level: NoiseLevel = 0.15,
) -> "Algorithm[Map]":
    """The variance of the gradient over the noisy copies whose mean gradient is SmoothGrad.

    Adebayo et al., "Local Explanation Methods for Deep Neural Networks Lack Sensitivity to Parameter Values", ICLR 2018
    workshop. It shows influence where a mean shows none, because the gradient there is as often up as down. The
    variance is that of the samples themselves, the mean squared distance from their mean.

    x      [C, H, W], pixels in [0, 1]
    score  the objective that is explained
    noise  the run's own random numbers
    state  from which to go on, as its Progress had it
    Returns the map in squared units of score per full range of one pixel.
    """
    # In float64, each wave's own mean and variance joined to those so far: Chan et al., "Updating Formulae and a
    # Pairwise Algorithm for Computing Sample Variances", COMPSTAT 1982, equation 2.1. E[g²] - E[g]² would cancel.
    mean, variance, done = x.double() * 0, x.double() * 0, 0
    if state:
        mean, variance, done = state["mean"], state["variance"], state["step"]
        found: Map = state["best"]
        noise.go_on(state["noise"])
    for asked in range(done, n_samples, wave(x)):
        copies = noisy_copies(x, min(wave(x), n_samples - asked), noise, noise_level)
        value, g, _ = yield Gradient(copies, score)
        done = asked + len(copies)
        share = len(copies) / done
        g_mean = g.mean(0).double()
        variance = (1 - share) * variance + share * g.var(0, correction=0) + share * (1 - share) * (g_mean - mean) ** 2
        mean = mean + share * (g_mean - mean)
        found = Map(variance.amax(-3).to(x))
        kept = {"mean": mean, "variance": variance, "noise": noise.state}
        yield Progress(done, n_samples, float(value.mean()), best=found, state=kept)
    return found
