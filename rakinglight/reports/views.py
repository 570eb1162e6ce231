"""The same model, shown less: what an attack comes to through a view that tells fewer figures.

A view can only be simulated downwards: of probabilities the rounded ones and the labels are known, of labels nothing
else is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rakinglight.client import Client
from rakinglight.in_process import InProcess
from rakinglight.views import TELLS, Seen

if TYPE_CHECKING:
    from rakinglight.card import Card
    from rakinglight.network import Network


def through(view: str, client: Client) -> Client:
    """A client of the same models, which run in this process, as a key with `view` would see them."""
    assert isinstance(client._transport, InProcess), "somebody else's view is not ours to choose"
    return Client(Through(view, client._transport))


class Through(InProcess):
    """The models of `other` through a view: no gradients, no logits, and no more of an answer than the view shows."""

    def __init__(self, view: str, other: InProcess) -> None:
        super().__init__()
        self.view, self.other = view, other

    def __repr__(self) -> str:
        return f"{self.other}, through the view {self.view}"

    def models(self) -> list[dict[str, object]]:
        return self.other.models()

    def read_card(self, name: str) -> Card:
        return replace(self.other.card(name), tells=TELLS[self.view], differentiable=False, detector=None)

    def load_network(self, card: Card) -> Network:
        network = self.other.load_network(self.other.card(card.name))
        return replace(
            network,
            card=card,
            forward=Seen(network.forward, self.view),
            gradient=None,
            gradient_ladder=None,
            patches=None,
            detector=None,
            no_gradients=f"is looked at through the view {self.view!r}, which answers no gradients.",
        )
