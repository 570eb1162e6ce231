"""Shares with their intervals, and the checks that tell a broken evaluation from a robust model."""

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import pytest
import torch
from scipy.stats import binomtest
from torch import Tensor, nn

from rakinglight.audit.checks import CHECKS, checks
from rakinglight.audit.statistics import share, wilson
from rakinglight.audit.trials import FEW, MANY, QUERIES, trials
from rakinglight.engine import Engine
from rakinglight.network import Network
from rakinglight.objectives import Goal
from rakinglight.queries import Forward
from rakinglight.run import Run
from tests.cases import one
from tests.networks import network_of

EPSILONS = (0.1, 0.3)

# ── shares ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (3, 10), (0, 500), (500, 500), (20, 500), (499, 1000)])
def test_the_interval_is_wilson_s_as_scipy_has_it(k: int, n: int) -> None:
    expected = binomtest(k, n).proportion_ci(0.95, "wilson")
    assert wilson(k, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_of_no_images_nothing_is_known() -> None:
    assert share([]) == {"value": None, "low": 0.0, "high": 1.0, "count": 0, "of": 0}


def test_a_share_says_how_many_of_how_many() -> None:
    found = share([True, False, True, True])
    assert (found["value"], found["count"], found["of"]) == (0.75, 3, 4)
    assert found["low"] < 0.75 < found["high"]


# ── checks of whole networks ────────────────────────────────────────────────────────────────────────────────────────


class Doing(nn.Module):
    """A layer that does what a function does."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def identity(x: Tensor) -> Tensor:
    return x


#: What stands before and after a linear network of four classes.
AROUND: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "healthy": (identity, identity),
    "saturated": (identity, lambda z: z * 1e6),
    "rounding": (lambda x: (x * 16).round() / 16, identity),
    # Its slope is right at whole grey levels alone, and of either sign elsewhere; its values hardly differ from x.
    "misleading": (lambda x: x + 0.03 * torch.sin(2 * math.pi * 255 * x), identity),
}


def tried(network: Network, images: int = 12) -> list[Run[dict[str, Any]]]:
    xs = torch.randint(0, 256, (images, 1, 6, 6), generator=torch.Generator().manual_seed(1)) / 255
    engine = Engine([network])
    logits = engine.drive(one(Forward(xs))).logits
    runs = [
        engine.submit(
            Run(trials(x, Goal(int(z.argmax())), z, norm="linf", epsilons=EPSILONS, seed=0, differentiable=True))
        )
        for x, z in zip(xs, logits, strict=True)
    ]
    engine.run_until(lambda: all(run.over for run in runs))
    return runs


@cache
def examined(name: str) -> tuple[frozenset[str], int]:
    """The checks that a network fails, and the most rows that an image took."""
    before, after = AROUND[name]
    module = nn.Sequential(Doing(before), nn.Flatten(), nn.Linear(36, 4), Doing(after))
    runs = tried(network_of(name, module, (1, 6, 6), counts=(12,)))
    made = checks([{"correct": True, "checks": run.result} for run in runs], EPSILONS)
    assert [check["name"] for check in made] == list(CHECKS)
    return frozenset(check["name"] for check in made if check["passed"] is False), max(run.cost.rows for run in runs)


def test_a_healthy_network_passes_every_check() -> None:
    assert examined("healthy")[0] == frozenset()


@pytest.mark.parametrize("name", ["saturated", "rounding"])
def test_a_network_without_gradients_is_found_out(name: str) -> None:
    assert examined(name)[0] >= {"gradients_not_zero", "unbounded_epsilon", "white_box"}


def test_a_network_whose_gradients_mislead_is_found_out_though_they_are_not_zero() -> None:
    found, _ = examined("misleading")
    assert found
    assert "gradients_not_zero" not in found


@pytest.mark.parametrize("name", AROUND)
def test_an_image_s_trials_take_no_more_rows_than_is_said(name: str) -> None:
    each, beside = 2 + (FEW + 1) + (MANY + 1) + (QUERIES + 2), 1 + (MANY + 1)
    assert 0 < examined(name)[1] <= each * len(EPSILONS) + beside


# ── checks of outcomes made by hand ─────────────────────────────────────────────────────────────────────────────────

UNBROKEN = {
    "gradient": 1.0,
    "one_step": [False, True],
    "few_steps": [False, True],
    "many_steps": [False, True],
    "black_box": [False, True],
    "unbounded": True,
}


def entries(count: int, correct: bool = True, **outcome: Any) -> list[dict[str, Any]]:
    return [{"correct": correct, "checks": {**UNBROKEN, **outcome}}] * count


def failed(found: Sequence[dict[str, Any]]) -> list[str]:
    return [check["name"] for check in checks(found, EPSILONS) if check["passed"] is False]


@pytest.mark.parametrize(
    ("outcome", "check"),
    [
        ({"gradient": 0.0}, "gradients_not_zero"),
        ({"many_steps": [False, False]}, "more_steps"),
        ({"few_steps": [True, False], "many_steps": [True, False], "one_step": [True, False]}, "larger_epsilon"),
        ({"unbounded": False}, "unbounded_epsilon"),
        ({"black_box": [True, True]}, "white_box"),
        ({"one_step": [True, True]}, "masked_gradients"),
    ],
)
def test_each_check_fails_by_what_it_is_about(outcome: dict[str, Any], check: str) -> None:
    assert check in failed(entries(20, **outcome))
    assert failed(entries(20)) == []


def test_one_image_of_many_is_an_accident() -> None:
    assert failed(entries(199) + entries(1, gradient=0.0, unbounded=False)) == []
    assert failed(entries(19) + entries(1, many_steps=[False, False], few_steps=[False, False])) == []


def test_a_step_that_makes_wrong_images_right_has_read_the_label() -> None:
    wrong = [{"correct": False, "checks": {"one_step": [False, False]}}] * 15
    assert failed(entries(15) + wrong) == ["label_leaking"]


def test_where_nothing_was_tried_no_check_passes_or_fails() -> None:
    for check in checks([{"correct": True, "checks": {}}, {"correct": True}], EPSILONS):
        assert check["passed"] is None


def test_a_check_that_fails_says_what_that_means() -> None:
    (found,) = [check for check in checks(entries(20, gradient=0.0), EPSILONS) if not check["passed"]]
    assert found["detail"].startswith(CHECKS[found["name"]].must)
    assert CHECKS[found["name"]].else_ in found["detail"]
