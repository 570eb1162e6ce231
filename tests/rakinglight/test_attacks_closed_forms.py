"""Attacks on linear models, where the best there is can be written down."""

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from torch import Tensor, nn

from rakinglight.algorithms.deepfool import FURTHER, deepfool
from rakinglight.algorithms.gradient_step import gradient_step
from rakinglight.algorithms.lbfgs import lbfgs, minimized
from rakinglight.algorithms.least_likely import least_likely
from rakinglight.algorithms.linear import least_changes, linear
from rakinglight.algorithms.most_likely import most_likely
from rakinglight.algorithms.pgd import pgd
from rakinglight.bridge import bridged
from rakinglight.engine import Engine
from rakinglight.network import Network
from rakinglight.noise import Noise
from rakinglight.norms import NORMS, NormName
from rakinglight.objectives import Ahead, Goal, Logit, LogProbability
from rakinglight.queries import Gradient, Slope
from tests.networks import network_of

SHAPE = (2, 4, 5)
X = 0.4 + 0.2 * torch.rand(SHAPE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)  # far from 0 and 1

each_norm = pytest.mark.parametrize("norm", NORMS)
#: The norm by which a hyperplane's distance is measured, where the change is measured by the other.
DUAL = {"l2": 2, "linf": 1}


@pytest.fixture
def network() -> Network:
    """Four classes, Z = W x + b."""
    return network_of("linear", nn.Sequential(nn.Flatten(), nn.Linear(40, 4)), SHAPE)


def logits_of(network: Network, x: Tensor = X) -> Tensor:
    return network.forward.forward(x[None]).logits[0]


def label_of(network: Network) -> int:
    return int(logits_of(network).argmax())


def slopes(network: Network) -> Tensor:
    """The rows of W, [K, C, H, W]."""
    parameter = next(p for p in network.forward.module.parameters() if p.ndim == 2)  # type: ignore[attr-defined]
    return parameter.detach().reshape(-1, *SHAPE)  # type: ignore[no-any-return]


def distances(network: Network, norm: NormName) -> dict[int, float]:
    """Of each class but the first: how far X is from the hyperplane beyond which it wins over the first."""
    W, Z, y = slopes(network), logits_of(network), label_of(network)
    return {k: float((Z[y] - Z[k]) / (W[k] - W[y]).flatten().norm(p=DUAL[norm])) for k in range(len(Z)) if k != y}


# ── the nearest hyperplane ──────────────────────────────────────────────────────────────────────────────────────────


@each_norm
@pytest.mark.parametrize("overshoot", [0.0, 0.02, 0.5])
def test_linear_goes_to_the_nearest_hyperplane_and_a_little_beyond(
    network: Network, norm: NormName, overshoot: float
) -> None:
    y, far = label_of(network), distances(network, norm)
    x_adv = Engine([network]).drive(linear(X, Goal(y), logits_of(network), norm=norm, overshoot=overshoot))
    assert NORMS[norm].size(x_adv - X).item() == pytest.approx((1 + overshoot) * min(far.values()))
    Z = logits_of(network, x_adv)
    nearest = min(far, key=far.__getitem__)
    if overshoot:
        assert int(Z.argmax()) == nearest
    else:
        assert Z[nearest].item() == pytest.approx(Z[y].item())


@each_norm
def test_deepfool_takes_one_such_step(network: Network, norm: NormName) -> None:
    y, nearest = label_of(network), min(distances(network, norm).values())
    engine = Engine([network])
    x_adv = engine.drive(deepfool(X, Goal(y), logits_of(network), norm=norm))
    assert NORMS[norm].size(x_adv - X).item() == pytest.approx(1.02 * (nearest + FURTHER))
    assert int(logits_of(network, x_adv).argmax()) != y
    assert dict(engine.counts.rows) == {"gradient": 3, "forward": 1}


@each_norm
@pytest.mark.parametrize("attack", [linear, deepfool])
def test_towards_a_target_the_hyperplane_is_that_of_the_target(network: Network, norm: NormName, attack: Any) -> None:
    y, far = label_of(network), distances(network, norm)
    farthest = max(far, key=far.__getitem__)
    asked = next(attack(X, Goal(y, farthest), logits_of(network), norm=norm))
    assert asked.objective == [Ahead(farthest, y)]
    x_adv = Engine([network]).drive(attack(X, Goal(y, farthest), logits_of(network), norm=norm))
    assert NORMS[norm].size(x_adv - X).item() >= far[farthest]
    assert logits_of(network, x_adv)[farthest] > logits_of(network, x_adv)[y]


