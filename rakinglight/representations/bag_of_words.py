"""A bag of visual words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from rakinglight.errors import BadParameter
from rakinglight.representations.assets import weights
from rakinglight.representations.dsift import DenseSift

if TYPE_CHECKING:
    from torch import Tensor

Assignment = Literal["soft", "hard"]
#: How fast a word's share falls with the squared distance to it. Descriptors have length 1.
BETA = 20.0
#: The most levels of a pyramid: the last has 8 by 8 parts.
LEVELS = 4


@dataclass(frozen=True)
class BagOfWords:
    """How often each of 256 visual words stands in the picture: where, it does not say.

    Csurka et al., "Visual Categorization with Bags of Keypoints", ECCV Workshop 2004. The words are the means that
    k-means finds of dense SIFT descriptors, each rounded to the nearest word, or shared out among the near ones
    (van Gemert et al., "Kernel Codebooks for Scene Categorization", ECCV 2008, "codeword uncertainty"), which has a
    derivative. Zero descriptors, of flat places, are like any other: one word is near them.

    assignment  hard: a descriptor is its nearest word, and there is nothing to go down along. soft: it is shared out
    levels      of the spatial pyramid: level l counts in 2^l x 2^l parts of the picture (Lazebnik et al., CVPR 2006).
                With 1, in the whole
    """

    assignment: Assignment = "soft"
    levels: int = 1

    @property
    def name(self) -> str:
        return "bag_of_words"

    def __post_init__(self) -> None:
        if not 1 <= self.levels <= LEVELS:
            raise BadParameter(f"bag_of_words with {self.levels} levels cannot be made: there are 1 to {LEVELS}.")

    def check(self, shape: tuple[int, int, int]) -> None:
        """Raise BadParameter for pictures [C, H, W] that have no descriptor for each part of the finest level."""
        DenseSift().check(shape)
        least = 16 + 4 * (2 ** (self.levels - 1) - 2)  # a descriptor every 4 pixels, and at 16 pixels two a side
        if min(shape[1:]) < least:
            raise BadParameter(
                f"Pictures of {shape[1]} by {shape[2]} pixels are too small for {self.levels} levels of bag_of_words, "
                f"which take {least} by {least}; take fewer levels, or a model that sees larger ones."
            )

    def code(self, x: Tensor) -> Tensor:
        """The shares of the words in x [C, H, W], level by level, each [words, parts down, parts across]: [D].

        In each part they add up to 1.
        """
        from torch import cat
        from torch.nn.functional import adaptive_avg_pool2d

        shares = self._shares(DenseSift().descriptors(x))
        return cat([adaptive_avg_pool2d(shares[None], 2**level).flatten() for level in range(self.levels)])

    def _shares(self, descriptors: Tensor) -> Tensor:
        """The share of each word in each descriptor [128, rows, columns]: [words, rows, columns]."""
        from torch.nn.functional import one_hot

        words = weights("words")["words"].to(descriptors)
        products = (words @ descriptors.flatten(1)).view(len(words), *descriptors.shape[1:])
        nearness = 2 * products - words.square().sum(1)[:, None, None]  # |d|^2 - |d - w|^2: |d| is the same for all
        if self.assignment == "hard":
            return one_hot(nearness.argmax(0), len(words)).permute(2, 0, 1).to(descriptors)
        return (BETA * nearness).softmax(0)
