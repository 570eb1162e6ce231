"""The deletion curve."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rakinglight.queries import Algorithm
from rakinglight.trust.exchange import exchanged

if TYPE_CHECKING:
    from rakinglight.trust import Case


def deletion(case: Case) -> Algorithm[dict[str, Any]]:
    """How fast the class goes as pixels are taken away, the most important first. A small area is a good map.

    Petsiuk et al., "RISE: Randomized Input Sampling for Explanation of Black-box Models", BMVC 2018, section 4.1. A
    pixel that is gone is 0 after the model's normalisation, which is the model's mean colour before it.
    """
    mean = case.x.new_tensor(case.subject.card.mean)[:, None, None]
    return exchanged(case, case.x, mean.expand_as(case.x))
