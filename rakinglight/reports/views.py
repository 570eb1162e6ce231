"""The same model, shown less, or behind a defence: what an attack comes to through a view that tells fewer figures.

    row ── chain ── network ── view

A view can only be simulated downwards: of probabilities the rounded ones and the labels are known, of labels nothing
else is. A defence stands before any model that answers at all.
"""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from rakinglight.client import Client
from rakinglight.defenses import Chain, RandomNumbers
from rakinglight.in_process import InProcess
from rakinglight.views import TELLS, Seen

if TYPE_CHECKING:
    from torch import Tensor

    from rakinglight.card import Card
    from rakinglight.network import Network, Scorer
    from rakinglight.queries import Scores

#: No defence.
NONE = Chain()


def through(view: str, client: Client, chain: Chain = NONE, seed: int = 0) -> Client:
    """A client of the same models, which run in this process, as a key with `view` would see them behind `chain`.

    seed  of what is random in the chain
    """
    assert isinstance(client._transport, InProcess), "somebody else's view is not ours to choose"
    return Client(Through(view, client._transport, chain, seed))


class Through(InProcess):
    """The models of `other` through a view: no gradients, no logits, and no more of an answer than the view shows."""

    def __init__(self, view: str, other: InProcess, chain: Chain = NONE, seed: int = 0) -> None:
        super().__init__()
        self.view, self.other, self.chain, self.seed = view, other, chain, seed

    def __repr__(self) -> str:
        return f"{self.other}, through the view {self.view}"

    def models(self) -> list[dict[str, object]]:
        return self.other.models()

    def read_card(self, name: str) -> Card:
        return replace(self.other.card(name), tells=TELLS[self.view], differentiable=False, detector=None)

    def end(self, name: str) -> None:
        self.other.end(name)

    def load_network(self, card: Card) -> Network:
        network = self.other.load_network(self.other.card(card.name))
        behind = Behind(network.forward, self.chain, self.seed) if self.chain else network.forward
        return replace(
            network,
            card=card,
            forward=Seen(behind, self.view),
            gradient=None,
            gradient_ladder=None,
            patches=None,
            detector=None,
            no_gradients=f"is looked at through the view {self.view!r}, which answers no gradients.",
        )


class Behind:
    """What a backend says of rows that pass a chain of defences first, each alone: what `classify` says behind it.

    A random defence draws by `seed` and the row, where a service's draws nobody can foresee: a row's answer has to
    depend on that row alone, whatever else is in its pass, and the same theft on being the same again.
    """

    def __init__(self, backend: Scorer, chain: Chain, seed: int) -> None:
        self.backend, self.chain, self.seed = backend, chain, seed
        self.name = f"{backend.name}, behind {said(chain)}"

    def forward(self, rows: Tensor, layers: tuple[str, ...] = ()) -> Scores:
        """The logarithms of the mean probabilities over the images that the chain makes of each row."""
        import torch

        from rakinglight.defended import together
        from rakinglight.queries import Scores

        images = [self.chain.all(row, self._draw(row)) for row in rows]
        # As many images to a pass as there are rows: of that count the bits are known.
        passes = [self.backend.forward(torch.stack(each), layers).logits for each in zip(*images, strict=True)]
        return Scores(together(torch.stack(passes, 1)))

    def _draw(self, row: Tensor) -> RandomNumbers:
        return np.random.default_rng([self.seed, zlib.crc32(row.detach().cpu().numpy().tobytes())])


def said(chain: Chain) -> str:
    """In words, such as "jpeg (quality 50), then median_blur": of each what was chosen, and no defaults."""
    parts = []
    for defense in chain.defenses:
        chosen = defense.model_dump(exclude={"name"}, exclude_defaults=True)
        numbers = ", ".join(f"{name} {number:g}" for name, number in chosen.items())
        parts.append(f"{defense.name} ({numbers})" if numbers else defense.name)
    return ", then ".join(parts)
