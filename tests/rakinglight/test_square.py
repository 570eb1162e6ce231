"""Square attack against what is known by hand, and beside torchattacks' copy of its authors' later program."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from rakinglight.algorithms.square import by_channel, eta, moved, recoloured, side, square, stripes, tiles
from rakinglight.network import Network
from rakinglight.noise import Noise
from rakinglight.norms import NORMS, NormName
from rakinglight.objectives import Goal
from rakinglight.queries import Algorithm, Forward, Progress, Scores
from tests.plain import drive_all, plain

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torchattacks pins an old requests
    import torchattacks

X = 0.5 + torch.zeros(3, 32, 24, dtype=torch.float64)


def asked_about(say: Any, queries: int = 40, x: Tensor = X, **parameters: Any) -> tuple[list[Tensor], Tensor]:
    """Drive a search by hand: `say` gives each row's score of class 1; class 0 has 0. What was asked, and found."""
    flow = square(x, Goal(0), Noise(3), queries=queries, **parameters)
    rows, asked = [], next(flow)
    while True:
        try:
            if isinstance(asked, Progress):
                asked = flow.send(None)
                continue
            assert isinstance(asked, Forward)
            assert isinstance(asked.rows, Tensor)
            rows.append(asked.rows)
            asked = flow.send(Scores(torch.tensor([0.0, say(asked.rows)])))
        except StopIteration as done:
            return rows, done.value


# ── the parts ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_squares_shrink_as_the_paper_has_it() -> None:
    x = torch.zeros(1, 100, 100)
    sides = [side(x, i / 10_000, 0.8) for i in (1, 10, 11, 50, 51, 201, 501, 1001, 2001, 4001, 6001, 8001)]
    assert sides == [round(100 * (0.8 / 2**n) ** 0.5) for n in (0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9)]


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 1, 900), (3, 2, 5)])
def test_a_square_fits_into_every_image_and_has_a_pixel(shape: tuple[int, int, int]) -> None:
    assert all(1 <= side(torch.zeros(shape), spent, 1.0) <= min(shape[1:]) for spent in (0.0, 0.5, 1.0))


def test_the_stripes_are_whole_columns_of_a_grey_level_each() -> None:
    delta = stripes(X, 0.1, Noise(0))
    assert delta.shape == X.shape
    assert set(delta.flatten().tolist()) == {-0.1, 0.1}
    assert (delta == delta[:, :1]).all()


