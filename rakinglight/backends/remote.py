"""A model elsewhere as a backend: what it answers, and nothing else of it."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor

from rakinglight.card import Card
from rakinglight.errors import BadParameter, InternalError, OracleAway
from rakinglight.network import Ladder, Network
from rakinglight.oracles.oracle import REST_S, Oracle
from rakinglight.queries import Scores

#: Rows of a pass at most.
AT_ONCE = 16
#: What is said of a model elsewhere where gradients are asked for.
NO_GRADIENTS = (
    "is asked as a black box, and answers no gradients, nor can its weights be changed; classify and every method that "
    "asks for scores alone work. Ask the service itself for the rest."
)


class RemoteBackend:
    """Has `oracle` answer the rows of a pass.

    Where it tells probabilities, their logarithms are the logits, whose softmax gives the probabilities back: every
    score but the logit, which the card refuses, is then what the model itself would say. Where it tells labels, the
    logits say which is first and nothing else.
    """

    def __init__(self, oracle: Oracle) -> None:
        self.oracle = oracle
        self.name = f"classify at {oracle.dialect.where}"

    def __repr__(self) -> str:
        return f"<RemoteBackend of {self.oracle}>"

    def forward(self, rows: Tensor, layers: tuple[str, ...] = ()) -> Scores:
        """The logits of `rows`. Raises what the oracle does."""
        if layers:
            raise InternalError("A black box shows no layers; the engine does not ask for any.")
        logits = self.oracle.answer(rows.detach().cpu().float().numpy())
        return Scores(torch.from_numpy(logits).to(rows))


class DeclaredBackend:
    """Has the oracle answer that `open` opens, when the first row comes: who declares a model need not reach it yet.

    card  as it was declared; the oracle's own has to agree
    """

    def __init__(self, card: Card, where: str, open_: Callable[[], Oracle]) -> None:
        self.card = card
        self.name = f"classify at {where}"
        self._open = open_
        self._backend: RemoteBackend | None = None
        self._away: tuple[OracleAway, float] | None = None

    def forward(self, rows: Tensor, layers: tuple[str, ...] = ()) -> Scores:
        """As `RemoteBackend.forward`. Raises BadParameter where the model is not what was declared."""
        if self._backend is None:
            if self._away and time.monotonic() - self._away[1] < REST_S:  # others who are in line need not wait as long
                raise OracleAway(self._away[0].detail, retry_after_s=self._away[0].retry_after_s)
            try:
                oracle = self._open()
            except OracleAway as e:
                self._away = e, time.monotonic()
                raise
            for name in ("input_shape", "labels", "tells"):
                found, declared = getattr(oracle.card, name), getattr(self.card, name)
                if found != declared:
                    oracle.close()
                    shown = f"{found}, and {declared} is declared" if name != "labels" else "other than those declared"
                    raise BadParameter(f"{self.card.name}: its {name.replace('_', ' ')} is {shown}; mend the target.")
            self._backend = RemoteBackend(oracle)
        return self._backend.forward(rows, layers)


def network_of(card: Card, backend: RemoteBackend | DeclaredBackend) -> Network:
    """The model of `card`, ready to answer.

    Every row is paid for, so none is sent for padding; rows that travel apart do not round one another.
    """
    return Network(card, backend, None, Ladder(tuple(range(1, AT_ONCE + 1))), no_gradients=NO_GRADIENTS)
