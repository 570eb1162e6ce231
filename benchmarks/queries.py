"""Success and distance against queries: the attacks that see labels or scores alone, ours and those of the libraries.

    python -m benchmarks.queries            100 digits on LeNet-5: about half an hour on two cores
    python -m benchmarks.queries --quick    10 digits

Everyone attacks the same digits, which the network names right, one digit at a time; every row that a digit's attack
sends counts, that of the start too. The distance at so many queries is that of the nearest row among them which the
network names wrong: a search that has found none yet counts as infinitely far. In a ball there is success instead, of
the float image, before any rounding. The libraries are left at their defaults, and cut off at as many queries.
"""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.campaign import HOME, growing, networks, one_after_another, show
from model_store.digits import pictures
from rakinglight.algorithms.boundary import boundary
from rakinglight.algorithms.hop_skip_jump import hop_skip_jump
from rakinglight.algorithms.nes import nes
from rakinglight.algorithms.square import square
from rakinglight.archives import find_archives, opened
from rakinglight.backends.torch_backend import Normalized
from rakinglight.engine import Engine
from rakinglight.network import Network
from rakinglight.noise import Noise
from rakinglight.norms import NORMS, NormName
from rakinglight.objectives import Goal
from rakinglight.queries import Algorithm, Forward
from rakinglight.relays import relayed
from rakinglight.rows import made
from rakinglight.run import Run

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # theirs: deprecated imports of SciPy's, a pin of requests'
    import foolbox
    import torchattacks
    from foolbox.models.pytorch import PyTorchModel

MODEL = "lenet5-digits"
#: Queries at which the distance is read, and those at which success in a ball is.
NEAREST_AT, SUCCESS_AT = (250, 500, 1000, 2000, 4400), (100, 250, 500, 1000, 2000)
#: What Square may ask for beside torchattacks': its squares shrink by what it has spent of that.
FEW = 500
#: The ball.
EPSILON = 0.1
NEAREST_HEAD = ("attack", "norm", "by", *(f"at {at:,}" for at in NEAREST_AT), "no start")
SUCCESS_HEAD = ("attack", "sees", "by", "may ask", *(f"within {at:,}" for at in SUCCESS_AT))


@dataclass(frozen=True)
class Digits:
    """Digits x [n, C, H, W] that the network names right, as y [n] says."""

    network: Network
    module: nn.Module
    x: Tensor
    y: Tensor
    logits: Tensor


@dataclass
class Found:
    """What an attack on a digit had found, query by query.

    nearest  [(queries, distance)]: whenever a wrongly named row was nearer than all before
    """

    x: Tensor
    y: int
    norm: NormName
    asked: int = 0
    nearest: list[tuple[int, float]] = field(default_factory=list)

    def look(self, rows: Tensor, logits: Tensor) -> None:
        """Count rows [n, C, H, W] and what the network says of them."""
        wrong = (logits.argmax(1) != self.y).nonzero()[:, 0].tolist()
        for i in wrong:
            distance = float(NORMS[self.norm].size(rows[i] - self.x))
            if not self.nearest or distance < self.nearest[-1][1]:
                self.nearest.append((self.asked + i + 1, distance))
        self.asked += len(rows)

    def at(self, queries: int) -> float:
        """The distance reached by then; infinity where nothing was."""
        return min((distance for when, distance in self.nearest if when <= queries), default=math.inf)


def digits(count: int) -> Digits:
    """The first `count` test digits that the network names right."""
    (network,) = networks(MODEL)
    with opened(find_archives(HOME)[MODEL]) as archive:
        card = archive.card()
        module = Normalized(archive.module(card, archive.weights(card)), card.mean, card.std).eval()
    pixels, labels = pictures("test")
    x, y = torch.from_numpy(np.asarray(pixels)).float() / 255, torch.from_numpy(np.asarray(labels)).long()
    logits = network.forward.forward(x).logits
    right = (logits.argmax(1) == y).nonzero()[:count, 0]
    return Digits(network, module, x[right], y[right], logits[right])


# ── ours ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def ours(attack: Callable[..., Algorithm[Any]], about: Digits, norm: NormName, **parameters: Any) -> list[Found]:
    """What our attack found on each digit, all in one engine."""
    engine, runs, found = Engine([about.network], live_limit=128), [], []
    for i, (x, y, logits) in enumerate(zip(about.x, about.y.tolist(), about.logits, strict=True)):
        takes = {"logits": logits} if attack in (hop_skip_jump, boundary) else {}
        found.append(Found(x, y, norm))
        algorithm = attack(x, Goal(y), Noise(i), **takes, norm=norm, **parameters)
        runs.append(engine.submit(Run(watched(algorithm, found[-1]))))
    engine.run_until(lambda: all(run.over for run in runs))
    for run in runs:
        _ = run.result  # raises what went wrong
    return found


def watched(algorithm: Algorithm[Any], found: Found) -> Algorithm[Any]:
    """`algorithm`, its rows looked at."""
    rows: Tensor | None = None

    def out(asked: Any) -> Any:
        nonlocal rows
        rows = made(asked.batch) if isinstance(asked, Forward) else None
        return asked

    def back(answer: Any) -> Any:
        if rows is not None:
            found.look(rows, answer.logits.reshape(len(rows), -1))
        return answer

    return relayed(algorithm, out, back)


