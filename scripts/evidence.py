"""Campaigns: what takes too long for a test. Each measures, prints a table, and leaves it in `docs/evidence/`.

    python -m scripts.evidence              all: some hours
    python -m scripts.evidence kills jobs   only these
    python -m scripts.evidence attacks      those of ATTACKS

A campaign that gives its page anew with every row leaves what it has when it is cut off.
"""

from __future__ import annotations

import asyncio
import os
import platform
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from scripts.docs import table

ROOT = Path(__file__).parent.parent
EVIDENCE = ROOT / "docs" / "evidence"

#: A whole page, or the page so far, again and again.
Campaign = Callable[[], str | Iterator[str]]


def retraining(seeds: int = 5) -> str:
    """Every network that is trained here, trained anew: does it reach what its recipe states, whatever the seed?"""
    from model_store.from_recipe import house

    rows = []
    trained = {recipe.weights: recipe for _, recipe in reversed(house().values()) if recipe.train}  # a file once
    for recipe in reversed(trained.values()):
        assert recipe.train is not None
        for seed in range(seeds):
            begun = time.perf_counter()
            network, figures = recipe.train(seed=seed)
            seconds = time.perf_counter() - begun
            reached = all(figures[name] >= least for name, least in recipe.reaches.items())
            rows.append([recipe.name, str(seed), _shares(figures), "yes" if reached else "no", f"{seconds:.1f}"])
            if recipe.train_detector:
                begun = time.perf_counter()
                _, figures = recipe.train_detector(network)
                seconds = time.perf_counter() - begun
                rows.append([f"the detector of {recipe.name}", str(seed), _shares(figures), "", f"{seconds:.1f}"])
    stated = "\n".join(f"- {recipe.name}: {_shares(recipe.reaches)}" for recipe in reversed(trained.values()))
    return (
        f"Stated, of the 500 test digits:\n\n{stated}\n\n"
        f"{table(['network', 'seed', 'figures', 'reached', 'seconds'], rows)}"
    )


