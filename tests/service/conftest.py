"""A whole gateway over a real engine in a thread: everything but the engine's host."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import httpx2
import pytest
from fastapi import FastAPI

from rakinglight.network import Network
from service.core import Core
from service.decode import DecodePool
from service.keys import Keyring
from service.rest import application
from service.settings import Settings
from tests.service.in_process import InProcessEngine


@dataclass
class House:
    """The gateway's parts, and a client of its REST door."""

    engine: InProcessEngine
    core: Core
    app: FastAPI
    client: httpx2.AsyncClient


@pytest.fixture(scope="session")
def decoder() -> Iterator[DecodePool]:
    pool = DecodePool.of(Settings(decoders=1, image_pixels=100_000))
    pool.start()
    yield pool
    pool.close()


@pytest.fixture
def settings(tmp_path: object) -> Settings:
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
async def house(
    small_convolution: Network, decoder: DecodePool, settings: Settings, request: pytest.FixtureRequest
) -> AsyncIterator[House]:
    """A gateway of one small model, with no key, or with that of `@pytest.mark.parametrize("house", [key])`."""
    engine = InProcessEngine([small_convolution])
    core = Core(engine, settings, decoder)
    app = application(core, Keyring(getattr(request, "param", None)))
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield House(engine, core, app, client)
    await engine.stop()
