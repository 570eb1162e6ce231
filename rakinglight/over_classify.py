"""The client of a black box: the methods run in this process, and the model behind a URL is asked to classify.

    import rakinglight

    rakinglight.black_box("http://127.0.0.1:8000").model("lenet5-digits").ask("occlusion", "seven.png", "sliding")

What a method costs here is what it would cost whoever has nothing but the model's answers: a row is an image that is
sent. Methods that ask for more than scores are refused by the engine, as they are for every model without gradients.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from rakinglight.call import Call
from rakinglight.client import Client
from rakinglight.description import card_of, describe
from rakinglight.flows import Address
from rakinglight.in_process import InProcess
from rakinglight.over_http import HttpTransport

if TYPE_CHECKING:
    from rakinglight.card import Card
    from rakinglight.network import Network


#: What is said of a black box where gradients are asked for.
NO_GRADIENTS = (
    "is asked as a black box, and answers no gradients, nor can its weights be changed; classify and every method that "
    "asks for scores alone work. Ask the service itself for the rest."
)


def black_box(url: str = "http://127.0.0.1:8000", key: str | None = None, *, timeout: float | None = None) -> Client:
    """A client that has the models at `url` classify images, and does everything else itself.

    key      the service's, where it wants one
    timeout  seconds without a byte after which a request is given up; by default its deadline and a margin
    """
    return Client(BlackBox(Address.of(url, key, timeout)))


class BlackBox(InProcess):
    """The models of a service, of which nothing is asked but `classify`."""

    def __init__(self, address: Address) -> None:
        super().__init__()
        self._service = HttpTransport(address)

    def __repr__(self) -> str:
        return f"this process, asking {self._service} to classify"

    def models(self) -> list[dict[str, Any]]:
        return [describe(card_of(described)) for described in self._service.models()]

    def read_card(self, name: str) -> Card:
        card = card_of(self._service.model(name))
        return replace(card, tells="logits" if self._tells_logits(card) else "probabilities")

    def _tells_logits(self, card: Card) -> bool:
        """Whether the model's answers have logits. It is asked about a black image: no description says so."""
        black = np.zeros(card.input_shape, np.float32)
        asked = Call.of("classify", card.name, black, version=card.version or None, include=(), top_k=1)
        (result,) = self._service.ask(asked)["results"]
        return all("logit" in said for said in result["predictions"])

    def load_network(self, card: Card) -> Network:
        from rakinglight.backends.remote import AT_ONCE, RemoteBackend
        from rakinglight.network import Ladder, Network

        # Every row is paid for, so none is sent for padding; rows that travel apart do not round one another.
        ladder = Ladder(tuple(range(1, AT_ONCE + 1)))
        return Network(card, RemoteBackend(self._service, card), None, ladder, no_gradients=NO_GRADIENTS)

    def close(self) -> None:
        super().close()
        self._service.close()
