"""A theft with a query key: what everybody has counted, and what comes of it when the key is spent."""

import asyncio
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from typer.testing import CliRunner

from model_store import digits
from rakinglight import cli
from rakinglight.backends.remote import AT_ONCE
from service.artifacts import Artifacts
from service.black_box.keys import Keys
from service.black_box.ledger import Ledger
from service.database import Database
from service.settings import Settings
from tests.end_to_end.test_black_box_budget import Serving, black_box, metrics, ready
from tests.service.test_metrics import of

IMAGES, SEEDS = 70, 40
#: What the whole loop asks with them: all images, two rounds, FGSM and PGD after each of three, and all of it again
#: for the control.
WHOLE = IMAGES + 2 * (120 + 3 * 2 * (IMAGES - SEEDS))
QUICK = ("--seeds", SEEDS, "--rounds", 2, "--epochs", 2, "--epsilons", 0.1, "--no-targeted")
#: As if nobody had looked at the budget beforehand, which `steal` does by itself.
BLIND = ("--max-queries", 100_000)


@dataclass
class Served:
    """A black box in a process of its own, and its database."""

    service: Serving
    database: Database
    keys: Keys
    scraping: str
    folder: Path

    def answered(self) -> float:
        """Images, by the service's metric."""

        async def asked() -> dict[Any, float]:
            async with httpx2.AsyncClient(timeout=60) as http:
                return await metrics(self.service, self.scraping, http)

        return of(asyncio.run(asked()), "black_box_images_total", outcome="answered") or 0.0

    def ledger(self, key: str) -> list[dict[str, Any]]:
        artifacts = Artifacts(self.database, str(self.folder / "artifacts"))
        return list(Ledger(self.database, artifacts, Settings()).export(key=key))


@contextmanager
def serving(folder: Path, archive_store: Path) -> Iterator[Served]:
    url = f"sqlite:///{folder}/rakinglight.db"
    with closing(Database(url)) as database:
        database.migrate()
        keys = Keys(database)
        _, scraping = keys.make("prometheus", scopes=["metrics"])
        with black_box("a", url, folder / "a", archive_store) as service:

            async def wait() -> None:
                async with httpx2.AsyncClient(timeout=60) as http:
                    await ready(service, http)

            asyncio.run(wait())
            yield Served(service, database, keys, scraping, folder)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, archive_store: Path) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("served"), archive_store) as served:
        yield served


@dataclass
class Theft:
    """What came of a theft: by the attack, by its client's journal, by the key, by the ledger, and by the metric."""

    reply: dict[str, Any]
    counts: dict[str, int]
    key: dict[str, Any]
    entries: list[dict[str, Any]]
    answered: float
    said: str


@pytest.fixture
def stolen(served: Served, request: pytest.FixtureRequest, tmp_path: Path) -> Theft:
    """The theft with a key of the budget that the test says."""
    images, labels = digits.pictures("test")
    np.savez(tmp_path / "digits.npz", images=images[:IMAGES].transpose(0, 2, 3, 1), labels=labels[:IMAGES])
    key, secret = served.keys.make(f"thief-{request.param}", view="label", budget=request.param)
    (tmp_path / "key").write_text(secret)
    (tmp_path / "key").chmod(0o600)
    before, journal = served.answered(), tmp_path / "journal"
    where = ("--black-box", served.service.url, "--key-file", tmp_path / "key", "--i-am-authorised")
    kept = ("--journal", journal, "--json")
    arguments = ("steal", "lenet5-digits", tmp_path / "digits.npz", *where, *kept, *QUICK, *BLIND)
    shown = CliRunner().invoke(cli.app, list(map(str, arguments)))
    assert shown.exit_code == 0, shown.output
    with closing(sqlite3.connect(journal)) as connection:
        ((counts,),) = connection.execute("SELECT counts FROM about").fetchall()
    entries = served.ledger(key["id"])
    answered = served.answered() - before
    spent = served.keys.get(key["id"])
    return Theft(json.loads(shown.stdout), json.loads(counts), spent, entries, answered, shown.stderr)


def assert_all_have_counted_the_same(theft: Theft) -> None:
    counts = theft.counts
    sent = counts["asked"] + counts["canaries"] - counts["lost"]
    assert theft.key["spent"] == sent == len(theft.entries) == theft.answered
    assert all(entry["charged"] for entry in theft.entries)
    # An image is in the ledger once, but for those that were asked again on purpose.
    assert len({entry["sha256"] for entry in theft.entries}) == counts["asked"]


@pytest.mark.parametrize("stolen", [900], indirect=True)
def test_ledger_key_client_and_metric_agree_to_the_image(stolen: Theft) -> None:
    summary = stolen.reply["summary"]
    assert summary["stopped_by"] == "rounds"
    assert sum(summary["queries"].values()) == stolen.reply["cost"]["forward_rows"] == WHOLE
    assert_all_have_counted_the_same(stolen)
    assert stolen.counts["lost"] == 0
    # The grey one by which it was found out what is told; and what came up twice was asked about once: before its
    # first step the control is the loop itself.
    again = 2 * (IMAGES - SEEDS)
    assert 0.95 * (WHOLE - again) < stolen.counts["asked"] <= WHOLE - again + 1
    assert 0 < stolen.counts["canaries"] <= 0.02 * WHOLE


@pytest.mark.parametrize("stolen", [300, 83], indirect=True)
def test_a_budget_smaller_than_the_loop_ends_it_with_what_was_reached(stolen: Theft) -> None:
    summary, budget = stolen.reply["summary"], stolen.key["budget"]
    assert summary["stopped_by"] == "budget"
    assert summary["partial"] is True
    assert_all_have_counted_the_same(stolen)
    left = budget - stolen.key["spent"]
    if summary["queries"]["training"] not in (SEEDS, 2 * SEEDS, 4 * SEEDS):  # it ended while the loop asked
        assert left == 0
    else:  # pictures to be judged are asked about a pass at a time, and a request that is too large is refused whole
        assert left < AT_ONCE
        assert not left or f"{left} images of its budget are left" in stolen.said
