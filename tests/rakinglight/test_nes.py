"""NES against what is known by hand: its estimate, its budget, its ball, its end."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from rakinglight.algorithms.nes import nes
from rakinglight.engine import Engine, Run
from rakinglight.example import Example
from rakinglight.network import Network
from rakinglight.noise import Noise
from rakinglight.norms import NORMS, NormName
from rakinglight.objectives import Goal
from rakinglight.queries import Algorithm, Forward, Progress, Scores
from rakinglight.question import Question
from rakinglight.views import Seen
from tests.plain import drive_all

X = torch.full((1, 6, 5), 0.5, dtype=torch.float64)
W = torch.randn(X.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def play(flow: Algorithm[Any], margin: Callable[[Tensor], Tensor]) -> tuple[list[Tensor], list[Progress], Tensor]:
    """Drive by hand: `margin` of rows [n, C, H, W] is by how much class 1 is ahead. What was asked, told, found."""
    asked, told = list[Tensor](), list[Progress]()
    answer = None
    while True:
        try:
            what = flow.send(answer)
        except StopIteration as done:
            return asked, told, done.value
        answer = None
        if isinstance(what, Progress):
            told.append(what)
        else:
            assert type(what) is Forward
            assert isinstance(what.rows, Tensor)
            rows = what.rows[None] if what.single else what.rows
            asked.append(rows)
            ahead = margin(rows)
            logits = torch.stack([ahead * 0, ahead], 1)
            answer = Scores(logits[0] if what.single else logits)


def plane(offset: float) -> Callable[[Tensor], Tensor]:
    return lambda rows: ((rows - X) * W).flatten(1).sum(1) - offset


def test_its_estimate_is_antithetic() -> None:
    asked, _, _ = play(nes(X, Goal(0), Noise(0), queries=40, n_samples=5, sigma=0.01), plane(100))
    assert [len(rows) for rows in asked] == [1, 10, 1, 10, 1, 10, 1, 4, 1]  # to the last point
    point, probes = asked[2][0], asked[3]
    torch.testing.assert_close((probes[:5] + probes[5:]) / 2, point.expand(5, *X.shape))
    assert float((probes[:5] - point).std()) == pytest.approx(0.01, rel=0.3)


@pytest.mark.parametrize("norm", NORMS)
def test_of_a_linear_score_many_draws_find_the_slope(norm: NormName) -> None:
    asked, _, _ = play(
        nes(X, Goal(0), Noise(0), norm=norm, epsilon=0.1, queries=4004, n_samples=1000, step_size=0.02), plane(100)
    )
    step = asked[-1][0] - X if len(asked[-1]) == 1 else asked[-2][0] - X
    wanted = NORMS[norm].direction(W)
    assert float((step * wanted).sum() / (step.norm() * wanted.norm())) > 0.9


def test_an_estimate_goes_in_waves() -> None:
    asked, _, _ = play(nes(X, Goal(0), Noise(0), queries=202, n_samples=100), plane(100))
    assert [len(rows) for rows in asked[:5]] == [1, 64, 64, 64, 8]


@pytest.mark.parametrize("norm", NORMS)
def test_it_climbs_inside_the_ball_and_the_box(norm: NormName) -> None:
    asked, told, found = play(nes(X, Goal(0), Noise(0), norm=norm, epsilon=0.2, queries=600, n_samples=10), plane(100))
    points = [rows[0] for rows in asked if len(rows) == 1]
    for point in points:
        assert float(NORMS[norm].size(point - X)) <= 0.2 + 1e-9
        assert 0 <= point.min() <= point.max() <= 1
    margins = [float(plane(100)(point[None])) for point in points]
    assert float(plane(100)(found[None])) == max(margins) >= told[-1].objective
    assert told[-1].step <= 600
    most = 0.2 * float(W.flatten().norm(p={"l2": 2, "linf": 1}[norm]))
    assert max(margins) + 100 > 0.8 * most


@pytest.mark.parametrize("queries", [1, 2, 3, 21, 22, 23, 24, 100])
def test_it_never_asks_one_row_more(queries: int) -> None:
    asked, told, _ = play(nes(X, Goal(0), Noise(0), queries=queries, n_samples=10), plane(100))
    assert queries - 2 <= sum(map(len, asked)) <= queries
    assert not told or told[-1].step <= queries


def test_it_ends_at_the_first_point_that_is_there_and_taken() -> None:
    offered = list[Tensor]()

    def second(row: Tensor) -> Algorithm[Tensor | None]:
        yield from ()
        offered.append(row)
        return row if len(offered) == 2 else None

    asked, _, found = play(
        nes(X, Goal(0), Noise(0), accept=second, epsilon=0.3, queries=5000, n_samples=10), plane(0.5)
    )
    assert len(offered) == 2
    assert found is offered[1]
    assert float(plane(0.5)(found[None])) > 0
    assert torch.equal(asked[-1][0], found)


def test_momentum_keeps_the_direction() -> None:
    def steps(momentum: float) -> Tensor:
        asked, _, _ = play(
            nes(
                X, Goal(0), Noise(0), norm="l2", epsilon=5.0, queries=500, n_samples=3, momentum=momentum, step_size=0.1
            ),
            plane(1e6),
        )
        points = torch.stack([rows[0] for rows in asked if len(rows) == 1])
        moves = (points[1:] - points[:-1]).flatten(1)
        return torch.cosine_similarity(moves[:-1], moves[1:]).mean()

    assert steps(0.9) > steps(0.0) + 0.3


def test_where_no_score_changes_it_says_so_and_leaves_the_image() -> None:
    asked, _, found = play(
        nes(X, Goal(0), Noise(0), queries=40, n_samples=5), lambda rows: torch.full((len(rows),), -9.0)
    )
    assert isinstance(found, Example)
    assert found.x is X
    assert "noise of sigma 0.001 changes no score" in found.facts["note"]
    assert sum(map(len, asked)) > 22  # a second estimate might have been another


@pytest.mark.parametrize("said", [{"queries": 2}, {"epsilon": 0.0}, {"momentum": 0.0}])
def test_an_image_that_stays_for_another_reason_has_no_such_note(said: dict[str, Any]) -> None:
    """No estimate was made, the ball holds nothing else, or the last one alone was 0."""
    waves: list[Any] = []

    def once(rows: Tensor) -> Tensor:
        waves.append(rows)
        return plane(100)(rows) if "momentum" not in said or len(waves) < 3 else torch.full((len(rows),), -200.0)

    _, _, found = play(nes(X, Goal(0), Noise(0), **{"queries": 40, "n_samples": 5, **said}), once)
    assert isinstance(found, Tensor)


def test_behind_a_view_that_rounds_the_reply_has_the_note(
    lenet: Network, digits: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]
) -> None:
    rounded = replace(lenet, forward=Seen(lenet.forward, "rounded"), gradient=None)
    engine = Engine([rounded])
    x = torch.from_numpy(digits[0][:20])
    sure = digits[0][int(lenet.forward.forward(x.float() / 255).logits.softmax(1).amax(1).argmax())].transpose(1, 2, 0)
    asked = Question("attack", lenet.card.name, sure, "nes", {"queries": 60, "epsilon": 0.3})
    run: Run[Any] = engine.submit(asked.begin(engine.networks))
    engine.run_until(lambda: run.over)
    assert not run.result["success"]
    assert run.result["note"].startswith("Every estimate of the gradient was 0")


def test_on_digits_it_finds_what_a_ball_holds(
    lenet: Network, digits: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]
) -> None:
    x, y = torch.from_numpy(digits[0][:6]).float() / 255, digits[1][:6].tolist()
    searches = [nes(x[i], Goal(c), Noise(i), epsilon=0.3, queries=1000) for i, c in enumerate(y)]
    found = torch.stack(drive_all(lenet, searches))
    assert float((found - x).abs().max()) <= 0.3 + 1e-6
    assert int((lenet.forward.forward(found).logits.argmax(1) != torch.tensor(y)).sum()) >= 4
