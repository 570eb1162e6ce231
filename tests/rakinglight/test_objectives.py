"""What is differentiated, against the closed forms of its value and its derivative."""

import math

import pytest
import torch
from torch.nn.functional import cross_entropy, one_hot

from rakinglight.objectives import SCORES, CrossEntropy, Goal, Logit, LogProbability, Objective, Probability

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
