"""What a method of `inversion` returns: pictures, as far as it got. Needs no torch to be imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from rakinglight.codes import Original


@dataclass(frozen=True, eq=False)
class Inverted:
    """Pictures that were made, and what was found out on the way.

    images  [n, C, H, W] in [0, 1], from n starts; H and W are those that the model sees, but for `deep_dream`
    trace   the energy of each, step by step: [steps][n], lower is better
    said    plain values and arrays by the names that they have in a reply
    original  the picture whose code was to be found again, where there is one: errors are measured against it
    """

    images: Tensor
    trace: Sequence[Sequence[float]] = ()
    said: Mapping[str, Any] = field(default_factory=dict)
    original: Original | None = None

    @property
    def image(self) -> Tensor:
        """The first picture, [C, H, W]."""
        return self.images[0]

    def ordered(self) -> Inverted:
        """The same, the lowest energy first."""
        if not self.trace or len(self.images) == 1:
            return self
        order = sorted(range(len(self.images)), key=lambda i: self.trace[-1][i])
        return replace(self, images=self.images[order], trace=[[one[i] for i in order] for one in self.trace])

    def saying(self, **said: Any) -> Inverted:
        """The same, with more to say."""
        return replace(self, said={**self.said, **said})
