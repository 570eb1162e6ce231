"""What is differentiated: one scalar per row, made of that row's logits alone.

Every objective takes logits [n, K] and gives [n]. An algorithm climbs it: more of a score is more of the class, more
of the cross-entropy is further from it. `-J` descends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from torch import Tensor

Score = Literal["logit", "probability", "log_probability"]


class Objective(Protocol):
    """A scalar of each row: [n, K] -> [n], differentiable, no row touching another."""

    def __call__(self, logits: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Logit:
    """Z_c, the score of class `c` before the softmax."""

    c: int

    def __call__(self, logits: Tensor) -> Tensor:
        return logits[:, self.c]


@dataclass(frozen=True)
class Probability:
    """softmax(Z)_c."""

    c: int

    def __call__(self, logits: Tensor) -> Tensor:
        return logits.softmax(1)[:, self.c]


@dataclass(frozen=True)
class LogProbability:
    """log softmax(Z)_c."""

    c: int

    def __call__(self, logits: Tensor) -> Tensor:
        return logits.log_softmax(1)[:, self.c]


@dataclass(frozen=True)
class CrossEntropy:
    """-log softmax(Z)_y: the training loss under label `y`."""

    y: int

    def __call__(self, logits: Tensor) -> Tensor:
        return -logits.log_softmax(1)[:, self.y]

    def __neg__(self) -> LogProbability:
        return LogProbability(self.y)


@dataclass(frozen=True)
class Goal:
    """What an attack is after: away from `label`, or, where there is a `target`, to it."""

    label: int
    target: int | None = None

    @property
    def loss(self) -> Objective:
        """J, which the attack climbs (Madry et al. 2018, eq. 2.1; Kurakin et al. 2017, section 2.3 where targeted)."""
        return CrossEntropy(self.label) if self.target is None else -CrossEntropy(self.target)


SCORES: dict[Score, type[Logit] | type[Probability] | type[LogProbability]] = {
    "logit": Logit,
    "probability": Probability,
    "log_probability": LogProbability,
}
