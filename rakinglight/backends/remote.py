"""A model at another service as a backend: what it says to `classify`, and nothing else of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from rakinglight.call import Call
from rakinglight.errors import BadParameter, InternalError
from rakinglight.queries import Scores

if TYPE_CHECKING:
    from rakinglight.card import Card
    from rakinglight.client import Transport

#: Images of one request: what a service takes, and so the rows of a pass.
AT_ONCE = 16
#: Classes that `classify` names at most.
NAMED = 1000


class RemoteBackend:
    """Has a service classify the rows of a pass in one request, as exact tensors of the model's own input size.

    Where it tells logits, these are the answer. Else the logarithms of the probabilities are, whose softmax gives the
    probabilities back: every score but the logit, which the card refuses, is then what the model itself would say.
    """

    def __init__(self, service: Transport, card: Card) -> None:
        self.service = service
        self.card = card
        self.name = f"classify at {service!r}"

    def __repr__(self) -> str:
        return f"<RemoteBackend {self.card.name}, {self.name}>"

    def forward(self, rows: Tensor, layers: tuple[str, ...] = ()) -> Scores:
        """The logits of `rows`. Raises what the service raises, and BadParameter where it does not tell every class."""
        if layers:
            raise InternalError("A black box shows no layers; the engine does not ask for any.")
        call = Call.of(
            "classify",
            self.card.name,
            rows.detach().cpu().float().numpy(),
            version=self.card.version or None,
            include=(),
            top_k=min(NAMED, len(self.card.labels)),
        )
        told = self.service.ask(call)["results"]
        return Scores(torch.stack([self._logits(result["predictions"]) for result in told]).to(rows))

    def _logits(self, predictions: Sequence[Mapping[str, Any]]) -> Tensor:
        """The logits [K], float64, that `predictions` tell."""
        K = len(self.card.labels)
        told = {said["index"]: said for said in predictions if "logit" in said or "probability" in said}
        if len(told) < K:
            raise BadParameter(
                f"{self.service!r} tells the scores of {len(told)} of the {K} classes of {self.card.name}, and a black "
                f"box is explained by those of all. classify names {NAMED} at most, and a key may be shown fewer: take "
                "a model of fewer classes, a key with a full view, or let the service explain it."
            )
        z = torch.tensor([told[c].get("logit", torch.nan) for c in range(K)], dtype=torch.float64)
        if z.isnan().any():
            p = torch.tensor([told[c]["probability"] for c in range(K)], dtype=torch.float64)
            z = p.clamp(min=torch.finfo(torch.float32).tiny).log()
        return z
