"""What is differentiated: one scalar per row, made of that row's logits alone, or of what its layers put out.

Every objective here takes logits [n, K] and gives [n]. An algorithm climbs it: more of a score is more of the class,
more of the cross-entropy is further from it. `-J` descends.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from torch import Tensor

Score = Literal["logit", "probability", "log_probability"]
#: What an attack climbs: the cross-entropy, or the difference-of-logits ratio.
AttackLoss = Literal["cross_entropy", "dlr"]


class Objective(Protocol):
    """A scalar of each row: [n, K] -> [n], differentiable, no row touching another."""

    def __call__(self, logits: Tensor, /) -> Tensor: ...


class LayerObjective(Protocol):
    """A scalar of each row, made of what layers put out: {layer: [n, ...]} -> [n]."""

    def __call__(self, outputs: Mapping[str, Tensor], /) -> Tensor: ...


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
class Ahead:
    """f_k - f_c: by how much class `k` is ahead of class `c`."""

    k: int
    c: int

    def __call__(self, logits: Tensor) -> Tensor:
        return logits[:, self.k] - logits[:, self.c]


@dataclass(frozen=True)
class Margin:
    """max over i other than y of Z_i, minus Z_y: above zero where another class comes before `y`."""

    y: int

    def __call__(self, logits: Tensor) -> Tensor:
        from torch import tensor

        others = logits.index_fill(1, tensor(self.y, device=logits.device), -math.inf)
        return others.max(1).values - logits[:, self.y]


@dataclass(frozen=True)
class DifferenceOfLogitsRatio:
    """The margin in units of the spread of the best logits: what a confident network is asked instead of a loss that
    its softmax has flattened (Croce and Hein 2020, equation 6; with a target `t`, equation 7).

    With Z_1 >= Z_2 >= ... in order, (Z_i - Z_y) / (Z_1 - Z_3), where i is the best class other than y; with a target,
    (Z_t - Z_y) / (Z_1 - (Z_3 + Z_4) / 2). Three classes have no Z_4, and Z_3 stands for both; two have no spread, and
    it is the margin itself.
    """

    y: int
    t: int | None = None

    def __call__(self, logits: Tensor) -> Tensor:
        margin = Margin(self.y)(logits) if self.t is None else logits[:, self.t] - logits[:, self.y]
        ordered = logits.topk(min(4, logits.shape[1]), 1).values
        lower = ordered[:, 2:3] if self.t is None else ordered[:, 2:]
        if not lower.shape[1]:
            return margin
        return margin / (ordered[:, 0] - lower.mean(1) + 1e-12)  # 0 where all are equal, as the authors' program has it


@dataclass(frozen=True)
class Goal:
    """What an attack is after: away from `label`, or, where there is a `target`, to it."""

    label: int
    target: int | None = None

    def reached(self, logits: Tensor) -> Tensor:
        """Whether rows with logits [n, K] are where the attack wants them: bool [n]; of one row [K], a bool []."""
        first = logits.argmax(-1)
        return first != self.label if self.target is None else first == self.target

    def margin(self, logits: Tensor) -> Tensor:
        """By how much rows with logits [n, K] are there, in units of the logits, below zero where they are not: [n]."""
        return Margin(self.label)(logits) if self.target is None else -Margin(self.target)(logits)

    @property
    def loss(self) -> Objective:
        """J, which the attack climbs.

        Madry et al. 2018, equation 2.1; where there is a target, as in Kurakin et al., "Adversarial Examples in the
        Physical World", 2017.
        """
        return CrossEntropy(self.label) if self.target is None else -CrossEntropy(self.target)


SCORES: dict[Score, type[Logit] | type[Probability] | type[LogProbability]] = {
    "logit": Logit,
    "probability": Probability,
    "log_probability": LogProbability,
}