def test_deepfool_goes_on_until_the_target_is_before_all(network: Network) -> None:
    y = label_of(network)
    for target in set(range(4)) - {y}:
        x_adv = Engine([network]).drive(deepfool(X, Goal(y, target), logits_of(network)))
        assert int(logits_of(network, x_adv).argmax()) == target


@pytest.mark.parametrize("attack", [linear, deepfool, lbfgs])
def test_what_is_misclassified_already_is_left_alone_and_costs_nothing(network: Network, attack: Any) -> None:
    y = label_of(network)
    for goal in (Goal((y + 1) % 4), Goal((y + 1) % 4, y)):
        engine = Engine([network])
        assert engine.drive(attack(X, goal, logits_of(network))) is X
        assert not engine.counts.rows


@pytest.mark.parametrize("attack", [linear, deepfool])
@pytest.mark.parametrize(("candidates", "rows"), [(2, 1), (3, 2), (4, 3), (100, 3)])
def test_only_the_likeliest_classes_are_looked_at(network: Network, attack: Any, candidates: int, rows: int) -> None:
    best = logits_of(network).argsort(descending=True).tolist()
    asked = next(attack(X, Goal(best[0]), logits_of(network), candidates=candidates))
    assert asked.objective == [Ahead(k, best[0]) for k in best[1 : 1 + rows]]
    assert asked.rows.shape == (rows, *SHAPE)


