"""What pictures made on a substitute do to the network that it stands in for, and what is made on that one itself.

Pictures have eight bits, and are judged as such: what is sent is what was made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import floor
from typing import TYPE_CHECKING, Any

from rakinglight.audit.statistics import share
from rakinglight.objectives import CrossEntropy
from rakinglight.queries import Algorithm, Compute, Forward, Gradient, Progress, Scores, Slope, wave
from rakinglight.substitutes.album import moved
from rakinglight.substitutes.student import Student

if TYPE_CHECKING:
    from torch import Tensor

#: Steps of PGD (Madry et al. 2018), each of 2.5 times the ball's radius over their number.
STEPS = 10
ATTACKS = ("fgsm", "pgd")


def asked(levels: Tensor, count: Callable[[int], None] = lambda n: None) -> Algorithm[Tensor]:
    """What the oracle says of pictures uint8 [n, C, H, W]: logits [n, K].

    count  is told of those that were answered, though a later one should not be
    """
    from torch import cat

    size, found = wave(levels[0]), []
    for first in range(0, len(levels), size):
        scores: Scores = yield Forward(levels[first : first + size].float() / 255, seen=True)
        found.append(scores.logits)
        count(len(scores.logits))
    return cat(found)


@dataclass(frozen=True, eq=False)
class Bench:
    """Held-out pictures, and what is made of them.

    levels    uint8 [n, C, H, W]
    classes   int64 [n], what the oracle says of them
    targets   int64 [n], for each another class
    epsilons  radii of the l-infinity ball, in units of [0, 1]; of each, the whole grey levels count
    targeted  whether to aim at the targets, too
    """

    levels: Tensor
    classes: Tensor
    targets: Tensor
    epsilons: Sequence[float]
    targeted: bool

    @property
    def rounds(self) -> list[tuple[float, str, bool]]:
        """Everything that is made: epsilon, by what, and whether it is aimed."""
        aims = (False, True) if self.targeted else (False,)
        return [(epsilon, attack, aimed) for epsilon in self.epsilons for attack in ATTACKS for aimed in aims]

    def transferred(
        self, student: Student, entries: list[dict[str, Any]], count: Callable[[int], None]
    ) -> Algorithm[None]:
        """Make pictures on `student`, ask the oracle about them, and add to `entries` what came of it.

        What is there already is not asked again. After each entry there is a Progress.

        count  is told of the images that were answered
        """
        for epsilon, attack, aimed in self.rounds[len(entries) :]:
            made = yield from self.made_on(student, epsilon, attack, aimed)
            after = (yield from asked(made, count)).argmax(1)
            entries.append(self._entry(epsilon, attack, aimed, after))
            yield Progress(0, 0)

    def made_on(self, student: Student, epsilon: float, attack: str, aimed: bool) -> Algorithm[Tensor]:
        """The adversarial pictures that `attack` makes on `student`, uint8 [n, C, H, W]."""
        from torch import cat

        found, size, radius = [], wave(self.levels[0]), floor(epsilon * 255 + 1e-4)
        wanted, way = (self.targets, -1) if aimed else (self.classes, 1)
        for first in range(0, len(self.levels), size):
            x, k = self.levels[first : first + size], wanted[first : first + size]
            x_t = x
            for step in _steps(attack, radius):

                def climbed(x: Tensor = x, x_t: Tensor = x_t, k: Tensor = k, step: int = step) -> Tensor:
                    signs = student.loss_signs(student.small(x_t), k)
                    return _inside(moved(x_t, signs, way * step, student.cell), x, radius)

                x_t = yield Compute(climbed, stoppable=True)
            found.append(x_t)
        return cat(found)

    def white_box(self) -> Algorithm[list[dict[str, Any]]]:
        """The same made on the oracle itself, which answers gradients: what a thief can reach at most.

        It asks for gradients alone, so that what is counted as `Forward` is what a black box would have been asked.
        """
        entries = []
        for epsilon, attack, aimed in self.rounds:
            entries.append((yield from self._white(epsilon, attack, aimed)))
        return entries

    def _white(self, epsilon: float, attack: str, aimed: bool) -> Algorithm[dict[str, Any]]:
        from torch import cat, int8

        after, size, radius = [], wave(self.levels[0]), floor(epsilon * 255 + 1e-4)
        wanted, way = (self.targets, -1) if aimed else (self.classes, 1)
        for first in range(0, len(self.levels), size):
            x = x_t = self.levels[first : first + size]
            J = [CrossEntropy(c) for c in wanted[first : first + size].tolist()]
            for step in _steps(attack, radius):
                slope: Slope = yield Gradient(x_t.float() / 255, J, seen=True)
                x_t = _inside(moved(x_t, slope.gradient.sign().to(int8), way * step, 1), x, radius)
            slope = yield Gradient(x_t.float() / 255, J, seen=True)
            after.append(slope.logits.argmax(1))
        return self._entry(epsilon, attack, aimed, cat(after))

    def _entry(self, epsilon: float, attack: str, aimed: bool, after: Tensor) -> dict[str, Any]:
        fooled = after == self.targets if aimed else after != self.classes
        return {"epsilon": epsilon, "attack": attack, "targeted": aimed, "fooled": share(fooled.tolist())}


def _steps(attack: str, radius: int) -> list[int]:
    """The lengths of an attack's steps, in grey levels."""
    return [radius] if attack == "fgsm" else [max(1, round(2.5 * radius / STEPS))] * STEPS


def _inside(x_t: Tensor, x: Tensor, radius: int) -> Tensor:
    """x_t, no more than `radius` grey levels from x anywhere; both uint8."""
    from torch import int16, maximum, minimum, uint8

    near = x.to(int16)
    return minimum(maximum(x_t.to(int16), near - radius), near + radius).to(uint8)
