"""A query attack whose model answers no more: it says what it had found, and claims nothing that is not proven."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rakinglight.engine import Engine
from rakinglight.errors import BudgetSpent
from rakinglight.network import Scorer
from rakinglight.operations.attack import CUT, NOTHING, PROVEN, UNPROVEN
from rakinglight.queries import Scores
from rakinglight.question import Question
from rakinglight.run import Run
from tests.networks import network_of

SEARCHES: dict[str, dict[str, Any]] = {
    "hop_skip_jump": {"queries": 400, "initial_rows": 30},
    "boundary": {"queries": 300},
    "nes": {"queries": 400, "epsilon": 0.3},
    "square": {"queries": 300, "epsilon": 0.3},
}
LABELS = ("hop_skip_jump", "boundary")
PIXELS = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)


class First(nn.Module):
    """What is told of logits where labels alone are."""

    def forward(self, logits: Tensor) -> Tensor:
        return torch.full_like(logits, -1000.0).scatter(-1, logits.argmax(-1, keepdim=True), 0.0)


def module() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 6 * 6, 5))


#: One row a pass, so that a budget ends where it ends.
SCORES = network_of("small", module(), (3, 8, 8), counts=(1,))
ONE_HOT = network_of("small", module().append(First()), (3, 8, 8), counts=(1,))


class Budgeted:
    """A backend that answers about `left` rows, and then about none."""

    def __init__(self, backend: Scorer, left: int) -> None:
        self.backend, self.left = backend, left
        self.name = backend.name
        self.asked: list[Tensor] = []
        self.refused: list[Tensor] = []

    def forward(self, rows: Tensor, layers: tuple[str, ...] = ()) -> Scores:
        if len(rows) > self.left:
            self.refused += list(rows.clone())
            raise BudgetSpent(f"sent: {len(rows)}; left: {self.left}.")
        self.left -= len(rows)
        self.asked += list(rows.clone())
        return self.backend.forward(rows, layers)


def spent(method: str, budget: int, **said: Any) -> tuple[Run[Any], Budgeted]:
    """The attack on a model that answers about `budget` rows, and what that was asked."""
    network = ONE_HOT if method in LABELS else SCORES
    backend = Budgeted(network.forward, budget)
    card = replace(network.card, differentiable=False, tells="labels" if method in LABELS else "logits")
    engine = Engine([replace(network, forward=backend, card=card, gradient=None)])
    question = Question("attack", "small", PIXELS, method, SEARCHES[method] | said, seed=1)
    run = engine.submit(question.begin(engine.networks))
    engine.run_until(lambda: run.over)
    return run, backend


def fooled(rows: list[Tensor]) -> list[Tensor]:
    """Those of `rows` of which the model says something else than of the image."""
    said = SCORES.forward.forward(torch.stack(rows)).logits.argmax(1)
    return [row for row, label in zip(rows, said.tolist(), strict=True) if label != said[0]]


@pytest.mark.parametrize("budget", [2, 3, 9, 40, 150])
@pytest.mark.parametrize("method", SEARCHES)
def test_what_it_had_found_is_the_answer_and_unproven_is_no_success(method: str, budget: int) -> None:
    run, model = spent(method, budget)
    result = run.result
    if not model.refused:  # it was done before
        assert "note" not in result
        return
    assert result["partial"] is True
    found = fooled(model.asked)
    if result["success"]:
        # It was asked about the very picture.
        picture = torch.from_numpy(result["adversarial"]).permute(2, 0, 1) / 255
        assert any(torch.equal(picture, row.float()) for row in found)
    elif found:
        assert result["note"] in (UNPROVEN, PROVEN)
    else:
        assert result["note"] == NOTHING
        assert np.array_equal(result["adversarial"], PIXELS)
        assert result["after"] == result["before"]
    assert run.cost.rows == len(model.asked) <= budget


@pytest.mark.parametrize("method", LABELS)
def test_the_nearest_of_all_that_were_answered_is_shown_with_what_was_said_of_it(method: str) -> None:
    run, model = spent(method, 60)
    result, x = run.result, model.asked[0]
    far = [float((row - x).norm()) for row in fooled(model.asked)]
    assert result["note"] == UNPROVEN
    assert result["success"] is False
    assert result["exact"]["success"] is True  # of these floats it was said
    assert result["exact"]["distance"]["l2"] == pytest.approx(min(far), rel=1e-5)
    assert result["trace"]["distance"][-1] == pytest.approx(min(far), rel=1e-5)
    assert result["after"]["index"] != result["before"]["index"]
    assert "probability" not in result["after"]


def test_rows_that_are_left_after_a_refusal_prove_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """As at a service, which refuses a request whole that is larger than what is left."""
    whole = Budgeted.forward

    def forward(self: Budgeted, rows: Tensor, layers: tuple[str, ...] = ()) -> Scores:
        if self.left == 20 and not self.refused:
            self.refused += list(rows)
            raise BudgetSpent("sent: 30; left: 20.")
        return whole(self, rows, layers)

    monkeypatch.setattr(Budgeted, "forward", forward)
    run, _ = spent("hop_skip_jump", 60)
    assert run.result["note"] == PROVEN
    assert run.result["partial"] is True
    assert run.result["success"] is True


def test_a_budget_that_ends_while_the_picture_is_made_nearer_leaves_what_was_proven() -> None:
    whole, _ = spent("hop_skip_jump", 10**6, queries=80)
    run, _ = spent("hop_skip_jump", whole.cost.rows - 3, queries=80)
    assert run.result["note"] == CUT
    assert run.result["partial"] is True
    assert run.result["success"] is True
    assert np.array_equal(run.result["exact"]["image"], whole.result["exact"]["image"])


def test_a_budget_that_does_not_reach_for_the_image_itself_is_a_refusal() -> None:
    run, _ = spent("boundary", 0)
    with pytest.raises(BudgetSpent):
        _ = run.result


def test_a_run_that_is_taken_up_again_remembers_the_nearest() -> None:
    from rakinglight.norms import NORMS
    from rakinglight.objectives import Goal
    from rakinglight.trace import Trace

    x = torch.zeros(1, 2, 2)
    trace = Trace(x, Goal(0), "l2")
    trace.nearest, trace.answer = x + 0.5, torch.tensor([0.0, 1.0])
    trace.queries, trace.distance = [3], [float(NORMS["l2"].size(x + 0.5))]
    again = Trace(x, Goal(0), "l2")
    with pytest.raises(StopIteration):
        next(again.searching(iter_of_nothing(), {"trace": trace.state}))
    assert again.nearest is trace.nearest
    assert again.answer is trace.answer


def iter_of_nothing() -> Any:
    """An algorithm that asks nothing."""
    yield from ()