# ── the box ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def in_a_corner(seed: int, n: int = 30) -> tuple[Tensor, Tensor]:
    """An image [1, 1, n] of which a third is black and a third white, and a slope."""
    noise = torch.Generator().manual_seed(seed)
    x = torch.rand(1, 1, n, generator=noise, dtype=torch.float64)
    x[..., : n // 3], x[..., n // 3 : 2 * (n // 3)] = 0, 1
    return x, torch.randn(1, 1, 1, n, generator=noise, dtype=torch.float64)


def most(x: Tensor, w: Tensor) -> Tensor:
    """What w.r is at most, of all r with x + r in the box."""
    return (w * torch.where(w > 0, 1 - x, -x)).sum()


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
@pytest.mark.parametrize("seed", range(3))
def test_in_linf_no_change_within_the_box_is_smaller(seed: int, share: float) -> None:
    x, w = in_a_corner(seed)
    f = -share * most(x, w)
    length, r = least_changes(x, f[None], w, NORMS["linf"])
    # By linear programming: the least t with |r| <= t, x + r in [0, 1] and w.r >= -f.
    n, a = x.numel(), w.flatten().numpy()
    eye, ones = np.eye(n), np.ones((n, 1))
    A = np.block([[eye, -ones], [-eye, -ones], [-a[None], np.zeros((1, 1))]])
    bounds = [*((-v, 1 - v) for v in x.flatten().tolist()), (0, None)]
    best = linprog([*np.zeros(n), 1], A, [*np.zeros(2 * n), float(f)], bounds=bounds)
    assert length.item() == pytest.approx(best.fun)
    assert NORMS["linf"].size(r[0]).item() == pytest.approx(best.fun)
    assert (w * r).sum().item() == pytest.approx(-f.item())
    assert ((x + r) >= 0).all() and ((x + r) <= 1).all()


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
@pytest.mark.parametrize("seed", range(3))
def test_in_l2_no_change_within_the_box_is_smaller(seed: int, share: float) -> None:
    x, w = in_a_corner(seed)
    f = -share * most(x, w)
    _, (r,) = least_changes(x, f[None], w, NORMS["l2"])
    assert (w * r).sum().item() == pytest.approx(-f.item())
    assert ((x + r) >= 0).all() and ((x + r) <= 1).all()
    # Karush, Kuhn and Tucker: r is along w where the box leaves it free, and shorter than that elsewhere.
    free = (x + r > 1e-9) & (x + r < 1 - 1e-9)
    ratio = (r / w[0])[free]
    torch.testing.assert_close(ratio, torch.full_like(ratio, ratio.mean().item()))
    assert ((r / w[0])[~free] <= ratio.mean() + 1e-9).all()


@each_norm
def test_what_the_box_does_not_hold_is_infinitely_far(norm: NormName) -> None:
    x, w = in_a_corner(0)
    length, r = least_changes(x, -2 * most(x, w)[None], w, NORMS[norm])
    assert length.item() == float("inf")
    torch.testing.assert_close((w * r).sum(), most(x, w))
    length, r = least_changes(x, torch.tensor([-1.0]), 0 * w, NORMS[norm])
    assert length.item() == float("inf")
    assert (r == 0).all()


# ── steps ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_gradient_step_keeps_the_proportions_of_the_gradient() -> None:
    x = torch.full((1, 1, 4), 0.5, dtype=torch.float64)
    g = torch.tensor([[[3.0, -4.0, 0.0, 1.0]]], dtype=torch.float64)

    def moved(norm: NormName) -> list[float]:
        flow = gradient_step(x, Goal(0), norm=norm, epsilon=0.2)
        next(flow)
        with pytest.raises(StopIteration) as done:
            flow.send(Slope(torch.tensor(1.0), g, torch.zeros(2)))
        return (done.value.value - x).flatten().tolist()

    assert moved("linf") == pytest.approx([0.15, -0.2, 0, 0.05])
    assert moved("l2") == pytest.approx([0.2 * v / 26**0.5 for v in (3, -4, 0, 1)])


@each_norm
def test_gradient_step_climbs_less_than_the_steepest_step_of_its_norm(network: Network, norm: NormName) -> None:
    y = label_of(network)
    r = Engine([network]).drive(gradient_step(X, Goal(y), norm=norm, epsilon=0.01)) - X
    g = Engine([network]).drive(asked(Gradient(X, Goal(y).loss))).gradient
    assert NORMS[norm].size(r).item() == pytest.approx(0.01)
    share = (g * r).sum() / (g * 0.01 * NORMS[norm].direction(g)).sum()
    assert share.item() == pytest.approx(1) if norm == "l2" else 0 < share < 0.9


def asked(query: Any) -> Any:
    return (yield query)


@pytest.mark.parametrize("method", [least_likely, most_likely])
def test_the_likely_ones_are_projected_descent_towards_their_class(network: Network, method: Any) -> None:
    order = logits_of(network).argsort().tolist()
    goal = Goal(order[-1], order[0] if method is least_likely else order[-1])
    assert next(method(X, goal, Noise(0))).objective == LogProbability(goal.target or 0)
    engine = Engine([network])
    x_adv = engine.drive(method(X, goal, Noise(0), epsilon=0.1))
    assert torch.equal(x_adv, engine.drive(pgd(X, goal, Noise(0), epsilon=0.1)))
    before, after = (logits_of(network, x).log_softmax(0)[goal.target] for x in (X, x_adv))
    assert after > before


# ── L-BFGS ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("c", [0.2, 2.0, 200.0])
def test_a_linear_loss_against_the_squared_length_ends_where_the_two_slopes_meet(network: Network, c: float) -> None:
    w = slopes(network)[1]
    work = partial(minimized, X, X, c, Logit(1), Goal(0, 1), 100)
    _, end, _ = Engine([network]).drive(bridged(work))
    expected = (X + w / (2 * c)).clamp(0, 1)  # in each value a parabola of its own, cut off by the box
    torch.testing.assert_close(end, expected, rtol=0, atol=2e-3 * float((expected - X).abs().max()))


def test_lbfgs_finds_the_nearest_point_beyond_the_hyperplane() -> None:
    network = network_of("two", nn.Sequential(nn.Flatten(), nn.Linear(40, 2)), SHAPE)
    y, (nearest,) = label_of(network), distances(network, "l2").values()
    x_adv = Engine([network]).drive(lbfgs(X, Goal(y), logits_of(network), binary_search_steps=14))
    assert int(logits_of(network, x_adv).argmax()) != y
    assert nearest <= (x_adv - X).norm().item() <= 1.02 * nearest
    r, w = (x_adv - X).flatten(), (slopes(network)[1 - y] - slopes(network)[y]).flatten()
    assert torch.cosine_similarity(r, w, dim=0) > 0.999
