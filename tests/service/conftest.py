"""A whole gateway over a real engine in a thread and a real store: everything but the engine's host."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from fastapi import FastAPI

from rakinglight.network import Network
from service.core import Core
from service.decode import DecodePool
from service.jobs.runner import Runner
from service.keys import Keyring
from service.rest import application
from service.settings import Settings
from service.storage import Storage
from tests.service.in_process import InProcessEngine, doing_jobs, storage_in


@dataclass
class House:
    """The gateway's parts, and a client of its REST door.

    home  where its database and its artifacts lie
    """

    engine: InProcessEngine
    core: Core
    app: FastAPI
    client: httpx2.AsyncClient
    home: Path

    @property
    def storage(self) -> Storage:
        return self.core.storage

    async def do(self, job: str) -> None:
        """Do `job`, which was submitted, here and now."""
        await Runner(self.core, self.storage, worker="in-process").run(job)


@pytest.fixture
async def doing(house: House) -> AsyncIterator[None]:
    """Jobs of `house` are done as they are submitted."""
    async with doing_jobs(house.core):
        yield


@pytest.fixture(scope="session")
def decoder() -> Iterator[DecodePool]:
    pool = DecodePool.of(Settings(decoders=1, image_pixels=100_000))
    pool.start()
    yield pool
    pool.close()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Small limits, so that a test can pass them with little."""
    return Settings(
        home=tmp_path,
        images=3,
        image_pixels=100_000,
        attack_pixels=10_000,
        body_bytes=2_000_000,
        reply_bytes=400_000,
        heartbeat_s=0.05,
    )


@pytest.fixture
def networks(small_convolution: Network) -> list[Network]:
    """Those that the engine of `house` has."""
    return [small_convolution]


@pytest.fixture
async def house(
    networks: list[Network],
    decoder: DecodePool,
    settings: Settings,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> AsyncIterator[House]:
    """A gateway of `networks`, with no key, or with those of `@pytest.mark.parametrize("house", [keys])`."""
    engine = InProcessEngine(networks)
    storage = storage_in(tmp_path, settings, decoder)
    core = Core(engine, settings, decoder, storage)
    app = application(core, Keyring(getattr(request, "param", None)))
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield House(engine, core, app, client, tmp_path)
    await engine.stop()
    storage.close()