def test_a_recoloured_square_is_one_colour_and_all_else_stays() -> None:
    before = stripes(X, 0.1, Noise(0))
    after = recoloured(before, 0.1, 7, Noise(1))
    changed = (after != before).any(0)
    rows, columns = changed.any(1).nonzero()[:, 0], changed.any(0).nonzero()[:, 0]
    window = after[:, rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    assert max(window.shape[1:]) <= 7
    assert (window == window[:, :1, :1]).all()


def test_the_bump_is_the_paper_s() -> None:
    # Five wide: two columns of one sign and three of the other, each highest in its middle (equation 2).
    bump = eta(X, 5, Noise(0))
    bump = bump if bool((bump[:, 0].sign() == bump[0, 0].sign()).all()) else bump.T
    ring = [1 + 1 / 4 + 1 / 9, 1 / 4 + 1 / 9, 1 / 9]
    left = [[ring[2]] * 2, [ring[1]] * 2, [ring[1], ring[0]], [ring[1]] * 2, [ring[2]] * 2]
    right = [[ring[2]] * 3, [ring[1]] * 3, [ring[1], ring[0], ring[1]], [ring[1]] * 3, [ring[2]] * 3]
    expected = torch.cat([torch.tensor(left), -torch.tensor(right)], 1).double()
    torch.testing.assert_close(bump, expected / expected.norm(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("h", [1, 2, 3, 6, 11])
def test_a_bump_has_size_one(h: int) -> None:
    assert float(eta(X, h, Noise(h)).norm()) == pytest.approx(1)


def test_what_is_moved_spends_the_whole_radius() -> None:
    delta = tiles(X, 0.8, Noise(0)) * 0.9
    for seed in range(20):
        delta = moved(delta, 0.8, 5, Noise(seed))
        assert float(delta.norm()) == pytest.approx(0.8)


def test_a_channel_of_zeros_stays() -> None:
    delta = torch.zeros(2, 3, 3)
    delta[0] = 2.0
    assert by_channel(delta)[0].norm() == pytest.approx(1)
    assert not by_channel(delta)[1].any()


# ── the search ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("shape", [(3, 32, 24), (1, 1, 40), (1, 3, 3)])
def test_every_image_it_asks_about_lies_in_the_ball(norm: NormName, shape: tuple[int, int, int]) -> None:
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rows, _ = asked_about(lambda row: -float(row.mean()), x=x, norm=norm, epsilon=0.3)
    for row in rows:
        assert float(NORMS[norm].size(row - x)) <= 0.3 + 1e-9
        assert 0 <= row.min() <= row.max() <= 1


@pytest.mark.parametrize("norm", NORMS)
def test_it_climbs_and_returns_the_best_it_saw(norm: NormName) -> None:
    def score(row: Tensor) -> float:
        return float(row[0].mean() - 2)

    rows, found = asked_about(score, 300, norm=norm, epsilon=0.3)
    scores = [score(row) for row in rows]
    assert score(found) == max(scores)
    assert max(scores) > scores[0]


def test_a_square_that_changes_nothing_is_not_asked_about() -> None:
    rows, found = asked_about(lambda row: float(row.mean()) - 2, 2000, x=X[:1, :4, :4], epsilon=0.25)
    assert (found == 0.75).all()  # the best there is: nothing but a darker square is left to try
    best = rows[0]
    for row in rows[1:]:
        assert not torch.equal(row, best)
        best = row if row.mean() > best.mean() else best
    assert len(rows) < 1500


def test_it_ends_at_the_first_success() -> None:
    answers = iter([-3.0, -2.0, -2.5, 1.0])
    rows, found = asked_about(lambda row: next(answers))
    assert len(rows) == 4
    assert found is rows[-1]


def test_what_is_not_accepted_is_a_reason_to_go_on() -> None:
    offered: list[Tensor] = []

    def third(row: Tensor) -> Algorithm[Tensor | None]:
        yield from ()
        offered.append(row)
        return row if len(offered) == 3 else None

    answers = iter([-1.0, 1.0, 0.5, -1.0, 2.0])
    rows, found = asked_about(lambda row: next(answers), accept=third)
    assert [any(row is one for one in offered) for row in rows] == [False, True, True, False, True]
    assert found is rows[-1]


def test_towards_a_target_another_success_does_not_count() -> None:
    flow = square(X, Goal(0, target=2), Noise(0), queries=3)
    next(flow)
    for _ in range(2):
        assert isinstance(flow.send(Scores(torch.tensor([0.0, 5.0, 1.0]))), Progress)
        next(flow)
    with pytest.raises(StopIteration):
        flow.send(Scores(torch.tensor([0.0, 5.0, 6.0])))


# ── beside torchattacks ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("norm", "epsilon"), [("linf", 0.13), ("l2", 4.0)])
def test_it_breaks_as_many_digits_as_the_peer(
    lenet: Network,
    archive_store: Path,
    digits: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]],
    norm: NormName,
    epsilon: float,
) -> None:
    """Two random searches are compared, on 30 digits: give or take three."""
    x, y = torch.from_numpy(digits[0][:30]).float() / 255, torch.from_numpy(digits[1][:30])
    module = plain(archive_store, "lenet5-digits")

    def broken(x_adv: Tensor) -> int:
        with torch.no_grad():
            return int((module(x_adv).argmax(1) != y).sum())

    peer = torchattacks.Square(module, norm={"linf": "Linf", "l2": "L2"}[norm], eps=epsilon, n_queries=150)
    searches = [
        square(x[i], Goal(c), Noise(i), norm=norm, epsilon=epsilon, queries=150) for i, c in enumerate(y.tolist())
    ]
    ours, theirs = broken(torch.stack(drive_all(lenet, searches))), broken(peer(x, y))
    assert 5 < theirs < 28
    assert ours >= theirs - 3
