"""Pictures that a class answers to most: does another network see the class in them, and what do real images reach?

python -m benchmarks.maximization                    all
python -m benchmarks.maximization --without lites    of the digits alone
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

import numpy as np
import skimage.data

from benchmarks.campaign import Array, Result, answers, digits, engine_of, growing, one_after_another, show
from rakinglight.engine import Engine
from rakinglight.wire import array_to_json

METHOD = "activation_maximization"
PHOTOGRAPHS, OTHER = "efficientnet-lite0", "efficientnet-lite1"
DIGITS, OTHERS = "lenet5-digits", ("lenet5-digits-robust", "dam-digits")
CLASSES = (
    "goldfish", "ostrich", "flamingo", "volcano", "daisy", "zebra", "lion", "strawberry", "sports car", "banana",
)  # fmt: skip
#: What is known of pictures -> how that is asked for.
WAYS: Mapping[str, Mapping[str, Any]] = {"with priors": {}, "without": {"terms": "none"}}
#: A bundled photograph -> the class that it is of.
REAL = {"chelsea": "Egyptian cat", "coffee": "espresso", "rocket": "missile"}
#: Real digits of each class.
COUNT = 20


def report(*, lites: bool = True) -> Iterator[str]:
    """The page, anew with every row."""
    words = (
        "Each picture is climbed to by `activation_maximization` with its defaults, or with `terms: none`: pixels from "
        "the mean colour, no terms, no jitter. What is said of it is said of its 8 bits."
    )
    tables = [_digits(f"{words}\n\n## {DIGITS}\n\n{_ABOUT_DIGITS}")]
    if lites:
        engine = engine_of(PHOTOGRAPHS, OTHER)
        tables.append(_ranks(engine, f"## {PHOTOGRAPHS}\n\n{_ABOUT_RANKS}"))
        tables.append(_beside_photographs(engine, f"## Beside photographs\n\n{_ABOUT_PHOTOGRAPHS}"))
    return one_after_another(*tables)


_ABOUT_RANKS = (
    f"The probability that the network gives to the class of the picture, and the rank that {OTHER}, which was never "
    "asked on the way, gives to it among its 1,000."
)
_ABOUT_PHOTOGRAPHS = (
    "The class's logit of the picture, where the logit was climbed and where the probability was, beside that of a "
    "bundled photograph. How few they are: one each."
)
_ABOUT_DIGITS = (
    "The digit's logit of the picture, where the logit was climbed and where the probability was (in brackets the "
    f"probability there); of {COUNT} real test digits of the class, the range, and how many are below the picture; and "
    "the rank of the class by other networks of the digits. Far from every class the probability has no slope left: "
    "climbing it, the terms win, and the picture stays empty."
)


def _asked(engine: Engine, model: str, **parameters: Any) -> Result:
    card = engine.networks[model].card
    flat = np.broadcast_to(np.array(card.mean, np.float32)[:, None, None], card.input_shape)
    (result,) = answers(engine, model, "inversion", [np.ascontiguousarray(flat)], METHOD, **parameters)
    return result


def _digits(before: str) -> Iterator[str]:
    engine = engine_of(DIGITS, *OTHERS)
    images, labels = digits(500)
    head = ["digit", "logit", "by the probability", "of real digits", "below", *(f"rank by `{one}`" for one in OTHERS)]

    def rows() -> Iterator[list[str]]:
        for digit in range(10):
            real = [image for image, label in zip(images, labels, strict=True) if label == digit][:COUNT]
            said = _asked(engine, DIGITS, target=digit, **_beside(real), models=list(OTHERS))
            ranks = [str(one["rank"]) for one in said["ranks"]]
            yield [str(digit), *_scores(said), *ranks]

    return growing(head, rows(), before)


def _ranks(engine: Engine, before: str) -> Iterator[str]:
    head = ["class", *(f"{what}, {way}" for way in WAYS for what in ("probability", "rank"))]

    def rows() -> Iterator[list[str]]:
        ranks: dict[str, list[int]] = {way: [] for way in WAYS}
        for name in CLASSES:
            row = [name]
            for way, asked in WAYS.items():
                said = _asked(engine, PHOTOGRAPHS, target=name, models=[OTHER], **asked)
                ranks[way].append(said["ranks"][0]["rank"])
                right = said["reached"]["label"] == name
                row += [f"{said['reached']['probability']:.1%}" if right else "–", str(ranks[way][-1])]
            yield row
        yield ["median rank", *(cell for way in WAYS for cell in ("", f"{median(ranks[way]):g}"))]

    return growing(head, rows(), before)


def _beside_photographs(engine: Engine, before: str) -> Iterator[str]:
    head = ["class", "logit", "by the probability", "of the photograph", "below"]

    def rows() -> Iterator[list[str]]:
        for photograph, name in REAL.items():
            said = _asked(engine, PHOTOGRAPHS, target=name, **_beside([getattr(skimage.data, photograph)()]))
            yield [f"{name} ({photograph})", *_scores(said)]

    return growing(head, rows(), before)


def _beside(real: Sequence[Array]) -> dict[str, Any]:
    """What asks for the softmax variant, and for the scores of real images."""
    return {"compare_softmax": True, "real_images": [array_to_json(np.ascontiguousarray(one)) for one in real]}


def _scores(said: Result) -> list[str]:
    scores, softmax = said["real_images"]["scores"], said["softmax"]["by_probability"]
    span = f"{min(scores):.1f}" if len(scores) == 1 else f"{min(scores):.1f} to {max(scores):.1f}"
    return [
        f"{said['score']:.1f}",
        f"{softmax['logit']:.1f} ({softmax['probability']:.1%})",
        span,
        f"{said['real_images']['below']} of {len(scores)}",
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.maximization", description=__doc__)
    parser.add_argument("--without", choices=("lites",), help="what to leave out")
    sys.exit(show(report(lites=parser.parse_args().without is None)))
