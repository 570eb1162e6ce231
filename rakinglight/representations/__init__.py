"""What stands in for a network where a picture is told in another way: as gradients' histograms, or as visual words.

A representation is asked in the same words as a network (`Forward`, `Gradient`), takes rows of any size, and its code
stands where a network's logits do. Importing this needs no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from rakinglight.errors import BadParameter
from rakinglight.representations.bag_of_words import BagOfWords
from rakinglight.representations.dsift import DenseSift
from rakinglight.representations.hog import Hog

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


#: What there is, by name. Parameters have defaults.
REPRESENTATIONS: Mapping[str, Callable[..., Representation]] = {
    "hog": Hog,
    "dsift": DenseSift,
    "bag_of_words": BagOfWords,
}


def representation_called(name: str, **parameters: Any) -> Representation:
    """The representation of this name, with its defaults where nothing else is said. Raises BadParameter."""
    if name not in REPRESENTATIONS:
        raise BadParameter(f"There is no representation {name!r}; there are {', '.join(REPRESENTATIONS)}.")
    return REPRESENTATIONS[name](**parameters)
