"""Engines that run for a whole session: the real TorchServe, and the local one, with the same networks."""

import asyncio
import json
import shutil
import textwrap
from collections.abc import AsyncIterator
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import psutil
import pytest
import pytest_asyncio

from rakinglight.card import Card
from rakinglight.question import Question
from service.engines import Engine
from service.engines.boarding import Limits
from service.engines.local import LocalEngine
from service.engines.torchserve import TorchServeEngine

#: A network that does a deed, such as ending its process, when a gradient is asked at an image whose first pixel is
#: white and second black.
POISONOUS = """
    import os
    import time
    import torch
    from torch import nn
    from rakinglight.recipe import Recipe

    class Poisonous(nn.Module):
        def __init__(self):
            super().__init__()
            self.classes = nn.Linear(3 * 8 * 8, 4)

        def forward(self, x):
            if x.requires_grad and bool(((x[:, 0, 0, 0] == 1) & (x[:, 0, 0, 1] == 0)).any()):
                DEED
            return self.classes(x.flatten(1))

    recipes = [Recipe("poisonous", Poisonous, "", (3, 8, 8), (0.0,) * 3, (1.0,) * 3, tuple("abcd"), "A test.")]
"""


def poisonous_archive(path: Path, deed: str = "os._exit(1)") -> Path:
    from safetensors.torch import save

    from rakinglight.archives import find_recipe, run_recipes

    code = textwrap.dedent(POISONOUS).replace("DEED", deed).encode()
    weights = save(find_recipe(run_recipes(code, "poisonous"), "poisonous").network().state_dict())
    zeros, ones = (0.0,) * 3, (1.0,) * 3
    digest = sha256(weights).hexdigest()
    card = Card("poisonous", "1.0", (3, 8, 8), zeros, ones, tuple("abcd"), digest, "Made by a test.")
    with ZipFile(path, "w") as archive:
        archive.writestr("card.json", json.dumps(asdict(card)))
        archive.writestr("network.py", code)
        archive.writestr("network.safetensors", weights)
    return path


POISON = np.zeros((8, 8, 3), np.uint8)
POISON[0, 0] = 255


@pytest.fixture(scope="session")
def home(archive_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home of its own; what was measured is taken along."""
    home = tmp_path_factory.mktemp("home")
    if (measured := archive_store / "probes.json").exists():
        shutil.copy(measured, home)
    return home


@pytest.fixture(scope="session")
def archives(archive_store: Path, home: Path) -> list[Path]:
    """LeNet-5 on digits, EfficientNet-Lite0, and one that kills."""
    stored = [archive_store / "archives" / f"{name}.mar" for name in ("lenet5-digits", "efficientnet-lite0")]
    return [*stored, poisonous_archive(home / "poisonous.mar")]


KINDS = {"torchserve": TorchServeEngine, "local": LocalEngine}


@pytest_asyncio.fixture(scope="session", loop_scope="session", params=KINDS)
async def engine(
    request: pytest.FixtureRequest, archives: list[Path], home: Path
) -> AsyncIterator[TorchServeEngine | LocalEngine]:
    """One engine of each kind, for as many tests as want it. Small limits: ten times that is soon reached."""
    engine = KINDS[request.param](archives, home=home, limits=Limits(aboard=40, waiting=20))
    await engine.start()
    await ready(engine)
    yield engine
    assert engine.pid is not None
    root = psutil.Process(engine.pid)
    started = [root, *root.children(recursive=True)]
    await engine.stop()
    _, alive = await asyncio.to_thread(psutil.wait_procs, started, timeout=10)
    assert not alive


async def ready(engine: Engine, seconds: float = 60.0) -> None:
    async with asyncio.timeout(seconds):
        while not engine.state.ready:
            await asyncio.sleep(0.05)


async def answer(engine: Engine, question: Question) -> dict[str, Any]:
    """The result, without its progress."""
    frames = [frame async for frame in engine.ask(question, request_id="test")]
    result: dict[str, Any] = frames[-1].body
    return result


def same(a: Any, b: Any) -> bool:
    """Whether two results are the same to the last bit."""
    match a:
        case dict():
            return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
        case list():
            return len(a) == len(b) and all(map(same, a, b))
        case np.ndarray():
            return bool(a.dtype == b.dtype and np.array_equal(a, b))
        case _:
            return bool(a == b)
