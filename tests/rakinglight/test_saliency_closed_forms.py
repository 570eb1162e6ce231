"""Each saliency method on scores whose map can be written down: linear ones, and a network of a few weights."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rakinglight.algorithms.deconvnet import deconvnet
from rakinglight.algorithms.grad_cam import grad_cam
from rakinglight.algorithms.gradient import gradient
from rakinglight.algorithms.gradient_x_input import gradient_x_input
from rakinglight.algorithms.guided_backprop import guided_backprop
from rakinglight.algorithms.integrated_gradients import integrated_gradients
from rakinglight.algorithms.second_order import second_order
from rakinglight.algorithms.smoothgrad import noisy_copies, smoothgrad
from rakinglight.algorithms.vargrad import vargrad
from rakinglight.catalogue import OPERATIONS
from rakinglight.engine import Engine
from rakinglight.fills import filled
from rakinglight.maps import Map
from rakinglight.network import Network
from rakinglight.noise import Noise
from rakinglight.objectives import Logit, LogProbability
from rakinglight.parameters import Filling
from rakinglight.queries import WAVE, Algorithm, Gradient, Progress, Slope
from tests.networks import network_of

SHAPE = (2, 4, 5)
X = torch.rand(SHAPE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
C = 1
S = Logit(C)


def weights(network: Network) -> Tensor:
    """The w of S = w.x + b [C, H, W]."""
    parameter = next(p for p in network.forward.module.parameters() if p.ndim == 2)  # type: ignore[attr-defined]
    w: Tensor = parameter.detach()[C].reshape(SHAPE)
    return w


def close(found: Tensor | None, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


# ── S = w.x + b, in float64: to 1e-12 ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "algorithm",
    [
        pytest.param(lambda: gradient(X, S), id="gradient"),
        pytest.param(lambda: guided_backprop(X, S), id="guided_backprop"),
        pytest.param(lambda: deconvnet(X, S), id="deconvnet"),
        pytest.param(lambda: smoothgrad(X, S, Noise(0), n_samples=7), id="smoothgrad"),
        pytest.param(lambda: smoothgrad(X, S, Noise(0), n_samples=WAVE + 1), id="smoothgrad in two waves"),
    ],
)
def test_a_slope_is_the_weights(linear_network: Network, algorithm: Callable[[], Algorithm[Map]]) -> None:
    found, w = Engine([linear_network]).drive(algorithm()), weights(linear_network)
    close(found.signed, w)
    close(found.map, w.abs().amax(0))
    assert found.moved is None


def test_vargrad_is_nothing(linear_network: Network) -> None:
    found = Engine([linear_network]).drive(vargrad(X, S, Noise(0)))
    close(found.map, torch.zeros(4, 5, dtype=torch.float64))


def test_gradient_x_input_is_the_weights_times_the_image(linear_network: Network) -> None:
    found, w = Engine([linear_network]).drive(gradient_x_input(X, S)), weights(linear_network)
    close(found.signed, w * X)
    close(found.map, (w * X).sum(0))
    close(found.moved, X)


baselines = pytest.mark.parametrize("baseline", ["grey", "mean", "blur", "noise", 0.0, 0.25], ids=str)


@baselines
@pytest.mark.parametrize("n_steps", [1, 50, 2 * WAVE + 1])
def test_integrated_gradients_are_the_weights_times_the_way(
    linear_network: Network, baseline: Filling, n_steps: int
) -> None:
    ig = integrated_gradients(X, S, Noise(0), n_steps=n_steps, baseline=baseline)
    found, moved = Engine([linear_network]).drive(ig), X - filled(X, baseline, Noise(0))
    w = weights(linear_network)
    close(found.signed, w * moved)
    close(found.map, (w * moved).sum(0))
    close(found.moved, moved)
    assert found.facts["score_difference"] == pytest.approx(float((w * moved).sum()), abs=1e-12)
    assert found.facts["completeness_gap"] == pytest.approx(0, abs=1e-12)


@baselines
@pytest.mark.parametrize("n_samples", [1, 5, WAVE])
def test_second_order_adds_nothing_to_the_first(linear_network: Network, baseline: Filling, n_samples: int) -> None:
    """The gradients of a mirrored pair are one and the same, so every draw is zero to rounding over sigma."""
    algorithm = second_order(X, S, Noise(0), n_samples=n_samples, baseline=baseline)
    found, moved = Engine([linear_network]).drive(algorithm), X - filled(X, baseline, Noise(0))
    close(found.signed, weights(linear_network) * moved)
    close(found.moved, moved)
    assert found.facts["first_order"] == pytest.approx(float((weights(linear_network) * moved).sum()))
    assert found.facts["second_order"] == pytest.approx(0, abs=1e-12)
    assert found.facts["standard_error"] == (None if n_samples == 1 else pytest.approx(0, abs=1e-12))


def test_an_image_that_is_its_own_baseline_is_explained_by_nothing(linear_network: Network) -> None:
    grey = torch.full(SHAPE, 0.5, dtype=torch.float64)
    for algorithm in (integrated_gradients, second_order):
        found = Engine([linear_network]).drive(algorithm(grey, S, Noise(0), baseline="grey"))
        assert torch.equal(found.signed, torch.zeros_like(grey))


# ── scores that bend ────────────────────────────────────────────────────────────────────────────────────────────────


class Power(nn.Module):
    """Logit c of a pixel x is x to the c."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x.flatten(1) ** c for c in range(9)], 1)


