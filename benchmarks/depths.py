"""What a code leaves of a picture, from the first layer of a network to the last.

python -m benchmarks.depths                    all
python -m benchmarks.depths --digits 1         of fewer digits
python -m benchmarks.depths --without lites    of the digits alone
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from statistics import mean
from typing import Any

import skimage.data
from scipy.stats import spearmanr

from benchmarks.campaign import Array, answers, digits, engine_of, growing, one_after_another, show

DIGITS, PHOTOGRAPHS = "lenet5-digits", "efficientnet-lite0"
LAYERS: Mapping[str, Sequence[str]] = {
    DIGITS: ("c1.0", "c1", "s2", "c3.0", "c3", "s4", "c5.0", "c5", "f6.0", "f6", "output"),
    PHOTOGRAPHS: ("stem", "blocks.0", "blocks.2", "blocks.4", "blocks.10", "blocks.15", "head", "classifier"),
}  # fmt: skip
#: From this layer on, the first pooling or what stands for it, it is to help to know what pictures are like.
POOLED: Mapping[str, str] = {DIGITS: "s2", PHOTOGRAPHS: "blocks.2"}
#: What is known of pictures -> how that is asked for. Of photographs, where it takes minutes, without the second.
WAYS: Mapping[str, Mapping[str, Any]] = {
    "natural": {},
    "natural, jitter": {"jitter": 1},
    "none": {"prior": "none", "beginning": "noise"},
}
FEW = ("natural", "none")
NAMES = ("chelsea", "coffee")


def report(count: int = 5, *, lites: bool = True) -> Iterator[str]:
    """The page, anew with every row."""
    words = (
        "Of each layer's code a picture is made again by `invert` with its defaults, and both are compared: the "
        "feature error is the squared distance of the codes, the pixel error that of the pixels, each over that of the "
        "network's mean colour; means over the images, of pictures in 8 bits. `none` has no terms, begins at noise of "
        "a photograph's strength, and moves the pixels themselves."
    )
    tables = [_table(DIGITS, digits(count)[0], tuple(WAYS), f"{words}\n\n## {DIGITS}\n\n{count} test digits.")]
    if lites:
        images = [getattr(skimage.data, name)() for name in NAMES]
        about = f"## {PHOTOGRAPHS}\n\nThe photographs {' and '.join(NAMES)}."
        tables.append(_table(PHOTOGRAPHS, images, FEW, about))
    return one_after_another(*tables)


def _table(model: str, images: Sequence[Array], ways: Sequence[str], before: str) -> Iterator[str]:
    head = ["layer", *(f"{error} error, {way}" for error in ("feature", "pixel") for way in ways)]
    return growing(head, _rows(model, images, ways), before)


def _rows(model: str, images: Sequence[Array], ways: Sequence[str]) -> Iterator[list[str]]:
    engine, layers = engine_of(model), LAYERS[model]
    found: dict[tuple[str, str], list[float]] = {}
    for layer in layers:
        for way in ways:
            results = answers(engine, model, "inversion", images, "invert", layer=layer, **WAYS[way])
            for error in ("feature", "pixel"):
                found.setdefault((error, way), []).append(mean(one[f"{error}_error"] for one in results))
        yield [layer, *(f"{found[error, way][-1]:.3f}" for error in ("feature", "pixel") for way in ways)]
    ranks = [spearmanr(range(len(layers)), found["pixel", way]).statistic for way in ways]
    blank = [""] * len(ways)
    yield ["rank correlation with depth", *blank, *(f"{rank:.2f}" for rank in ranks)]
    since = layers.index(POOLED[model])
    best = [min(values) for values in zip(*(found["pixel", way] for way in ways if way != "none"), strict=True)]
    helped = sum(a < b for a, b in zip(best[since:], found["pixel", "none"][since:], strict=True))
    of = len(layers) - since
    yield [f"best prior below none, from {layers[since]} on", *blank, f"{helped} of {of}", *blank[1:]]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.depths", description=__doc__)
    parser.add_argument("--digits", type=int, default=5)
    parser.add_argument("--without", choices=("lites",), help="what to leave out")
    asked = parser.parse_args()
    sys.exit(show(report(asked.digits, lites=asked.without is None)))
