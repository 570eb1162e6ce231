"""What is made on one network of the digits and tried on another: FGSM and PGD-40, rows the one, columns the other.

    python -m benchmarks.transfer              500 digits
    python -m benchmarks.transfer --digits 20

`lenet5-digits-ensemble` learnt from one-step examples of three small networks that are dropped after training, and of
itself (Tramèr et al. 2018). It never saw any of the other rows.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.campaign import answers, digits, engine_of, fallen, growing, one_after_another, percent, show

NETWORKS = (
    "lenet5-digits",
    "lenet5-digits-robust",
    "lenet5-digits-ensemble",
    "lenet5-digits-transformed",
    "dam-digits",
)
EPSILON, COUNT = 0.13, 500
#: Both as settings of `transfer` and of PGD, whose single step from the image itself is FGSM.
ATTACKS: Mapping[str, Mapping[str, Any]] = {
    "FGSM": {"steps": 1, "step_size": EPSILON},
    "PGD-40": {"steps": 40, "step_size": 0.01},
}


def report(count: int = COUNT) -> Iterator[str]:
    """The page, anew with every row."""
    words = (
        f"The share of the first {count} test digits that the network of the column still reads rightly, with its 95 % "
        f"interval, of pictures that are made on the network of the row in the linf ball of {EPSILON}. On the diagonal "
        "that is the white-box attack."
    )
    clean = growing(("clean", *NETWORKS), _clean(count), words)
    tables = (growing((attack, *NETWORKS), _rows(attack, count)) for attack in ATTACKS)
    return one_after_another(clean, *tables)


def _clean(count: int) -> Iterator[list[str]]:
    engine, (x, y) = engine_of(*NETWORKS), digits(count)
    said = {name: answers(engine, name, "classify", x) for name in NETWORKS}
    right = {
        name: [one["prediction"]["index"] == label for one, label in zip(found, y, strict=True)]
        for name, found in said.items()
    }
    yield ["untouched", *(percent(right[name]) for name in NETWORKS)]


def _rows(attack: str, count: int) -> Iterator[list[str]]:
    engine, (x, y) = engine_of(*NETWORKS), digits(count)
    labels = [{"label": label} for label in y]
    for made_on in NETWORKS:
        cells = []
        for tried_on in NETWORKS:
            other: dict[str, Any] = {} if made_on == tried_on else {"models": [made_on]}
            asked = {"epsilon": EPSILON, **ATTACKS[attack], **other}
            found = answers(engine, tried_on, "attack", x, "transfer" if other else "pgd", labels, **asked)
            cells.append(percent(not fallen(one) for one in found))
        yield [f"made on `{made_on}`", *cells]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.transfer", description=__doc__)
    parser.add_argument("--digits", type=int, default=COUNT)
    sys.exit(show(report(parser.parse_args().digits)))
