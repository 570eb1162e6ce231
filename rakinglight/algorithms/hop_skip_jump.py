"""HopSkipJump: along the boundary by labels alone."""

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rakinglight.decisions import Decisions, Spent, halvings
from rakinglight.example import Example
from rakinglight.noise import Noise
from rakinglight.norms import NORMS, NormName, unit
from rakinglight.objectives import Goal
from rakinglight.parameters import Gamma, InitialRows, NormChoice, Queries, Start
from rakinglight.queries import Algorithm, Progress, State, wave

if TYPE_CHECKING:
    from torch import Tensor

#: Rows of an estimate at most, as the authors' program has it.
MOST_ROWS = 10_000
#: The size of the first probes, as the authors' program has it: where it begins, the boundary may be anything.
FIRST_PROBE = 0.1
#: Halvings of a step at most, before it is left out.
STEP_HALVINGS = 20


@dataclass(eq=False)
class Estimate:
    """Sums over the probes u_b of an estimate, which may be taken wave by wave.

    b      probes so far
    yes    those that reached the goal
    u      [C, H, W], the sum of u_b
    phi_u  [C, H, W], the sum of phi(u_b) u_b, where phi is 1 beyond the boundary and -1 before it
    """

    b: int
    yes: int
    u: "Tensor"
    phi_u: "Tensor"

    def add(self, u: "Tensor", reached: "Tensor") -> None:
        """Count probes [n, C, H, W] and what became of each, bool [n]."""
        phi = reached.to(u) * 2 - 1
        self.b, self.yes = self.b + len(u), self.yes + int(reached.sum())
        self.u = self.u + u.sum(0)
        self.phi_u = self.phi_u + (phi[:, None, None, None] * u).sum(0)

    @property
    def direction(self) -> "Tensor":
        """Equation 16: with the mean of phi as a baseline, which has less variance. Size 1 in l2."""
        mean = 2 * self.yes / self.b - 1
        v = self.phi_u if abs(mean) == 1 else self.phi_u - mean * self.u
        return unit(NORMS["l2"], v)


def hop_skip_jump(
    x: "Tensor",
    goal: Goal,
    noise: Noise,
    logits: "Tensor",
    state: State | None = None,
    *,
    norm: NormChoice = "l2",
    queries: Queries = 5000,
    initial_rows: InitialRows = 100,
    gamma: Gamma = 1.0,
    start: Start = None,
) -> "Algorithm[Tensor | Example]":
    """From a point beyond the boundary along it towards the image, by labels alone: the nearest that is found.

    Chen, Jordan and Wainwright, "HopSkipJumpAttack: A Query-Efficient Decision-Based Attack", IEEE S&P 2020, algorithm
    2: the direction across the boundary is estimated from the labels of random probes around a point of it, a step goes
    there, and a binary search leads back to the boundary. The sizes of the first probes and of the estimates are those
    of the authors' program. It is told nothing but which class is first.

    x       [C, H, W], pixels in [0, 1]
    goal    the label to leave, or the target to reach
    noise   the run's own random numbers
    logits  [K], of x; of these, too, only which is the largest
    state   from which to go on, as its Progress had it
    Returns an image of x's shape, pixels in [0, 1], the nearest of all that were asked about and reach the goal; x
    where it is reached already, or where no point was found to begin at, and then a `note`.
    """
    if goal.reached(logits):
        return x
    ask = Decisions(x, goal, norm, queries)
    with suppress(Spent):
        yield from _searched(ask, noise, state, initial_rows, gamma, start)
    return ask.best if ask.nearest is not None else Example(x, {"note": ask.nowhere()})


def _searched(
    ask: Decisions, noise: Noise, state: State | None, B_0: int, gamma: float, start: str | Mapping[str, Any] | None
) -> "Algorithm[None]":
    """Search until the queries are spent, when Spent is raised, or too few are left for an estimate and the way back.

    Returns, too, where there is nowhere to begin.
    """
    x, norm = ask.x, ask.norm
    d = x.numel()
    theta = min(gamma * d ** (-1.5 if norm == "l2" else -2.0), 0.1)
    way_back = halvings(theta)
    if state:
        ask.spent, ask.nearest = state["step"], state["best"]
        t, x_t, far, v = state["t"], state["x_t"], state["far"], Estimate(*(state[name] for name in _SUMS))
        noise.go_on(state["noise"])
    else:
        yield Progress(0, ask.queries, best=x)
        x_tilde = yield from ask.begun(noise, start)
        if x_tilde is None:
            return
        yield Progress(ask.spent, ask.queries, ask.far(ask.best), best=ask.best)
        t, far, v = 1, ask.far(x_tilde), Estimate(0, 0, x * 0, x * 0)
        x_t = yield from ask.to_boundary(x_tilde, theta)
    while True:
        # What is left is for a step and the way back to the boundary, too: an estimate alone brings nothing nearer.
        B_t = min(int(B_0 * math.sqrt(t)), MOST_ROWS, v.b + ask.left - way_back - 2)
        delta = FIRST_PROBE if t == 1 else theta * far * (math.sqrt(d) if norm == "l2" else d)
        while v.b < B_t:
            u = probes(x, min(wave(x), B_t - v.b), norm, noise)
            rows = (x_t + delta * u).clamp(0, 1)
            v.add((rows - x_t) / delta, (yield from ask.of(rows)))
            sums = {name: getattr(v, name) for name in _SUMS}
            kept = {"t": t, "x_t": x_t, "far": far, "noise": noise.state, **sums}
            yield Progress(ask.spent, ask.queries, ask.far(ask.best), best=ask.best, state=kept)
        if not v.b:
            return
        x_tilde = yield from stepped(ask, x_t, v.direction, t)
        far, v, t = ask.far(x_tilde), Estimate(0, 0, x * 0, x * 0), t + 1
        x_t = yield from ask.to_boundary(x_tilde, theta)


_SUMS = ("b", "yes", "u", "phi_u")


def probes(x: "Tensor", n: int, norm: NormName, noise: Noise) -> "Tensor":
    """Random directions u_b [n, C, H, W] of size 1 in l2: normal ones, and for linf uniform ones."""
    like = x.expand(n, *x.shape)
    return unit(NORMS["l2"], noise.normal(like) if norm == "l2" else noise.uniform(like, -1, 1))


def stepped(ask: Decisions, x_t: "Tensor", v: "Tensor", t: int) -> "Algorithm[Tensor]":
    """Equation 17 and section IV.C: a step along v, or its signs, halved until it ends beyond the boundary."""
    direction, xi = NORMS[ask.norm].direction(v), ask.far(x_t) / math.sqrt(t)
    for _ in range(STEP_HALVINGS):
        x_tilde = (x_t + xi * direction).clamp(0, 1)
        if (yield from ask.at(x_tilde)):
            return x_tilde
        xi /= 2
    return x_t
