"""One image before one network: what an operation is about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rakinglight import eight_bit
from rakinglight.card import Card
from rakinglight.geometry import Geometry
from rakinglight.noise import Noise
from rakinglight.parameters import Rank
from rakinglight.view import View

if TYPE_CHECKING:
    from torch import Tensor


@dataclass
class Subject:
    """One image before one network.

    x     [C, H, W] in [0, 1], at its own size
    view  the way from there to what the model sees
    """

    card: Card
    x: Tensor
    view: View
    noise: Noise

    @staticmethod
    def of(card: Card, pixels: np.ndarray[Any, Any], seed: int = 0) -> Subject:
        """The subject of `pixels`: uint8 [H, W, C], or an exact float32 tensor [C, H, W] in [0, 1]."""
        import torch

        x = torch.from_numpy(eight_bit.to_float(pixels) if pixels.dtype == np.uint8 else np.array(pixels, np.float32))
        geometry = Geometry.of(x.shape[1], x.shape[2], card.input_shape, card.resize)
        return Subject(card, x, View(geometry, x), Noise(seed))

    @property
    def seen(self) -> Tensor:
        """[C, h, w]: the image as the model sees it."""
        return self.view(self.x)

    def class_index(self, reference: int | str | Rank, logits: Tensor) -> int:
        """The class that `reference` means for this image, whose logits are [K]."""
        if isinstance(reference, Rank):
            place = reference.rank - 1 if reference.rank > 0 else reference.rank
            return int(logits.argsort(descending=True, stable=True)[place])
        return self.card.class_index(reference)

    def prediction(self, logits: Tensor, index: int | None = None) -> dict[str, Any]:
        """What the model says: its first answer, or what it gives to class `index`."""
        index = int(logits.argmax()) if index is None else index
        probability = float(logits.double().softmax(0)[index])
        return {"index": index, "label": self.card.labels[index], "probability": probability}
