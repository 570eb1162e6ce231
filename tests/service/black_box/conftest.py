"""A database of each kind, made once; each test has keys of its own there."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from service.artifacts import Artifacts
from service.black_box.budget import Budget
from service.black_box.keys import Keys
from service.black_box.ledger import Ledger
from service.database import Database
from service.keys import KeptKey
from service.settings import Settings


@dataclass
class Clock:
    """Seconds since 1970, as a test says."""

    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Process:
    """One of those that share a database."""

    database: Database
    keys: Keys
    ledger: Ledger
    budget: Budget
    artifacts: Artifacts
    clock: Clock

    @staticmethod
    def at(url: str, folder: Path, clock: Any = None, **settings: Any) -> "Process":
        clock, database = clock or Clock(), Database(url)
        artifacts = Artifacts(database, str(folder / "artifacts"))
        ledger = Ledger(database, artifacts, Settings(**settings), names=["alice"], clock=clock)
        keys = Keys(database, taken=["alice"], clock=clock)
        return Process(database, keys, ledger, Budget(database, ledger, clock=clock), artifacts, clock)

    def key(self, **said: Any) -> KeptKey:
        """A new key."""
        _, secret = self.keys.make(f"key-{next(NUMBERS)}", **said)
        return self.known(secret)

    def known(self, secret: str) -> KeptKey:
        from hashlib import sha256

        found = self.keys.find(sha256(secret.encode()).hexdigest())
        assert found is not None
        return found


NUMBERS = count()


@pytest.fixture(scope="package", params=["sqlite", "postgresql"])
def shared_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if request.param == "sqlite":
        url, drop = f"sqlite:///{tmp_path_factory.mktemp('shared')}/rakinglight.db", lambda _: None
    else:
        postgres = request.getfixturevalue("postgres")
        url, drop = postgres.database(), postgres.drop
    with closing(Database(url)) as database:
        database.migrate()
    yield url
    drop(url)


@pytest.fixture
def process(shared_url: str, tmp_path: Path) -> Iterator[Process]:
    one = Process.at(shared_url, tmp_path)
    yield one
    one.database.close()
