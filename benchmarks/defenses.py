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
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from model_store.build import ensure
from model_store.digits import pictures
from rakinglight import eight_bit
from rakinglight.archives import find_archives, load_network
from rakinglight.engine import Engine
from rakinglight.network import Network
from rakinglight.question import Question
from scripts.docs import table
from scripts.evidence import provenance

HOME = Path(__file__).parents[1] / ".rakinglight"
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
COUNT = 200
ATTACKS: Mapping[str, Mapping[str, Any]] = {"deepfool": {}, "pgd": {"epsilon": 0.1, "steps": 40}}
HEAD = ("defence", "digits", "clean", "attack", "rounding alone", "rounded, oblivious", "proven, oblivious", "adaptive")

Array = np.ndarray[Any, Any]
Result = Mapping[str, Any]


def rows(engine: Engine, names: Iterable[str], count: int) -> Iterable[list[str]]:
    """The rows of the table, as they come about."""
    images, labels = pictures("test")
    images = images.transpose(0, 2, 3, 1)
    for name in names:
        chain, n = CHAINS[name], min(count, FEWER.get(name, count))
        said = answers(engine, "classify", images, defense=chain) if n == COUNT else []
        if not said:  # enough of them to find n among
            said = answers(engine, "classify", images[: 10 * n], defense=chain)
        right = [i for i, one in enumerate(said) if one["prediction"]["index"] == labels[i]]
        clean = share(len(right), len(said))
        x, y = images[right[:n]], labels[right[:n]]
        for attack, parameters in ATTACKS.items():
            yield [name, str(len(x)), clean, f"`{attack}`", *survived(engine, chain, x, y, attack, parameters)]


def survived(engine: Engine, chain: Any, x: Array, y: Array, attack: str, parameters: Mapping[str, Any]) -> list[str]:
    """The shares of x [n, H, W, C] that are still right, in the order of HEAD."""

    def right(pictures: Sequence[Array], **behind: Any) -> str:
        found = answers(engine, "classify", pictures, **behind)
        return share(sum(one["prediction"]["index"] == label for one, label in zip(found, y, strict=True)), len(y))

    without = answers(engine, "attack", x, attack, labels=y, **parameters)
    rounded = [eight_bit.from_float(one["exact"]["image"]) for one in without]
    proven = [one["adversarial"] for one in without]
    adaptive = answers(engine, "attack", x, attack, labels=y, defense=chain, **parameters)
    # Of a random defence an image may be wrong in the draws that `before` is of, though it was right in one.
    broken = sum(bool(one["success"]) or one["already_misclassified"] for one in adaptive)
    return [
        right(rounded),
        right(rounded, defense=chain),
        right(proven, defense=chain),
        share(len(y) - broken, len(y)),
    ]


def answers(
    engine: Engine,
    operation: str,
    images: Iterable[Array],
    method: str | None = None,
    labels: Iterable[Any] = (),
    **parameters: Any,
) -> list[Result]:
    """What is said of each image, all runs in one engine."""
    own = [{"label": int(label)} for label in labels]
    runs = []
    for i, image in enumerate(images):
        asked = {**parameters, **(own[i] if own else {})}
        question = Question(operation, MODEL, image, method, asked, seconds=36_000.0)
        runs.append(engine.submit(question.begin(engine.networks)))
    engine.run_until(lambda: all(run.over for run in runs))
    return [run.result for run in runs]


def share(count: int, of: int) -> str:
    """`count` of `of`, with its 95 % interval."""
    from rakinglight.audit.statistics import share as wilson

    found = wilson([True] * count + [False] * (of - count))
    return f"{found['value']:.0%} ({found['low']:.0%} to {found['high']:.0%})"


def network() -> Network:
    ensure([MODEL], HOME, print)
    return load_network(find_archives(HOME)[MODEL], home=HOME)


def main() -> int:
    reader = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument("chain", nargs="*", help=", ".join(CHAINS))
    reader.add_argument("--count", type=int, default=COUNT)
    given = reader.parse_args()
    if unknown := set(given.chain) - set(CHAINS):
        reader.error(f"{', '.join(unknown)}: there is {', '.join(CHAINS)}")
    made = []
    for row in rows(Engine([network()]), given.chain or CHAINS, given.count):
        print(" | ".join(row), file=sys.stderr, flush=True)
        made.append(row)
    print(table(HEAD, made))
    print(f"\n{provenance()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
