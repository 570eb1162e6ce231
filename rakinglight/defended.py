"""A network behind a chain of defences: what an attack that knows of them asks, and what is said of a picture.

    algorithm ── view ── chain ── network    `defended`: rows go out through the chain, gradients come back through it
    picture ──── view ── chain ── network    `answers`: the logits of each of some fresh draws

A chain works on the image as the model sees it. Where it is random, an attack climbs the mean over several draws.
"""

from __future__ import annotations

import math
import time
import zlib
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from rakinglight.defenses import Chain, RandomNumbers
from rakinglight.objectives import Objective
from rakinglight.queries import Algorithm, Compute, Forward, Gradient, Query, Scores, Slope
from rakinglight.relays import replied
from rakinglight.rows import made
from rakinglight.view import View

if TYPE_CHECKING:
    from torch import Tensor

R = TypeVar("R")
T = TypeVar("T")

#: Seconds of work after which a run may be stopped, and others have a turn.
SLICE_S = 0.05


def fresh() -> RandomNumbers:
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

    def reply(asked: Any) -> Algorithm[Any]:
        # seen: by who judges. Another network has no defence
        if not isinstance(asked, Query) or asked.seen or asked.network is not None:
            return (yield asked)
        return (yield from _through_chain(asked, view, chain, seed, draws if chain.random else 1))

    return replied(algorithm, reply)


def _through_chain(query: Query, view: View, chain: Chain, seed: int, draws: int) -> Algorithm[Scores | Slope]:
    import torch

    by_pixels = isinstance(query, Gradient)
    assert not (isinstance(query, Gradient) and query.wrt), "a layer's derivative does not come back through a chain"
    seen = view(made(query.batch)).detach()
    raw = [row.cpu().numpy().tobytes() for row in seen]
    # Of each row: the row [C, h, w], and what is sent to the network for it, [draws, C, h, w]. Rows that are alike, of
    # which each has its objective, go once.
    ways: dict[bytes, tuple[Tensor, Tensor]] = {}
    for row, key in zip(seen, raw, strict=True):
        if key not in ways:
            draw, leaf = np.random.default_rng([seed, zlib.crc32(key)]), row.clone().requires_grad_(by_pixels)
            images = yield from in_slices(partial(_once, chain, leaf, draw, by_pixels) for _ in range(draws))
            ways[key] = leaf, torch.stack(images)
    own = [ways[key] for key in raw]
    asked: dict[str, Any] = {"rows": torch.cat([images for _, images in own]).detach(), "seen": True}
    if isinstance(query, Gradient):
        asked["objective"] = _each(query.objective, draws)
    answer = yield replace(query, **asked)
    logits = together(answer.logits.unflatten(0, (-1, draws)))
    if not by_pixels:
        return Scores(logits[0]) if query.single else Scores(logits)

    def back() -> Tensor:
        gradients = (answer.gradient / draws).split(draws)
        return torch.stack([_pulled(*way, g) for way, g in zip(own, gradients, strict=True)])

    slope = Slope(answer.objective.unflatten(0, (-1, draws)).mean(1), view.pullback((yield Compute(back))), logits)
    return slope.first() if query.single else slope


def _once(chain: Chain, row: Tensor, draw: RandomNumbers, by_pixels: bool) -> Tensor:
    """What is sent to the network for `row`; with the way back to it, if a derivative is wanted."""
    import torch

    with torch.set_grad_enabled(by_pixels):  # a thread's own affair
        return chain.once(row, draw)


def in_slices(works: Iterable[Callable[[], T]]) -> Algorithm[list[T]]:
    """What each of `works` returns, done in a thread, some at a time: it can be stopped, and others have a turn."""
    left, found = iter(works), list[T]()

    def some() -> bool:
        until = time.monotonic() + SLICE_S
        for work in left:
            found.append(work())
            if time.monotonic() >= until:
                return True
        return False

    while (yield Compute(some, stoppable=True)):
        pass
    return found


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

    seen = yield Compute(partial(view, x))

    def drawn() -> Tensor:
        with torch.no_grad():
            return torch.stack(chain.all(seen, fresh()))

    return torch.stack((yield from in_slices(drawn for _ in range(draws))))


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
