"""Hundreds of attacks through a running service: is what they claim what `classify` says of their pictures?

    python -m benchmarks.front_door                    the digits' LeNet-5, and a few photographs on EfficientNet-Lite0
    python -m benchmarks.front_door lenet5-digits      only that
    python -m benchmarks.front_door --every 10         every tenth case

Every method that needs nothing beside the image, in both norms, on images of many sizes and formats, a third of them
with a target. Each adversarial picture is posted back as it came, and so is the plain rounding of the floats: what that
would have been worth is what the repair adds. A contradiction is a `success`, an `after` or a ball that is not so.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.service import running
from model_store.build import ensure
from rakinglight import eight_bit, images, pictures
from rakinglight.archives import find_archives, read_card
from rakinglight.card import Card
from rakinglight.catalogue import OPERATIONS
from rakinglight.client import Client
from scripts.docs import table

HOME = Path(__file__).parents[1] / ".rakinglight"
#: The sides of the images: the model's own, odd, portrait, large, one pixel high.
SIZES = ((32, 32), (33, 45), (61, 40), (224, 225), (301, 203), (900, 675), (1, 64))
FORMATS = ("PNG", "PNG, grey", "PNG, alpha", "JPEG", "JPEG, grey", "WEBP")
#: Radii at 32 x 32; in l2 they grow with the root of the pixels, as noise of the same height does.
EPSILONS: Mapping[str, Sequence[float]] = {"linf": (1 / 255, 2 / 255, 8 / 255, 0.1, 0.3), "l2": (0.1, 0.5, 1.5, 3.0)}
#: Methods that have no second norm, and those that need another model or a perturbation that is kept.
ONE_NORM, NEED_MORE = {"lbfgs": "l2", "boundary": "l2"}, ("transfer", "universal")
#: Lengths with which hundreds of them are soon done.
SHORT: Mapping[str, Mapping[str, Any]] = {
    "apgd": {"steps": 20},
    "auto": {"steps": 10, "target_classes": 2, "queries": 50},
    "lbfgs": {"steps": 10, "binary_search_steps": 4},
    "square": {"queries": 100},
    "nes": {"queries": 200},
    "hop_skip_jump": {"queries": 500},
    "boundary": {"queries": 300},
}
HEAD = ("method", "attacks", "floats", "plain rounding", "picture", "changed", "distance", "rows", "contradictions")

Array = np.ndarray[Any, Any]


@dataclass
class Count:
    """What came of the attacks by one method.

    floats, rounded, proven  how often the floats, their plain rounding and the picture that came succeeded
    changed                  pictures that are not the plain rounding
    ratios                   the picture's distance over the floats', where both succeeded and there is no ball
    rows                     that each spent
    """

    attacks: int = 0
    floats: int = 0
    rounded: int = 0
    proven: int = 0
    changed: int = 0
    ratios: list[float] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    contradictions: list[str] = field(default_factory=list)

    def row(self, method: str) -> list[str]:
        """As the table has it."""
        ratio = f"{median(self.ratios):.2f}" if self.ratios else ""
        counts = map(str, (self.attacks, self.floats, self.rounded, self.proven, self.changed))
        return [method, *counts, ratio, f"{median(self.rows):g}", str(len(self.contradictions))]


@dataclass(frozen=True)
class Case:
    """One attack: on which picture, as which file, by what."""

    number: int
    method: str
    size: tuple[int, int]
    format: str
    parameters: Mapping[str, Any]


def cases(sizes: Sequence[tuple[int, int]] = SIZES, files: int = 4) -> Iterator[Case]:
    """Every method and norm, on every size, in so many formats."""
    number = 0
    for method in OPERATIONS["attack"].methods:
        if method.name in NEED_MORE:
            continue
        for norm in [ONE_NORM[method.name]] if method.name in ONE_NORM else EPSILONS:
            for height, width in sizes:
                for _ in range(files):
                    parameters: dict[str, Any] = {"norm": norm, **SHORT.get(method.name, {})}
                    if "epsilon" in OPERATIONS["attack"].fields(method):
                        radius = EPSILONS[norm][number % len(EPSILONS[norm])]
                        parameters["epsilon"] = radius * ((height * width) ** 0.5 / 32 if norm == "l2" else 1)
                    if number % 3 == 0 and "target" not in method.defaults:
                        parameters["target"] = {"rank": 2}
                    yield Case(number, method.name, (height, width), FORMATS[number % len(FORMATS)], parameters)
                    number += 1


def posted_back(client: Client, card: Card, drawn: Sequence[Array], asked: Iterable[Case]) -> dict[str, Count]:
    """Attack the model of `card` as `asked`, on the pictures `drawn` in turn: uint8 [H, W, 3]. By method."""
    model, counts = client.model(card.name), dict[str, Count]()
    for case in asked:
        count = counts.setdefault(case.method, Count())
        file = encoded(drawn[case.number % len(drawn)], case.size, case.format)
        found = model.attack(file, case.method, **case.parameters)
        again = model.classify(found.adversarial_png).entry["prediction"]
        x = eight_bit.to_float(images.for_model(images.decode(file), card))
        norm, epsilon = case.parameters["norm"], case.parameters.get("epsilon")
        adversarial = images.decode(found.adversarial_png)
        rounded = eight_bit.from_float(found.exact)
        if epsilon is not None:
            rounded = eight_bit.inside_ball(x, found.exact, norm, epsilon)
        count.attacks += 1
        count.rows.append(found.queries)
        count.changed += not np.array_equal(rounded, adversarial)
        far = eight_bit.levels(x, adversarial).astype(np.float64) / 255
        size = float(np.abs(far).max() if norm == "linf" else np.sqrt((far**2).sum()))
        wrong = {
            "after is not what classify says": found.entry["after"] != again,
            "the picture is outside the ball": epsilon is not None and size > epsilon + 1e-6,
            "it has another size": adversarial.shape != rounded.shape,
            "the distance is another": abs(size - found.distance[norm]) > 1e-6,
        }
        if found.success is not None:
            plain = model.classify(pictures.to_png(pictures.from_pixels(rounded))).entry["prediction"]["index"]
            count.floats += found.entry["exact"]["success"]
            count.rounded += fooled(found.entry, plain)
            count.proven += found.success
            if epsilon is None and found.success and found.entry["exact"]["success"]:
                count.ratios.append(found.distance[norm] / found.entry["exact"]["distance"][norm])
            wrong["success is not what classify says"] = found.success != fooled(found.entry, again["index"])
        count.contradictions += [f"{case}: {said}" for said, so in wrong.items() if so]
    return counts


def fooled(entry: Mapping[str, Any], index: int) -> bool:
    """Whether an attack that `entry` tells of succeeded, if the first answer to its picture is class `index`."""
    before, label, target = (entry[name] for name in ("before", "label", "target"))
    there = index == target["index"] if target else index not in (label["index"], before["index"])
    return bool(there and label["index"] == before["index"])


def encoded(pixels: Array, size: tuple[int, int], form: str) -> bytes:
    """`pixels` at that size, as a file of that format."""
    height, width = size
    picture = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR)
    kind, _, colours = form.partition(", ")
    if colours == "alpha":
        picture.putalpha(Image.linear_gradient("L").resize((width, height)).point(lambda level: 128 + level // 2))
    elif colours == "grey":
        picture = picture.convert("L")
    out = io.BytesIO()
    picture.save(out, kind)
    return out.getvalue()


def digits(count: int = 40) -> list[Array]:
    """uint8 [32, 32, 3], of those kept for tests."""
    from model_store.digits import pictures as drawn

    return [np.repeat(digit.transpose(1, 2, 0), 3, axis=2) for digit in drawn("test")[0][:count]]


def photographs() -> list[Array]:
    """uint8 [H, W, 3]."""
    import skimage.data

    return [getattr(skimage.data, name)() for name in ("chelsea", "coffee", "astronaut", "rocket")]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table of each model; 1 where anything was contradicted."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.front_door")
    parser.add_argument("models", nargs="*", default=["lenet5-digits", "efficientnet-lite0"])
    parser.add_argument("--every", type=int, default=1, help="of the cases, each so many-th")
    asked = parser.parse_args(arguments)
    contradicted = 0
    for name in asked.models:
        ensure([name], HOME, print)
        card = read_card(find_archives(HOME)[name])
        small = card.input_shape[0] == 1
        drawn = digits() if small else photographs()
        todo = list(cases() if small else cases(((224, 224), (301, 203)), 1))[:: asked.every]
        with running("local", name, HOME) as service:
            counts = posted_back(service.client, card, drawn, todo)
        print(f"\n{name}, {sum(count.attacks for count in counts.values())} attacks\n", flush=True)
        print(table(HEAD, [count.row(method) for method, count in counts.items()]))
        for said in [said for count in counts.values() for said in count.contradictions]:
            contradicted += 1
            print(said, file=sys.stderr)
    return 1 if contradicted else 0


if __name__ == "__main__":
    sys.exit(main())
