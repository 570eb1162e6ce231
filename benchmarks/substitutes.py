"""The substitute attack on the digits, label-only, as published; and on a network of photographs with few queries.

python -m benchmarks.substitutes                  all
python -m benchmarks.substitutes --without lite0  of the digits alone
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from statistics import mean
from typing import Any

import numpy as np

from benchmarks.campaign import Array, Result, engine_of, finish, growing, one_after_another, show
from benchmarks.universals import photographs
from model_store.digits import pictures
from rakinglight.engine import Engine
from rakinglight.question import Question
from rakinglight.views import Seen

LENET, LITE0 = "lenet5-digits", "efficientnet-lite0"
#: Of each figure the mean over these, with which nothing was chosen.
SEEDS = (100, 101, 102)
EPSILONS = (0.1, 0.2)
#: What the network of photographs may be asked, and of what: crops of the photographs at hand.
BUDGET, CROPS, CROP = 2_000, 240, 224


@cache
def labels_alone(model: str) -> Engine:
    """An engine with `model`, which tells labels; gradients are there for the white box beside it."""
    network = engine_of(model).networks[model]
    told = replace(network, forward=Seen(network.forward, "label"), card=replace(network.card, tells="labels"))
    return Engine([told])


def measured(seed: int, **parameters: Any) -> Result:
    """The summary of one run on the digits: the 100 seeds, and the 400 that are held out."""
    images, labels = pictures("test")
    asked = {"labels": labels.tolist(), "shuffle": False, "seeds": 100, "epsilons": EPSILONS, **parameters}
    return attacked(LENET, [image.transpose(1, 2, 0) for image in images], asked, seed)


def attacked(model: str, images: Sequence[Array], parameters: Mapping[str, Any], seed: int) -> Result:
    """What there is to say of one run of the attack."""
    first, *more = images
    engine = labels_alone(model)
    asked = Question("substitute", model, first, "papernot", parameters, seed=seed, seconds=math.inf, more=more)
    run = engine.submit(asked.begin(engine.networks))
    finish(engine, [run], f"{model}: a substitute, seed {seed}")
    summary: Result = run.result["summary"]
    return summary


def report(*, lite0: bool = True) -> Iterator[str]:
    """The page, anew with every row."""
    words = (
        "Labels alone, 100 seeds, 400 held-out digits, five doublings, lambda 0.1; the mean of three seeds of the "
        "training. Pictures are made of the held-out digits that the model reads rightly, and `aimed` counts those "
        "that reach another class, drawn beforehand. Random: the same with steps along random signs, at as many "
        "queries. White box: made on the model itself."
    )
    head = ("steps along", "queries", "agrees", *(_named(*kind) for kind in _kinds()))
    tables = [growing(head, _digits(), words)]
    if lite0:
        few = (
            f"EfficientNet-Lite0, labels alone, at most {BUDGET} queries of all kinds, {CROPS} crops of {CROP} pixels "
            f"of the photographs that come with scikit-image and scikit-learn; {CROPS // 2} seeds, no control. "
            "So few queries buy next to nothing."
        )
        tables.append(growing(("round", "queries", "agrees", "fgsm 0.1", "pgd 0.1"), _lite0(), few))
    return one_after_another(*tables)


def _kinds() -> list[tuple[str, float, bool]]:
    return [(attack, epsilon, aimed) for epsilon in EPSILONS for attack in ("fgsm", "pgd") for aimed in (False, True)]


def _named(attack: str, epsilon: float, aimed: bool) -> str:
    return f"{attack} {epsilon:g}{', aimed' * aimed}"


def _digits() -> Iterator[list[str]]:
    runs = [measured(seed, rounds=5, answers="hard") for seed in SEEDS]
    for name, signs in (("curve", "the Jacobian"), ("random_sign", "random signs")):
        for points in zip(*(run[name] for run in runs), strict=True):
            agreed = mean(point["agreement"]["value"] for point in points)
            rates = [_mean([point["transfer"] for point in points], kind) for kind in _kinds()]
            yield [signs, str(points[0]["queries"]), f"{agreed:.1%}", *rates]
    yield ["white box", "", "", *(_mean([run["white_box"] for run in runs], kind) for kind in _kinds())]


def _mean(found: Sequence[Sequence[Mapping[str, Any]]], kind: tuple[str, float, bool]) -> str:
    rates = [
        at["fooled"]["value"] for one in found for at in one if (at["attack"], at["epsilon"], at["targeted"]) == kind
    ]
    return f"{mean(rates):.1%}"


def crops(count: int = CROPS, side: int = CROP) -> list[Array]:
    """uint8 [side, side, 3], drawn from the photographs by a fixed seed."""
    drawn, found = np.random.default_rng(0), []
    wide = [image for image in photographs() if min(image.shape[:2]) > side]
    for number in range(count):
        image = wide[number % len(wide)]
        top, left = (int(drawn.integers(0, length - side + 1)) for length in image.shape[:2])
        found.append(np.ascontiguousarray(image[top : top + side, left : left + side]))
    return found


def _lite0() -> Iterator[list[str]]:
    asked = {"seeds": CROPS // 2, "max_queries": BUDGET, "control": False, "white_box": False, "targeted": False}
    summary = attacked(LITE0, crops(), {**asked, "epsilons": [0.1], "answers": "hard", "rounds": 9}, 0)
    for point in summary["curve"]:
        rates = [f"{at['fooled']['value']:.1%} of {at['fooled']['of']}" for at in point["transfer"]] or ["", ""]
        yield [str(point["round"]), str(point["queries"]), f"{point['agreement']['value']:.1%}", *rates]
    asked_in_all = sum(summary["queries"].values())
    yield [f"ended by {summary['stopped_by']}", f"{asked_in_all} in all", "", "", ""]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.substitutes", description=__doc__)
    parser.add_argument("--without", choices=("lite0",), help="what to leave out")
    sys.exit(show(report(lite0=parser.parse_args().without is None)))
