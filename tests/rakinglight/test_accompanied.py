"""One row alone gets the bits that it has in company, and only the layers that need it are touched."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from rakinglight.backends.accompanied import Accompanied, accompany, lonely_layers
from rakinglight.backends.torch_backend import TorchBackend
from rakinglight.network import Network
from rakinglight.objectives import CrossEntropy


class Shy(nn.Module):
    """A matrix that rounds otherwise when it sees one row alone: on the way up, on the way back, or never.

    It multiplies value by value, so that no matrix library has a say.
    """

    def __init__(self, when: str) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 4), requires_grad=False)
        self.when = when

    def forward(self, x: Tensor) -> Tensor:
        y = (x[:, None] * self.weight).sum(2)
        if len(x) == 1 and self.when == "back" and y.requires_grad:
            y.register_hook(lambda g: g * (1 + 1e-6))
        return y * (1 + 1e-6 if len(x) == 1 and self.when == "up" else 1)


def shy_network(*when: str) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), *map(Shy, when)).eval()


ROWS = torch.rand(2, 1, 2, 2, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    "when",
    [("up", "never"), ("never", "up"), ("up", "up"), ("never", "never"), ("back", "never"), ("never", "up", "back")],
    ids=" ".join,
)
def test_layers_that_round_one_row_otherwise_are_found(when: tuple[str, ...]) -> None:
    assert sorted(lonely_layers(shy_network(*when), ROWS)) == [str(i + 1) for i, w in enumerate(when) if w != "never"]


def test_a_network_whose_layers_multiply_nothing_has_none() -> None:
    assert lonely_layers(nn.Sequential(nn.Flatten(), nn.ReLU()), ROWS) == []


def test_finding_them_changes_nothing() -> None:
    network = shy_network("up")
    lonely_layers(network, ROWS)
    assert not any(isinstance(layer, Accompanied) for layer in network.modules())
    assert not any(layer._forward_hooks for layer in network.modules())


def test_an_accompanied_layer_answers_one_row_as_among_many() -> None:
    network = shy_network("up", "back", "never")
    layers = lonely_layers(network, ROWS)
    accompany(network, layers)

    def slopes(rows: Tensor) -> tuple[Tensor, Tensor]:
        x = rows.clone().requires_grad_()
        y = network(x)
        return y.detach(), torch.autograd.grad(CrossEntropy(0)(y).sum(), x)[0]

    for alone, company in zip(slopes(ROWS[:1]), slopes(ROWS), strict=True):
        assert torch.equal(alone, company[:1])


def test_layers_keep_their_names_and_can_be_heard() -> None:
    backend = TorchBackend(shy_network("up"), (0.5,), (0.5,))
    before = backend.forward(ROWS, ("1",)).activations["1"]
    backend.accompany((1, 2, 2), lambda question, measure: measure())
    assert isinstance(backend.module.network.get_submodule("1"), Accompanied)
    assert torch.equal(backend.forward(ROWS, ("1",)).activations["1"], before)


def test_what_was_found_once_is_not_looked_for_again() -> None:
    backend = TorchBackend(shy_network("up", "never"), (0.5,), (0.5,))
    backend.accompany((1, 2, 2), lambda question, measure: ["network.2"])
    layers = backend.module.network
    assert [isinstance(layer, Accompanied) for layer in layers] == [False, False, True]


def test_a_real_network_answers_one_row_as_its_ladder_says(lite0: Network) -> None:
    assert lite0.gradient is not None
    assert lite0.gradient_ladder is not None
    image = torch.rand(lite0.card.input_shape, generator=torch.Generator().manual_seed(2))
    n = lite0.gradient_ladder.counts[0]
    few = lite0.gradient.gradient(image.expand(n, *image.shape), CrossEntropy(3))
    many = lite0.gradient.gradient(image.expand(lite0.gradient_ladder.limit, *image.shape), CrossEntropy(3))
    assert torch.equal(few.gradient[0], many.gradient[-1])
