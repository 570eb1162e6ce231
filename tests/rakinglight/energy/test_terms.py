"""The regularisers: their slopes, by hand on a step, and at the papers' scale."""

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from rakinglight.energy import AlphaNorm, Near, Term, TotalVariation, natural
from rakinglight.energy.terms import B, V, restated

MEAN = torch.tensor([0.485, 0.456, 0.406], dtype=torch.float64).view(-1, 1, 1)
X = torch.rand(2, 3, 5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
STEP = torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(1, 1, 3, 4)

TERMS = {
    "alpha 6": AlphaNorm(MEAN),
    "alpha 1": AlphaNorm(MEAN, 2.0, 1.0),
    "alpha 2.5": AlphaNorm(MEAN, 0.5, 2.5),
    "TV 2": TotalVariation(),
    "TV 1": TotalVariation(3.0, 1.0),
    "TV 0.5": TotalVariation(1.0, 0.5),
    "near": Near(X[1] / 2, 7.0),
}
each_term = pytest.mark.parametrize("term", TERMS.values(), ids=TERMS.keys())


@each_term
def test_its_derivative_is_the_slope_of_its_values(term: Term) -> None:
    assert torch.autograd.gradcheck(term, X.clone().requires_grad_())


@each_term
def test_no_row_touches_another(term: Term) -> None:
    together = term(X)
    assert together.shape == (2,)
    assert torch.equal(together, torch.cat([term(X[:1]), term(X[1:])]))


@each_term
def test_where_a_picture_is_flat_and_nothing_it_has_a_slope(term: Term) -> None:
    x = MEAN.expand(1, 3, 5, 4).clone().requires_grad_()
    (g,) = torch.autograd.grad(term(x).sum(), x)
    assert g.isfinite().all()


@pytest.mark.parametrize("beta", [1.0, 2.0, 3.0])
@pytest.mark.parametrize("height", [1.0, 0.25])
def test_the_variation_of_a_step_is_its_edge(beta: float, height: float) -> None:
    # Three of twelve pixels have a next one that is `height` higher.
    assert TotalVariation(2.0, beta)(height * STEP).item() == pytest.approx(2 * 3 * (height / V) ** beta / 12, rel=1e-4)
    assert TotalVariation(2.0, beta)(height * STEP.mT).item() == pytest.approx(2 * 3 * (height / V) ** beta / 12, 1e-4)


def test_with_beta_1_a_ramp_costs_what_a_step_does_and_with_beta_2_less() -> None:
    ramp = torch.linspace(0, 1, 4).expand(1, 1, 3, 4)
    assert TotalVariation(beta=1.0)(ramp).item() == pytest.approx(TotalVariation(beta=1.0)(STEP).item(), rel=1e-4)
    assert TotalVariation()(ramp).item() == pytest.approx(TotalVariation()(STEP).item() / 3)


@pytest.mark.parametrize("alpha", [1.0, 2.0, 6.0])
def test_the_norm_of_a_step_is_that_of_its_bright_half(alpha: float) -> None:
    black = torch.zeros(1, 1, 1)
    assert AlphaNorm(black, 3.0, alpha)(STEP).item() == pytest.approx(3 * (1 / B) ** alpha / 2)
    grey = black + 0.5
    assert AlphaNorm(grey, 3.0, alpha)(STEP).item() == pytest.approx(3 * (0.5 / B) ** alpha)


def test_a_colour_counts_as_its_length() -> None:
    x = torch.tensor([0.2, 0.1, 0.2]).view(1, 3, 1, 1)
    assert AlphaNorm(torch.zeros(3, 1, 1), alpha=6.0)(x).item() == pytest.approx((0.3 / B) ** 6)


def test_near_is_a_mean_square() -> None:
    assert Near(torch.zeros(1, 3, 4), 5.0)(STEP).item() == pytest.approx(5 * 0.5 / B**2)


def test_a_term_of_no_weight_is_left_out() -> None:
    assert natural(MEAN, 6, 0, 2, 0) == ()
    (only,) = natural(MEAN, 6, 0, 1.5, 3)
    assert isinstance(only, TotalVariation)
    assert (only.weight, only.beta) == (3, 1.5)


# ── at the scale of the papers ──────────────────────────────────────────────────────────────────────────────────────


def published_norm(y: Tensor, weight: float, alpha: float) -> Tensor:
    """The sum of lambda |y|^alpha, where y are pixels of 0 to 255, less the mean image."""
    return weight * y.square().sum(1).pow(alpha / 2).sum((1, 2))


def published_variation(y: Tensor, weight: float, beta: float) -> Tensor:
    """The sum of lambda ((y_right - y)^2 + (y_below - y)^2)^(beta / 2)."""
    total, zero = torch.zeros(len(y), dtype=y.dtype), torch.zeros(len(y), dtype=y.dtype)
    _, C, H, W = y.shape
    for k, i, j in itertools.product(range(C), range(H), range(W)):
        dx = y[:, k, i, j + 1] - y[:, k, i, j] if j + 1 < W else zero
        dy = y[:, k, i + 1, j] - y[:, k, i, j] if i + 1 < H else zero
        if (i, j) != (H - 1, W - 1):  # which has no next
            total = total + (dx**2 + dy**2) ** (beta / 2)
    return weight * total


@pytest.mark.parametrize(
    ("term", "published", "weight", "exponent", "usual"),
    [
        (lambda weight: AlphaNorm(MEAN, weight, 6.0), published_norm, 8e-10, 6, B),  # as the authors' program has it
        (lambda weight: AlphaNorm(MEAN, weight, 3.0), published_norm, 1e-4, 3, B),
        (lambda weight: TotalVariation(weight), published_variation, 10, 2, V),  # the same
        (lambda weight: TotalVariation(weight, 1.0), published_variation, 0.5, 1, V),
    ],
)
def test_a_published_weight_restated_gives_the_published_energy_and_slope(
    term: Callable[[float], Term],
    published: Callable[[Tensor, float, float], Tensor],
    weight: float,
    exponent: float,
    usual: float,
) -> None:
    ours = term(restated(weight, exponent, 5 * 4, usual))
    x = X.clone().requires_grad_()
    y = (255 * (X - MEAN)).requires_grad_()
    E, E_published = ours(x), published(y, weight, exponent)
    torch.testing.assert_close(E, E_published, rtol=1e-7, atol=0)
    (g,) = torch.autograd.grad(E.sum(), x)
    (g_published,) = torch.autograd.grad(E_published.sum(), y)
    torch.testing.assert_close(g, 255 * g_published, rtol=1e-6, atol=1e-9)


def test_the_published_strengths_are_of_80_of_255_grey_levels() -> None:
    assert restated(1, 1, 1, B) == pytest.approx(80)
    assert restated(1, 2, 10, V) == pytest.approx(10 * (80 / 6.5) ** 2)
