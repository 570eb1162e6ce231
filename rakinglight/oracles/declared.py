"""A target that a service's operator declared whole: it is known before it is asked, and first asked by a caller."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from rakinglight.card import Card
from rakinglight.errors import BadParameter, Conflict
from rakinglight.oracles import Oracle, open_target
from rakinglight.oracles.journal import Journal
from rakinglight.oracles.target import Target, read_target

if TYPE_CHECKING:
    from rakinglight.network import Network

#: Where in `home` the journals of targets are.
FOLDER = "targets"


def declared_card(path: Path) -> Card:
    """The card that the file at `path` declares. Needs nothing of the environment. Raises BadParameter."""
    return _declared(path, read_target(path, lambda name: ""))


def declared_network(path: Path, home: Path | None = None) -> Network:
    """The model that the file at `path` declares, ready to be asked; what it answers is remembered in `home`.

    Whoever asks it is told its name: where it is, is its operator's.
    """
    from rakinglight.backends.remote import DeclaredBackend, network_of

    target = read_target(path)
    card = _declared(path, target)

    def opened() -> Oracle:
        journal = _journal(home, card.name)
        try:
            oracle = open_target(target, card.name, journal, called=card.name)
        except BaseException:
            journal.close()
            raise
        oracle.owns_journal = True
        return oracle

    return network_of(card, DeclaredBackend(card, f"the target {card.name}", opened))


def _declared(path: Path, target: Target) -> Card:
    if (card := target.card) is None:
        raise BadParameter(
            f"{path} is for a service, which asks nobody before somebody asks it: it declares name, classes, tells "
            "(logits, probabilities or labels) and [input] shape."
        )
    return card


def _journal(home: Path | None, name: str) -> Journal:
    """A journal that no other process has: the first is taken again by who comes after its owner."""
    if home is None:
        return Journal()
    folder = home / FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for number in count():
        try:
            return Journal(folder / f"{name}-{number}.journal")
        except Conflict:
            continue
    raise AssertionError("there are always more numbers")
