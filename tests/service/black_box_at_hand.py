"""A gateway whose keys are those of its database, one of them a black box's, and what a stranger tries on it."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from rakinglight.network import Network
from service.core import Core
from service.decode import DecodePool
from service.keys import Keyring
from service.rest import application
from service.settings import Settings
from tests.service.in_process import InProcessEngine, storage_in
from tests.service.pictures_at_hand import noise, png

#: All scopes, in the key file.
OPERATOR = "an-operator-s-key-0123456789"
PICTURE, OTHER = png(noise(8, 8)), png(noise(20, 31, seed=1))
#: What no word of an answer to a stranger may hold: other models, digests, versions, logits, costs.
HIDDEN = ("neighbour", "sha256", "0" * 64, "version", "1.0", "logit", "cost", "elapsed", "rows", "torch", "provenance")


@dataclass
class Stranger:
    """A black box's caller.

    client  shows the key
    """

    core: Core
    keyring: Keyring
    client: httpx2.AsyncClient
    admin: httpx2.AsyncClient
    secret: str
    key: Mapping[str, Any]

    def spent(self) -> int:
        """Images that were charged to the key."""
        return int(self.core.black_box.keys.get(str(self.key["id"]))["spent"])


@asynccontextmanager
async def stranger_in(
    home: Path, networks: list[Network], decoder: DecodePool, *, own: Mapping[str, Any] | None = None, **settings: Any
) -> AsyncIterator[Stranger]:
    """A gateway of `networks`, and a stranger at its doors.

    own  what the stranger's key has of its own
    """
    small: dict[str, Any] = {"images": 3, "image_pixels": 100_000, "body_bytes": 2_000_000}
    made = Settings(home=home, grpc_port=0, key=OPERATOR, **small, **settings)
    engine = InProcessEngine(networks)
    storage = storage_in(home, made, decoder)
    core = Core(engine, made, decoder, storage)
    keyring = Keyring.of(made, core.black_box.find)
    key, secret = storage.keys.make("stranger", **{"budget": 100, **(own or {})})
    transport = httpx2.ASGITransport(application(core, keyring))

    def client(secret: str) -> httpx2.AsyncClient:
        headers = {"Authorization": f"Bearer {secret}"}
        return httpx2.AsyncClient(transport=transport, base_url="http://localhost", headers=headers)

    async with client(secret) as theirs, client(OPERATOR) as admin:
        yield Stranger(core, keyring, theirs, admin, secret, key)
    await engine.stop()
    storage.close()
