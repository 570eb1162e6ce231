"""Each algorithm against answers known by hand: played without a model, and driven on linear ones."""

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from rakinglight.algorithms.fgsm import fgsm
from rakinglight.algorithms.gradient import gradient
from rakinglight.algorithms.gradient_step import gradient_step
from rakinglight.algorithms.least_likely import least_likely
from rakinglight.algorithms.most_likely import most_likely
from rakinglight.algorithms.pgd import pgd
from rakinglight.catalogue import OPERATIONS
from rakinglight.engine import Engine
from rakinglight.network import Network
from rakinglight.noise import Noise
from rakinglight.norms import NORMS, NormName
from rakinglight.objectives import CrossEntropy, Goal, Logit, LogProbability
from rakinglight.queries import Algorithm, Forward, Gradient, Progress, Scores, Slope
from tests.networks import network_of

SHAPE = (2, 4, 5)
X = 0.3 + 0.4 * torch.rand(SHAPE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)  # far from 0 and 1


def weights(network: Network) -> Tensor:
    """The rows w_c [K, C, H, W] of a linear network."""
    parameter = next(p for p in network.forward.module.parameters() if p.ndim == 2)  # type: ignore[attr-defined]
    return parameter.detach().reshape(-1, *SHAPE)  # type: ignore[no-any-return]


@pytest.fixture
def two_classes() -> Network:
    """Z = w_c x + b_c for two classes: the loss of class 0 climbs along w_1 - w_0, wherever one stands."""
    return network_of("two", nn.Sequential(nn.Flatten(), nn.Linear(40, 2)), SHAPE)


def play(flow: Algorithm[Any], answer: Callable[[Any], Any]) -> Any:
    """Drive `flow` by hand: `answer` plays the model."""
    asked = next(flow)
    while True:
        try:
            asked = flow.send(None if isinstance(asked, Progress) else answer(asked))
        except StopIteration as done:
            return done.value


# ── gradient ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_gradient_asks_once_about_the_image_and_the_score() -> None:
    flow = gradient(X, Logit(1))
    asked = next(flow)
    assert isinstance(asked, Gradient)
    assert asked.rows is X
    assert asked.objective == Logit(1)
    g = torch.tensor([[[1.0, -2.0]], [[-3.0, 0.5]]])
    with pytest.raises(StopIteration) as done:
        flow.send(Slope(torch.tensor(0.0), g, torch.zeros(4)))
    assert done.value.value.map.tolist() == [[3.0, 2.0]]
    assert done.value.value.signed is g


@pytest.mark.parametrize("c", [0, 1, 2])
def test_gradient_of_a_linear_model_is_its_largest_absolute_weight(linear_network: Network, c: int) -> None:
    found = Engine([linear_network]).drive(gradient(X, Logit(c)))
    torch.testing.assert_close(found.map, weights(linear_network)[c].abs().amax(0))
    torch.testing.assert_close(found.signed, weights(linear_network)[c])


# ── fgsm ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_fgsm_asks_for_the_loss_it_climbs() -> None:
    assert next(fgsm(X, Goal(3))).objective == CrossEntropy(3)
    assert next(fgsm(X, Goal(3, target=1))).objective == LogProbability(1)


def test_fgsm_takes_one_step_along_the_sign() -> None:
    x = torch.tensor([[[0.5, 0.5, 0.5, 0.99, 0.01]]])
    g = torch.tensor([[[7.0, -1e-9, 0.0, 1.0, -1.0]]])
    x_adv = play(fgsm(x, Goal(0), epsilon=0.25), lambda asked: Slope(torch.tensor(1.0), g, torch.zeros(4)))
    assert x_adv.tolist() == [[[0.75, 0.25, 0.5, 1.0, 0.0]]]


def test_fgsm_in_l2_steps_along_the_gradient_itself() -> None:
    x = torch.full((1, 1, 2), 0.5, dtype=torch.float64)
    g = torch.tensor([[[3.0, -4.0]]], dtype=torch.float64)
    x_adv = play(fgsm(x, Goal(0), norm="l2", epsilon=0.1), lambda asked: Slope(torch.tensor(1.0), g, torch.zeros(4)))
    torch.testing.assert_close(x_adv, torch.tensor([[[0.56, 0.42]]], dtype=torch.float64))


@pytest.mark.parametrize(("goal", "way"), [(Goal(0), 1), (Goal(1), -1), (Goal(0, 1), 1), (Goal(1, 0), -1)], ids=repr)
def test_fgsm_on_a_linear_model(two_classes: Network, goal: Goal, way: int) -> None:
    w = weights(two_classes)
    expected = X + 0.1 * way * (w[1] - w[0]).sign()
    assert torch.equal(Engine([two_classes]).drive(fgsm(X, goal, epsilon=0.1)), expected)


