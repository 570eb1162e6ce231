"""Small networks for tests: weights from a fixed seed, answers that can be done by hand."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from rakinglight.backends.torch_backend import TorchBackend
from rakinglight.card import Card
from rakinglight.detector import About, Detector
from rakinglight.network import Ladder, Network
from rakinglight.queries import Rule, Scores, Slope


def network_of(
    name: str,
    module: nn.Module,
    input_shape: tuple[int, int, int],
    *,
    layers: dict[str, tuple[int, ...]] | None = None,
    counts: tuple[int, ...] = (4,),
    dtype: torch.dtype = torch.float64,
) -> Network:
    """A network with weights from a fixed seed that torch answers for, in float64.

    counts  of its ladder. One count alone needs no probe: passes of one size give a row the same bits.
    """
    noise = torch.Generator().manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3, generator=noise)
    channels = input_shape[0]
    with torch.no_grad():
        classes = module(torch.zeros(1, *input_shape)).shape[1]
    card = Card(
        name=name,
        version="1.0",
        input_shape=input_shape,
        mean=(0.0,) * channels,
        std=(1.0,) * channels,
        labels=tuple(f"class {c}" for c in range(classes)),
        sha256="0" * 64,
        provenance="Made by a test from a fixed seed.",
        layers=layers or {},
    )
    backend = TorchBackend(module, card.mean, card.std, dtype=dtype)
    return Network(card, backend, backend, Ladder(counts), Ladder(counts))


def neighbour() -> Network:
    """Of the classes of `small`, five, and of smaller images: 3x6x6."""
    return network_of("neighbour", nn.Sequential(nn.Flatten(), nn.Linear(3 * 6 * 6, 5)), (3, 6, 6))


def with_detector(network: Network, layer: str, limit: float, name: str = "") -> Network:
    """`network`, or a copy of it with a `name` of its own, with a detector that counts: its score is 2^-n, where n is
    how many values the layer puts out above 1. So an image in which none is has the score 1.
    """
    n = math.prod(network.card.layers[layer])
    tensors = {
        "thresholds": torch.ones(1, n),
        "support": torch.zeros(1, n, dtype=torch.uint8),
        "coefficients": torch.ones(1),
        "intercept": torch.tensor(0.0),
        "gamma": torch.tensor(math.log(2)),
        "limit": torch.tensor(limit),
    }
    detector = Detector(About((layer,), 0.25, "Made by a test."), tensors)
    return replace(
        network, card=replace(network.card, name=name or network.card.name, detector=0.25), detector=detector
    )


class Abacus:
    """A linear backend that keeps a record: logits W x of 1x2x3 pixels, four classes.

    As in matrix libraries, other row counts may round otherwise: here they do unless a pass has one of `family`'s.

    passes  the row counts that it was asked for
    poison  a first pixel at which a pass fails, whoever else is in it
    """

    name = "abacus"
    poison = 0.0625

    def __init__(self, family: tuple[int, ...]) -> None:
        self.W = torch.randn(4, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        self.family = family
        self.passes: list[int] = []

    def _logits(self, rows: Tensor) -> Tensor:
        self.passes.append(len(rows))
        pixels = rows.flatten(1)
        if (pixels[:, 0] == self.poison).any():
            raise MemoryError("poison")
        return (pixels[:, None] * self.W).sum(-1) + (0 if len(rows) in self.family else 1e-9 * len(rows))

    def forward(self, rows: Tensor, layers: tuple[str, ...] = (), *, short: bool = False) -> Scores:
        logits = self._logits(rows)
        return Scores(logits[:, :0] if short else logits, dict.fromkeys(layers, rows * 2))

    def gradient(
        self,
        rows: Tensor,
        objective: Callable[[Any], Tensor],
        *,
        at: tuple[str, ...] = (),
        wrt: str | None = None,
        rules: Sequence[Rule] = (),
    ) -> Slope:
        assert not at, "of its layers it knows no slope"
        x = rows.clone().requires_grad_()
        logits = self._logits(x)
        values = objective(logits)
        (g,) = torch.autograd.grad(values.sum(), x)
        return Slope(values.detach(), g, logits.detach())


def abacus_network(counts: tuple[int, ...] = (4,), *, name: str = "abacus", gradients: bool = True) -> Network:
    """A network that an Abacus answers for, with `counts` as its ladder for both kinds of query."""
    abacus, ladder = Abacus(counts), Ladder(counts)
    card = Card(
        name=name,
        version="1.0",
        input_shape=(1, 2, 3),
        mean=(0.0,),
        std=(1.0,),
        labels=("ash", "birch", "cedar", "date"),
        sha256="0" * 64,
        provenance="Made by a test.",
        layers={"doubled": (1, 2, 3)},
        differentiable=gradients,
    )
    return Network(card, abacus, abacus if gradients else None, ladder, ladder if gradients else None)


def abacus_of(network: Network) -> Abacus:
    """The backend of a network made by `abacus_network`, to look at its record."""
    assert isinstance(network.forward, Abacus)
    return network.forward
