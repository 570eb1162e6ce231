"""What the campaigns of `scripts/evidence.py` share: networks, many questions in one engine, pages that grow."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from model_store.build import ensure
from model_store.digits import Part, pictures
from rakinglight.archives import find_archives, load_network
from rakinglight.audit.statistics import share
from rakinglight.engine import Engine
from rakinglight.network import Network
from rakinglight.question import Question
from rakinglight.run import Run
from scripts.docs import table

HOME = Path(__file__).parents[1] / ".rakinglight"
#: Seconds between two words on how far it is.
SAY_S = 30.0
#: Runs of small images that are begun at once.
LIVE = 64

Array = np.ndarray[Any, Any]
Result = Mapping[str, Any]


def say(words: str) -> None:
    """To whoever waits, and not to the page."""
    print(words, file=sys.stderr, flush=True)


def engine_of(*names: str) -> Engine:
    """An engine with these networks, whose archives are built first where that is needed."""
    return Engine(networks(*names), live_limit=LIVE)


def networks(*names: str) -> list[Network]:
    """The networks of these names, ready to answer."""
    ensure(names, HOME, say)
    return [load_network(find_archives(HOME)[name], home=HOME) for name in names]


def digits(count: int, part: Part = "test") -> tuple[list[Array], list[int]]:
    """The first `count` digits of a part, each uint8 [H, W, 1], and their labels."""
    x, y = pictures(part)
    return list(x[:count].transpose(0, 2, 3, 1)), y[:count].tolist()


def answers(
    engine: Engine,
    model: str,
    operation: str,
    images: Sequence[Array],
    method: str | None = None,
    each: Sequence[Mapping[str, Any]] = (),
    **parameters: Any,
) -> list[Result]:
    """What is said of each image, all runs in one engine.

    images  uint8 [H, W, C]
    each    what is asked of each image beside `parameters`
    """
    runs = []
    for i, image in enumerate(images):
        asked = {**parameters, **(each[i] if each else {})}
        question = Question(operation, model, image, method, asked, seed=i, seconds=math.inf)
        runs.append(engine.submit(question.begin(engine.networks)))
    finish(engine, runs, f"{model}: {method or operation}")
    return [run.result for run in runs]


def finish(engine: Engine, runs: Sequence[Run[Any]], what: str) -> None:
    """Drive `runs` to their end, and say from time to time how many are there and how much was asked."""
    said = time.monotonic()

    def done() -> bool:
        nonlocal said
        if time.monotonic() - said > SAY_S:
            said = time.monotonic()
            rows = sum(engine.counts.rows.values())
            say(f"  {what}, {sum(run.over for run in runs)} of {len(runs)} done, {rows:,} rows")
        return all(run.over for run in runs)

    engine.run_until(done)


def fallen(result: Result) -> bool:
    """Whether the image of an attack is misclassified: after the attack, or before it."""
    return bool(result["success"] or result["already_misclassified"])


def percent(which: Iterable[bool]) -> str:
    """The share that is true, with its 95 % interval (Wilson)."""
    return told(share(which))


def told(found: Mapping[str, Any] | None) -> str:
    """A share as `audit.statistics` has it."""
    if found is None or found["value"] is None:
        return "–"
    return f"{found['value']:.1%} ({found['low']:.1%} to {found['high']:.1%})"


def growing(head: Sequence[str], rows: Iterable[Sequence[str]], before: str = "", after: str = "") -> Iterator[str]:
    """A table between words, anew with every row that is there."""
    made: list[Sequence[str]] = []
    for row in rows:
        say(" | ".join(row))
        made.append(row)
        yield "\n\n".join(part for part in (before, table(head, made), after) if part)


def one_after_another(*parts: Iterable[str]) -> Iterator[str]:
    """What has several parts, each of which grows: the whole so far."""
    done: list[str] = []
    for part in parts:
        text = ""
        for text in part:
            yield "\n\n".join([*done, text])
        done.append(text)


def show(pages: Iterable[str]) -> int:
    """Print the last page that comes; 0, as an exit code."""
    *_, page = pages
    print(page)
    return 0