# ── pgd ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_pgd_asks_each_step_where_the_last_one_left_it() -> None:
    x = torch.full((1, 1, 1), 0.5, dtype=torch.float64)
    asked_at, signs = [], iter([1.0, 1.0, -1.0, 1.0, 1.0])

    def answer(asked: Gradient) -> Slope:
        asked_at.append(asked.rows.item())
        return Slope(torch.tensor(1.0), torch.full_like(x, next(signs)), torch.zeros(4))

    x_adv = play(pgd(x, Goal(0), Noise(0), epsilon=0.15, step_size=0.1, steps=5), answer)
    assert asked_at == pytest.approx([0.5, 0.6, 0.65, 0.55, 0.65])
    assert x_adv.item() == pytest.approx(0.65)


def test_pgd_says_how_far_it_is_and_what_it_has() -> None:
    flow = pgd(X, Goal(0), Noise(0), steps=2)
    next(flow)
    news = flow.send(Slope(torch.tensor(3.5), torch.ones_like(X), torch.zeros(4)))
    assert (news.step, news.of, news.objective) == (1, 2, 3.5)
    asked = next(flow)
    assert asked.rows is news.best


@pytest.mark.parametrize(
    ("steps", "step_size", "reached"), [(1, 0.02, 0.02), (3, 0.02, 0.06), (5, 0.02, 0.1), (9, 0.02, 0.1), (1, 0.5, 0.1)]
)
@pytest.mark.parametrize(("goal", "way"), [(Goal(0), 1), (Goal(1, 0), -1)], ids=["away", "towards"])
def test_pgd_on_a_linear_model_walks_straight_to_the_corner(
    two_classes: Network, goal: Goal, way: int, steps: int, step_size: float, reached: float
) -> None:
    w = weights(two_classes)
    x_adv = Engine([two_classes]).drive(pgd(X, goal, Noise(0), epsilon=0.1, step_size=step_size, steps=steps))
    torch.testing.assert_close(x_adv, X + reached * way * (w[1] - w[0]).sign())


def test_pgd_in_l2_on_a_linear_model_walks_straight_to_the_sphere(two_classes: Network) -> None:
    w = weights(two_classes)
    x_adv = Engine([two_classes]).drive(pgd(X, Goal(0), Noise(0), norm="l2", epsilon=0.3, step_size=0.08, steps=10))
    torch.testing.assert_close(x_adv, X + 0.3 * (w[1] - w[0]) / (w[1] - w[0]).norm())


@pytest.mark.parametrize(("epsilon", "steps", "first"), [(0.1, 10, 0.025), (0.2, 5, 0.1), (0.1, 1, 0.1)])
def test_a_step_is_by_default_two_and_a_half_times_what_the_radius_asks_for(
    two_classes: Network, epsilon: float, steps: int, first: float
) -> None:
    flow = pgd(X, Goal(0), Noise(0), epsilon=epsilon, steps=steps)
    next(flow)
    reached = flow.send(Slope(torch.tensor(1.0), torch.ones_like(X), torch.zeros(4))).best
    torch.testing.assert_close(reached, X + first)


@pytest.mark.parametrize("norm", NORMS)
def test_one_step_of_the_whole_radius_is_fgsm(small_convolution: Network, norm: NormName) -> None:
    x = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    engine = Engine([small_convolution])
    one = engine.drive(pgd(x, Goal(1), Noise(0), norm=norm, epsilon=0.05, step_size=0.05, steps=1))
    torch.testing.assert_close(one, engine.drive(fgsm(x, Goal(1), norm=norm, epsilon=0.05)), rtol=0, atol=1e-12)


