"""What the client hands back: one answer an image, with numpy arrays and pictures where the reply has arrays and PNGs.

Each is a thin view of the reply, which stays reachable: `.entry` is this image's part and `.reply` the whole, as in the
contract, with arrays as numpy and pictures as PNG bytes. Needs no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rakinglight.results.base import OVER, STATES, Answer, Detection, Prediction, Progress, Share, State, is_reference
from rakinglight.results.inside import Inversion, Units
from rakinglight.results.many import Robustness, Substitute, Universal
from rakinglight.results.one import Attack, Classification, Explanation, Occlusion, Saliency

__all__ = [
    "OVER",
    "STATES",
    "Answer",
    "Attack",
    "Classification",
    "Detection",
    "Explanation",
    "Inversion",
    "Occlusion",
    "Prediction",
    "Progress",
    "Robustness",
    "Saliency",
    "Share",
    "State",
    "Substitute",
    "Units",
    "Universal",
    "answers",
    "is_reference",
]

#: The class of each operation's answers; an operation that is not here is answered with `Answer`.
ANSWERS: dict[str, type[Answer]] = {
    "classify": Classification,
    "saliency": Saliency,
    "occlusion": Occlusion,
    "attack": Attack,
    "inversion": Inversion,
    "robustness": Robustness,
    "units": Units,
    "universal": Universal,
    "substitute": Substitute,
}


def answers(reply: Mapping[str, Any]) -> list[Any]:
    """The answers in `reply`, one an image; None for an image that a partial reply has no answer for."""
    kind = ANSWERS.get(str(reply.get("operation", "classify")), Answer)
    return [None if entry is None else kind(entry, reply) for entry in reply["results"]]
