"""Passes that end at a layer, and representations that are asked as networks are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from rakinglight.engine import Engine
from rakinglight.errors import BadParameter
from rakinglight.network import Network
from rakinglight.queries import Algorithm, Forward, Gradient, Scores, Slope
from rakinglight.run import Run
from tests.networks import network_of


class Shut(Exception):
    """What comes behind the layer was asked."""


class Behind(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise Shut


def energy(outputs: Mapping[str, Tensor]) -> Tensor:
    (z,) = outputs.values()
    return z.flatten(1).square().sum(1)


def first_layer(x: Tensor) -> Algorithm[tuple[Scores, Slope]]:
    scores: Scores = yield Forward(x, ("0",), short=True)
    slope: Slope = yield Gradient(x, energy, at=("0",))
    return scores, slope


@pytest.fixture
def network() -> Network:
    torch.manual_seed(0)
    return network_of("cut", nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5)), (3, 8, 8))


def test_a_short_pass_ends_at_its_layer_and_says_what_a_whole_one_says(network: Network) -> None:
    engine, x = Engine([network]), torch.rand(2, 3, 8, 8, dtype=torch.float64)
    whole: Scores = engine.drive(iter_one(Forward(x, ("0",))))
    network.gradient.module.network[3] = Behind()  # type: ignore[union-attr]
    scores, slope = engine.drive(first_layer(x))
    assert scores.logits.shape == slope.logits.shape == (2, 0)
    assert torch.equal(scores.activations["0"], whole.activations["0"])
    weight, bias = network.gradient.module.network[0].parameters()  # type: ignore[union-attr]
    again = x.clone().requires_grad_()
    (g,) = torch.autograd.grad(energy({"0": nn.functional.conv2d(again, weight, bias)}).sum(), again)
    assert torch.allclose(slope.gradient, g)


def test_objectives_of_layers_share_a_pass_and_stay_their_own(network: Network) -> None:
    engine, x = Engine([network]), torch.rand(3, 3, 8, 8)
    runs = [engine.submit(Run(first_layer(one))) for one in x]
    engine.run_until(lambda: all(run.over for run in runs))
    assert engine.counts.passes["gradient"] == 1
    for one, run in zip(x, runs, strict=True):
        assert torch.equal(run.result[1].gradient, Engine([network]).drive(first_layer(one))[1].gradient)


def test_a_layer_without_a_derivative_is_said_to_have_none() -> None:
    class Rounded(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x > 0.5).float()

    cut = network_of("cut", nn.Sequential(Rounded(), nn.Flatten(), nn.Linear(192, 5)), (3, 8, 8))
    with pytest.raises(BadParameter, match="0 puts out has no derivative"):
        Engine([cut]).drive(first_layer(torch.rand(1, 3, 8, 8)))


@dataclass(frozen=True)
class Squares:
    """Each value squared."""

    least: int = 4
    name: str = "squares"

    def check(self, shape: tuple[int, int, int]) -> None:
        if min(shape[1:]) < self.least:
            raise BadParameter(f"Pictures of {shape[1]} by {shape[2]} are too small.")

    def code(self, x: Tensor) -> Tensor:
        return x.square().flatten()


def test_a_representation_is_asked_as_a_network_is(network: Network) -> None:
    engine, x = Engine([network]), torch.rand(2, 1, 6, 5)

    def asked() -> Algorithm[Slope]:
        slope: Slope = yield Gradient(x, lambda code: code.sum(1), network=Squares())
        return slope

    slope = engine.drive(asked())
    assert torch.equal(slope.gradient, 2 * x) and torch.equal(slope.logits, x.square().flatten(1))


def test_a_representation_refuses_what_it_has_no_code_for(network: Network) -> None:
    def asked() -> Algorithm[Scores]:
        scores: Scores = yield Forward(torch.rand(1, 1, 3, 3), network=Squares())
        return scores

    with pytest.raises(BadParameter, match="too small"):
        Engine([network]).drive(asked())


def iter_one(query: Forward) -> Algorithm[Scores]:
    scores: Scores = yield query
    return scores
