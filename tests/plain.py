"""The networks of the archives as their recipes make them: plain modules, as peers want them."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rakinglight.archives import find_archives, opened
from rakinglight.card import Card
from rakinglight.engine import Engine, Run
from rakinglight.network import Network
from rakinglight.queries import Algorithm


class Plain(nn.Module):
    """The module as its recipe makes it, in eager mode, with the card's normalisation in front."""

    def __init__(self, card: Card, module: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.module = module
        self.mean, self.std = (torch.tensor(values, dtype=dtype).view(-1, 1, 1) for values in (card.mean, card.std))
        self.to(dtype).eval()

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.module((x - self.mean) / self.std)
        return logits


def module_of(home: Path, name: str) -> tuple[Card, nn.Module]:
    with opened(find_archives(home)[name]) as archive:
        card = archive.card()
        return card, archive.module(card, archive.weights(card))


def plain(home: Path, name: str, dtype: torch.dtype = torch.float32) -> Plain:
    return Plain(*module_of(home, name), dtype)


def drive_all(network: Network, algorithms: list[Algorithm[Any]]) -> list[Any]:
    """All at once, as the service would."""
    engine = Engine([network])
    runs = [engine.submit(Run(algorithm)) for algorithm in algorithms]
    engine.run_until(lambda: all(run.over for run in runs))
    return [run.result for run in runs]


def relative_difference(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max() / b.abs().max())
