"""Campaigns: what takes too long for a test. Each measures, prints a table, and leaves it in `docs/evidence/`."""

from __future__ import annotations

import asyncio
import os
import platform
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from scripts.docs import table

ROOT = Path(__file__).parent.parent
EVIDENCE = ROOT / "docs" / "evidence"


def retraining(seeds: int = 5) -> str:
    """LeNet-5 on the digits, trained anew: does the recipe reach what it states, whatever the seed?"""
    from model_store.recipes import lenet5_digits

    rows = []
    for seed in range(seeds):
        begun = time.perf_counter()
        _, accuracy = lenet5_digits.train(seed=seed)
        seconds = time.perf_counter() - begun
        reached = "yes" if accuracy >= lenet5_digits.ACCURACY else "no"
        rows.append([str(seed), f"{accuracy:.1%}", reached, f"{seconds:.1f}"])
    stated = f"Stated: {lenet5_digits.ACCURACY:.1%} of the 500 test digits."
    return f"{stated}\n\n{table(['seed', 'accuracy', 'reached', 'seconds'], rows)}"


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


def _said(module: str) -> str:
    """What `python -m module` prints."""
    said = subprocess.run([sys.executable, "-m", module], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return said.stdout


CAMPAIGNS: dict[str, Callable[[], str]] = {
    campaign.__name__: campaign for campaign in (retraining, kills, jobs, bench, explanations)
}


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
    """Run the campaigns named, or all. Returns the exit code."""
    if unknown := set(names) - set(CAMPAIGNS):
        print(f"There is no campaign {', '.join(unknown)}; there is {', '.join(CAMPAIGNS)}.")
        return 2
    EVIDENCE.mkdir(parents=True, exist_ok=True)
    for name in names or CAMPAIGNS:
        question = (CAMPAIGNS[name].__doc__ or "").strip()
        print(f"{name}: {question}", flush=True)
        found = f"# {name.capitalize()}\n\n{question}\n\n{CAMPAIGNS[name]()}\n\n{provenance()}\n"
        (EVIDENCE / f"{name}.md").write_text(found, encoding="utf-8")
        print(found, flush=True)
    (EVIDENCE / "README.md").write_text(index(), encoding="utf-8")
    return 0


def index() -> str:
    """The page that names the tables that there are."""
    there = {name: campaign for name, campaign in CAMPAIGNS.items() if (EVIDENCE / f"{name}.md").exists()}
    lines = [
        f"- [{name.capitalize()}]({name}.md): {(campaign.__doc__ or '').strip()}" for name, campaign in there.items()
    ]
    words = (
        "What takes too long for a test is run by `make evidence`, which writes these pages with the commit and the "
        "machine.\nThey are made anew when a figure may have changed."
    )
    return "\n".join(["# Evidence", "", words, "", *lines, ""])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
