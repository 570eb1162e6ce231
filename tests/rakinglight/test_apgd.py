"""APGD, beside torchattacks' copy of its authors' program, and against what is known by hand."""

import itertools
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from rakinglight.algorithms.apgd import apgd, checkpoints
from rakinglight.backends.torch_backend import TorchBackend
from rakinglight.engine import Engine
from rakinglight.network import Ladder, Network
from rakinglight.noise import Noise
from rakinglight.norms import NORMS, NormName
from rakinglight.objectives import AttackLoss, CrossEntropy, DifferenceOfLogitsRatio, Goal, LogProbability
from rakinglight.queries import Algorithm, Gradient, Progress, Slope
from rakinglight.relays import relayed
from tests.plain import Plain, drive_all, module_of, plain

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torchattacks pins an old requests
    import torchattacks

X = torch.full((1, 1, 1), 0.5, dtype=torch.float64)


def play(
    flow: Algorithm[Tensor], values: list[float], slopes: list[float], logits: list[list[float]]
) -> tuple[list[float], float]:
    """Drive an attack on one pixel by hand. Returns where it asked, and what it returned."""
    asked_at, asked = [], next(flow)
    answers = iter(zip(values, slopes, logits, strict=False))
    while True:
        try:
            answer = None
            if isinstance(asked, Gradient) and isinstance(asked.rows, Tensor):
                asked_at.append(asked.rows.item())
                value, slope, said = next(answers)
                answer = Slope(torch.tensor(value), torch.full_like(X, slope), torch.tensor(said))
            asked = flow.send(answer)
        except StopIteration as done:
            return asked_at, done.value.item()


def listened(flow: Algorithm[Tensor], asked: list[Tensor]) -> Algorithm[Tensor]:
    """`flow`, and the rows that it asks about."""

    def out(query: Any) -> Any:
        if isinstance(query, Gradient) and isinstance(query.rows, Tensor):
            asked.append(query.rows)
        return query

    return relayed(flow, out)


# ── by hand ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_hundred_steps_have_the_checkpoints_of_the_paper() -> None:
    assert list(checkpoints(100)) == [22, 41, 57, 70, 80, 87, 93, 99]
    assert checkpoints(100)[41] == 19


@pytest.mark.parametrize("steps", [1, 2, 7, 10, 50, 1000])
def test_checkpoints_follow_each_other_to_the_end(steps: int) -> None:
    w = checkpoints(steps)
    assert list(itertools.accumulate(w.values())) == list(w)
    assert max(w) <= steps


def test_it_climbs_what_it_was_told_to() -> None:
    def climbed(goal: Goal, loss: AttackLoss) -> Any:
        return next(apgd(X, goal, Noise(0), loss=loss)).objective

    assert climbed(Goal(3), "cross_entropy") == CrossEntropy(3)
    assert climbed(Goal(3, 1), "cross_entropy") == LogProbability(1)
    assert climbed(Goal(3), "dlr") == DifferenceOfLogitsRatio(3)
    assert climbed(Goal(3, 1), "dlr") == DifferenceOfLogitsRatio(3, 1)


def test_a_step_is_twice_the_radius_keeps_a_quarter_of_the_last_one_and_is_halved_where_nothing_is_gained() -> None:
    # Two steps a window, ten in all; the ball is 0.3 to 0.7. Uphill at first, then every step loses.
    flow = apgd(X, Goal(0), Noise(0), epsilon=0.2, steps=10, random_start=False)
    values = [1.0, 2.0, 3.0, *[0.0] * 8]
    slopes = [1.0, -1.0, *[1.0] * 9]
    asked_at, found = play(flow, values, slopes, [[1.0, 0.0]] * 11)
    assert asked_at[:2] == pytest.approx([0.5, 0.7])  # the step of 0.4 is cut to the ball; alpha is 1
    assert asked_at[2] == pytest.approx(0.7 + 0.75 * (0.3 - 0.7) + 0.25 * (0.7 - 0.5))
    # Window 2 gained twice in two: no halving. From there up, and at the checkpoint back to the best, 0.45.
    assert asked_at[3] == pytest.approx(0.45 + 0.75 * 0.25 + 0.25 * (0.45 - 0.7))
    assert found == pytest.approx(0.45)


def test_an_image_that_reached_the_goal_comes_before_one_with_a_larger_loss() -> None:
    flow = apgd(X, Goal(0), Noise(0), epsilon=0.2, steps=2, random_start=False)
    wrong, right = [0.0, 1.0], [1.0, 0.0]
    asked_at, found = play(flow, [1.0, 2.0, 3.0], [1.0, -1.0, 1.0], [right, wrong, right])
    assert found == asked_at[1]


@pytest.mark.parametrize("norm", NORMS)
def test_every_image_it_asks_about_lies_in_the_ball(small_convolution: Network, norm: NormName) -> None:
    x = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    asked: list[Tensor] = []
    flow = apgd(x, Goal(1), Noise(0), norm=norm, epsilon=0.3, steps=12, restarts=2)
    Engine([small_convolution]).drive(listened(flow, asked))
    assert len(asked) == 2 * 13
    for row in asked:
        assert float(NORMS[norm].size(row - x)) <= 0.3 + 1e-9
        assert 0 <= row.min() <= row.max() <= 1


