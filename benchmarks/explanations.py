"""Every method that explains, over the bundled photographs, and how far its maps can be trusted.

    python -m benchmarks.explanations            all figures: some minutes on two cores
    python -m benchmarks.explanations --quick    one photograph, and only figures that make no further maps

The methods are the catalogue's, with their defaults except for FEWER. All runs share one engine, and so their passes.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
from torch import Tensor

from model_store.build import ensure
from rakinglight.archives import find_archives, load_network
from rakinglight.catalogue import OPERATIONS, Operation
from rakinglight.engine import Engine
from rakinglight.maps import Map
from rakinglight.method import Method
from rakinglight.mosaic import mosaic
from rakinglight.network import Network
from rakinglight.noise import Noise
from rakinglight.queries import Algorithm
from rakinglight.question import Question
from rakinglight.run import Run
from rakinglight.subject import Subject
from rakinglight.trust import BOXED, Case, evaluate
from scripts.docs import table
from scripts.evidence import provenance

HOME = Path(__file__).parents[1] / ".rakinglight"
MODEL = "efficientnet-lite0"
#: What scikit-image carries of which the model names the thing, and its name for it.
PHOTOGRAPHS = {"chelsea": "Egyptian cat", "coffee": "espresso", "rocket": "missile"}
#: The two that it still names on a quarter of the image, as they lie in the mosaic.
MOSAIC = ("chelsea", "coffee", "coffee", "chelsea")
#: What a method takes fewer of than by default, for the figures that make fifteen maps more; and of one photograph.
FEWER: Mapping[str, int] = {"masks": 300, "n_samples": 25, "n_steps": 25}
QUICK: Mapping[str, int] = {"masks": 100, "n_samples": 10, "n_steps": 10}
#: Figures of every photograph, and those that make maps of their own, which are of the first photograph alone.
CHEAP = ("deletion", "insertion", "infidelity")
DEAR = ("max_sensitivity", "randomization")
BLIND = "a random order"
HEAD = (
    "method",
    "rows a map",
    "deletion ↓",
    "insertion ↑",
    "infidelity ↓",
    "max-sensitivity ↓",
    "random last layer",
    "random network",
    "localization ↑",
    "pointing ↑",
)

Pixels = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Examined:
    """A method, and the runs that examine its maps: of each photograph, and of each thing in the mosaic."""

    method: Method[Any]
    photographs: Sequence[Run[dict[str, Any]]]
    mosaics: Sequence[Run[dict[str, Any]]]

    @property
    def rows(self) -> int:
        """Rows that a map takes. A run on the mosaic spends one more, for the prediction, and none on its figures."""
        return self.mosaics[0].cost.rows - 1

    @property
    def line(self) -> list[str]:
        """Its line of the table."""
        figures = ([run.result["evaluation"] for run in runs] for runs in (self.photographs, self.mosaics))
        return [self.method.name, f"{self.rows:,}", *cells(*figures)]

    @property
    def class_line(self) -> list[str]:
        """Its line of the table of classes: how much of each map lies on its own thing, and how alike the two are."""
        one, other = (run.result for run in self.mosaics)
        alike = np.corrcoef(one["map"].ravel(), other["map"].ravel())[0, 1]
        own = (result["evaluation"]["localization"]["value"] for result in (one, other))
        return [self.method.name, *(f"{value:.2f}" for value in own), f"{alike:.2f}"]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.explanations", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one photograph, and only figures that make no more maps")
    options = parser.parse_args()
    ensure([MODEL], HOME, _say)
    network = load_network(find_archives(HOME)[MODEL], home=HOME)
    print(report(network, quick=options.quick))
    _say(provenance())


def report(network: Network, *, quick: bool = False) -> str:
    """The tables in Markdown, each with what its columns are."""
    names = list(PHOTOGRAPHS)[: 1 if quick else None]
    fewer = QUICK if quick else FEWER
    all_examined = examine(network, names, fewer, dear=not quick)
    return f"{trust_figures(network, names, fewer, all_examined)}\n\n{class_dependence(all_examined)}"


def trust_figures(
    network: Network, names: Sequence[str], fewer: Mapping[str, int], all_examined: Sequence[Examined]
) -> str:
    """The figures of every method, and those of a map that knows nothing."""
    lines = [examined.line for examined in all_examined]
    lines.append([BLIND, "0", *cells([blindly(network, photograph(name)) for name in names], [])])
    words = (
        f"{network.card.name}, means over {', '.join(names)}; max-sensitivity and the random columns, which take more "
        f"maps, are of {names[0]} alone. Every method has its defaults, but for "
        f"{', '.join(f'`{name}`: {number}' for name, number in fewer.items())}. Deletion and insertion are areas below "
        "the probability. Infidelity is over that of an empty map: at 1 it foretells nothing. "
        "Max-sensitivity is relative to the map. The random columns are rank correlations with the map of a network "
        "whose last layer, or all of it, is random: near 1, a map tells little of what was learnt. Localization and "
        f"pointing are on a mosaic of {' and '.join(dict.fromkeys(MOSAIC))}, once for each: half of a map that is the "
        "same everywhere lies on the right one."
    )
    return f"{table(HEAD, lines)}\n\n{words}"


def class_dependence(all_examined: Sequence[Examined]) -> str:
    """How much a method's map depends on the class that it is asked about, on the mosaic of two."""
    things = list(dict.fromkeys(MOSAIC))
    head = ("method", *(f"{PHOTOGRAPHS[name]} ↑" for name in things), "correlation of the two")
    words = (
        f"Class dependence, on the mosaic of {' and '.join(things)}: how much of the positive part of a class's map "
        "lies on the places of its own, where 0.50 says nothing, and how alike the maps of the two classes are."
    )
    return f"{words}\n\n{table(head, [examined.class_line for examined in all_examined])}"


