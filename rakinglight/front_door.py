"""The front door: an attack's picture is taken for what the model says of it, alone, as of any photograph.

An attack finds an image in floats. What counts is the 8-bit picture of it, and rounding undoes much: of a change that
is as small as can be, nearly all. So the picture is looked for here, among the grey levels:

    floats ──> nearest picture ──> judged, alone ──┬── it is where the attack wants it
                                                   ├── a ball: further along the ray, then steps of whole levels
                                                   └── no ball: along the ray until it is there, then levels taken back
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from math import sqrt
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from rakinglight import eight_bit
from rakinglight.defended import together
from rakinglight.errors import BudgetSpent
from rakinglight.norms import NORMS, NormName
from rakinglight.objectives import Ahead, Goal, Objective
from rakinglight.queries import Algorithm, Compute, Gradient, Slope, Stopped
from rakinglight.subject import Subject

if TYPE_CHECKING:
    from torch import Tensor

Array = np.ndarray[Any, Any]
Distance = dict[str, float | int]
R = TypeVar("R")

#: Steps of whole levels inside a ball, before a picture is given up.
STEPS = 10
#: Places along the ray that are tried where there is no ball: 1, 1.01, 1.03, 1.07, … times as far, up to 12 times.
PLACES = 9
#: Halvings at most between the last place that did not do and the first that did, to one part in a hundred.
HALVINGS = 7
#: Times that levels are taken back.
TAKES = 8
#: Rows that `prove` spends at most, where a verdict takes one.
MOST_ROWS = 2 + max(1 + 2 * STEPS, PLACES + HALVINGS + 2 * TAKES)


@dataclass(frozen=True, eq=False)
class Verdict:
    """What the model says of an image, alone.

    logits    [K]
    reached   whether it is where the attack wants it, and in the ball where there is one
    distance  from the untouched image: {"linf", "l2", "l0"}
    rate      the share of draws in which it is there; 0 or 1 where no random defence is drawn
    """

    logits: Tensor
    reached: bool
    distance: Distance
    rate: float


@dataclass(frozen=True, eq=False)
class Picture(Verdict):
    """An 8-bit picture, and the verdict on it.

    pixels  uint8 [H, W, C]
    cut     whether more would have been tried, had time and rows not run out
    """

    pixels: Array
    cut: bool = False

    @property
    def x(self) -> Tensor:
        """[C, H, W] in [0, 1]."""
        return _floats(self.pixels)


class FrontDoor:
    """Judges what an attack on `subject` finds, as whoever it is posted to will judge it.

    goal       what the attack is after
    norm       of the ball; where there is none, the one in which a picture shall be near
    epsilon    radius of the ball in units of [0, 1]; None: no ball
    gradients  whether the model may be asked for them; not for an attack that itself asks for none
    """

    def __init__(
        self, subject: Subject, goal: Goal, norm: NormName, epsilon: float | None, *, gradients: bool = True
    ) -> None:
        self.subject, self.goal, self.norm, self.epsilon = subject, goal, norm, epsilon
        self.gradients = gradients and subject.card.differentiable
        self._base: Array = subject.x.numpy()
        self.spent = False  # whether the model's budget was, before all was tried
        self._stopped = False

    def holds(self, distance: Distance) -> bool:
        """Whether what is so far from the untouched image is in the ball, but for float32's error."""
        return self.epsilon is None or distance[self.norm] <= self.epsilon * (1 + 1e-5) + 1e-6

    def exact(self, x: Tensor) -> Algorithm[Verdict]:
        """The verdict on floats x [C, H, W] as they are. One row; a run that is told to stop asks for it again."""
        return self._verdict(x, (yield from self._surely(lambda: self.subject.answers(x))))

    def rejects(self, x: Tensor) -> Algorithm[bool]:
        """Whether the detector rejects x [C, H, W]. As `exact`."""
        shown = yield from self.subject.shown(x)
        return bool((yield from self._surely(lambda: self.subject.detected(shown)))["rejected"])

    def judged(self, pixels: Array) -> Algorithm[Picture]:
        """The verdict on a picture, uint8 [H, W, C]. As `exact`."""
        return _picture(pixels, (yield from self.exact(_floats(pixels))))

    def accept(self, x: Tensor) -> Algorithm[Picture | None]:
        """The picture nearest to x [C, H, W] if it is proven, else None. One row. For `relays.first`."""
        pixels = yield from self._rounded(x)
        picture = _floats(pixels)
        verdict = self._verdict(picture, (yield from self.subject.answers(picture)))
        return _picture(pixels, verdict) if verdict.reached else None

    def prove(self, x: Tensor, floats: Verdict | None = None, *, repair: bool = True) -> Algorithm[Picture]:
        """The picture that x [C, H, W] stands for; what rounding broke of it is repaired if it can be.

        floats  the verdict on x, where it is known
        repair  False where the run was told to stop before: then nothing is repaired
        It spends MOST_ROWS at most. Told to stop, it needs one row for the picture and one for x if that has no
        verdict, and tries no more; nor does it where the model's budget is spent.
        Returns the nearest picture that was proven; or if none was, in a ball the one of the highest loss, else the one
        nearest to x.
        """
        floats = floats or (yield from self.exact(x))
        tries = _Tries(self, (yield from self.judged((yield from self._rounded(x)))))
        if self.epsilon is None:
            search = self._nearest(x, tries)
        elif floats.reached and not tries.best.reached:
            search = self._repair(x, tries)
        else:
            return tries.best
        try:
            if self._stopped or not repair:
                raise Stopped("rows")
            yield from search
        except (Stopped, BudgetSpent) as e:
            self.spent = isinstance(e, BudgetSpent)
            return replace(tries.best, cut=True)
        return tries.best

    def presumed(self, x: Tensor, logits: Tensor) -> Algorithm[tuple[Verdict, Picture]]:
        """The verdict on floats x [C, H, W] of which the model said `logits` [K], and their picture, of which it said
        nothing: no row is asked, and nothing is proven.
        """
        pixels = yield from self._rounded(x)
        unproven = replace(self._verdict(_floats(pixels), logits[None]), reached=False, rate=0.0)
        return self._verdict(x, logits[None]), _picture(pixels, unproven)

    def _repair(self, x: Tensor, tries: _Tries) -> Algorithm[None]:
        """Move the picture of x inside the ball until it is proven: along the ray, then up the loss."""
        assert self.epsilon is not None
        base, norm, epsilon = self._base, self.norm, self.epsilon
        yield from tries((yield Compute(lambda: eight_bit.along(base, x.numpy(), norm, epsilon))))
        origin: Picture | None = None
        share, g = 1.0, base
        for _ in range(STEPS if self.gradients else 0):
            if tries.best.reached:
                return
            if origin is tries.best:
                share /= 4  # that went too far: now only the values of which the loss makes most
            else:
                origin, share = tries.best, 1.0
                g = (yield from self._slope(origin, self.goal.loss)).gradient.numpy()
            step = partial(eight_bit.stepped, base, origin.pixels, g, norm, epsilon, share)
            yield from tries((yield Compute(step)))

    def _nearest(self, x: Tensor, tries: _Tries) -> Algorithm[None]:
        """Go along the ray from the untouched image until a picture is proven, then take levels back."""
        base, r = self._base, x.numpy() - self._base
        if not r.any():
            return
        # The picture that is as far as the floats are, in the same direction, is not the one nearest to them: of a
        # change of a third of a level everywhere it has one level where most is to be gained, and none elsewhere.
        length = max(float(NORMS[self.norm].size(x.double() - self.subject.x)), 1 / 255)
        first: float = yield Compute(lambda: eight_bit.reach(base, r, self.norm, length))

        def at(far: float) -> Algorithm[bool]:
            picture = yield from tries((yield Compute(lambda: eight_bit.from_float(base + np.float32(far) * r))))
            return bool(picture.reached)

        low, high = 0.0, 0.0
        for k in range(PLACES):
            far = first * 1.01 ** (2**k - 1)
            if (yield from at(far)):
                high = far
                break
            low = far
        for _ in range(HALVINGS):
            if not low or high <= low * 1.01:
                break
            middle = sqrt(low * high)
            low, high = (low, middle) if (yield from at(middle)) else (middle, high)
        if tries.best.reached:
            yield from self._take_back(r, tries)

    def _take_back(self, r: Array, tries: _Tries) -> Algorithm[None]:
        """Take levels of the best picture back towards the untouched image while it stays proven: those first that
        bring it nearer for the least.

        r  [C, H, W], what the attack added: by its size a level is worth something, where there are no gradients
        """
        origin: Picture | None = None
        share, ahead, worth = 1.0, 0.0, r
        for _ in range(TAKES):
            if origin is tries.best:
                share /= 4
            else:
                origin, share = tries.best, 1.0
                levels = eight_bit.levels(self._base, origin.pixels)
                if self.gradients:
                    slope = yield from self._slope(origin, self._lead(origin))
                    # Per level: by how much the class is ahead, and what of that one level of each value makes.
                    ahead, worth = float(slope.objective) * 255, slope.gradient.numpy() * np.sign(levels)
                else:
                    worth = np.abs(r)
                    ahead = float(worth[np.abs(levels) > 0.5].sum()) / 8
            back = partial(eight_bit.taken_back, self._base, origin.pixels, worth, ahead * share, share)
            pixels: Array = yield Compute(back)
            if np.array_equal(pixels, origin.pixels):
                return
            yield from tries(pixels)

    def _lead(self, picture: Picture) -> Objective:
        """By how much the class that the picture has come to is ahead of the one that must not win."""
        first, second = picture.logits.argsort(descending=True, stable=True)[:2].tolist()
        return Ahead(first, self.goal.label if self.goal.target is None else second)

    def _surely(self, ask: Callable[[], Algorithm[R]]) -> Algorithm[R]:
        while True:
            try:
                return (yield from ask())
            except Stopped:
                self._stopped = True  # the operation's reserve is for this, and for nothing that can be left out

    def _slope(self, picture: Picture, objective: Objective) -> Algorithm[Slope]:
        return self.subject.through(_asked(Gradient(picture.x, objective)))

    def _rounded(self, x: Tensor) -> Algorithm[Array]:
        """The picture [H, W, C] nearest to x [C, H, W], of those in the ball."""
        epsilon = self.epsilon
        if epsilon is None:
            return eight_bit.from_float(x.numpy())
        rounded: Array = yield Compute(lambda: eight_bit.inside_ball(self._base, x.numpy(), self.norm, epsilon))
        return rounded

    def _verdict(self, x: Tensor, answers: Tensor) -> Verdict:
        """The verdict on x, given the logits of each draw, [n, K]."""
        far = distance(self.subject.x, x)
        inside = self.holds(far)
        logits, there = together(answers), self.goal.reached(answers)
        return Verdict(logits, inside and bool(self.goal.reached(logits)), far, inside * float(there.double().mean()))


