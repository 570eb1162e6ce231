"""What every defence is: something done to the image as the model sees it, before the network does."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from torch import Tensor

Array = np.ndarray[Any, Any]
#: Where a random defence has its random numbers from.
RandomNumbers = np.random.Generator


class Defense(BaseModel):
    """A defence and its parameters, which are its fields.

    Called with an image [C, H, W], pixels in [0, 1], it gives one of the same shape and range. What autograd finds on
    the way is the derivative that an adaptive attack gets: the true one, or where there is none that says anything,
    the identity's (`straight_through`).
    """

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra={"required": ["name"]})
    name: str

    @property
    def random(self) -> bool:
        """Whether two calls may give two images."""
        return False

    @property
    def copies(self) -> int:
        """How many calls the prediction is the mean of."""
        return 1

    def __call__(self, x: Tensor, draw: RandomNumbers) -> Tensor:
        """The image as it comes out of the defence. `draw` is for what is random."""
        raise NotImplementedError


def straight_through(x: Tensor, change: Callable[[Array], Array]) -> Tensor:
    """`change` of x, with the derivative of the identity.

    Athalye, Carlini & Wagner, "Obfuscated Gradients Give a False Sense of Security", ICML 2018, section 4.1: backward
    pass differentiable approximation, by g(x) = x, which holds wherever a defence gives back about what it was given.

    change  float32 [C, H, W] in [0, 1] -> the same
    """
    import torch

    y = torch.from_numpy(change(x.detach().cpu().float().numpy())).to(x)
    return y + (x - x.detach())  # which adds nothing, to the bit, but its derivative
