"""Universal perturbations: of the digits, and of the few photographs at hand; and what they do to other networks.

python -m benchmarks.universals                     all
python -m benchmarks.universals --quick             few images and epochs
python -m benchmarks.universals --without lites     of the digits alone
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import skimage.data
from sklearn.datasets import load_sample_images

from benchmarks.campaign import Array, Result, digits, engine_of, finish, growing, one_after_another, show, told
from rakinglight.engine import Engine
from rakinglight.question import Question

LENETS = ("lenet5-digits", "lenet5-digits-robust", "lenet5-digits-ensemble", "lenet5-digits-transformed")
LITES = ("efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2")
#: What scikit-image carries that was taken with a lens; scikit-learn has two more.
PHOTOGRAPHS = ("astronaut", "brick", "camera", "chelsea", "coffee", "coins", "grass", "gravel", "moon", "rocket")
#: Radii in linf: the digits' is the issue's, the photographs' the paper's 10 of 255.
ON_DIGITS, ON_PHOTOGRAPHS = 0.2, 10 / 255
#: Of the digits: how many there are, the share kept aside, and of how many each point of the curve is made.
COUNT, ASIDE, CURVE = 500, 0.4, (10, 30, 100)
#: How often `gradient` goes through the images: of so few that costs little. Of the photographs half are to judge.
EPOCHS = 30


def report(*, quick: bool = False, lites: bool = True) -> Iterator[str]:
    """The page, anew with every row."""
    count, epochs = (40, 2) if quick else (COUNT, EPOCHS)
    words = (
        f"Fooled is an image of which the first answer is another with the perturbation than without it. {count} test "
        f"digits, {ASIDE:.0%} of them kept aside, linf ball of {ON_DIGITS}, `gradient` with {epochs} epochs; in "
        "brackets 95 % intervals."
    )
    own = growing(
        ("method", "made of", "given, fooled", "held out, fooled", "sign noise"), _curves(count, epochs), words
    )
    transfer = (
        "Rows: made for, by `gradient`; columns: tried on. The share of the held-out digits that is fooled; on the "
        "diagonal by the network it is made for."
    )
    tables = [own, growing(("made for", *LENETS), _lenets(count, epochs), transfer)]
    if lites:
        tables.append(growing(("made for", *LITES), _lites(epochs), _photographs_said(epochs)))
    return one_after_another(*tables)


def _photographs_said(epochs: int) -> str:
    return (
        f"The same of {len(photographs())} photographs, half of them held out, linf ball of 10/255, by `gradient` with "
        f"{epochs} epochs; the perturbation is resized to the input of the network that it is tried on. So few "
        "photographs say little, as the intervals show."
    )


def _curves(count: int, epochs: int) -> Iterator[list[str]]:
    x, _ = digits(count)
    for method, own in (("deepfool", {}), ("gradient", {"epochs": epochs})):
        asked = {"epsilon": ON_DIGITS, "holdout": ASIDE, "image_counts": CURVE, **own}
        summary = universal(engine_of(LENETS[0]), LENETS[0], x, method, asked)
        for point in summary["curve"]:
            noise = told(summary["noise"])
            yield [f"`{method}`", str(point["images"]), told(point["given"]), told(point["held_out"]), noise]


def _lenets(count: int, epochs: int) -> Iterator[list[str]]:
    x, _ = digits(count)
    yield from transferred(LENETS, x, {"epsilon": ON_DIGITS, "holdout": ASIDE, "epochs": epochs})


def _lites(epochs: int) -> Iterator[list[str]]:
    yield from transferred(LITES, photographs(), {"epsilon": ON_PHOTOGRAPHS, "holdout": 0.5, "epochs": epochs})


def transferred(names: Sequence[str], images: Sequence[Array], asked: Mapping[str, Any]) -> Iterator[list[str]]:
    """A row for each network: how many of the held-out images its perturbation fools there, and on the others."""
    engine = engine_of(*names)
    for made_for in names:
        others = [name for name in names if name != made_for]
        whole = (len(images),)  # made once, of all that are given, with no curve
        summary = universal(engine, made_for, images, "gradient", {**asked, "models": others, "image_counts": whole})
        fools = {one["model"]: one for one in summary["transfer"]} | {made_for: summary["held_out"]}
        yield [f"`{made_for}`", *(told(fools[name]) for name in names)]


def universal(
    engine: Engine, model: str, images: Sequence[Array], method: str, parameters: Mapping[str, Any]
) -> Result:
    """What there is to say of one perturbation, of all images together."""
    first, *more = images
    question = Question("universal", model, first, method, parameters, seconds=math.inf, more=more)
    run = engine.submit(question.begin(engine.networks))
    finish(engine, [run], f"{model}: {method} of {len(images)} images")
    summary: Result = run.result["summary"]
    return summary


@cache
def photographs() -> list[Array]:
    """uint8 [H, W, 3]."""
    carried = [getattr(skimage.data, name)() for name in PHOTOGRAPHS] + list(load_sample_images().images)
    return [image if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2) for image in carried]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.universals", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few images and epochs")
    parser.add_argument("--without", choices=("lites",), help="what to leave out")
    asked = parser.parse_args()
    sys.exit(show(report(quick=asked.quick, lites=asked.without is None)))
