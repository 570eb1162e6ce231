"""What an explanation is: a number for each pixel of the image as the model saw it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Map:
    """An explanation, raw and not scaled.

    map     [H, W]
    signed  [C, H, W]: a number with a sign for each value of the image, where the method has them: a slope, in score
            per full range of a pixel; or what the value adds to the score; or, of a window that covers one channel at a
            time, what the score loses, of which `Method.signed` tells
    moved   [C, H, W], where `signed` is what each value adds: how far each was moved from the baseline for that
    facts   what else the method found, by the name that it has in a reply: plain values and tensors
    """

    map: Tensor
    signed: Tensor | None = None
    moved: Tensor | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    @staticmethod
    def of_slope(g: Tensor, **facts: Any) -> Map:
        """Of a slope g [C, H, W], a pixel's number is the largest over its channels, without the sign.

        Simonyan et al., "Deep Inside Convolutional Networks", ICLR 2014 workshop, section 3.1.
        """
        return Map(g.abs().amax(-3), signed=g, facts=facts)

    @staticmethod
    def of_shares(shares: Tensor, moved: Tensor, **facts: Any) -> Map:
        """Of what each value adds to the score [C, H, W], a pixel's number is the sum over its channels."""
        return Map(shares.sum(-3), signed=shares, moved=moved, facts=facts)
