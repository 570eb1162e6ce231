"""SmoothGrad: the gradient, averaged over noisy copies of the image."""

from typing import TYPE_CHECKING

from rakinglight.maps import Map
from rakinglight.noise import Noise
from rakinglight.objectives import Objective
from rakinglight.parameters import NoiseLevel, NSamples
from rakinglight.queries import Algorithm, Gradient, Progress, State, wave

if TYPE_CHECKING:
    from torch import Tensor


def smoothgrad(
    x: "Tensor",
    score: Objective,
    noise: Noise,
    state: State | None = None,
    *,
    n_samples: NSamples = 50,
    noise_level: NoiseLevel = 0.15,
) -> "Algorithm[Map]":
    """The mean gradient of noisy copies of the image.

    Smilkov et al., "SmoothGrad: Removing Noise by Adding Noise", ICML workshop 2017, section 2.2.

    x      [C, H, W], pixels in [0, 1]
    score  the objective that is explained
    noise  the run's own random numbers
    state  from which to go on, as its Progress had it
    Returns the map in units of score per full range of one pixel.
    """
    total, done = x.new_zeros(x.shape), 0
    if state:
        total, done = state["total"], state["step"]
        noise.go_on(state["noise"])
    for asked in range(done, n_samples, wave(x)):
        copies = noisy_copies(x, min(wave(x), n_samples - asked), noise, noise_level)
        value, g, _ = yield Gradient(copies, score)
        total = total + g.sum(0)
        done = asked + len(copies)
        kept = {"total": total, "noise": noise.state}
        yield Progress(done, n_samples, float(value.mean()), best=Map.of_slope(total / done), state=kept)
    return Map.of_slope(total / n_samples)


def noisy_copies(x: "Tensor", n: int, noise: Noise, noise_level: float) -> "Tensor":
    """The image x [C, H, W] under Gaussian noise, n times: [n, C, H, W], not clipped to [0, 1].

    noise_level  its standard deviation as a share of x's range, sigma / (x_max - x_min)
    """
    sigma = noise_level * (x.max() - x.min())
    return x + sigma * noise.normal(x.expand(n, *x.shape))