PIXEL = torch.full((1, 1, 1), 0.8, dtype=torch.float64)


@pytest.fixture
def power() -> Network:
    return network_of("power", Power(), (1, 1, 1))


@pytest.mark.parametrize("degree", range(9))
def test_n_points_integrate_polynomials_of_degree_2n_less_one_without_a_gap(power: Network, degree: int) -> None:
    """The gradient of x^8 is of degree seven: four points are enough, and three are not."""
    ig = integrated_gradients(PIXEL, Logit(degree), Noise(0), n_steps=4, baseline=0.25)
    found = Engine([power]).drive(ig)
    assert found.map.item() == pytest.approx(0.8**degree - 0.25**degree, abs=1e-14)
    assert found.facts["completeness_gap"] == pytest.approx(0, abs=1e-14)
    few = integrated_gradients(PIXEL, Logit(8), Noise(0), n_steps=3, baseline=0.25)
    assert Engine([power]).drive(few).facts["completeness_gap"] < -1e-5


def test_vargrad_of_a_square_is_four_times_the_variance_of_the_noise(power: Network) -> None:
    """The gradient is 2x, so its variance is that of the copies, times four."""
    x = torch.tensor([[[0.2, 0.9]]], dtype=torch.float64)
    squares = network_of("squares", Squares(), (1, 1, 2))
    n = 2 * WAVE + 5  # three waves
    found = Engine([squares]).drive(vargrad(x, Logit(0), Noise(0), n_samples=n, noise_level=0.1))
    noise = Noise(0)
    copies = torch.cat([noisy_copies(x, size, noise, 0.1) for size in (WAVE, WAVE, 5)])
    close(found.map, 4 * copies.var(0, correction=0).amax(0))
    assert found.map.mean() == pytest.approx(4 * (0.1 * 0.7) ** 2, rel=0.3)


class Squares(nn.Module):
    """One logit, the sum of squares."""

    def forward(self, x: Tensor) -> Tensor:
        return (x**2).flatten(1).sum(1, keepdim=True)


