"""How much of a picture's code by HOG, dense SIFT and visual words comes back, by descent and by a dictionary.

python -m benchmarks.representations                all
python -m benchmarks.representations --images 2     of fewer pictures
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from statistics import mean, stdev

import numpy as np
import skimage.data
import torch
from PIL import Image
from torch import Tensor

from benchmarks.campaign import engine_of, growing, show
from model_store.representations import JUDGED, LEARNT_FROM
from rakinglight.codes import Code, Distance
from rakinglight.energy import begun, canvas_of, descent_of, minimize, natural
from rakinglight.engine import Engine
from rakinglight.noise import Noise
from rakinglight.queries import Algorithm
from rakinglight.representations import Representation
from rakinglight.representations.bag_of_words import BagOfWords
from rakinglight.representations.dictionary import dictionary_inverse
from rakinglight.representations.dsift import DenseSift
from rakinglight.representations.hog import Hog

SIDE, STEPS, FIDELITY = 128, 200, 1000.0
GREY = torch.full((3, 1, 1), 0.5)
#: Published by Mahendran and Vedaldi 2015, table 1, of 100 images at full size with HOG of another kind.
PUBLISHED = {"dictionary": "66.2%", "hog, hard bins": "28.1%", "hog, bilinear bins": "10.7%", "dsift": "10.9%"}
HEAD = ("code", "numbers", "feature error", "from to", "pixel error", "published")

Inverse = Callable[[Tensor], Tensor]


def report(images: int = 8) -> Iterator[str]:
    """The page, anew with every row."""
    pictures = list(islice(_pictures(), images))
    words = (
        f"{len(pictures)} pictures of {SIDE} by {SIDE} pixels, of {', '.join(JUDGED)}: the middle square of each, and "
        "the middle of that at twice the size. The dictionary and the words were learnt from other photographs "
        f"({', '.join(LEARNT_FROM)}, china, flower). All but the dictionary are inverted by the energy: "
        f"{STEPS} steps of Adam on pixels from grey, fidelity {FIDELITY:.0f}, the terms with weight 1.\n\n"
        "The feature error is the squared distance of the codes over the mean of that between different pictures, as "
        "published; the mean over the pictures and its deviation. The pixel error is that of the pixels over that of "
        "flat grey: none of these codes tells brightness, and most no colour. The published figures (Mahendran and "
        "Vedaldi 2015, table 1) are of other pictures and other kinds of HOG: only their order can be compared."
    )
    return growing(HEAD, _rows(pictures), words)


def _rows(pictures: Sequence[Tensor]) -> Iterator[list[str]]:
    engine = engine_of("lenet5-digits")
    hog = Hog()

    def by_dictionary(x: Tensor) -> Tensor:
        return dictionary_inverse(hog.code(x), (3, SIDE, SIDE))

    ways: list[tuple[str, Representation]] = [
        ("hog, bilinear bins", hog),
        ("hog, hard bins", Hog(bins="hard")),
        ("dsift", DenseSift()),
        ("bag_of_words", BagOfWords()),
        ("bag_of_words, 3 levels", BagOfWords(levels=3)),
    ]
    yield _row("dictionary", hog, by_dictionary, pictures)
    for name, representation in ways:
        yield _row(name, representation, _by_descent(engine, representation), pictures)


def _by_descent(engine: Engine, representation: Representation) -> Inverse:
    return lambda x: engine.drive(inverted(x, representation))


def _row(name: str, representation: Representation, inverse: Inverse, pictures: Sequence[Tensor]) -> list[str]:
    codes = torch.stack([representation.code(x) for x in pictures])
    usual = torch.cdist(codes[None].double(), codes[None].double())[0].square().sum() / (len(codes) * (len(codes) - 1))
    found = [_rounded(inverse(x)) for x in pictures]
    errors = [
        float((representation.code(y) - code).square().sum() / usual) for y, code in zip(found, codes, strict=True)
    ]
    off = mean(float((y - x).square().sum() / (GREY - x).square().sum()) for x, y in zip(pictures, found, strict=True))
    spread = stdev(errors) if len(errors) > 1 else 0.0
    return [
        name,
        f"{codes.shape[1]:,}",
        f"{mean(errors):.1%} ± {spread:.1%}",
        f"{min(errors):.1%} to {max(errors):.1%}",
        f"{off:.0%}",
        PUBLISHED.get(name, "–"),
    ]


def inverted(x: Tensor, representation: Representation, steps: int = STEPS) -> Algorithm[Tensor]:
    """A picture [C, H, W] with the code of x [C, H, W], from flat grey, by the energy."""
    code = Code(representation)
    (phi,) = yield from code.of(x[None])
    mean_colour = GREY[: len(x)]

    def ask(rows: Tensor) -> Algorithm[tuple[Tensor, Tensor]]:
        value, g = yield from code.slope(rows, Distance(phi))
        return FIDELITY * value, FIDELITY * g

    noise = Noise(0)
    # At flat grey nothing has a slope: the first step needs a trace of noise to go by.
    start = begun("zeros", mean_colour, x, 1, noise) + 0.01 * noise.normal(x[None])
    terms, descent = natural(mean_colour, 6.0, 1.0, 2.0, 1.0), descent_of("adam", 0.02)
    found = yield from minimize(canvas_of("pixels", start), ask, terms, descent, steps=steps, noise=noise)
    return found.images[0]


def _rounded(x: Tensor) -> Tensor:
    return (x * 255).round() / 255


def _pictures() -> Iterator[Tensor]:
    """Float32 [3, SIDE, SIDE]: first the whole of each, then the middle of each."""
    for part in (1.0, 0.5):
        for name in JUDGED:
            image = Image.fromarray(getattr(skimage.data, name)())
            side = part * min(image.size)
            left, top = (image.width - side) / 2, (image.height - side) / 2
            seen = image.resize((SIDE, SIDE), Image.Resampling.LANCZOS, (left, top, left + side, top + side))
            yield torch.from_numpy(np.array(seen, np.float32).transpose(2, 0, 1) / 255)


def main() -> int:
    """Print the page; 0, as an exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=8)
    return show(report(parser.parse_args().images))


if __name__ == "__main__":
    sys.exit(main())
