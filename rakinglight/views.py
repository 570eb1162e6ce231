"""What a view shows of a model's answer, and what a method makes of as much.

    label    the best class
    rounded  the probability of every class, to DECIMALS
    full     the probability of every class

A method works with logits. Of probabilities these are the logarithms; of a label, 0 for its class and UNNAMED for all
others. Needs no torch to be imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

    from rakinglight.card import Tells
    from rakinglight.network import Scorer
    from rakinglight.queries import Scores

Array = np.ndarray[Any, Any]

#: The views that can be simulated, from the one that tells least on, and what each tells.
TELLS: dict[str, Tells] = {"label": "labels", "rounded": "probabilities", "full": "probabilities"}
#: Of what a model tells, the views that can be known.
KNOWN = {"labels": ("label",), "probabilities": ("label", "rounded", "full"), "logits": ("label", "rounded", "full")}
#: Decimals of a probability in the view `rounded`.
DECIMALS = 2
#: The logit of the classes that are not named where labels alone are told; that of the one that is named is 0.
UNNAMED = -1000.0


def first_alone(labels: Array, K: int) -> Array:
    """The logits, float64 [n, K], of n answers that name the classes `labels` [n] and say nothing else."""
    logits = np.full((len(labels), K), UNNAMED)
    logits[np.arange(len(labels)), labels] = 0.0
    return logits


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
