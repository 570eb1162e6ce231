"""One image is turned into another, pixel by pixel in the order of a map, and the score is watched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rakinglight.objectives import Probability
from rakinglight.queries import WAVE, Algorithm, Forward, Progress
from rakinglight.rows import Masked

if TYPE_CHECKING:
    from torch import Tensor

    from rakinglight.trust import Case


def exchanged(case: Case, start: Tensor, finish: Tensor) -> Algorithm[dict[str, Any]]:
    """The probability of the explained class while pixels of `start` become those of `finish`.

    Petsiuk et al., "RISE: Randomized Input Sampling for Explanation of Black-box Models", BMVC 2018, section 4.1, as in
    its authors' code: the largest value of the map goes first, as many pixels in a step as a row of the image has, so
    that H x W pixels give H + 1 scores. Equal values go in reading order. The authors look at the class that the model
    names; this at the one that is explained, which is the same unless a target was given.

    start, finish  [C, H, W]
    Returns the curve, float32 [H + 1], and the area below it on a base of length one, by the trapezoidal rule.
    """
    import torch

    p, (H, W) = Probability(case.c), case.found.map.shape
    turn = torch.empty(H * W, dtype=torch.long)
    turn[case.found.map.flatten().argsort(descending=True, stable=True)] = torch.arange(H * W)
    scores: list[Tensor] = []
    for first in range(0, H + 1, WAVE):
        gone = torch.arange(first, min(first + WAVE, H + 1)) * W
        there = (turn.view(H, W) >= gone[:, None, None]).to(start)
        logits, _ = yield Forward(Masked(start, there, finish))
        scores += p(logits)
        yield Progress(len(scores), H + 1, float(scores[-1]))
    h = torch.stack(scores)
    area = (h.double().sum() - h[0] / 2 - h[-1] / 2) / (len(h) - 1)
    return {"area": float(area), "curve": h.float().numpy(), "score": "probability"}
