"""Measure, and print a table. All contenders take turns, so that a busy moment of the machine meets them all."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
import torch
from torch import nn

from benchmarks import attackers, contenders, inversions, service, ways
from benchmarks.contenders import Contender, Job, Pixels, Spent
from benchmarks.explainers import POINTS, Sizes, explainers
from model_store.build import ensure
from rakinglight import eight_bit
from rakinglight.archives import find_archives, load_network, opened
from rakinglight.card import Card
from rakinglight.network import Network
from rakinglight.subject import Subject

HOME = Path(__file__).parents[1] / ".rakinglight"
MODEL = "efficientnet-lite0"
MANY = 16
PACKAGES = (
    "rakinglight",
    "torch",
    "onnxruntime",
    "captum",
    "torchattacks",
    "foolbox",
    "adversarial-robustness-toolbox",
)
#: Columns of the table that hold words; the rest hold numbers.
WORDS = 3


@dataclass(frozen=True)
class Row:
    """A contender's figures, a median over the repetitions.

    ms        milliseconds an image
    ratio     the reference's ms over this one's: how many times as quick
    passes    through the network, an image
    rows      that the network was asked about, an image
    back      rows that also went back, an image, as often as they did
    """

    model: str
    job: Job
    contender: str
    ms: float
    ratio: float
    passes: float
    rows: float
    back: float


def main() -> None:
    options = _options()
    sizes = Sizes(masks=100) if options.quick else Sizes()
    repetitions = 1 if options.quick else options.repetitions
    ensure([MODEL, ways.SMALL], HOME, print)
    rows: list[Row] = []
    if options.inversions:
        print(f"\n{machine(sizes)}\n\n{table(inverted(repetitions))}")
        return
    with ExitStack() as stack:
        server = None
        if options.engine != "none":
            print(f"Starting the service on {options.engine} ...", flush=True)
            server = stack.enter_context(service.running(options.engine, MODEL, HOME))
        network, module = loaded()
        pictures = photographs(network.card)
        if not options.attacks:
            entrants = enter(network, module, server, sizes)
            print(f"{len(entrants)} contenders, {repetitions} times each ...", flush=True)
            rows += compare(measure(entrants, pictures, repetitions))
        if options.attacks or not options.quick:
            pictures = pictures[: 1 if options.quick else MANY]  # the same for all: what DeepFool takes is each one's
            entrants = attackers.attackers(network, module, server, len(pictures))
            print(f"{len(entrants)} who attack at length, once each ...", flush=True)
            rows += compare(measure(entrants, pictures, 1))
    if not options.attacks:
        rows += inverted(repetitions)
        rows += compare(measure(*ways.small(HOME), repetitions))
        if not options.quick:
            rows += compare(measure(*ways.large(), repetitions))
    print(f"\n{machine(sizes)}\n\n{table(rows)}")
    if options.json:
        options.json.write_text(json.dumps({"machine": facts(), "rows": [asdict(row) for row in rows]}, indent=1))


def inverted(repetitions: int) -> list[Row]:
    """Sixteen inversions at once beside one alone, of the small network and of the large one."""
    small, large = (load_network(find_archives(HOME)[name], home=HOME) for name in (ways.SMALL, MODEL))
    rows: list[Row] = []
    for network, asked, pictures in (
        (small, inversions.SMALL, inversions.of_digits(MANY)),
        (large, inversions.LARGE, photographs(large.card)),
    ):
        rows += compare(measure(inversions.inversions(network, asked, MANY), pictures, repetitions))
    return rows


def loaded() -> tuple[Network, nn.Module]:
    """The one trained network of the field's size, as we run it and as the peers do."""
    archive = find_archives(HOME)[MODEL]
    network = load_network(archive, home=HOME)
    with opened(archive) as contents:
        return network, contents.module(network.card, contents.weights(network.card))


def enter(network: Network, module: nn.Module, server: service.Service | None, sizes: Sizes) -> list[Contender]:
    """Everyone who takes part, but for those who attack at length."""
    found: list[Contender] = []
    for job, asked in contenders.ASKED.items():
        for images in (1, MANY):
            found.append(contenders.in_process(network, job, asked, images))
            if server:
                found.append(contenders.through_service(server, MODEL, job, asked, images))
            found += contenders.peers(network.card, module, job, images)
    return found + explainers(network, module, sizes, photographs(network.card)[0])


def photographs(card: Card) -> list[Pixels]:
    """Sixteen pictures of the model's own size, so that all work on the same pixels: four photographs, turned."""
    found = []
    for name in ("astronaut", "chelsea", "coffee", "rocket"):
        seen = eight_bit.from_float(Subject.of(card, getattr(skimage.data, name)()).seen.numpy())
        found += [np.ascontiguousarray(turned) for turned in (seen, seen[:, ::-1], seen[::-1], seen[::-1, ::-1])]
    return found


