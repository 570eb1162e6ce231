"""The same model, shown less: what an attack comes to through a view that tells fewer figures.

A view can only be simulated downwards: of probabilities the rounded ones and the labels are known, of labels nothing
else is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rakinglight.client import Client
from rakinglight.in_process import InProcess

if TYPE_CHECKING:
    from torch import Tensor

    from rakinglight.card import Card, Tells
    from rakinglight.network import Network, Scorer
    from rakinglight.queries import Scores

#: The views that are simulated, from the one that tells least on, and what each tells.
TELLS: dict[str, Tells] = {"label": "labels", "rounded": "probabilities", "full": "probabilities"}
#: Of what a model tells, the views that can be known.
KNOWN = {"labels": ("label",), "probabilities": ("label", "rounded", "full"), "logits": ("label", "rounded", "full")}
#: Decimals of the view `rounded`.
DECIMALS = 2
#: The logit of the classes that are not named where labels alone are told, as an oracle has it.
UNNAMED = -1000.0


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


class Seen:
    """What is seen of a backend's answers through a view."""

    def __init__(self, backend: Scorer, view: str) -> None:
        self.backend, self.view = backend, view
        self.name = f"{backend.name}, through the view {view}"

    def forward(self, rows: Tensor, layers: tuple[str, ...] = ()) -> Scores:
        """The logarithms of the probabilities of `rows`, whole or rounded; or of the first class 0 and UNNAMED else."""
        import torch

        from rakinglight.queries import Scores

        logits = self.backend.forward(rows, layers).logits
        if self.view == "label":
            named = torch.full_like(logits, UNNAMED)
            return Scores(named.scatter(1, logits.argmax(1, keepdim=True), 0.0))
        p = logits.double().softmax(1)
        if self.view == "rounded":
            p = p.round(decimals=DECIMALS)
        return Scores(p.clamp(min=torch.finfo(torch.float32).tiny).log().to(logits))