def test_the_variance_survives_a_gradient_that_is_large(power: Network) -> None:
    """In float32 E[g²] - E[g]² of gradients near 10,000 with a variance of 1 would be all rounding."""
    g = 1e4 + torch.randn(3 * WAVE, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    found = play(vargrad(torch.rand(1, 2, 2), Logit(0), Noise(0), n_samples=3 * WAVE), iter(g.split(WAVE)))
    torch.testing.assert_close(found.map.double(), g.double().var(0, correction=0)[0], rtol=1e-3, atol=0)


def play(flow: Algorithm[Any], gradients: Any) -> Any:
    """Drive `flow` by hand: the model answers with `gradients`, one after another."""
    asked = next(flow)
    while True:
        try:
            if isinstance(asked, Gradient):
                g = next(gradients)
                asked = flow.send(Slope(torch.zeros(len(g)), g, torch.zeros(len(g), 4)))
            else:
                asked = flow.send(None)
        except StopIteration as done:
            return done.value


def test_the_noise_is_a_share_of_the_images_range() -> None:
    x = torch.tensor([[[0.25, 0.75]]], dtype=torch.float64).expand(1, 50, 2).contiguous()
    copies = noisy_copies(x, 200, Noise(0), 0.2)
    assert float((copies - x).std()) == pytest.approx(0.2 * 0.5, rel=0.02)
    assert copies.min() < 0.25  # not clipped, as the paper has it
    assert torch.equal(noisy_copies(torch.full((1, 2, 2), 0.5), 3, Noise(0), 1.0), torch.full((3, 1, 2, 2), 0.5))


# ── grad_cam by hand ────────────────────────────────────────────────────────────────────────────────────────────────


def test_grad_cam_by_hand() -> None:
    """Two channels, a = x and b = 1 - x, in 2x2 cells; of S = 3 mean(a) + mean(b) alpha is 3/4 and 1/4.

    The other class has S = mean(b) - 3 mean(a), and where a is large its map is cut.
    """
    convolution, head = nn.Conv2d(1, 2, 1), nn.Linear(2, 2)
    network = network_of(
        "by hand",
        nn.Sequential(convolution, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head),
        (1, 2, 2),
        layers={"0": (2, 2, 2)},
    )
    with torch.no_grad():
        for parameter, values in [
            (convolution.weight, [1.0, -1.0]),
            (convolution.bias, [0.0, 1.0]),
            (head.weight, [3.0, 1.0, -3.0, 1.0]),
            (head.bias, [0.0, 0.0]),
        ]:
            assert parameter is not None
            parameter.copy_(torch.tensor(values).view(parameter.shape))
    x = torch.tensor([[[0.0, 0.2], [0.6, 1.0]]], dtype=torch.float64)
    found = Engine([network]).drive(grad_cam(x, Logit(0), "0"))
    expected = (3 * x[0] + (1 - x[0])) / 4
    close(found.map, expected)
    close(found.facts["cells"], expected)
    assert found.facts["layer"] == "0"
    cut = torch.tensor([[0.25, 0.05], [0.0, 0.0]], dtype=torch.float64)
    close(Engine([network]).drive(grad_cam(x, Logit(1), "none", layer="0")).map, cut)


# ── told to stop ────────────────────────────────────────────────────────────────────────────────────────────────────

SAMPLED: dict[str, Callable[[int], Algorithm[Map]]] = {
    "smoothgrad": lambda n: smoothgrad(X, LogProbability(C), Noise(0), n_samples=n),
    "vargrad": lambda n: vargrad(X, LogProbability(C), Noise(0), n_samples=n),
    "second_order": lambda n: second_order(X, LogProbability(C), Noise(0), n_samples=n // 2),
}


def news(network: Network, algorithm: Algorithm[Map]) -> tuple[list[Progress], Map]:
    """What an algorithm shows on its way, and what it returns."""
    shown: list[Progress] = []

    def heard() -> Algorithm[Map]:
        asked = next(algorithm)
        while True:
            if isinstance(asked, Progress):
                shown.append(asked)
            try:
                asked = algorithm.send((yield asked))
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]

    return shown, Engine([network]).drive(heard())


@pytest.mark.parametrize("name", SAMPLED)
def test_what_is_shown_after_a_wave_is_the_map_of_that_many_samples(linear_network: Network, name: str) -> None:
    shown, whole = news(linear_network, SAMPLED[name](3 * WAVE))
    assert [progress.step / progress.of for progress in shown] == pytest.approx([1 / 3, 2 / 3, 1])
    for waves, progress in enumerate(shown, 1):
        _, alone = news(linear_network, SAMPLED[name](waves * WAVE))
        close(progress.best.signed, alone.signed)  # type: ignore[arg-type]
        assert progress.best.facts == alone.facts
    close(whole.signed, shown[-1].best.signed)


def test_every_wave_of_integrated_gradients_goes_the_whole_way(power: Network) -> None:
    shown, whole = news(power, integrated_gradients(PIXEL, Logit(5), Noise(0), n_steps=4 * WAVE, baseline=0.1))
    assert len(shown) == 4
    for progress in shown:
        assert progress.best.map.item() == pytest.approx(whole.map.item(), rel=0.02)
    assert abs(whole.facts["completeness_gap"]) < 1e-12


def test_memory_does_not_grow_with_the_samples() -> None:
    """However many are asked for, a query holds a wave of them."""
    for n in (1, WAVE, 1000):
        for flow in (SAMPLED["smoothgrad"](n), SAMPLED["vargrad"](n)):
            assert len(next(flow)) == min(n, WAVE)


# ── what a caller may write ─────────────────────────────────────────────────────────────────────────────────────────


def test_second_order_is_of_the_log_probability_unless_told_otherwise() -> None:
    saliency = OPERATIONS["saliency"]
    scores = {method.name: saliency.parameters(method)().score for method in saliency.methods}  # type: ignore[attr-defined]
    assert scores.pop("second_order") == "log_probability"
    assert set(scores.values()) == {"logit"}
