"""Every network of the digits under `auto`: how many are still read rightly, against epsilon.

    python -m benchmarks.zoo                                   all of them
    python -m benchmarks.zoo lenet5-digits-robust --digits 20  that one, of fewer digits

Square has a fifth of its queries here; `benchmarks.ensemble` has the whole of `auto`, at one epsilon, beside PGD.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from benchmarks.campaign import answers, digits, engine_of, growing, show, told
from model_store.from_recipe import house
from rakinglight.operations.robustness import summarize

EPSILONS = (0.05, 0.1, 0.13, 0.2)
#: `auto` with fewer queries for its last part, and digits of a row.
AUTO = {"method": "auto", "parameters": {"queries": 1000}}
DIGITS = 200
#: A network that is used behind a defence only: its row with it is of fewer digits, since every row passes a JPEG.
BEHIND: Mapping[str, Sequence[str]] = {"lenet5-digits-transformed": ("bit_depth", "jpeg")}
DEFENDED = 50
HEAD = (
    "network",
    "digits",
    "clean",
    *(f"at {epsilon:g}" for epsilon in EPSILONS),
    "checks that failed",
    "seconds",
)
WORDS = (
    "The share of the first test digits that is still read rightly under `auto` in linf, as a proven 8-bit picture has "
    "it, with its 95 % interval; an upper bound. The memories (`dam-digits`) are attacked before their tanh."
)


def names() -> list[str]:
    """The networks of the digits. Those memories that differ by their tanh alone are in `benchmarks.memories`."""
    return [name for name in house() if "digits" in name and not name.endswith("-tanh")]


def report(chosen: Iterable[str] = (), count: int | None = None) -> Iterator[str]:
    """The page, anew with every network."""
    return growing(HEAD, rows(list(chosen) or names(), count), WORDS)


def rows(chosen: Iterable[str], count: int | None = None) -> Iterator[list[str]]:
    for name in chosen:
        yield row(name, count or DIGITS)
        if name in BEHIND:
            yield row(name, min(count or DEFENDED, DEFENDED), BEHIND[name])


def row(name: str, count: int, defense: Sequence[str] = ()) -> list[str]:
    """A network's line of the table, of so many digits; behind a defence under both attackers of `robustness`."""
    begun, engine, (x, y) = time.perf_counter(), engine_of(name), digits(count)
    behind: dict[str, Any] = {"defense": list(defense)} if defense else {}
    entries = answers(
        engine,
        name,
        "robustness",
        x,
        each=[{"labels": label} for label in y],
        methods=[AUTO],
        epsilons=list(EPSILONS),
        **behind,
    )
    summary = summarize(entries, {"epsilons": EPSILONS, "norm": "linf", "checks": True})
    return [
        f"`{name}`" + "".join(f", {one}" for one in defense),
        str(count),
        told(summary["clean"]["top1"]),
        *(told(one["top1"]) for one in summary["accuracy"]),
        ", ".join(summary["failed_checks"]) or "none",
        f"{time.perf_counter() - begun:.0f}",
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.zoo", description=__doc__)
    parser.add_argument("networks", nargs="*", help="by default all of the digits")
    parser.add_argument("--digits", type=int)
    asked = parser.parse_args()
    sys.exit(show(report(asked.networks, asked.digits)))
