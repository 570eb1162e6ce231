"""PRADA: do the distances between a client's queries look normal? As published, for comparison with ours.

Juuti, Szyller, Marchal & Asokan, "PRADA: Protecting against DNN Model Stealing Attacks", IEEE EuroS&P 2019, algorithm
3, at the settings of the authors' program. Two things are as published that a service cannot have: the memory grows
with every client, and the verdict of one test is taken back by the next.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rakinglight.noticing.notice import Notice

Array = np.ndarray[Any, Any]

#: Below this W the client is an attacker.
DELTA = 0.9
#: Queries from one test to the next, distances that a test needs more of, and those of a class that may take part.
EVERY, NEEDED, OF_A_CLASS = 10, 100, 10
#: Distances further from their mean than so many standard deviations are left out.
OUTLIERS = 3.0


@dataclass
class Class:
    """What is known of the queries that had one label.

    G      the growing set, vectors [D]
    D_G    the distance that each of them had when it came
    T      a query further from the set than this joins it
    D      the distance of every query but the first to the set
    """

    G: list[Array] = field(default_factory=list)
    D_G: list[float] = field(default_factory=list)
    T: float = 0.0
    D: list[float] = field(default_factory=list)


class Prada:
    """Watches one client. `W` is the last test's, None before there was one."""

    def __init__(self, delta: float = DELTA) -> None:
        self.delta, self.W = delta, None
        self._classes: dict[int, Class] = {}
        self._queries = 0

    W: float | None

    def see(self, x: Array, label: int) -> Notice:
        """Take note of a query, float [C, H, W], and of its label. The score is (1 - W) / (1 - delta)."""
        self._queries += 1
        c = self._classes.setdefault(label, Class())
        x = np.asarray(x, np.float32).reshape(-1)
        if not c.G:
            c.G.append(x)
            c.D_G.append(0.0)
        else:
            d = float(np.sqrt(min(float(np.square(y - x).sum(dtype=np.float64)) for y in c.G)))
            c.D.append(d)
            if d > c.T:
                c.G.append(x)
                c.D_G.append(d)
                c.T = max(c.T, float(np.mean(c.D_G) - np.std(c.D_G)))
        if self._queries % EVERY == 1:  # the 1st, 11th, 21st, as the authors' program, which counts from 0
            self._test()
        W = 1.0 if self.W is None else self.W
        return Notice((1 - W) / (1 - self.delta), self.delta > W, self._queries)

    def _test(self) -> None:
        D = np.array([d for c in self._classes.values() if len(c.D) >= OF_A_CLASS for d in c.D])
        if len(D) > NEEDED and len(D := D[np.abs(D - D.mean()) < OUTLIERS * D.std()]) > NEEDED:
            self.W = shapiro_wilk(D)


def shapiro_wilk(z: Array) -> float:
    """W of Shapiro and Wilk 1965 for z [n], as scipy has it: near 1 for a normal sample."""
    from scipy.stats import shapiro

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # beyond 5,000 values p is doubtful, W is not
        return float(shapiro(z).statistic)
