"""Who explains: the same map of the same class by the same formula, here, in Captum, and as its authors wrote it down.

sliding               window 32, stride 16, grey; the mean drop of the probability over the windows that cover a pixel
rise                  random masks of 7x7 cells, half of them open, grey behind; the same masks for all
integrated_gradients  50 points from black to the photograph; the logit

Captum has no RISE. Where it leaves the number of rows of a pass to its user it is given the best of several.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product

import captum.attr
import torch
from torch import Tensor, nn

from benchmarks.contenders import Asked, Contender, Counted, Job, Pixels, in_process, stacked
from rakinglight.algorithms.rise import random_masks
from rakinglight.backends.torch_backend import Normalized
from rakinglight.card import Card
from rakinglight.engine import Engine
from rakinglight.network import Network
from rakinglight.noise import Noise

#: The image [C, H, W] -> its map [H, W].
Explainer = Callable[[Tensor], Tensor]

GREY = 0.5
POINTS = 50
CELLS, KEPT = 7, 0.5
#: Masks that the authors of RISE put into one pass (`gpu_batch` of their code).
MASKS_A_PASS = 100
#: Rows of a pass that Captum is tried with.
TRIED = (1, 4, 16, 64)
#: How far two maps of the same formula may lie apart, as a share of the largest element. In float32 passes of other
#: lengths round otherwise, which moves rectifiers over their kinks: Captum's own integrated gradients in passes of 4
#: and of 16 differ by 2e-3. The tests compare in float64.
AGREEMENT = 1e-2


@dataclass(frozen=True)
class Sizes:
    """How much is done."""

    window: int = 32
    stride: int = 16
    masks: int = 1000


def asked(job: Job, sizes: Sizes) -> Asked:
    """The same of ours."""
    if job == "sliding":
        return Asked("occlusion", job, {"window": sizes.window, "stride": sizes.stride})
    if job == "rise":
        return Asked("occlusion", job, {"masks": sizes.masks, "cells": CELLS, "keep_probability": KEPT})
    return Asked("saliency", job, {"n_steps": POINTS, "baseline": 0.0})


def explainers(network: Network, module: nn.Module, sizes: Sizes, picture: Pixels) -> list[Contender]:
    """Everyone who explains, found to agree on `picture` before anybody's time is taken.

    Raises ValueError where two maps of the same formula differ.
    """
    counted = Counted(Normalized(module, network.card.mean, network.card.std)).eval().requires_grad_(False)
    (x,) = stacked([picture])
    found = []
    for job in ("sliding", "rise", "integrated_gradients"):
        found.append(in_process(network, job, asked(job, sizes), 1))
        peers = dict(_peers(job, counted, sizes, x))
        for name, explain in peers.items():
            check(name, explain(x), ours(network, asked(job, sizes), picture))
        for place, (name, explain) in enumerate(peers.items()):
            found.append(_contender(name, network.card, job, counted, explain, reference=place == 0))
    return found


def _peers(job: Job, network: Counted, sizes: Sizes, x: Tensor) -> Iterator[tuple[str, Explainer]]:
    """The others, by name; the first is the reference."""
    if job == "rise":
        yield f"authors' formula, passes of {MASKS_A_PASS}", partial(rise_loop, network, masks=sizes.masks)
        return
    captums = partial(captum_occlusion, network, sizes) if job == "sliding" else partial(captum_integrated, network)
    rows = best(job, captums, x)
    yield f"Captum, passes of {rows}, best of {', '.join(map(str, TRIED))}", partial(captums, rows)
    if job == "sliding":
        yield "authors' formula, a plain loop", partial(sliding_loop, network, sizes)


def _contender(
    name: str, card: Card, job: Job, network: Counted, explain: Explainer, *, reference: bool = False
) -> Contender:
    def work(pixels: Sequence[Pixels]) -> None:
        for x in stacked(pixels):
            explain(x)

    return Contender(name, card.name, job, 1, work, lambda: network.spent, reference)


def best(what: str, explain: Callable[[int, Tensor], Tensor], x: Tensor) -> int:
    """The rows of a pass, of those tried, with which it takes the least of two times."""
    seconds: dict[int, float] = {}
    for rows in TRIED * 2:
        begun = time.perf_counter()
        explain(rows, x)
        seconds[rows] = min(seconds.get(rows, float("inf")), time.perf_counter() - begun)
    told = ", ".join(f"{rows}: {took:.2f} s" for rows, took in seconds.items())
    print(f"Captum, {what}, by rows of a pass: {told}", flush=True)
    return min(seconds, key=seconds.__getitem__)


def ours(network: Network, asked: Asked, picture: Pixels) -> Tensor:
    """The map [H, W] that comes of it here."""
    engine = Engine([network])
    run = engine.submit(asked.of(network.card.name, picture).begin(engine.networks))
    engine.run_until(lambda: run.over)
    return torch.from_numpy(run.result["map"])


def check(name: str, theirs: Tensor, ours: Tensor) -> None:
    """Raise ValueError unless the two maps are the same."""
    apart = float((theirs - ours).abs().max() / ours.abs().max())
    print(f"{name}: its map and ours differ by {apart:.0e} of the largest element", flush=True)
    if apart > AGREEMENT:
        raise ValueError(f"{name} makes another map than ours: they differ by {apart:.0e}, and {AGREEMENT:g} is borne.")


# ── the others ──────────────────────────────────────────────────────────────────────────────────────────────────────


def predicted(network: nn.Module, x: Tensor) -> tuple[int, float]:
    """The class that the network sees in x, and its probability. Costs a row."""
    with torch.no_grad():
        probabilities = network(x[None])[0].softmax(0)
    c = int(probabilities.argmax())
    return c, float(probabilities[c])


def captum_occlusion(network: nn.Module, sizes: Sizes, rows: int, x: Tensor) -> Tensor:
    c, _ = predicted(network, x)
    occlusion = captum.attr.Occlusion(lambda batch: network(batch).softmax(1))
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found: Tensor = occlusion.attribute(
            x[None],
            sliding_window_shapes=(len(x), sizes.window, sizes.window),
            strides=(len(x), sizes.stride, sizes.stride),
            baselines=GREY,
            target=c,
            perturbations_per_eval=rows,
        )
    return found[0, 0]  # the same in every channel


def captum_integrated(network: nn.Module, rows: int, x: Tensor) -> Tensor:
    c, _ = predicted(network, x)
    integrated = captum.attr.IntegratedGradients(network)
    (found,) = integrated.attribute(x[None], baselines=0.0, target=c, n_steps=POINTS, internal_batch_size=rows)
    shares: Tensor = found.sum(0)
    return shares


def sliding_loop(network: nn.Module, sizes: Sizes, x: Tensor) -> Tensor:
    """Zeiler and Fergus 2014, section 4.1, a window at a time."""
    c, S = predicted(network, x)
    drops, times = torch.zeros(x.shape[1:]), torch.zeros(x.shape[1:])
    starts = [range(0, length - sizes.window + 1, sizes.stride) for length in x.shape[1:]]
    for top, left in product(*starts):
        place = slice(top, top + sizes.window), slice(left, left + sizes.window)
        covered = x.clone()
        covered[(slice(None), *place)] = GREY
        with torch.no_grad():
            drops[place] += S - network(covered[None]).softmax(1)[0, c]
        times[place] += 1
    return drops / times


def rise_loop(network: nn.Module, x: Tensor, masks: int) -> Tensor:
    """Petsiuk et al. 2018, equation 6, all masks at hand as in their code."""
    c, _ = predicted(network, x)
    M = random_masks(x, masks, CELLS, KEPT, Noise(0))
    S = []
    for start in range(0, masks, MASKS_A_PASS):
        m = M[start : start + MASKS_A_PASS, None]
        with torch.no_grad():
            S.append(network(m * x + (1 - m) * GREY).softmax(1)[:, c])
    return torch.einsum("n,nhw->hw", torch.cat(S), M) / masks / KEPT