def measure(
    entrants: Sequence[Contender], pictures: Sequence[Pixels], repetitions: int
) -> dict[Contender, tuple[list[float], Spent]]:
    """Seconds an image in each turn, and what all turns spent. Before the first, everyone warms up on an image."""
    times: dict[Contender, list[float]] = {entrant: [] for entrant in entrants}
    for entrant in entrants:
        entrant.work(pictures[:1])
    spent = dict.fromkeys(entrants, Spent(0, 0, 0))
    for repetition in range(repetitions):
        images = islice(cycle(pictures), repetition, None)
        for entrant in entrants:
            for _ in range(entrant.turns):
                batch, before = list(islice(images, entrant.images)), entrant.spent()
                begun = time.perf_counter()
                entrant.work(batch)
                times[entrant].append((time.perf_counter() - begun) / entrant.images)
                spent[entrant] += entrant.spent() - before
        print(f"  {repetition + 1} of {repetitions}", flush=True)
    return {entrant: (times[entrant], spent[entrant]) for entrant in entrants}


def compare(measured: dict[Contender, tuple[list[float], Spent]]) -> list[Row]:
    """The figures, and each job's ratios to its reference."""
    reference = {entrant.job: statistics.median(times) for entrant, (times, _) in measured.items() if entrant.reference}
    rows = []
    for who, (times, spent) in measured.items():
        seconds, images = statistics.median(times), len(times) * who.images
        ratio = reference[who.job] / seconds
        counts = (count / images for count in (spent.passes, spent.rows, spent.back))
        rows.append(Row(who.model, who.job, who.name, 1000 * seconds, ratio, *counts))
    return sorted(rows, key=lambda row: (row.job, row.ms))


def table(rows: Sequence[Row]) -> str:
    """Markdown that reads as a table in a terminal too."""
    numbers = ["images a second", "times as quick", "passes an image", "rows an image", "rows back an image"]
    heads = ["model", "job", "who", "ms an image", *numbers]
    cells = [
        [row.model, row.job, row.contender, f"{row.ms:.1f}", f"{1000 / row.ms:.2f}"]
        + [f"{number:.2f}" for number in (row.ratio, row.passes, row.rows, row.back)]
        for row in rows
    ]
    widths = [max(len(line[i]) for line in [heads, *cells]) for i in range(len(heads))]

    def lines() -> Iterator[str]:
        yield "| " + " | ".join(head.ljust(width) for head, width in zip(heads, widths, strict=True)) + " |"
        yield "| " + " | ".join("-" * (w - 1) + (":" if i >= WORDS else "-") for i, w in enumerate(widths)) + " |"
        for line in cells:
            left = [cell.ljust(width) for cell, width in zip(line[:WORDS], widths[:WORDS], strict=True)]
            right = [cell.rjust(width) for cell, width in zip(line[WORDS:], widths[WORDS:], strict=True)]
            yield "| " + " | ".join([*left, *right]) + " |"

    return "\n".join(lines())


def facts() -> dict[str, Any]:
    """What a reader must know to compare."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{package: version(package) for package in PACKAGES},
    }


def machine(sizes: Sizes) -> str:
    """The same in a sentence, and what each job is."""
    f = facts()
    packages = ", ".join(f"{package} {f[package]}" for package in PACKAGES)
    return (
        f"On {f['processor']}, {f['cores']} cores, {f['threads']} torch threads, load {f['load']}, "
        f"{f['system']}; Python {f['python']}, {packages}.\n"
        f"PGD takes {contenders.STEPS} steps, and `pgd_40` {attackers.STEPS}; `rise` takes {sizes.masks:,} masks, "
        f"`integrated_gradients` {POINTS} points. `sliding` covers {MODEL} and {ways.LARGE} with a window of "
        f"{sizes.window} at a stride of {sizes.stride}, and {ways.SMALL}, whose input has 32 pixels a side, with one "
        "of 8 at 4. Captum has no RISE.\n"
        "`deepfool` looks among ten candidates in at most fifty steps. Ours then searches for the nearest picture that "
        "is proven, which no peer does; `floats alone` is without. torchattacks' takes the gradients of all classes; "
        "here it has a network of the ten likeliest. Not all find the same: ART's is sooner done where it goes further "
        "and torchattacks' may stay before the boundary until its steps are spent.\n"
        f"`invert` takes {inversions.SMALL['steps']} steps at {inversions.SMALL['layer']} of {ways.SMALL}, and "
        f"{inversions.LARGE['steps']} at {inversions.LARGE['layer']} of {MODEL}; each run has a caller, an image and "
        "noise of its own.\n"
        "A model call is a row: rows went forward, and rows back are gradients taken of them.\n"
        "Who is 1.00 times as quick is who the others are compared with. All maps of one formula were found to be the "
        "same before anybody's time was taken."
    )


def _processor() -> str:
    with open("/proc/cpuinfo", encoding="utf-8") as lines:  # noqa: PTH123
        for line in lines:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--engine", choices=("torchserve", "local", "none"), default="torchserve", help="the service's")
    parser.add_argument("--repetitions", type=int, default=3, help="times that everyone's turn comes")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a look: one turn each, 100 masks, no vgg16; of the long attacks one image, and only by --attacks",
    )
    parser.add_argument("--attacks", action="store_true", help="the long attacks alone")
    parser.add_argument("--inversions", action="store_true", help="the inversions alone, with no service")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    return parser.parse_args()


if __name__ == "__main__":
    main()
