"""Infidelity and max-sensitivity: Captum's own numbers with the same draws, and what they say of linear models."""

from collections.abc import Iterator

import pytest
import torch
from captum.attr import IntegratedGradients, Saliency
from captum.metrics import infidelity as captum_infidelity
from captum.metrics import infidelity_perturb_func_decorator, sensitivity_max
from torch import Tensor, nn

from rakinglight.algorithms.grad_cam import grad_cam
from rakinglight.algorithms.gradient import gradient
from rakinglight.algorithms.integrated_gradients import integrated_gradients
from rakinglight.errors import BadParameter
from rakinglight.maps import Map
from rakinglight.network import Network
from rakinglight.noise import Noise
from rakinglight.trust import infidelity as ours
from rakinglight.trust.infidelity import infidelity
from rakinglight.trust.max_sensitivity import max_sensitivity, neighbours
from tests.cases import case_of, examined

pytestmark = pytest.mark.filterwarnings("ignore:.*required_grads.*", "ignore:Input Tensor.*")

X = 0.3 + 0.4 * torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
C = 2


@pytest.fixture
def plain(small_convolution: Network) -> nn.Module:
    return small_convolution.forward.module  # type: ignore[attr-defined,no-any-return]


@pytest.fixture
def drawn() -> Tensor:
    """What infidelity draws for seed 7: the seed after it."""
    return torch.cat(list(ours.draws(X, Noise(8))))


def test_infidelity_of_a_slope_is_captums(small_convolution: Network, plain: nn.Module, drawn: Tensor) -> None:
    case = case_of(small_convolution, X, gradient, C, seed=7)
    found = examined(small_convolution, case, infidelity)
    slope = Saliency(plain).attribute(X[None], target=C, abs=False)
    expected = captum_infidelity(
        plain, lambda x: (drawn, x - drawn), X[None], slope, target=C, n_perturb_samples=ours.N_SAMPLES
    )
    assert found["value"] == pytest.approx(float(expected), rel=1e-9)
    assert found["value"] < found["empty_map"]


def test_infidelity_of_shares_is_captums(small_convolution: Network, plain: nn.Module, drawn: Tensor) -> None:
    """Captum divides the perturbation by input - baseline; here the map is divided by how far each value was moved."""
    baseline = torch.full_like(X, 0.1)
    baseline[0, 0, 0] = X[0, 0, 0]  # what was not moved has no share, and divides nothing
    shares = IntegratedGradients(plain).attribute(X[None], baseline[None], target=C, n_steps=20)
    found = examined(
        small_convolution, case_of(small_convolution, X, Map.of_shares(shares[0], X - baseline), C, seed=7), infidelity
    )
    perturbed = infidelity_perturb_func_decorator(True)(lambda x, _baselines: x - drawn)
    expected = captum_infidelity(
        plain, perturbed, X[None], shares, baseline[None], target=C, n_perturb_samples=ours.N_SAMPLES
    )
    assert found["value"] == pytest.approx(float(expected), rel=1e-9)


def test_the_score_that_was_explained_is_the_one_that_noise_moves(small_convolution: Network) -> None:
    found = {
        score: examined(small_convolution, case_of(small_convolution, X, gradient, C, score=score), infidelity)
        for score in ("logit", "probability")
    }
    assert all(f["value"] < 0.5 * f["empty_map"] for f in found.values())
    assert found["probability"]["empty_map"] < 0.5 * found["logit"]["empty_map"]


@pytest.mark.parametrize("method", [gradient, integrated_gradients])
def test_a_linear_model_has_no_infidelity(linear_network: Network, method: object) -> None:
    x = torch.rand(2, 4, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    parameters = {"noise": Noise(0)} if method is integrated_gradients else {}
    found = examined(linear_network, case_of(linear_network, x, method, 1, **parameters), infidelity)  # type: ignore[arg-type]
    assert found["value"] == pytest.approx(0, abs=1e-9)
    assert found["empty_map"] > 1e-4


def test_infidelity_of_an_empty_map_is_what_it_is_compared_with(small_convolution: Network) -> None:
    nothing = Map(torch.zeros(8, 8), signed=torch.zeros_like(X))
    found = examined(small_convolution, case_of(small_convolution, X, nothing, C), infidelity)
    assert found["value"] == found["empty_map"]


def test_infidelity_wants_a_number_for_each_value(small_convolution: Network) -> None:
    case = case_of(small_convolution, X, grad_cam, C, last_layer="0")
    with pytest.raises(BadParameter, match="for each value of the image"):
        examined(small_convolution, case, infidelity)


def test_max_sensitivity_is_captums(small_convolution: Network, plain: nn.Module) -> None:
    found = examined(small_convolution, case_of(small_convolution, X, gradient, C, seed=7), max_sensitivity)
    near = torch.stack(list(neighbours(X, Noise(8))))

    def slope(x: tuple[Tensor, ...] | Tensor) -> tuple[Tensor, ...]:
        (rows,) = x if isinstance(x, tuple) else (x,)
        return (Saliency(plain).attribute(rows, target=C, abs=False).contiguous(),)

    expected = sensitivity_max(slope, X[None], lambda _x, _radius: near)
    assert found["value"] == pytest.approx(float(expected), rel=1e-9)
    assert found["value"] > 0
    assert (found["radius"], found["n_samples"]) == (0.02, 10)


def test_max_sensitivity_takes_the_map_where_nothing_is_signed(small_convolution: Network) -> None:
    asked = []

    def brightness(x: Tensor, score: object) -> Iterator[Map]:
        asked.append(x)
        yield from ()
        return Map(x.sum(0))  # type: ignore[return-value]

    case = case_of(small_convolution, X, brightness, C)  # type: ignore[arg-type]
    found = examined(small_convolution, case, max_sensitivity)
    first, *near = asked
    ratios = [float((x.sum(0) - first.sum(0)).norm() / first.sum(0).norm()) for x in near]
    assert found["value"] == pytest.approx(max(ratios))
    assert all(0.015 < float((x - first).abs().max()) <= 0.02 for x in near)


def test_the_map_of_a_linear_model_stays(linear_network: Network) -> None:
    x = torch.rand(2, 4, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert examined(linear_network, case_of(linear_network, x, gradient, 1), max_sensitivity)["value"] == 0
