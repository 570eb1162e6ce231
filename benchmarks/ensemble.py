"""`auto` beside PGD-40, digit by digit: does anything that PGD breaks withstand the ensemble?"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from model_store.build import ensure
from model_store.digits import pictures
from rakinglight.archives import find_archives, load_network
from rakinglight.engine import Engine
from rakinglight.network import Network
from rakinglight.question import Question
from rakinglight.run import Run
from scripts.docs import table

HOME = Path(__file__).parents[1] / ".rakinglight"
#: Madry et al. 2018, for MNIST: 40 steps of 0.01 from a random point.
PGD_40 = {"steps": 40, "step_size": 0.01, "random_start": True}
HEADINGS = [
    "epsilon",
    "under PGD-40",
    "under auto",
    "PGD broke, auto did not",
    "broken by",
    "rows a digit: PGD",
    "auto",
]


def auto_against_pgd(
    model: str = "lenet5-digits", epsilons: Sequence[float] = (0.1, 0.13), digits: int = 500, **parameters: Any
) -> str:
    """The share of test digits that are still read rightly, as 8-bit pictures, and by which part of `auto` they fell.

    parameters  of `auto`, other than its defaults
    """
    ensure([model], HOME, print)
    network = load_network(find_archives(HOME)[model], home=HOME)
    rows = []
    for epsilon in epsilons:
        pgd = attacked(network, "pgd", digits, {"epsilon": epsilon, **PGD_40})
        auto = attacked(network, "auto", digits, {"epsilon": epsilon, **parameters})
        by = Counter(run.result["broken_by"] for run in auto if run.result["broken_by"])
        rows.append(
            [
                f"{epsilon:g}",
                *(f"{sum(not fallen(run) for run in runs) / digits:.1%}" for runs in (pgd, auto)),
                str(sum(fallen(weak) and not fallen(strong) for weak, strong in zip(pgd, auto, strict=True))),
                ", ".join(f"{name} {count}" for name, count in by.most_common()),
                *(f"{sum(run.cost.rows for run in runs) / digits:.0f}" for runs in (pgd, auto)),
            ]
        )
    return f"{model}, {digits} test digits, linf:\n\n{table(HEADINGS, rows)}"


def attacked(network: Network, method: str, digits: int, parameters: dict[str, Any]) -> list[Run[Any]]:
    """The runs of `method` on the first `digits` of the test digits, each seeded by its place."""
    engine, (x, y) = Engine([network], live_limit=64), pictures("test")
    runs = []
    for i in range(digits):
        said = {"label": int(y[i]), **parameters}
        asked = Question("attack", network.card.name, x[i].transpose(1, 2, 0), method, said, seed=i, seconds=1e9)
        runs.append(engine.submit(asked.begin(engine.networks)))
    engine.run_until(lambda: all(run.over for run in runs))
    return runs


def fallen(run: Run[Any]) -> bool:
    """Whether the digit is read wrongly: after the attack, or before it."""
    return bool(run.result["success"] or run.result["already_misclassified"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="lenet5-digits")
    parser.add_argument("--epsilons", type=float, nargs="+", default=[0.1, 0.13])
    parser.add_argument("--digits", type=int, default=500)
    asked = parser.parse_args()
    print(auto_against_pgd(asked.model, asked.epsilons, asked.digits))
