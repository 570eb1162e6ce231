"""What stands in for a network where a picture is told in another way: as gradients' histograms, or as visual words.

A representation is asked in the same words as a network (`Forward`, `Gradient`), takes rows of any size, and its code
stands where a network's logits do. Importing this needs no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor


@runtime_checkable
class Representation(Protocol):
    """A picture's code. Hashable, and equal to another with the same parameters: both are asked in one pass.

    name  what a reply calls it
    """

    @property
    def name(self) -> str: ...

    def __hash__(self) -> int: ...

    def check(self, shape: tuple[int, int, int]) -> None:
        """Raise BadParameter for pictures [C, H, W] that it has no code for, such as ones below a cell's size."""
        ...

    def code(self, x: Tensor) -> Tensor:
        """The code [D] of one picture x [C, H, W] in [0, 1], differentiable by x wherever it can be."""
        ...
