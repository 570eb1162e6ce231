"""Adversarial examples made on other networks than the one that is to be fooled."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rakinglight.algorithms.pgd import pgd
from rakinglight.algorithms.transfer import transfer
from rakinglight.card import check_others
from rakinglight.engine import Engine
from rakinglight.errors import BadParameter
from rakinglight.geometry import Geometry
from rakinglight.network import Network
from rakinglight.noise import Noise
from rakinglight.objectives import Goal
from rakinglight.queries import Algorithm, Progress, Query, State
from rakinglight.relays import relayed
from rakinglight.view import View
from tests.networks import network_of

X = torch.rand(1, 4, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def linear(name: str, seed: int, height: int = 4, width: int = 6) -> Network:
    module = nn.Sequential(nn.Flatten(), nn.Linear(height * width, 3))
    network = network_of(name, module, (1, height, width))
    noise = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3, generator=noise)
    return network


NETWORKS = [linear("asked", 1), linear("source", 2), linear("small", 3, 2, 3)]
ENGINE = Engine(NETWORKS)
CARDS = {network.card.name: network.card for network in NETWORKS}


def view_of(name: str) -> View:
    return View(Geometry.of(4, 6, CARDS[name].input_shape), X)


def test_with_one_model_it_is_pgd_on_that_model() -> None:
    moved = ENGINE.drive(transfer(X, Goal(0), view_of, models=("source",), epsilon=0.1, steps=5))
    alone = Engine([NETWORKS[1]]).drive(pgd(X, Goal(0), Noise(0), epsilon=0.1, step_size=0.05, steps=5))
    assert torch.equal(moved, alone)
    assert not torch.equal(moved, X)


def test_the_model_that_is_to_be_fooled_is_never_asked() -> None:
    asked: list[str] = []

    def noted(query: Any) -> Any:
        if isinstance(query, Query):
            asked.append(query.network)
        return query

    ENGINE.drive(relayed(transfer(X, Goal(0), view_of, models=("source", "small"), steps=2), noted))
    assert asked == ["source", "small"] * 2


def test_several_models_are_climbed_by_their_mean_loss_each_seen_through_its_own_view() -> None:
    delta = ENGINE.drive(transfer(X, Goal(0), view_of, models=("source", "small"), norm="l2", epsilon=0.1, steps=1)) - X
    x, losses = X.clone().requires_grad_(), []
    for name in ("source", "small"):
        network = next(network for network in NETWORKS if network.card.name == name)
        logits = network.forward.module(view_of(name)(x)[None])  # type: ignore[attr-defined]
        losses.append(Goal(0).loss(logits).sum())
    (g,) = torch.autograd.grad(sum(losses), x)
    # The only step is 2.5 epsilon long, which the ball cuts to epsilon; no pixel of X is at a border.
    inside = (X + 0.1 * g / g.norm()).clamp(0, 1) - X
    torch.testing.assert_close(delta, inside)


def test_momentum_remembers_the_way_and_goes_on_from_a_state() -> None:
    def run(state: State | None = None, momentum: float = 0.9) -> Algorithm[Tensor]:
        how = {"norm": "l2", "epsilon": 0.1, "steps": 6, "momentum": momentum}
        return transfer(X, Goal(0), view_of, state, models=("source",), **how)

    states: list[State] = []

    def noted(asked: Any) -> Any:
        if isinstance(asked, Progress):
            states.append({**asked.state, "step": asked.step, "best": asked.best})
        return asked

    whole = ENGINE.drive(relayed(run(), noted))
    assert torch.equal(ENGINE.drive(run(states[2])), whole)
    assert not torch.equal(ENGINE.drive(run(momentum=0.0)), whole)


@pytest.mark.parametrize(
    ("name", "says"),
    [("asked", "itself"), ("sorce", "did you mean 'source'"), ("colour", "takes 3 channels"), ("two", "other labels")],
)
def test_a_model_that_cannot_stand_in_is_refused(name: str, says: str) -> None:
    others = {
        **CARDS,
        "colour": network_of("colour", nn.Sequential(nn.Flatten(), nn.Linear(72, 3)), (3, 4, 6)).card,
        "two": network_of("two", nn.Sequential(nn.Flatten(), nn.Linear(24, 2)), (1, 4, 6)).card,
    }
    with pytest.raises(BadParameter, match=says) as caught:
        check_others(["source", name], CARDS["asked"], others)
    assert caught.value.errors[0].pointer == "/parameters/models/1"
