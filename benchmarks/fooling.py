"""Unrecognisable images that a network is sure of: by gradients and by two evolutions, and after how many questions.

    python -m benchmarks.fooling            all
    python -m benchmarks.fooling --seeds 1  of fewer seeds

Every picture is written as PNG, read again, and judged by what `classify` says of it.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

import torch

from benchmarks.campaign import LIVE, answers, finish, growing, networks, one_after_another, show
from rakinglight import eight_bit, pictures
from rakinglight.algorithms.fooling import fooling
from rakinglight.engine import Engine
from rakinglight.images import decode
from rakinglight.inversion_parameters import FoolingEncoding
from rakinglight.inverted import Inverted
from rakinglight.network import Network
from rakinglight.noise import Noise
from rakinglight.run import Run

DIGITS, PHOTOGRAPHS = "lenet5-digits", "efficientnet-lite0"
ENCODINGS: tuple[FoolingEncoding, ...] = ("gradient", "direct", "cppn")
CONFIDENCE, NOISE_IMAGES, SEEDS = 0.996, 1000, 5
#: Classes of ImageNet: the first and some that were looked at elsewhere here.
CLASSES = ("tench", "goldfish", "tabby", "zebra", "sports car", "banana", "monarch", "daisy", "volcano", "espresso")
#: What an evolution may ask of the network of photographs, where it does not get there: the paper gives it millions.
FEW = 4000


@dataclass(frozen=True, eq=False)
class Fooled:
    """A picture, and what `classify` says of its file.

    seen  the probability of the target if the network sees that first, else 0
    """

    found: Inverted
    seen: float

    @property
    def holds(self) -> bool:
        return self.seen > CONFIDENCE

    @property
    def evaluations(self) -> int:
        return int(self.found.said["evaluations"])


def fooled(
    network: Network, target: str, encoding: FoolingEncoding, seeds: Sequence[int], noise_images: int, queries: int
) -> list[Fooled]:
    """One for each seed."""
    engine, x, name = Engine([network], live_limit=LIVE), torch.zeros(network.card.input_shape), network.card.name
    runs = [
        engine.submit(
            Run(
                fooling(
                    x, network.card, Noise(seed), target=target, encoding=encoding, confidence=CONFIDENCE,
                    queries=queries, noise_images=noise_images,
                )
            )
        )
        for seed in seeds
    ]  # fmt: skip
    finish(engine, runs, f"{name}: {target}, {encoding}")
    found = [run.result for run in runs]
    files = [pictures.to_png(pictures.from_pixels(eight_bit.from_float(one.image.numpy()))) for one in found]
    channels = network.card.input_shape[0]
    said = answers(engine, name, "classify", [decode(file)[..., :channels] for file in files])
    return [
        Fooled(one, each["prediction"]["probability"] if each["prediction"]["label"] == target else 0.0)
        for one, each in zip(found, said, strict=True)
    ]


def report(seeds: int = SEEDS) -> Iterator[str]:
    """The page, anew with every row."""
    head = ("target", *ENCODINGS, f"best of {NOISE_IMAGES:,} noise images")
    words = (
        f"Rows that were asked about until a picture was there to which the network gives its target more than "
        f"{CONFIDENCE:.1%}, judged on the PNG by `classify`: the median of {seeds} seeds, and the least and the most. "
        "Where not all of them got there it says how many did. The noise is uniform, and of the same seeds."
    )
    photographs = (
        f"With one seed. By gradient as above; the evolutions may ask {FEW:,} times, and this is how far they got. The "
        "paper gives them millions of questions, and its direct encoding does not get there either."
    )
    return one_after_another(
        growing(head, _digits(seeds), f"## {DIGITS}\n\n{words}"),
        growing(
            ("target", *ENCODINGS, "best of 100 noise images"), _photographs(), f"## {PHOTOGRAPHS}\n\n{photographs}"
        ),
    )


def _digits(seeds: int) -> Iterator[list[str]]:
    (network,) = networks(DIGITS)
    lowest, count = math.inf, 0
    for target in network.card.labels:
        cells, noise = list[str](), 0.0
        for encoding in ENCODINGS:
            found = fooled(network, target, encoding, range(seeds), NOISE_IMAGES, 20_000)
            cells.append(_told(found))
            lowest, count = min(lowest, *(one.seen for one in found)), count + sum(one.holds for one in found)
            noise = max(noise, *(one.found.said["noise"]["confidence"] for one in found))
        yield [target, *cells, f"{noise:.2%}"]
    yield [
        "all",
        f"{count} of {seeds * len(ENCODINGS) * len(network.card.labels)} hold",
        f"at least {lowest:.2%}",
        "",
        "",
    ]


def _told(found: Sequence[Fooled]) -> str:
    asked = [one.evaluations for one in found if one.holds]
    if not asked:
        return f"none: {max(one.seen for one in found):.1%}"
    some = "" if len(asked) == len(found) else f", {len(asked)} of {len(found)}"
    return f"{median(asked):,.0f} ({min(asked):,} to {max(asked):,}){some}"


def _photographs() -> Iterator[list[str]]:
    (network,) = networks(PHOTOGRAPHS)
    for i, target in enumerate(CLASSES):
        (one,) = fooled(network, target, "gradient", [0], 100, 1000)
        cells = [f"{one.seen:.2%} after {one.evaluations}"]
        for encoding in ENCODINGS[1:]:
            # An hour of it would be no news: of the first classes alone.
            (other,) = fooled(network, target, encoding, [0], 0, FEW) if i < 2 else (None,)
            cells.append("" if other is None else f"{other.found.said['confidence']:.2%} after {other.evaluations:,}")
        yield [target, *cells, f"{one.found.said['noise']['confidence']:.2%}"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fooling", description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    sys.exit(show(report(parser.parse_args().seeds)))
