"""The ensemble: what it tries and in which order, when it ends, and what it says of it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rakinglight.algorithms.auto import auto
from rakinglight.algorithms.pgd import pgd
from rakinglight.engine import Engine
from rakinglight.example import Example
from rakinglight.network import Network
from rakinglight.noise import Noise
from rakinglight.objectives import CrossEntropy, DifferenceOfLogitsRatio, Goal, LogProbability
from rakinglight.queries import Algorithm, Forward, Gradient, Progress, Query, Scores, Slope
from tests.networks import network_of
from tests.plain import drive_all

X = 0.5 + torch.zeros(1, 4, 4, dtype=torch.float64)
LOGITS = torch.tensor([4.0, 1.0, 3.0, 2.0, 0.0])
RIGHT, WRONG = LOGITS, LOGITS.flip(0)


def play(flow: Algorithm[Example], say: Callable[[int], Tensor]) -> tuple[list[Query], list[Progress], Example]:
    """Drive by hand: `say` gives the logits of the query with that number. What was asked and told, and the end."""
    queries, told = list[Query](), list[Progress]()
    asked = next(flow)
    while True:
        try:
            if isinstance(asked, Progress):
                told.append(asked)
                asked = flow.send(None)
                continue
            logits = say(len(queries))
            queries.append(asked)
            slope = Slope(torch.tensor(-1.0 / len(queries)), torch.ones_like(X), logits)
            asked = flow.send(slope if isinstance(asked, Gradient) else Scores(logits))
        except StopIteration as done:
            return queries, told, done.value


def begun(target: int | None = None, **settings: Any) -> Algorithm[Example]:
    return auto(X, Goal(0, target), Noise(0), LOGITS, **{"steps": 3, "queries": 5, "target_classes": 2, **settings})


# ── the order ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_it_climbs_the_loss_then_goes_for_the_best_other_classes_then_searches() -> None:
    queries, told, found = play(begun(), lambda number: RIGHT)
    climbed = [query.objective for query in queries if isinstance(query, Gradient)]
    assert climbed == [CrossEntropy(0)] * 4 + [DifferenceOfLogitsRatio(0, 2)] * 4 + [DifferenceOfLogitsRatio(0, 3)] * 4
    assert all(isinstance(query, Forward) for query in queries[12:])
    assert 1 <= len(queries) - 12 <= 5
    assert found.facts == {"broken_by": None}
    assert {news.of for news in told} == {17}
    assert [news.step for news in told][:12] == list(range(1, 13))


def test_with_a_target_everything_goes_towards_it() -> None:
    queries, _, _ = play(begun(target=4), lambda number: RIGHT)
    climbed = [query.objective for query in queries if isinstance(query, Gradient)]
    assert climbed == [LogProbability(4)] * 4 + [DifferenceOfLogitsRatio(0, 4)] * 4


def test_there_are_no_more_targets_than_other_classes() -> None:
    queries, _, _ = play(begun(target_classes=1000), lambda number: RIGHT)
    assert len({query.objective for query in queries if isinstance(query, Gradient)}) == 5


# ── the end ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("number", "by"),
    [(0, "apgd_ce"), (3, "apgd_ce"), (4, "apgd_dlr_targeted"), (11, "apgd_dlr_targeted"), (12, "square")],
)
def test_it_ends_at_the_first_success_and_says_whose_it_is(number: int, by: str) -> None:
    queries, _, found = play(begun(), lambda n: WRONG if n == number else RIGHT)
    assert len(queries) == number + 1
    assert found.facts == {"broken_by": by}
    assert isinstance(queries[-1].rows, Tensor)
    assert torch.equal(found.x, queries[-1].rows)


def test_what_is_not_accepted_is_no_success_but_the_nearest_there_is() -> None:
    def refused(row: Tensor) -> Algorithm[None]:
        yield from ()

    queries, _, found = play(begun(accept=refused), lambda n: WRONG if n in (5, 12) else RIGHT)
    assert len(queries) > 13  # the search goes on too
    assert found.facts == {"broken_by": None}
    assert found.x is queries[5].rows


def test_who_accepts_may_ask_too() -> None:
    def asking(row: Tensor) -> Algorithm[Tensor | None]:
        logits = (yield Forward(row.round(), seen=True)).logits
        return row if int(logits.argmax()) != 0 else None

    # The second row is wrong and its picture is not; of the third both are.
    queries, _, found = play(begun(accept=asking), lambda n: WRONG if n in (1, 3, 4) else RIGHT)
    assert [isinstance(query, Forward) for query in queries] == [False, False, True, False, True]
    assert isinstance(queries[3].rows, Tensor)
    assert torch.equal(found.x, queries[3].rows)
    assert found.facts == {"broken_by": "apgd_ce"}


def test_its_best_is_the_nearest_of_all_attacks() -> None:
    nearer = LOGITS.clone()
    nearer[2] = 3.5
    queries, told, found = play(begun(), lambda n: nearer if n == 6 else RIGHT)
    assert found.x is queries[6].rows
    assert told[-1].best is found.x
    assert told[-1].objective == -0.5


# ── on networks ─────────────────────────────────────────────────────────────────────────────────────────────────────


class Vanishing(nn.Module):
    """A step of the image's brightness that has no gradient: only who asks for scores alone sees it."""

    def forward(self, x: Tensor) -> Tensor:
        brightness = (x.mean((1, 2, 3)) * 50).round() / 50
        return torch.stack([brightness * 0 + 0.53, brightness, brightness - 9, brightness - 9], 1)


def test_where_there_is_no_gradient_square_breaks_it() -> None:
    network = network_of("vanishing", Vanishing(), (1, 16, 16))
    x = 0.5 + torch.zeros(1, 16, 16, dtype=torch.float64)
    logits = torch.tensor([0.53, 0.5, -8.5, -8.5])
    found = Engine([network]).drive(auto(x, Goal(0), Noise(0), logits, epsilon=0.1, steps=4, queries=500))
    assert found.facts == {"broken_by": "square"}


def test_what_pgd_breaks_it_breaks_too(
    lenet: Network, digits: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]
) -> None:
    x, y = torch.from_numpy(digits[0][:40]).float() / 255, digits[1][:40].tolist()
    logits = lenet.forward.forward(x).logits
    weak = [pgd(x[i], Goal(c), Noise(0), epsilon=0.07, steps=20) for i, c in enumerate(y)]
    strong = [
        auto(x[i], Goal(c), Noise(0), logits[i], epsilon=0.07, steps=20, target_classes=3, queries=20)
        for i, c in enumerate(y)
    ]

    def broken(rows: list[Tensor]) -> Tensor:
        return lenet.forward.forward(torch.stack(rows)).logits.argmax(1) != torch.tensor(y)

    by_pgd = broken(drive_all(lenet, weak))
    found = drive_all(lenet, strong)
    by_auto = broken([example.x for example in found])
    assert 5 < by_pgd.sum() < 40
    assert (by_auto | ~by_pgd).all()
    assert [example.facts["broken_by"] is not None for example in found] == by_auto.tolist()