def cells(photographs: Sequence[Mapping[str, Any]], mosaics: Sequence[Mapping[str, Any]]) -> list[str]:
    """The figures as the table has them, each a mean over the images that have it.

    photographs, mosaics  the evaluation of each image
    """

    def of(evaluations: Sequence[Mapping[str, Any]], figure: str, member: str) -> list[Any]:
        return [evaluation[figure][member] for evaluation in evaluations if figure in evaluation]

    def mean(figures: Iterable[float | None]) -> str:
        there = [figure for figure in figures if figure is not None]
        return f"{statistics.fmean(there):.3f}" if there else "–"

    wrong, empty = (of(photographs, "infidelity", member) for member in ("value", "empty_map"))
    correlations = of(photographs, "randomization", "rank_correlation")
    hits = of(mosaics, "pointing_game", "hit")
    return [
        mean(of(photographs, "deletion", "area")),
        mean(of(photographs, "insertion", "area")),
        mean(value / compared for value, compared in zip(wrong, empty, strict=True)),
        mean(of(photographs, "max_sensitivity", "value")),
        mean(correlation[0] for correlation in correlations),
        mean(correlation[-1] for correlation in correlations),
        mean(of(mosaics, "localization", "value")),
        f"{sum(hits)} of {len(hits)}" if hits else "–",
    ]


def examine(network: Network, names: Sequence[str], fewer: Mapping[str, int], *, dear: bool) -> list[Examined]:
    """Every method of the catalogue, examined.

    names  of the photographs
    fewer  the parameters that are not their defaults, of each method that has them
    dear   whether the figures that make maps of their own are asked for, of the first photograph
    """
    engine = Engine([network])
    grid, boxes = mosaic([photograph(name) for name in MOSAIC], network.card.input_shape[1])
    found = []
    for operation in (OPERATIONS["saliency"], OPERATIONS["occlusion"]):
        for method in operation.methods:
            lean = {name: number for name, number in fewer.items() if name in operation.fields(method)}
            cheap = [figure for figure in CHEAP if figure != "infidelity" or method.signed]
            photographs, mosaics = [], []
            for name in names:
                figures = [*cheap, *(DEAR if dear and name == names[0] else ())]
                asked = {"target": PHOTOGRAPHS[name], "evaluate": figures, **lean}
                photographs.append(submit(engine, operation, method, photograph(name), asked))
            for name in dict.fromkeys(MOSAIC):
                own = [box for thing, box in zip(MOSAIC, boxes, strict=True) if thing == name]
                asked = {"target": PHOTOGRAPHS[name], "evaluate": sorted(BOXED), "boxes": own, **lean}
                mosaics.append(submit(engine, operation, method, grid, asked))
            found.append(Examined(method, photographs, mosaics))
    runs = [run for examined in found for run in (*examined.photographs, *examined.mosaics)]
    over = 0
    while over < len(runs):
        engine.step()
        if (now := sum(run.over for run in runs)) > over:
            over = now
            _say(f"  {over} of {len(runs)}")
    return found


def submit(
    engine: Engine, operation: Operation, method: Method[Any], pixels: Pixels, parameters: Mapping[str, Any]
) -> Run[dict[str, Any]]:
    """The run of `method` on one image, under way."""
    (model,) = engine.networks
    question = Question(operation.name, model, pixels, method.name, parameters, seconds=math.inf)
    return engine.submit(question.begin(engine.networks))


def blindly(network: Network, pixels: Pixels) -> dict[str, Any]:
    """The curves of a map that knows nothing: what the others are to be better than."""
    subject = Subject.of(network.card, pixels)
    x = subject.seen
    c = int(network.forward.forward(x[None]).logits.argmax())
    nothing = Map(Noise(0).uniform(x[0], 0, 1))

    def explain(_x: Tensor) -> Algorithm[Map]:
        yield from ()
        return nothing

    return Engine([network]).drive(evaluate(Case(subject, x, c, "logit", nothing, explain), ("deletion", "insertion")))


def photograph(name: str) -> Pixels:
    """uint8 [H, W, 3]."""
    return np.ascontiguousarray(getattr(skimage.data, name)())


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