def test_more_restarts_find_no_smaller_loss(small_convolution: Network) -> None:
    x = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(2), dtype=torch.float64)

    def largest(restarts: int) -> float:
        told: list[Progress] = []
        flow = apgd(x, Goal(1), Noise(0), epsilon=0.1, steps=5, restarts=restarts)
        Engine([small_convolution]).drive(flow, notify=told.append)
        return max(news.objective for news in told if isinstance(news, Progress) and news.objective is not None)

    losses = [largest(restarts) for restarts in (1, 2, 4)]
    assert losses == sorted(losses)


# ── beside torchattacks, in float64 ─────────────────────────────────────────────────────────────────────────────────


class From(Noise):
    """Draws by which an attack starts where somebody else did."""

    def __init__(self, delta: Tensor, epsilon: float, norm: NormName) -> None:
        super().__init__(0)
        self.delta, self.epsilon, self.norm = delta, epsilon, norm

    def uniform(self, like: Tensor, low: float, high: float) -> Tensor:
        # In l2 the radius is drawn: it is all of epsilon's share.
        return (
            self.delta if self.norm == "linf" else (NORMS["l2"].size(self.delta) / self.epsilon) ** self.delta.numel()
        )

    def normal(self, like: Tensor) -> Tensor:
        return self.delta


@pytest.fixture
def in_float64() -> Iterator[None]:
    """The peer makes its step sizes and its record of losses in torch's default type."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


class Watching(torch.nn.Module):
    """A network that remembers what it was asked about."""

    def __init__(self, plain: Plain) -> None:
        super().__init__()
        self.plain, self.asked = plain, list[Tensor]()

    def forward(self, x: Tensor) -> Tensor:
        self.asked.append(x.detach().clone())
        logits: Tensor = self.plain(x)
        return logits


@pytest.fixture(scope="module")
def lenet_float64(archive_store: Path) -> Network:
    card, module = module_of(archive_store, "lenet5-digits")
    backend = TorchBackend(module, card.mean, card.std, dtype=torch.float64)
    return Network(card, backend, backend, Ladder((16,)), Ladder((16,)))


@pytest.mark.parametrize(
    ("norm", "epsilon", "loss", "place"),
    [
        pytest.param("linf", 0.13, "cross_entropy", None, id="cross-entropy"),
        pytest.param("linf", 0.13, "dlr", None, id="dlr"),
        pytest.param("linf", 0.13, "dlr", 2, id="dlr towards the second class"),
        pytest.param("linf", 0.13, "dlr", 5, id="dlr towards the fifth"),
        pytest.param("l2", 1.0, "cross_entropy", None, id="cross-entropy in l2"),
        pytest.param("l2", 1.0, "dlr", None, id="dlr in l2"),
    ],
)
def test_from_the_peer_s_start_it_takes_the_peer_s_steps(
    lenet_float64: Network,
    archive_store: Path,
    digits: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]],
    in_float64: None,
    norm: NormName,
    epsilon: float,
    loss: AttackLoss,
    place: int | None,
) -> None:
    """Every image that is asked about is the peer's.

    In l2 the ball is a small one: the peer's steps are shorter than they say, for it adds 1e-12 to the length of a
    gradient, which of an image that is far beyond the boundary may be as short itself.
    """
    x, y = torch.from_numpy(digits[0][:16]).double() / 255, torch.from_numpy(digits[1][:16])
    peer_norm = {"linf": "Linf", "l2": "L2"}[norm]
    watching = Watching(plain(archive_store, "lenet5-digits", torch.float64))
    order = watching.plain(x).argsort(1, descending=True)
    if place is None:
        peer = torchattacks.APGD(watching, norm=peer_norm, eps=epsilon, steps=50, loss=loss[:3].replace("cro", "ce"))
        goals = [Goal(c) for c in y.tolist()]
    else:
        peer = torchattacks.APGDT(watching, norm=peer_norm, eps=epsilon, steps=50)
        peer.target_class = place
        goals = [Goal(c, t) for c, t in zip(y.tolist(), order[:, place - 1].tolist(), strict=True)]
    torch.manual_seed(1)
    x_best = peer.attack_single_run(x, y)[0].detach()
    theirs = torch.stack(watching.asked[-51:])  # before it the targeted one asks about x
    asked: list[list[Tensor]] = [[] for _ in goals]
    flows = [
        listened(apgd(x[i], goals[i], start, norm=norm, epsilon=epsilon, loss=loss, steps=50), asked[i])
        for i, start in enumerate(From(delta, epsilon, norm) for delta in theirs[0] - x)
    ]
    found = torch.stack(drive_all(lenet_float64, flows))
    ours = torch.stack([torch.stack(rows) for rows in asked], 1)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-9)
    with torch.no_grad():
        logits = watching.plain(x_best)
    fooled = torch.tensor([bool(goal.reached(z)) for goal, z in zip(goals, logits, strict=True)])
    assert fooled.any()
    torch.testing.assert_close(found[fooled], x_best[fooled], rtol=0, atol=1e-9)
