"""What every test may ask for: real photographs, real networks, and small ones to do by hand."""

import contextlib
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

# Before the peers that import torchvision themselves: this one import declares what its CPU build lacks.
import rakinglight.vision  # noqa: F401
from model_store.build import ensure
from rakinglight.network import Network
from tests.live_service import live_service  # noqa: F401  one service for the whole session
from tests.networks import network_of
from tests.postgres import database_url, postgres  # noqa: F401  a server for the whole session

REPOSITORY = Path(__file__).parents[1]
HOME = REPOSITORY / ".rakinglight"

#: What scikit-image carries in its wheel, so that no test needs a network.
PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "hubble_deep_field", "retina", "rocket")


def pytest_configure() -> None:
    """Hear Ctrl-C: who is started by a script in the background ignores it, and so would all that is started here."""
    with contextlib.suppress(ValueError):  # not in the main thread: then somebody else runs the tests
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Build the archives once, before there are processes of tests that would all need them at the same moment."""
    if not hasattr(session.config, "workerinput"):
        ensure(["lenet5-digits", "efficientnet-lite0"], HOME, print)


@pytest.fixture(scope="session")
def photographs() -> dict[str, np.ndarray[Any, Any]]:
    """Name -> uint8 [H, W, 3]."""
    import skimage.data

    return {name: np.ascontiguousarray(getattr(skimage.data, name)()) for name in PHOTOGRAPHS}


@pytest.fixture(scope="session")
def archive_store() -> Path:
    """The home of this checkout, with the archives of `lenet5-digits` and `efficientnet-lite0` in it."""
    return HOME


@pytest.fixture(scope="session")
def lite0(archive_store: Path) -> Network:
    """EfficientNet-Lite0 with its ImageNet weights, 224 px."""
    return _loaded(archive_store, "efficientnet-lite0")


@pytest.fixture(scope="session")
def lenet(archive_store: Path) -> Network:
    """LeNet-5 trained on scikit-learn's digits, one channel."""
    return _loaded(archive_store, "lenet5-digits")


def _loaded(home: Path, name: str) -> Network:
    from rakinglight.archives import find_archives, load_network

    return load_network(find_archives(home)[name], home=home)


@pytest.fixture(scope="session")
def digits() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The digits kept for tests: uint8 [500, 1, 32, 32], and the labels [500]."""
    from model_store.digits import pictures

    return pictures("test")


@pytest.fixture
def linear_network() -> Network:
    """Three classes of a 2x4x5 image, logits W x + b: every gradient of a logit is a row of W."""
    return network_of("linear", nn.Sequential(nn.Flatten(), nn.Linear(40, 3)), (2, 4, 5))


@pytest.fixture
def small_convolution() -> Network:
    """Five classes of a 3x8x8 image, with a layer `0` to listen to, and a layer `3` that has no extent."""
    return network_of(
        "small",
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 6 * 6, 5)),
        (3, 8, 8),
        layers={"0": (4, 6, 6), "3": (5,)},
    )
