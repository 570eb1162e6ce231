"""A network behind a chain of defences: what an attack that knows of them asks, and what is said of a picture.

    algorithm ── view ── chain ── network    `defended`: rows go out through the chain, gradients come back through it
    picture ──── view ── chain ── network    `answers`: the logits of each of some fresh draws

A chain works on the image as the model sees it. Where it is random, an attack climbs the mean over several draws.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from rakinglight.defenses import Chain, Draw
from rakinglight.objectives import Objective
from rakinglight.queries import Algorithm, Compute, Forward, Gradient, Query, Scores, Slope
from rakinglight.relays import replied
from rakinglight.rows import made
from rakinglight.view import View

if TYPE_CHECKING:
    from torch import Tensor

R = TypeVar("R")


def fresh() -> Draw:
    """Random numbers that nobody can foresee: a random defence has others at each call, whatever the seed."""
    return np.random.default_rng()


def defended(view: View, chain: Chain, algorithm: Algorithm[R], *, seed: int, draws: int) -> Algorithm[R]:
    """`algorithm`, seeing the network through `view` and then through `chain`, as an adaptive attack does.

    Athalye, Carlini & Wagner, "Obfuscated Gradients Give a False Sense of Security", ICML 2018, section 4: where a
    defence has no derivative that says anything, the backward pass takes the identity's (BPDA, section 4.1); where it
    is random, gradients are means over `draws` draws, each of one way through the chain (EOT, section 4.2).

    The attacker's draws follow `seed` and the row that is asked about, so that a run that goes on has those that it
    would have had. What is said of a row is of the mean of its probabilities.
    """

    def reply(query: Query) -> Algorithm[Scores | Slope]:
        if query.seen or query.network is not None:  # seen: by who judges. Another network has no defence
            answer: Scores | Slope = yield query
            return answer
        return (yield from _through_chain(query, view, chain, seed, draws if chain.random else 1))

    return replied(algorithm, reply)


def _through_chain(query: Query, view: View, chain: Chain, seed: int, draws: int) -> Algorithm[Scores | Slope]:
    import torch

    by_pixels = isinstance(query, Gradient)
    assert not (isinstance(query, Gradient) and query.wrt), "a layer's derivative does not come back through a chain"
    seen = view(made(query.batch)).detach()

    def drawn() -> list[tuple[Tensor, Tensor]]:
        """Of each row: the row [C, h, w], and what is sent to the network for it, [draws, C, h, w]."""
        ways: dict[bytes, tuple[Tensor, Tensor]] = {}  # rows that are alike, of which each has its objective, go once
        raw = [row.cpu().numpy().tobytes() for row in seen]
        with torch.set_grad_enabled(by_pixels):
            for row, key in zip(seen, raw, strict=True):
                if key not in ways:
                    draw = np.random.default_rng([seed, zlib.crc32(key)])
                    leaf = row.clone().requires_grad_(by_pixels)
                    ways[key] = leaf, torch.stack([chain.once(leaf, draw) for _ in range(draws)])
        return [ways[key] for key in raw]

    ways: list[tuple[Tensor, Tensor]] = yield Compute(drawn)
    asked: dict[str, Any] = {"rows": torch.cat([images for _, images in ways]).detach(), "seen": True}
    if isinstance(query, Gradient):
        asked["objective"] = _each(query.objective, draws)
    answer = yield replace(query, **asked)
    logits = together(answer.logits.unflatten(0, (-1, draws)))
    if not by_pixels:
        return Scores(logits[0]) if query.single else Scores(logits)

    def back() -> Tensor:
        own = (answer.gradient / draws).split(draws)
        return torch.stack([_pulled(*way, g) for way, g in zip(ways, own, strict=True)])

    slope = Slope(answer.objective.unflatten(0, (-1, draws)).mean(1), view.pullback((yield Compute(back))), logits)
    return slope.first() if query.single else slope


def _pulled(row: Tensor, images: Tensor, g: Tensor) -> Tensor:
    """The gradient at `row`, given that at the `images` made of it."""
    import torch

    (found,) = torch.autograd.grad(images, row, g, retain_graph=True)
    return found


def _each(objective: Any, draws: int) -> Any:
    """The objectives of rows of which each is there `draws` times."""
    if not isinstance(objective, list | tuple):
        return objective
    own: list[Objective] = [each for each in objective for _ in range(draws)]
    return own


def shown(view: View, chain: Chain, x: Tensor, draws: int = 1) -> Algorithm[Tensor]:
    """What the network is shown of a picture x [C, H, W] behind `chain`, each draw a fresh one.

    Returns [draws, copies, C, h, w]: a prediction is the mean over the copies.
    """
    import torch

    def drawn() -> Tensor:
        seen = view(x)
        with torch.no_grad():
            return torch.stack([torch.stack(chain.all(seen, fresh())) for _ in range(draws)])

    images: Tensor = yield Compute(drawn)
    return images


def answers(view: View, chain: Chain, x: Tensor, draws: int = 1) -> Algorithm[Tensor]:
    """The logits of a picture x [C, H, W] behind `chain`, alone, in each of `draws` fresh draws: [draws, K]."""
    images = yield from shown(view, chain, x, draws)
    scores: Scores = yield Forward(images.flatten(0, 1), seen=True)
    return together(scores.logits.view(*images.shape[:2], -1))


def together(logits: Tensor) -> Tensor:
    """One answer of several: the logarithm of the mean probability, of logits [..., n, K] -> [..., K].

    A softmax of it gives the mean probabilities. Of one answer it is that answer, to the bit.
    """
    if logits.shape[-2] == 1:
        return logits[..., 0, :]
    return logits.log_softmax(-1).logsumexp(-2) - math.log(logits.shape[-2])
