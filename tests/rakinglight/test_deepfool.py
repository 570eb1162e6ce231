"""DeepFool played by hand. On linear models see `test_attacks_closed_forms`, beside its peers `test_oracles`."""

from typing import Any

import torch
from torch import Tensor

from rakinglight.algorithms.deepfool import FURTHER, deepfool
from rakinglight.objectives import Ahead, Goal
from rakinglight.queries import Forward, Gradient, Progress, Scores, Slope

X = torch.full((1, 1, 2), 0.5, dtype=torch.float64)
LABEL, OTHER = torch.tensor([2.0, 1.0, 0.0]), torch.tensor([1.0, 2.0, 0.0])


def play(flow: Any, *logits: Tensor) -> tuple[Tensor, list[Any]]:
    """Its result and what it asked for; `logits` are those of its points. Every slope is along one value."""
    asked, answers, said = [], iter(logits), None
    while True:
        try:
            asked.append(flow.send(said))
        except StopIteration as done:
            return done.value, asked
        said = None
        if isinstance(asked[-1], Gradient):
            n = len(asked[-1].rows)
            f, w = torch.tensor([-0.1, -0.2])[:n].double(), torch.tensor([[1.0, 0.0], [0.0, 4.0]])[:n].double()
            said = Slope(f, w[:, None, None], LABEL.expand(n, 3))
        elif isinstance(asked[-1], Forward):
            said = Scores(next(answers))


def test_it_goes_to_the_nearest_boundary_and_not_to_the_likeliest_class() -> None:
    x_adv, asked = play(deepfool(X, Goal(0), LABEL, overshoot=0.0), OTHER)
    assert asked[0].objective == [Ahead(1, 0), Ahead(2, 0)]
    step = 0.2 / 4 + FURTHER  # the second boundary is 0.05 away, the first 0.1
    torch.testing.assert_close(x_adv, X + torch.tensor([[[0.0, step]]], dtype=torch.float64))


def test_it_goes_on_from_the_point_reached_and_overshoots_the_sum_of_the_steps() -> None:
    x_adv, asked = play(deepfool(X, Goal(0), LABEL, overshoot=0.5), LABEL, LABEL, OTHER)
    points = [query.rows[..., 1].item() - 0.5 for query in asked if isinstance(query, Forward)]
    step = 0.05 + FURTHER
    torch.testing.assert_close(points, [1.5 * step, 3 * step, 4.5 * step])
    slopes = [query.rows for query in asked if isinstance(query, Gradient)]
    assert [rows[0, 0, 0, 1].item() - 0.5 for rows in slopes] == [0, *points[:2]]
    assert x_adv[0, 0, 1].item() == points[-1] + 0.5


def test_after_so_many_steps_it_answers_with_where_it_is() -> None:
    x_adv, asked = play(deepfool(X, Goal(0), LABEL, steps=2), LABEL, LABEL)
    told = [news for news in asked if isinstance(news, Progress)]
    assert [(news.step, news.of) for news in told] == [(1, 2), (2, 2)]
    assert told[-1].best is x_adv


def test_towards_a_target_it_sets_out_from_whoever_is_first() -> None:
    third = torch.tensor([1.0, 2.0, 0.5])
    _, asked = play(deepfool(X, Goal(0, 2), LABEL, steps=2), third, third)
    assert [query.objective for query in asked if isinstance(query, Gradient)] == [[Ahead(2, 0)], [Ahead(2, 1)]]
