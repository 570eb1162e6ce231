"""PRADA is what was published."""

from typing import Any

import numpy as np
import pytest
from scipy.stats import shapiro

from rakinglight.noticing.prada import DELTA, Prada, shapiro_wilk

Array = np.ndarray[Any, Any]


def at(*places: float) -> list[Array]:
    """Images whose distances are those of points on a line."""
    return [np.array([[[place]]], np.float32) for place in places]


def test_W_is_scipys() -> None:
    z = np.random.default_rng(0).gamma(2.0, size=300)
    assert shapiro_wilk(z) == shapiro(z).statistic


def test_the_growing_set_by_hand() -> None:
    prada = Prada()
    for x in at(0.0, 1.0, 1.1, 3.0):
        prada.see(x, 0)
    c = prada._classes[0]
    # T becomes mean - std of {0, 1}, which is 0, and stays there: 1.1 joins at 0.1, 3.0 at 1.9.
    np.testing.assert_allclose(c.D, [1.0, 0.1, 1.9], rtol=1e-6)
    np.testing.assert_allclose(c.D_G, [0.0, 1.0, 0.1, 1.9], rtol=1e-6)
    assert pytest.approx(max(0.0, np.mean(c.D_G) - np.std(c.D_G))) == c.T
    prada.see(np.array([[[3.0]]], np.float32), 0)
    assert len(c.G) == 4 and c.D[-1] == 0  # nothing new
    prada.see(np.array([[[3.0]]], np.float32), 1)
    assert prada._classes[1].D == []  # distances are within a class


def test_the_threshold_never_falls() -> None:
    prada, rng, T = Prada(), np.random.default_rng(0), 0.0
    for _ in range(200):
        prada.see(rng.random((1, 4, 4), np.float32), 0)
        assert prada._classes[0].T >= T
        T = prada._classes[0].T
    assert T > 0


def test_it_tests_every_ten_queries_once_there_are_more_than_a_hundred_distances() -> None:
    prada, rng = Prada(), np.random.default_rng(0)
    changed, before = [], None
    for n in range(1, 151):
        prada.see(rng.random((1, 8, 8), np.float32), 0)
        if before != prada.W:
            changed.append(n)
        before = prada.W
    assert changed == [111, 121, 131, 141]


def test_a_class_with_few_distances_takes_no_part() -> None:
    rng = np.random.default_rng(0)
    with_them, without = Prada(), Prada()
    for n in range(151):
        x = rng.random((1, 8, 8), np.float32)
        without.see(x, 0)
        with_them.see(x * 100 if n % 20 == 5 else x, 1 if n % 20 == 5 else 0)
    assert with_them.W is not None and with_them.W > DELTA


def test_normal_distances_raise_no_alarm_and_a_second_kind_of_distance_does() -> None:
    rng = np.random.default_rng(0)
    natural = list(rng.random((200, 1, 16, 16), np.float32))
    prada = Prada()
    assert not any(prada.see(x, 0).alarm for x in natural)
    children = [x + np.float32(0.1) * rng.choice(np.array([-1, 1], np.float32), x.shape) for x in natural]
    assert any(prada.see(x, 0).alarm for x in children)


def test_its_verdict_is_taken_back_by_a_later_test() -> None:
    rng, prada = np.random.default_rng(0), Prada()
    for x in rng.random((200, 1, 16, 16), np.float32):
        prada.see(x, 0)
    repeated = np.full((1, 16, 16), 0.5, np.float32)
    alarms = [prada.see(repeated, 0).alarm for _ in range(40)]
    alarms += [prada.see(x, 0).alarm for x in rng.random((600, 1, 16, 16), np.float32)]
    assert any(alarms) and not alarms[-1]
