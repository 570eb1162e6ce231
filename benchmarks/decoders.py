"""Feed-forward inversion beside the energy's: held-out digits, given back from each layer that has a decoder.

    python -m benchmarks.decoders              forty digits, and four photographs on EfficientNet-Lite0
    python -m benchmarks.decoders --digits 10  fewer

The energy asks hundreds of times; a decoder once.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import skimage.data

from benchmarks.campaign import Array, answers, digits, engine_of, growing, one_after_another, show
from model_store.training.decoder import JUDGED
from rakinglight.engine import Engine

COUNT = 40
SMALL, LARGE = "lenet5-digits", "efficientnet-lite0"
#: Steps of the energy's descent: on the digits many, on photographs as many as can be waited for.
STEPS = {SMALL: 200, LARGE: 60}
HEAD = ("layer", "who", "pixel error", "feature error", "named as before", "ms an image")
PRIORS = (("a decoder", "decoder"), ("the energy", "natural"))


def report(count: int = COUNT) -> Iterator[str]:
    """The page, anew with every row."""
    x, _ = digits(count, "held-out")
    said = (
        f"`{SMALL}`, {count} digits that no network and no decoder learnt from: medians of the squared distances of "
        "the 8-bit picture and of its code, as shares of what the mean colour's are, so 1 is no better than an empty "
        "picture. The energy is `invert` "
        f"with {STEPS[SMALL]} steps. Named as before: the network gives the picture the class that it gives the digit. "
        "The times are of all runs at once, and say no more than which is quick."
    )
    found = [getattr(skimage.data, name)() for name in JUDGED]
    few = (
        f"`{LARGE}`, {len(found)} photographs ({', '.join(JUDGED)}). Its decoders learnt from crops of thirteen "
        "others, which is too few to know what the world looks like: no more is claimed than that it runs. The energy "
        f"takes {STEPS[LARGE]} steps."
    )
    return one_after_another(
        growing(HEAD, _rows(SMALL, x), said),
        growing(HEAD, _rows(LARGE, [np.ascontiguousarray(each) for each in found]), few),
    )


def _rows(model: str, images: Sequence[Array]) -> Iterator[list[str]]:
    engine = engine_of(model)
    for layer in engine.networks[model].card.decoders:
        for who, prior in PRIORS:
            yield [f"`{layer}`", who, *_row(engine, model, images, layer, prior)]


def _row(engine: Engine, model: str, images: Sequence[Array], layer: str, prior: str) -> list[str]:
    steps: dict[str, Any] = {} if prior == "decoder" else {"steps": STEPS[model]}
    begun = time.perf_counter()
    found = answers(engine, model, "inversion", images, "invert", layer=layer, prior=prior, **steps)
    each = (time.perf_counter() - begun) / len(images)
    pixels, features = (statistics.median(one[name] for one in found) for name in ("pixel_error", "feature_error"))
    same = sum(one["reached"]["index"] == one["prediction"]["index"] for one in found)
    return [f"{pixels:.3f}", f"{features:.3f}", f"{same} of {len(found)}", f"{1000 * each:.0f}"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decoders", description=__doc__)
    parser.add_argument("--digits", type=int, default=COUNT)
    sys.exit(show(report(parser.parse_args().digits)))
