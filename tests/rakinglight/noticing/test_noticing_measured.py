"""A little of what `benchmarks/noticing.py` measures: the published loop, and clients who steal nothing."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from benchmarks import noticing
from model_store.digits import pixels

Array = np.ndarray[Any, Any]


@pytest.fixture(autouse=True)
def _nearest_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    """A victim that needs no archive: the class whose mean is nearest."""
    x, y = pixels("train")
    means = np.stack([x[y == c].mean(0).reshape(-1) for c in range(10)])

    def label(images: Array) -> Array:
        flat = np.asarray(images).reshape(len(images), 1, -1)
        found: Array = ((flat - means) ** 2).sum(2).argmin(1)
        return found

    monkeypatch.setattr(noticing, "victim", lambda name: label)


def test_the_published_loop_is_noticed_before_half_of_its_queries() -> None:
    stolen = noticing.theft(0, queries=200)
    assert len(stolen) == 200
    alarm = noticing.watched(stolen, both=False).ours
    assert alarm is not None and alarm < 800


@pytest.mark.parametrize("client", [client for _, client in noticing.CLIENTS])
def test_clients_who_steal_nothing_raise_no_alarm(client: Callable[..., noticing.Stream]) -> None:
    held_out = noticing.told(pixels("held-out")[0], noticing.VICTIM)
    for seed in range(4):
        found = noticing.watched(client(held_out, np.random.default_rng([77, seed])), both=False)
        assert found.ours is None and found.score < 0.5


def test_the_split_of_the_clients_is_what_it_says() -> None:
    of, rng = noticing.told(pixels("held-out")[0], noticing.VICTIM), np.random.default_rng(0)
    shuffled = noticing.random_order(of, rng)
    assert len(shuffled) == len(of) and not np.array_equal(shuffled.y, of.y)
    assert len(set(noticing.one_class(of, rng).y)) == 1
    assert np.count_nonzero(np.diff(noticing.class_after_class(of, rng).y)) == len(set(of.y)) - 1
    assert len(np.unique(noticing.repeats(of, rng).x, axis=0)) < len(of)