# ── theirs ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class Enough(Exception):
    """As many queries were asked as are looked at."""


class Watched(nn.Module):
    """The network, which looks at every row, and ends an attack that has asked for enough."""

    def __init__(self, module: nn.Module, found: Found, enough: int) -> None:
        super().__init__()
        self.module, self.found, self.enough = module, found, enough

    def forward(self, rows: Tensor) -> Tensor:
        if self.found.asked >= self.enough:
            raise Enough
        logits: Tensor = self.module(rows)
        self.found.look(rows, logits)
        return logits


def theirs(
    attack: Callable[[nn.Module, Tensor, Tensor], object], about: Digits, norm: NormName, enough: int
) -> list[Found]:
    """What a library's attack found on each digit, one at a time."""
    found = []
    for i, (x, y) in enumerate(zip(about.x, about.y, strict=True)):
        torch.manual_seed(i)
        np.random.seed(i)
        found.append(Found(x, int(y), norm))
        try:
            with torch.no_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                attack(Watched(about.module, found[-1], enough).eval(), x[None], y[None])
        except (Enough, ValueError):  # Foolbox's, where it has found nowhere to begin
            pass
    return found


def by_foolbox(kind: str, **settings: Any) -> Callable[[nn.Module, Tensor, Tensor], object]:
    def attack(module: nn.Module, x: Tensor, y: Tensor) -> object:
        model = PyTorchModel(module, bounds=(0, 1), device="cpu")
        return getattr(foolbox.attacks, kind)(**settings)(model, x, y, epsilons=None)

    return attack


def by_torchattacks(queries: int) -> Callable[[nn.Module, Tensor, Tensor], object]:
    def attack(module: nn.Module, x: Tensor, y: Tensor) -> object:
        return torchattacks.Square(module, norm="Linf", eps=EPSILON, n_queries=queries)(x, y)

    return attack


# ── the tables ──────────────────────────────────────────────────────────────────────────────────────────────────────


def nearest(about: Digits) -> Iterator[list[str]]:
    """The median distance at so many queries, of each attack that looks for the nearest image."""
    most = NEAREST_AT[-1]
    entrants: list[tuple[str, NormName, str, Callable[[], list[Found]]]] = []
    norms: tuple[NormName, ...] = ("l2", "linf")
    for norm in norms:
        peer = by_foolbox("HopSkipJumpAttack", constraint=norm)
        entrants += [
            ("hop_skip_jump", norm, "rakinglight", partial(ours, hop_skip_jump, about, norm, queries=most)),
            ("hop_skip_jump", norm, "Foolbox", partial(theirs, peer, about, norm, most)),
        ]
    entrants += [
        ("boundary", "l2", "rakinglight", partial(ours, boundary, about, "l2", queries=most)),
        ("boundary", "l2", "Foolbox", partial(theirs, by_foolbox("BoundaryAttack"), about, "l2", most)),
    ]
    for attack, norm, who, find in entrants:
        found = find()
        distances = [f"{median(one.at(at) for one in found):.4g}" for at in NEAREST_AT]
        yield [attack, norm, who, *distances, str(sum(not one.nearest for one in found))]


def success(about: Digits) -> Iterator[list[str]]:
    """The share of digits that fell in the ball within so many queries."""
    most = SUCCESS_AT[-1]
    entrants: list[tuple[str, str, str, int, Callable[[], list[Found]]]] = []
    peer = by_torchattacks(FEW)
    entrants += [
        ("square", "scores", "rakinglight", FEW, partial(ours, square, about, "linf", **ball(FEW))),
        ("square", "scores", "torchattacks", FEW, partial(theirs, peer, about, "linf", FEW)),
        ("square", "scores", "rakinglight", most, partial(ours, square, about, "linf", **ball(most))),
        ("nes", "scores", "rakinglight", most, partial(ours, nes, about, "linf", **ball(most))),
        ("hop_skip_jump", "labels", "rakinglight", most, partial(ours, hop_skip_jump, about, "linf", queries=most)),
    ]
    for attack, sees, who, budget, find in entrants:
        found = find()
        fell = [[one.at(at) <= EPSILON + 1e-6 for one in found] for at in SUCCESS_AT if at <= budget]
        shares = [f"{sum(each) / len(each):.1%}" for each in fell] + [""] * (len(SUCCESS_AT) - len(fell))
        yield [attack, sees, who, f"{budget:,}", *shares]


def ball(queries: int) -> dict[str, Any]:
    return {"epsilon": EPSILON, "queries": queries}


def report(count: int = 100) -> Iterator[str]:
    """Both tables, anew with every row."""
    about = digits(count)
    words = f"The first {len(about.x)} test digits that {MODEL} names right, as float images.\n\n"
    in_ball = f"{words}## In the ball of {EPSILON:g} in linf\n\nShare of the digits that fell within so many queries."
    yield from one_after_another(
        growing(SUCCESS_HEAD, success(about), in_ball),
        growing(NEAREST_HEAD, nearest(about), "## The nearest image\n\nMedian distance after so many queries."),
    )


def main(arguments: Sequence[str]) -> int:
    return show(report(10 if "--quick" in arguments else 100))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