@settings(deadline=None, max_examples=40)
@given(
    norm=st.sampled_from(list(NORMS)),
    epsilon=st.floats(0, 1),
    step_size=st.floats(1e-3, 2),
    steps=st.integers(1, 5),
    random_start=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_an_attack_stays_in_the_ball_and_in_the_box(
    norm: NormName, epsilon: float, step_size: float, steps: int, random_start: bool, seed: int
) -> None:
    network = network_of(
        "small", nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3)), (3, 4, 4)
    )
    x = torch.rand(3, 4, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    for x_adv in (
        Engine([network]).drive(fgsm(x, Goal(0), norm=norm, epsilon=epsilon)),
        Engine([network]).drive(gradient_step(x, Goal(0), norm=norm, epsilon=epsilon)),
        Engine([network]).drive(least_likely(x, Goal(0, 1), Noise(0), norm=norm, epsilon=epsilon, steps=2)),
        Engine([network]).drive(most_likely(x, Goal(0, 0), Noise(0), norm=norm, epsilon=epsilon, steps=2)),
        Engine([network]).drive(
            pgd(
                x,
                Goal(0),
                Noise(seed),
                norm=norm,
                epsilon=epsilon,
                step_size=step_size,
                steps=steps,
                random_start=random_start,
                restarts=2,
            )
        ),
    ):
        assert NORMS[norm].size(x_adv - x) <= epsilon + 1e-9
        assert x_adv.min() >= 0
        assert x_adv.max() <= 1


def test_pgd_climbs_no_less_than_fgsm_on_a_linear_model(linear_network: Network) -> None:
    engine, J = Engine([linear_network]), CrossEntropy(2)

    def loss(x: Tensor) -> float:
        return float(J(linear_network.forward.forward(x[None]).logits))

    one = engine.drive(fgsm(X, Goal(2), epsilon=0.1))
    many = engine.drive(pgd(X, Goal(2), Noise(0), epsilon=0.1, step_size=0.03, steps=20))
    assert loss(X) < loss(one) <= loss(many) + 1e-12


# ── random starts ───────────────────────────────────────────────────────────────────────────────────────────────────


def start(seed: int, norm: NormName = "linf") -> Tensor:
    rows: Tensor = next(pgd(X, Goal(0), Noise(seed), norm=norm, epsilon=0.1, random_start=True)).rows
    return rows


@pytest.mark.parametrize("norm", NORMS)
def test_a_random_start_follows_the_seed_and_stays_in_the_ball(norm: NormName) -> None:
    assert torch.equal(start(3, norm), start(3, norm))
    assert not torch.equal(start(3, norm), start(4, norm))
    assert 0 < NORMS[norm].size(start(3, norm) - X) <= 0.1 + 1e-9


def test_without_a_random_start_the_seed_changes_nothing(two_classes: Network) -> None:
    a, b = (Engine([two_classes]).drive(pgd(X, Goal(0), Noise(seed))) for seed in (0, 1))
    assert torch.equal(a, b)


def test_of_several_starts_the_one_with_the_largest_final_loss_counts() -> None:
    logits = iter(torch.tensor([[0.0, 1.0], [0.0, 3.0], [0.0, 2.0]]))
    ends, starts = [], []

    def answer(asked: Any) -> Slope | Scores:
        if isinstance(asked, Forward):
            ends.append(asked.rows)
            return Scores(next(logits))
        if len(starts) == len(ends):
            starts.append(asked.rows)
        return Slope(torch.tensor(1.0), torch.ones_like(X), torch.zeros(2))

    x_adv = play(pgd(X, Goal(0), Noise(0), epsilon=0.1, step_size=0.01, steps=2, restarts=3), answer)
    assert len(starts) == len(ends) == 3
    assert starts[0] is X  # the first is at the image
    assert not torch.equal(starts[1], X)
    assert not torch.equal(starts[1], starts[2])
    assert x_adv is ends[1]


def test_where_the_first_start_is_random_too_all_differ() -> None:
    flow = pgd(X, Goal(0), Noise(0), steps=1, random_start=True, restarts=2)
    assert not torch.equal(next(flow).rows, X)


@pytest.mark.parametrize("norm", NORMS)
def test_more_starts_end_with_no_smaller_loss(small_convolution: Network, norm: NormName) -> None:
    x = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    engine, J = Engine([small_convolution]), CrossEntropy(1)
    losses = [
        float(J(small_convolution.forward.forward(x_adv[None]).logits))
        for restarts in (2, 4, 20)
        for start in [partial(pgd, x, Goal(1), norm=norm, epsilon=0.3, step_size=0.01, steps=1, restarts=restarts)]
        for x_adv in [engine.drive(start(Noise(0)))]
    ]
    assert losses == sorted(losses)
    assert losses[0] < losses[-1]


def test_noise_is_uniform_and_normal() -> None:
    like = torch.zeros(1, 100, 100)
    u, n = Noise(0).uniform(like, -0.5, 1.5), Noise(0).normal(like)
    assert (u.min() >= -0.5, u.max() < 1.5) == (True, True)
    assert u.mean().item() == pytest.approx(0.5, abs=0.03)
    assert u.var().item() == pytest.approx(4 / 12, abs=0.02)
    assert n.mean().item() == pytest.approx(0, abs=0.04)
    assert n.var().item() == pytest.approx(1, abs=0.05)


def test_one_draw_follows_another() -> None:
    noise = Noise(0)
    assert not torch.equal(noise.normal(X), noise.normal(X))


# ── what all of them keep to ────────────────────────────────────────────────────────────────────────────────────────

METHODS = [method for operation in OPERATIONS.values() for method in operation.methods]


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_every_algorithm_cites_its_paper_and_describes_its_arguments(method: Any) -> None:
    page = method.algorithm.__doc__
    assert re.search(r'(et al\.|and \w+), "', page)
    assert any(str(year) in page for year in range(1980, 2030))
    assert "Returns" in page and re.search(r"\b(x|images?)\b", page)
    assert method.summary.endswith(".")


MAPPED = [method for operation in OPERATIONS.values() if operation.picture == "overlay" for method in operation.methods]


@pytest.mark.parametrize("method", MAPPED, ids=lambda method: method.name)
def test_a_method_says_whether_its_map_is_signed(small_convolution: Network, method: Any) -> None:
    x = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    chosen = method.choose(method.algorithm.__kwdefaults__ or {})
    found = Engine([small_convolution]).drive(chosen.begin(x=x, score=Logit(1), noise=Noise(0), last_layer="0"))
    assert method.signed == (found.signed is not None)
    assert all(part is None or part.shape == x.shape for part in (found.signed, found.moved))
