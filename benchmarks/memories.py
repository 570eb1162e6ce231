"""Dense associative memories of four powers, attacked before their tanh and after it.

    python -m benchmarks.memories              all
    python -m benchmarks.memories --digits 20  of fewer digits

Krotov and Hopfield 2018 attack what is inside of the tanh, for where that is sure of its answer there is no gradient
left. The order of the classes is the same, so whatever breaks a memory before its tanh breaks it after: what looks more
robust after it only hides its gradient.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import Any

from benchmarks.campaign import answers, digits, engine_of, growing, percent, show, told
from benchmarks.ensemble import PGD_40
from rakinglight.operations.robustness import summarize

POWERS = {2: "dam-digits-2", 3: "dam-digits-3", 8: "dam-digits", 20: "dam-digits-20"}
EPSILONS = (0.05, 0.13)
METHODS: dict[str, Any] = {"PGD-40": {"method": "pgd", "parameters": PGD_40}, "`auto`": "auto"}
COUNT, CLEAN = 200, 500
HEAD = (
    "power",
    "clean",
    "attacked",
    *(f"{method} at {epsilon:g}" for method in METHODS for epsilon in EPSILONS),
    "checks that failed",
)


def report(count: int = COUNT) -> Iterator[str]:
    """The page, anew with every row."""
    words = (
        f"The share of the first {count} test digits that is still read rightly, in linf, with its 95 % interval. The "
        "checks are those of `robustness`."
    )
    return growing(HEAD, rows(count), words)


def rows(count: int) -> Iterator[list[str]]:
    for power, memory in POWERS.items():
        for name, where in ((memory, "before the tanh"), (f"{memory}-tanh", "after the tanh")):
            engine, (x, y) = engine_of(name), digits(CLEAN)
            clean = answers(engine, name, "classify", x[: CLEAN if count == COUNT else count])
            cells, failed = list[str](), list[str]()
            for method in METHODS.values():
                asked = {"methods": [method], "epsilons": list(EPSILONS), "checks": method == "auto"}
                labels = [{"labels": label} for label in y[:count]]
                entries = answers(engine, name, "robustness", x[:count], each=labels, **asked)
                summary = summarize(entries, {**asked, "norm": "linf"})
                cells += [told(one["top1"]) for one in summary["accuracy"]]
                failed += summary.get("failed_checks", ())
            right = percent(said["prediction"]["index"] == label for said, label in zip(clean, y, strict=False))
            yield [str(power), right, where, *cells, ", ".join(failed) or "none"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memories", description=__doc__)
    parser.add_argument("--digits", type=int, default=COUNT)
    sys.exit(show(report(parser.parse_args().digits)))
