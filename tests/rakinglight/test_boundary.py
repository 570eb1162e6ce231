"""The Boundary Attack: its proposals, its lengths, a walk on a half-space, its budget."""

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from rakinglight.algorithms.boundary import SIDEWAYS, TOWARDS, boundary, check_walk, followed, proposed
from rakinglight.catalogue import OPERATIONS
from rakinglight.errors import BadParameter
from rakinglight.example import Example
from rakinglight.noise import Noise
from rakinglight.objectives import Goal
from tests.half_space import LABEL, X, a_normal, half_space, play


def far(row: Tensor) -> float:
    return float((row - X).norm())


def test_a_proposal_goes_sideways_on_the_sphere_and_then_towards_the_image() -> None:
    x_k = X + 0.3 * a_normal()
    for seed in range(10):
        on_sphere, nearer = proposed(X, x_k, 0.1, 0.05, Noise(seed))
        assert far(on_sphere) == pytest.approx(0.3)
        assert far(nearer) == pytest.approx(0.95 * 0.3)
        cosine = float(((on_sphere - X) * (x_k - X)).sum()) / 0.3**2
        assert cosine == pytest.approx(1 / math.sqrt(1.01))  # a tenth of the radius sideways
        torch.testing.assert_close((nearer - X) / 0.95, on_sphere - X)


def test_a_proposal_stays_in_the_box() -> None:
    on_sphere, nearer = proposed(X, torch.ones_like(X), 0.5, 0.01, Noise(0))
    assert float(on_sphere.max()) <= 1
    assert float(nearer.max()) <= 1


@pytest.mark.parametrize(("successes", "factor"), [(0, 1 / 1.5), (1, 1 / 1.5), (2, 1), (5, 1), (6, 1.5), (10, 1.5)])
def test_a_length_follows_how_often_it_succeeds(successes: int, factor: float) -> None:
    assert followed([True] * successes + [False] * (10 - successes), (0.2, 0.5)) == factor


def test_its_walk_comes_to_the_hyperplane() -> None:
    found = [
        play(boundary(X, Goal(0), Noise(0), LABEL, queries=n), half_space(a_normal(), 0.3))[2] for n in (50, 500, 3000)
    ]
    assert 0.3 < far(found[2]) < far(found[1]) < far(found[0])
    assert far(found[2]) < 1.05 * 0.3


@pytest.mark.parametrize("queries", [1, 2, 7, 20, 21, 22, 23, 100, 333])
def test_it_never_asks_one_row_more(queries: int) -> None:
    beyond = half_space(a_normal(), 0.2)
    asked, _, found = play(boundary(X, Goal(0), Noise(0), LABEL, queries=queries), beyond)
    assert sum(map(len, asked)) == queries
    rows = torch.cat(asked)
    if not beyond(rows).any():
        assert isinstance(found, Example)
    else:
        assert far(found) == min(far(row) for row in rows[beyond(rows)])


def test_a_row_in_five_is_asked_about_before_its_step_towards_the_image_too() -> None:
    asked, _, _ = play(boundary(X, Goal(0), Noise(0), LABEL, queries=300), half_space(a_normal(), 0.2))
    pairs = [i for i, rows in enumerate(asked) if len(rows) == 2][-20:]
    assert {b - a for a, b in pairwise(pairs)} == {5}
    nearer, on_sphere = asked[pairs[-1]]
    torch.testing.assert_close((nearer - X) / far(nearer), (on_sphere - X) / far(on_sphere))


def test_it_ends_where_its_steps_have_become_nothing() -> None:
    there: list[bool] = []

    def once(rows: Tensor) -> Tensor:
        """Only the first row is beyond the boundary, which no step can follow."""
        there.append(True)
        return torch.tensor([len(there) == 1] * len(rows))

    asked, told, _ = play(boundary(X, Goal(0), Noise(0), LABEL, queries=100_000), once)
    assert sum(map(len, asked)) < 2000
    assert told[-1].state is not None
    assert told[-1].state["epsilon"] <= 1e-7
    assert len(told[-1].state["sideways"]) < SIDEWAYS
    assert len(told[-1].state["towards"]) < TOWARDS


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_it_knows_l2_alone(norm: Any) -> None:
    operation = OPERATIONS["attack"]
    method = operation.by_name["boundary"]
    said = operation.read(method, {"norm": norm}).model_dump()
    if norm == "l2":
        method.check(said, (1, 4, 5))
    else:
        with pytest.raises(BadParameter, match="linf is for hop_skip_jump"):
            method.check(said, (1, 4, 5))
        with pytest.raises(BadParameter):
            check_walk((1, 4, 5), norm)
