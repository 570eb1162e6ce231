"""The client of a black box: the methods run in this process, and a model elsewhere is asked to classify.

    import rakinglight

    rakinglight.black_box("http://127.0.0.1:8000").model("lenet5-digits").ask("occlusion", "seven.png", "sliding")

What a method costs here is what it would cost whoever has nothing but the model's answers: a row is an image that is
sent. Methods that ask for more than the model tells are refused before any image is.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rakinglight.client import Client
from rakinglight.description import card_of, describe
from rakinglight.in_process import InProcess
from rakinglight.oracles import Journal, Oracle, Target, kind_of, line_to, open_target, read_where
from rakinglight.oracles.ours import Ours

if TYPE_CHECKING:
    from rakinglight.card import Card
    from rakinglight.network import Network


def black_box(
    where: str | Path = "http://127.0.0.1:8000",
    key: str | None = None,
    *,
    journal: str | Path | None = None,
    timeout: float | None = None,
    patience: float | None = None,
    canaries: float | None = None,
) -> Client:
    """A client that has the models at `where` classify images, and does everything else itself.

    where     a service of ours; a model of an Open Inference Protocol server, http://host/v2/models/NAME; or a target
              file, whose name ends in .toml. The latter two are one model, by whatever name it is asked for
    key       the service's, where it wants one
    journal   a file that remembers what was answered: no image in it is asked again, so that a method that was cut off
              goes on when it is run again. Without it, answers are remembered until `close`
    timeout   seconds that one request may take; 60
    patience  seconds of waiting, where the service is away or wants to be left alone, before it is given up; 120
    canaries  the share of the images asked that is asked again, to see whether the model is still the same; 0.01
    """
    target = read_where(where, key)
    return Client(BlackBox(target, journal, timeout=timeout, patience=patience, canaries=canaries))


class BlackBox(InProcess):
    """The models at a target, of which nothing is asked but to classify."""

    def __init__(
        self,
        target: Target,
        journal: str | Path | None = None,
        *,
        timeout: float | None = None,
        patience: float | None = None,
        canaries: float | None = None,
    ) -> None:
        super().__init__()
        self.target = target
        self._line = line_to(target, patience=patience, timeout=timeout)
        self._how: dict[str, Any] = {"timeout": timeout, "patience": patience, "canaries": canaries}
        self._journal = Journal(Path(journal) if journal else None)
        self._oracles: dict[str, Oracle] = {}

    def __repr__(self) -> str:
        return f"this process, asking {self._line.where} to classify"

    @property
    def alone(self) -> bool:
        """Whether there is one model, by whatever name it is asked for."""
        return kind_of(self.target) != "rakinglight" or self.target.model is not None

    @property
    def oracles(self) -> list[Oracle]:
        """Those that were asked something."""
        return list(self._oracles.values())

    def oracle(self, name: str = "") -> Oracle:
        """The model called `name`: what it tells, and what it was asked. Raises NotFound."""
        name = "" if self.alone else name
        if name not in self._oracles:
            self._oracles[name] = open_target(self.target, name, self._journal, **self._how)
        return self._oracles[name]

    def models(self) -> list[dict[str, Any]]:
        if self.alone:
            return [describe(self.oracle().card)]
        return [describe(card_of(described)) for described in Ours.models(self.target, self._line)]

    def card(self, name: str, version: str | None = None) -> Card:
        return super().card(self.oracle(name).card.name if self.alone else name, version)

    def read_card(self, name: str) -> Card:
        return self.oracle(name).card

    def load_network(self, card: Card) -> Network:
        from rakinglight.backends.remote import RemoteBackend, network_of

        return network_of(card, RemoteBackend(self.oracle(card.name)))

    def end(self, name: str) -> None:
        self.oracle(name).end()

    def close(self) -> None:
        for oracle in self._oracles.values():  # first, or the engine would wait for an answer that nobody wants
            oracle.close()
        super().close()
        self._line.close()
        self._journal.close()
