"""Second order against the Hessians that can be written down, and against the exact one.

A network of rectifiers is linear near x, where sigma is so small that no draw leaves the region: there the logits have
the slope J [K, n] and the log-probability of class c the Hessian -J'(diag p - p p')J, whatever c is (Singla et al.
2019, theorem 1, of the loss, with the other sign).
"""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.functional import hessian, jacobian

from rakinglight.algorithms.second_order import second_order
from rakinglight.engine import Engine
from rakinglight.fills import filled
from rakinglight.maps import Map
from rakinglight.network import Network
from rakinglight.noise import Noise
from rakinglight.objectives import Logit, LogProbability, Objective, Probability
from tests.networks import network_of

SHAPE = (2, 3, 3)
X = torch.rand(SHAPE, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
#: Small enough that nothing bends within it, large enough that a difference of gradients over it keeps seven digits.
TINY = 1e-6
SAMPLES = 1000


def network_with(activation: nn.Module) -> Network:
    return network_of(
        "small",
        nn.Sequential(nn.Conv2d(2, 4, 2), activation, nn.Flatten(), nn.Linear(16, 4)),
        SHAPE,
        counts=(64,),
    )


@pytest.fixture(scope="module")
def rectified() -> Network:
    return network_with(nn.ReLU())


@pytest.fixture(scope="module")
def softened() -> Network:
    return network_with(nn.Softplus())


def logits(network: Network, x: Tensor) -> Tensor:
    """[K] of flat x."""
    z: Tensor = network.forward.module(x.view(1, *SHAPE))[0]  # type: ignore[attr-defined]
    return z


def explained(network: Network, score: Objective, **how: float | str) -> Map:
    found: Map = Engine([network]).drive(second_order(X, score, Noise(0), **{"sigma": TINY, **how}))  # type: ignore[arg-type]
    return found


def curvature(found: Map, network: Network, score: Objective) -> Tensor:
    """The part of second order of the map [n]: x' H x' / 2, value by value."""
    first = jacobian(lambda x: score(logits(network, x)[None])[0], X.flatten())
    assert found.signed is not None
    assert found.moved is not None
    return found.signed.flatten() - found.moved.flatten() * first  # type: ignore[no-any-return]


def expected_curvature(H: Tensor, found: Map) -> Tensor:
    assert found.moved is not None
    moved = found.moved.flatten()
    return moved * (H @ moved) / 2


# ── in a region where nothing bends but the softmax ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("c", range(4))
@pytest.mark.parametrize("baseline", ["mean", 0.0], ids=str)
def test_inside_a_linear_region_it_is_the_closed_form(rectified: Network, c: int, baseline: str | float) -> None:
    """There each draw is v² H x', so that a thousand of them err by sqrt(2 / 1000): 4.5 %, and three times that."""
    score = LogProbability(c)
    found = explained(rectified, score, n_samples=SAMPLES, baseline=baseline)
    J, p = jacobian(lambda x: logits(rectified, x), X.flatten()), logits(rectified, X.flatten()).softmax(0).detach()
    H = -J.T @ (p.diag() - p.outer(p)) @ J
    ours, exact = curvature(found, rectified, score), expected_curvature(H, found)
    assert exact.abs().max() > 1e-3
    torch.testing.assert_close(ours, exact, rtol=3 * math.sqrt(2 / SAMPLES), atol=1e-6)


def test_what_it_errs_by_there_is_the_draws_length_alone(rectified: Network) -> None:
    """Every draw points the way of H x', so the direction is exact: to 1e-5, of rounding over sigma."""
    score = LogProbability(1)
    few = curvature(explained(rectified, score, n_samples=3), rectified, score)
    many = curvature(explained(rectified, score, n_samples=64), rectified, score)
    torch.testing.assert_close(few / few.norm(), many / many.norm(), rtol=0, atol=1e-5)


def test_of_a_logit_there_is_none_there(rectified: Network) -> None:
    """To rounding over sigma."""
    assert curvature(explained(rectified, Logit(0)), rectified, Logit(0)).abs().max() < 1e-8


# ── in a network that bends everywhere ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("score", [Logit(2), LogProbability(2), Probability(2)], ids=lambda score: type(score).__name__)
def test_of_a_smooth_network_it_is_the_exact_hessian(softened: Network, score: Objective) -> None:
    found = explained(softened, score, n_samples=SAMPLES)
    H = hessian(lambda x: score(logits(softened, x)[None])[0], X.flatten())
    ours, exact = curvature(found, softened, score), expected_curvature(H, found)
    torch.testing.assert_close(ours, exact, rtol=3 * math.sqrt(2 / SAMPLES), atol=1e-6)


def test_the_error_that_is_told_is_that_of_the_maps_sum(softened: Network) -> None:
    """Of 60 seeds, the spread of x'.Hx'/2 is the standard error that each of them tells; one in twenty is two away."""
    score = LogProbability(0)
    H = hessian(lambda x: score(logits(softened, x)[None])[0], X.flatten())
    engine, sums, told = Engine([softened]), [], []
    for seed in range(60):
        found = engine.drive(second_order(X, score, Noise(seed), n_samples=32, sigma=1e-3))
        sums.append(float(curvature(found, softened, score).sum()))
        told.append(found.facts["standard_error"])
    exact = float(expected_curvature(H, found).sum())
    deviations = (torch.tensor(sums) - exact) / torch.tensor(told)
    assert deviations.square().mean().sqrt() == pytest.approx(1, abs=0.35)
    assert float(torch.tensor(sums).std() / torch.tensor(told).mean()) == pytest.approx(1, abs=0.35)


def test_four_times_the_draws_halve_the_error(softened: Network) -> None:
    few, many = (explained(softened, LogProbability(0), n_samples=n).facts["standard_error"] for n in (250, 1000))
    assert few / many == pytest.approx(2, rel=0.25)


def test_mirrored_pairs_err_less_than_lone_draws_with_as_many_rows(softened: Network) -> None:
    """The plain estimate |x'| v grad S(x + sigma u) / sigma carries all of grad S / sigma as noise."""
    score, n, sigma = LogProbability(0), 512, 0.05
    found = explained(softened, score, n_samples=n // 2, sigma=sigma)
    assert found.moved is not None
    u = Noise(0).normal(X.expand(n, *SHAPE))
    g = softened.forward.gradient(X + sigma * u, score).gradient
    v = (u * found.moved).sum((1, 2, 3))
    lone = (v * (g * found.moved).sum((1, 2, 3)) / sigma / 2).std() / math.sqrt(n)
    assert found.facts["standard_error"] < float(lone) / 5


# ── where the gradient is empty ─────────────────────────────────────────────────────────────────────────────────────


class Saturated(nn.Module):
    """S = 1 - relu(1 - x): it rises to 1 and stays there."""

    def forward(self, x: Tensor) -> Tensor:
        return 1 - (1 - x).relu().flatten(1)


@pytest.mark.parametrize("sigma", [0.05, 0.1, 0.3])
def test_a_saturated_unit_has_no_gradient_and_the_curvature_of_a_smoothed_kink(sigma: float) -> None:
    """Smoothed, S'' at x is -phi((1 - x) / sigma) / sigma; at x = 1.02 of the baseline 0 that is x'² S'' / 2."""
    network = network_of("saturated", Saturated(), (1, 1, 1), counts=(64,))
    x = torch.full((1, 1, 1), 1.02, dtype=torch.float64)
    z = (1 - 1.02) / sigma
    H = -math.exp(-z * z / 2) / math.sqrt(2 * math.pi) / sigma
    found = Engine([network]).drive(second_order(x, Logit(0), Noise(0), n_samples=SAMPLES, sigma=sigma, baseline=0.0))
    assert found.map.item() == pytest.approx(1.02**2 * H / 2, abs=4 * found.facts["standard_error"])
    assert found.facts["standard_error"] < 0.1 * abs(found.map.item())


# ── what it says of itself ──────────────────────────────────────────────────────────────────────────────────────────


def test_the_reply_names_what_it_rests_on(rectified: Network) -> None:
    score = LogProbability(3)
    found = explained(rectified, score, n_samples=40, sigma=0.07, baseline=0.2)
    assert found.facts["sigma"] == 0.07
    assert found.facts["n_samples"] == 40
    g = rectified.forward.gradient(X[None], score).gradient[0]
    assert found.facts["first_order"] == pytest.approx(float((g * (X - 0.2)).sum()))
    assert found.facts["first_order"] + found.facts["second_order"] == pytest.approx(float(found.map.sum()))


def test_of_one_draw_there_is_no_standard_error(rectified: Network) -> None:
    assert explained(rectified, LogProbability(0), n_samples=1).facts["standard_error"] is None


def test_a_seed_repeats_it_and_costs_what_it_says(rectified: Network) -> None:
    """One row at x, and two a draw."""
    from rakinglight.engine import Run

    engine = Engine([rectified])
    runs = [engine.submit(Run(second_order(X, LogProbability(0), Noise(7), n_samples=50))) for _ in range(2)]
    engine.run_until(lambda: all(run.over for run in runs))
    assert torch.equal(runs[0].result.map, runs[1].result.map)
    assert (runs[0].cost.forward_rows, runs[0].cost.gradient_rows) == (0, 101)


def test_the_baseline_is_the_one_that_is_named(rectified: Network) -> None:
    for baseline in ("mean", "blur", "grey"):
        moved = explained(rectified, LogProbability(0), n_samples=1, baseline=baseline).moved
        assert torch.equal(moved, X - filled(X, baseline, Noise(0)))  # type: ignore[arg-type]
