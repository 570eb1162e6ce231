"""What is differentiated, against the closed forms of its value and its derivative."""

import math

import pytest
import torch
from torch.nn.functional import cross_entropy, one_hot

from rakinglight.objectives import (
    SCORES,
    CrossEntropy,
    DifferenceOfLogitsRatio,
    Goal,
    Logit,
    LogProbability,
    Margin,
    Objective,
    Probability,
)

Z = torch.randn(7, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3
P = Z.softmax(1)
C = 2
E_C = one_hot(torch.tensor(C), 5).double()

CLOSED_FORMS = [
    pytest.param(Logit(C), Z[:, C], E_C.expand(7, 5), id="logit"),
    pytest.param(Probability(C), P[:, C], P[:, C : C + 1] * (E_C - P), id="probability"),
    pytest.param(LogProbability(C), P[:, C].log(), E_C - P, id="log_probability"),
    pytest.param(CrossEntropy(C), -P[:, C].log(), P - E_C, id="cross_entropy"),
    pytest.param(-CrossEntropy(C), P[:, C].log(), E_C - P, id="minus_cross_entropy"),
]


@pytest.mark.parametrize(("objective", "value", "derivative"), CLOSED_FORMS)
def test_value_and_derivative(objective: Objective, value: torch.Tensor, derivative: torch.Tensor) -> None:
    logits = Z.clone().requires_grad_()
    values = objective(logits)
    (g,) = torch.autograd.grad(values.sum(), logits)
    torch.testing.assert_close(values.detach(), value)
    torch.testing.assert_close(g, derivative)


@pytest.mark.parametrize(("objective", "value", "derivative"), CLOSED_FORMS)
def test_no_row_touches_another(objective: Objective, value: torch.Tensor, derivative: torch.Tensor) -> None:
    logits = Z.clone().requires_grad_()
    (g,) = torch.autograd.grad(objective(logits)[3], logits)
    assert (g[[0, 1, 2, 4, 5, 6]] == 0).all()


def test_cross_entropy_is_the_fields() -> None:
    expected = cross_entropy(Z, torch.full((7,), C), reduction="none")
    torch.testing.assert_close(CrossEntropy(C)(Z), expected)


RATIOS = [
    # Z, y, t, the ratio by hand.
    pytest.param([5.0, 3.0, 1.0, 0.0], 0, None, (3 - 5) / (5 - 1), id="still right"),
    pytest.param([5.0, 3.0, 1.0, 0.0], 1, None, (5 - 3) / (5 - 1), id="wrong"),
    pytest.param([5.0, 3.0, 1.0, 0.0], 2, None, 1.0, id="third"),
    pytest.param([5.0, 3.0, 1.0, 0.0], 0, 2, (1 - 5) / (5 - 0.5), id="towards a target"),
    pytest.param([0.0, 1.0, 5.0, 3.0], 0, 2, (5 - 0) / (5 - 0.5), id="at the target"),
    pytest.param([5.0, 3.0, 1.0], 0, 1, (3 - 5) / (5 - 1), id="three classes and a target"),
    pytest.param([5.0, 3.0], 0, None, -2.0, id="two classes: the margin"),
    pytest.param([5.0, 3.0], 0, 1, -2.0, id="two classes and a target"),
    pytest.param([2.0, 2.0, 2.0, 2.0], 0, None, 0.0, id="all equal"),
]


@pytest.mark.parametrize(("logits", "y", "t", "expected"), RATIOS)
def test_the_difference_of_logits_ratio(logits: list[float], y: int, t: int | None, expected: float) -> None:
    found = DifferenceOfLogitsRatio(y, t)(torch.tensor([logits, logits[::-1]], dtype=torch.float64))
    assert found.shape == (2,)
    assert found[0].item() == pytest.approx(expected)


@pytest.mark.parametrize("t", [None, 1])
def test_no_scale_of_the_logits_changes_the_ratio(t: int | None) -> None:
    ratio = DifferenceOfLogitsRatio(C, t)
    torch.testing.assert_close(ratio(Z * 1000 + 7), ratio(Z))


@pytest.mark.parametrize("t", [None, 1])
def test_the_derivative_of_the_ratio(t: int | None) -> None:
    assert torch.autograd.gradcheck(DifferenceOfLogitsRatio(C, t), Z.clone().requires_grad_())


def test_the_margin_is_to_the_best_other_class() -> None:
    logits = torch.tensor([[5.0, 3.0, 1.0], [1.0, 3.0, 5.0]], requires_grad=True)
    values = Margin(0)(logits)
    (g,) = torch.autograd.grad(values.sum(), logits)
    assert values.tolist() == [-2.0, 4.0]
    assert g.tolist() == [[-1.0, 1.0, 0.0], [-1.0, 0.0, 1.0]]


@pytest.mark.parametrize("goal", [Goal(C), Goal(C, 1)])
def test_a_goal_is_reached_where_its_margin_is_above_zero(goal: Goal) -> None:
    assert ((goal.margin(Z) > 0) == goal.reached(Z)).all()
    assert 0 < goal.reached(Z).sum() < len(Z)


@pytest.mark.parametrize("objective", [LogProbability(0), CrossEntropy(0), Probability(0)])
def test_logits_of_a_thousand_do_not_overflow(objective: Objective) -> None:
    logits = torch.tensor([[-1000.0, 1000.0]], requires_grad=True)
    value = objective(logits)
    (g,) = torch.autograd.grad(value.sum(), logits)
    assert math.isfinite(value.item())
    assert torch.isfinite(g).all()


def test_a_goal_climbs_away_from_its_label_or_towards_its_target() -> None:
    assert Goal(3).loss == CrossEntropy(3)
    assert Goal(3, 1).loss == LogProbability(1)


def test_the_scores_are_named_as_the_contract_names_them() -> None:
    assert list(SCORES.items()) == [("logit", Logit), ("probability", Probability), ("log_probability", LogProbability)]