def _shares(figures: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {figure:.1%}" for name, figure in figures.items())


def kills(rounds: int = 20, callers: int = 20) -> str:
    """A worker killed with SIGKILL in the middle of many attacks, again and again: what does it cost the callers?"""
    return asyncio.run(_kills(rounds, callers))


async def _kills(rounds: int, callers: int) -> str:
    import psutil

    import rakinglight
    from tests.live_service import serving

    dice = random.Random(0)
    photograph = ROOT / "docs" / "chelsea.jpg"
    answered = lost = 0
    waits: list[float] = []
    with serving("torchserve") as service:
        async with rakinglight.connect_async(service.url) as client:
            attack = client.model("efficientnet-lite0").attack
            for _ in range(rounds):
                asked = [
                    asyncio.create_task(attack(photograph, method="pgd", steps=10, seed=seed, include=[]))
                    for seed in range(callers)
                ]
                await asyncio.sleep(dice.uniform(0.2, 2.0))
                (worker,) = (
                    child
                    for child in psutil.Process(service.pid).children(recursive=True)
                    if any("model_service_worker" in word for word in child.cmdline())
                )
                worker.send_signal(signal.SIGKILL)
                killed = time.perf_counter()
                await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
                waits.append(time.perf_counter() - killed)
                outcomes = await asyncio.gather(*asked, return_exceptions=True)
                answered += sum(not isinstance(outcome, BaseException) for outcome in outcomes)
                lost += sum(isinstance(outcome, BaseException) for outcome in outcomes)
    waits.sort()
    return table(
        ["kills", "requests aboard", "answered", "lost", "to the next answer, median", "and at worst"],
        [
            [
                str(rounds),
                str(rounds * callers),
                str(answered),
                str(lost),
                f"{waits[rounds // 2]:.1f} s",
                f"{waits[-1]:.1f} s",
            ]
        ],
    )


def jobs() -> str:
    """A job, and what works on it killed again and again: does it end with the same bits, and what is done twice?"""
    from scripts.kill_jobs import campaign

    return campaign()


def bench() -> str:
    """One image classified, explained and attacked: here, in the field's libraries, and by plain loops, in one run."""
    _, _, figures = _said("benchmarks").partition("\n\n")
    return figures.strip()


def explanations() -> str:
    """Every method that explains, over the bundled photographs, and how far its maps can be trusted."""
    return _said("benchmarks.explanations").strip()


def ensemble() -> Iterator[str]:
    """The whole of `auto` on 500 digits beside PGD-40, digit by digit, for the standard network and the robust one."""
    from benchmarks.ensemble import auto_against_pgd

    pages = []
    for network in ("lenet5-digits", "lenet5-digits-robust"):
        pages.append(auto_against_pgd(network, [0.13]))
        yield "\n\n".join(pages)


def zoo() -> Iterator[str]:
    """Every network of the digits under `auto`, against epsilon."""
    from benchmarks.zoo import report

    return report()


def memories() -> Iterator[str]:
    """Dense associative memories of four powers, attacked before their tanh and after it."""
    from benchmarks.memories import report

    return report()


def transfer() -> Iterator[str]:
    """What is made on one network of the digits and tried on another; does ensemble training help against that?"""
    from benchmarks.transfer import report

    return report()


def universal() -> Iterator[str]:
    """One perturbation for many images: the more images, the better? And what does it do to other networks?"""
    from benchmarks.universals import report

    return report()


def defenses() -> Iterator[str]:
    """Every defence, under an attack that does not know of it and under one that does."""
    from benchmarks.campaign import engine_of, growing
    from benchmarks.defenses import CHAINS, COUNT, HEAD, MODEL, rows

    words = (
        "The share of test digits, which the defended network gets right untouched, that is right after the attack, "
        "with its 95 % interval. [What the columns are](../defenses.md#what-they-are-worth)."
    )
    return growing(HEAD, rows(engine_of(MODEL), CHAINS, COUNT), words)


def detector() -> Iterator[str]:
    """What the detector finds of attacks that it did not learn from, and of one that knows of it."""
    from benchmarks.detector import report

    return report()


def maximization() -> Iterator[str]:
    """What a class answers to most: does another network see the class in it, and what do real images reach?"""
    from benchmarks.maximization import report

    return report()


def decoder() -> Iterator[str]:
    """A picture from a layer's code in one pass of a small network: how near does it come, beside the energy's?"""
    from benchmarks.decoders import report

    return report()


def inversion() -> Iterator[str]:
    """What does a layer's code leave of a picture, and what does it help to know what pictures are like?"""
    from benchmarks.depths import report

    return report()


def representations() -> Iterator[str]:
    """How much of a picture's code by HOG, dense SIFT and visual words comes back, by descent and by a dictionary?"""
    from benchmarks.representations import report

    return report()


def noticing() -> Iterator[str]:
    """When does a detector of stolen models alarm, and does it alarm at clients who steal nothing?"""
    from benchmarks.noticing import report

    return report()


def distances() -> Iterator[str]:
    """How near the minimum-norm attacks come, here and in the field's libraries."""
    from benchmarks.campaign import growing
    from benchmarks.distances import HEAD, cases, lines

    return growing(HEAD, (line for about in cases() for line in lines(about)))


def substitutes() -> Iterator[str]:
    """How many queries does it take to copy a network by its labels, and to fool it with what fools the copy?"""
    from benchmarks.substitutes import report

    return report()


def queries() -> Iterator[str]:
    """What attacks that see labels or scores alone find, against the queries they ask, here and in the libraries."""
    from benchmarks.queries import report

    return report()


def fooling() -> Iterator[str]:
    """How many questions until a network is sure of a picture in which nobody sees anything?"""
    from benchmarks.fooling import report

    return report()


def front_door() -> str:
    """Hundreds of attacks through a running service: is what they claim what `classify` says of their pictures?"""
    return _said("benchmarks.front_door", check=False).strip()  # contradictions are in the table


def _said(module: str, *, check: bool = True) -> str:
    """What `python -m module` prints. Raises CalledProcessError where it fails, unless that is part of the answer."""
    said = subprocess.run([sys.executable, "-m", module], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=check)
    return said.stdout


def _by_name(*campaigns: Campaign) -> dict[str, Campaign]:
    return {campaign.__name__.replace("_", "-"): campaign for campaign in campaigns}


ATTACKS = _by_name(
    front_door,
    distances,
    queries,
    ensemble,
    zoo,
    memories,
    transfer,
    universal,
    substitutes,
    detector,
    noticing,
    defenses,
)
CAMPAIGNS = (
    _by_name(retraining, kills, jobs, bench, explanations, inversion, maximization, decoder, fooling, representations)
    | ATTACKS
)


def provenance() -> str:
    """The commit, the machine and the day, in a line."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return (
        f"Commit {commit.stdout.strip()}, {_processor()}, Python {platform.python_version()}, "
        f"{platform.system()}, {datetime.now(UTC):%Y-%m-%d}."
    )


def _processor() -> str:
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    names = [
        line.partition(":")[2].strip()
        for line in (Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else ())
        if line.startswith("model name")
    ]
    return f"{names[0] if names else platform.processor()} with {threads} threads"


def main(names: Sequence[str]) -> int:
    """Run the campaigns named, or all; `attacks` names all of ATTACKS. Returns the exit code."""
    names = [each for name in names for each in (ATTACKS if name == "attacks" else [name])]
    if unknown := set(names) - set(CAMPAIGNS):
        print(f"There is no campaign {', '.join(unknown)}; there is {', '.join([*CAMPAIGNS, 'attacks'])}.")
        return 2
    EVIDENCE.mkdir(parents=True, exist_ok=True)
    for name in names or CAMPAIGNS:
        question = (CAMPAIGNS[name].__doc__ or "").strip()
        print(f"{name}: {question}", flush=True)
        said = CAMPAIGNS[name]()
        for body in [said] if isinstance(said, str) else said:
            command = f"`python -m scripts.evidence {name}`"
            found = f"# {_title(name)}\n\n{question}\n\n{body}\n\n{command}. {provenance()}\n"
            (EVIDENCE / f"{name}.md").write_text(found, encoding="utf-8")
        print(found, flush=True)
    (EVIDENCE / "README.md").write_text(index(), encoding="utf-8")
    return 0


def _title(name: str) -> str:
    return name.replace("-", " ").capitalize()


def index() -> str:
    """The page that names the tables that there are."""
    there = {name: campaign for name, campaign in CAMPAIGNS.items() if (EVIDENCE / f"{name}.md").exists()}
    lines = [f"- [{_title(name)}]({name}.md): {(campaign.__doc__ or '').strip()}" for name, campaign in there.items()]
    words = (
        "What takes too long for a test is run by `make evidence`, which writes these pages with the commit and the "
        "machine.\nThey are made anew when a figure may have changed: by `scripts/evidence zoo` that one, by "
        "`scripts/evidence attacks` all that are about attacks.\nA page that grows row by row has as many as there "
        "were when it was cut off."
    )
    return "\n".join(["# Evidence", "", words, "", *lines, ""])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