class _Tries:
    """The pictures that were judged on the way to a better one, of which the best is kept."""

    def __init__(self, door: FrontDoor, first: Picture) -> None:
        self.door, self.best = door, first

    def __call__(self, pixels: Array) -> Algorithm[Picture]:
        """The verdict on `pixels`. One row; a run that is told to stop tries no more."""
        x = _floats(pixels)
        picture = _picture(pixels, self.door._verdict(x, (yield from self.door.subject.answers(x))))
        if self._goodness(picture) > self._goodness(self.best):
            self.best = picture
        return picture

    def _goodness(self, picture: Picture) -> tuple[float, ...]:
        if picture.reached or self.door.epsilon is None:
            return picture.reached, -picture.distance[self.door.norm], -picture.distance["l2"]
        return False, float(self.door.goal.loss(picture.logits[None])[0])


def distance(x: Tensor, picture: Tensor) -> Distance:
    """How far `picture` is from `x`: linf and l2 in units of [0, 1] over all values, l0 in pixels that changed.

    Counted in grey levels: what is within float32's error of a whole number of them is that number, so that a picture
    made of levels is as far as its levels say and not a rounding further.
    """
    levels = (picture.double() - x.double()) * 255
    whole = levels.round()
    delta = whole.where((levels - whole).abs() < 1e-4, levels) / 255
    return {
        "linf": float(NORMS["linf"].size(delta)),
        "l2": float(NORMS["l2"].size(delta)),
        "l0": int((delta != 0).any(0).sum()),
    }


def _picture(pixels: Array, verdict: Verdict) -> Picture:
    return Picture(verdict.logits, verdict.reached, verdict.distance, verdict.rate, pixels)


def _asked(query: Gradient) -> Algorithm[Slope]:
    slope: Slope = yield query
    return slope


def _floats(pixels: Array) -> Tensor:
    import torch

    return torch.from_numpy(eight_bit.to_float(pixels))
