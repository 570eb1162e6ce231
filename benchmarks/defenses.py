"""Every defence under attack: by one that does not know of it, and by one that does.

    python -m benchmarks.defenses                 every defence: about an hour on two cores, most of it two of them
    python -m benchmarks.defenses jpeg bit_depth  only these
    python -m benchmarks.defenses --count 20      of so many digits

Of the digits kept for tests, the first that the defended LeNet-5 gets right. A figure is the share of them that it
still gets right, so 100 % is no harm done. With each stands its 95 % interval (Wilson).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from benchmarks.campaign import Array, answers, digits, engine_of, fallen, growing, percent, show
from rakinglight import eight_bit
from rakinglight.engine import Engine

MODEL = "lenet5-digits"
#: The chains that have a row. A crop of the published 0.4 is too little of a digit: it has a row, and a larger one too.
CHAINS: Mapping[str, Any] = {
    "jpeg": "jpeg",
    "bit_depth": "bit_depth",
    "median_blur": "median_blur",
    "tv_minimization": "tv_minimization",
    "crop_rescale": "crop_rescale",
    "crop_rescale, side 0.9": {"name": "crop_rescale", "side": 0.9},
    "quilting": "quilting",
    "jpeg, then median_blur": ["jpeg", "median_blur"],
}
#: Digits of those chains of which one way through takes long or many are needed; of the others, COUNT.
FEWER: Mapping[str, int] = {"tv_minimization": 20, "crop_rescale": 20, "crop_rescale, side 0.9": 20, "quilting": 40}
#: Of how many digits a row is; and of how many kept for tests the share of clean ones, where it is of COUNT.
COUNT, ALL = 200, 500
ATTACKS: Mapping[str, Mapping[str, Any]] = {"deepfool": {}, "pgd": {"epsilon": 0.1, "steps": 40}}
HEAD = ("defence", "digits", "clean", "attack", "rounding alone", "rounded, oblivious", "proven, oblivious", "adaptive")


def rows(engine: Engine, names: Iterable[str], count: int) -> Iterator[list[str]]:
    """The rows of the table, as they come about."""
    images, labels = digits(ALL)
    for name in names:
        chain, n = CHAINS[name], min(count, FEWER.get(name, count))
        asked = images if n == COUNT else images[: 10 * n]  # enough of them to find n among
        said = answers(engine, MODEL, "classify", asked, defense=chain)
        right = [one["prediction"]["index"] == label for one, label in zip(said, labels, strict=False)]
        places = [i for i, is_right in enumerate(right) if is_right][:n]
        clean, x, y = percent(right), [images[i] for i in places], [labels[i] for i in places]
        for attack, parameters in ATTACKS.items():
            yield [name, str(len(x)), clean, f"`{attack}`", *survived(engine, chain, x, y, attack, parameters)]


def survived(
    engine: Engine, chain: Any, x: Sequence[Array], y: Sequence[int], attack: str, parameters: Mapping[str, Any]
) -> list[str]:
    """The shares of the images x that are still right, in the order of HEAD."""
    each = [{"label": label} for label in y]

    def right(pictures: Sequence[Array], **behind: Any) -> str:
        found = answers(engine, MODEL, "classify", pictures, **behind)
        return percent(one["prediction"]["index"] == label for one, label in zip(found, y, strict=True))

    without = answers(engine, MODEL, "attack", x, attack, each, **parameters)
    rounded = [eight_bit.from_float(one["exact"]["image"]) for one in without]
    proven = [one["adversarial"] for one in without]
    adaptive = answers(engine, MODEL, "attack", x, attack, each, defense=chain, **parameters)
    # Of a random defence an image may be wrong in the draws that `before` is of, though it was right in one.
    held = percent(not fallen(one) for one in adaptive)
    return [right(rounded), right(rounded, defense=chain), right(proven, defense=chain), held]


def main() -> int:
    reader = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument("chain", nargs="*", help=", ".join(CHAINS))
    reader.add_argument("--count", type=int, default=COUNT)
    given = reader.parse_args()
    if unknown := set(given.chain) - set(CHAINS):
        reader.error(f"{', '.join(unknown)}: there is {', '.join(CHAINS)}")
    return show(growing(HEAD, rows(engine_of(MODEL), given.chain or CHAINS, given.count)))


if __name__ == "__main__":
    sys.exit(main())
