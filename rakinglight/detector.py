"""A detector of adversarial images: a support vector machine on what a late layer says.

Lu, Issaranon & Forsyth, "SafetyNet: detecting and rejecting adversarial examples robustly", ICCV 2017, section 3: the
activations of a late layer, each quantised to a few levels, are a code; adversarial images have other codes than
natural ones of the same class; a support vector machine with radial basis functions tells them apart.

The file beside a network's weights holds numbers alone, so nothing is unpickled and scikit-learn is needed for training
only (`model_store.training.safetynet`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from rakinglight.errors import Unreadable

if TYPE_CHECKING:
    from typing import Self

    from rakinglight.card import Card


@dataclass(frozen=True)
class About:
    """What a detector says of itself.

    layers               whose activations it takes, in this order
    false_positive_rate  the fraction that it rejects of clean images it has not learnt from, measured in training
    provenance           what it learnt from, in a sentence
    """

    layers: tuple[str, ...]
    false_positive_rate: float
    provenance: str


class Detector(nn.Module):
    """Activations [n, D] of one or several layers, side by side -> scores [n]; above `limit` an image is rejected.

    thresholds    [L, D], ascending: a value's level is how many of its L it exceeds
    support       [m, D], the levels of the support vectors
    coefficients  [m], alpha_i y_i
    intercept     b
    gamma         of the kernel exp(-gamma |q - q_i|^2)
    limit         the score above which an image is rejected

    A score's derivative by the activations is that of levels with soft edges: the real one is zero nearly everywhere,
    and would hide the detector from an attack that means to pass it.
    """

    thresholds: Tensor
    support: Tensor
    coefficients: Tensor
    intercept: Tensor
    gamma: Tensor
    limit: Tensor

    def __init__(self, about: About, tensors: dict[str, Tensor]) -> None:
        super().__init__()
        self.about = about
        for name in self.__annotations__:
            self.register_buffer(name, tensors[name])

    def forward(self, activations: Tensor) -> Tensor:
        """The decision function: sum over i of alpha_i y_i exp(-gamma |q - q_i|^2), plus b."""
        q, q_i = self.levels(activations), self.support.to(activations.dtype)
        distance = (q.square().sum(1)[:, None] - 2 * q @ q_i.T + q_i.square().sum(1)).clamp(min=0)
        return torch.exp(-self.gamma * distance) @ self.coefficients + self.intercept

    def levels(self, activations: Tensor) -> Tensor:
        """The levels [n, D], whole numbers from 0 to L, with the derivative of edges that are sigmoids."""
        above = activations[:, None] - self.thresholds
        width = (self.thresholds[-1] - self.thresholds[0]).clamp(min=1e-3) / max(1, len(self.thresholds) - 1)
        soft = torch.sigmoid(above / width).sum(1)
        return soft + ((above > 0).sum(1) - soft).detach()

    def rejects(self, activations: Tensor) -> Tensor:
        """Which images are adversarial, [n]."""
        rejected: Tensor = self(activations) > self.limit
        return rejected

    def verdict(self, activations: Mapping[str, Tensor]) -> dict[str, Any]:
        """What it says of one image, in plain values, given what its layers put out for that."""
        heard = torch.cat([activations[layer].flatten() for layer in self.about.layers])
        score, limit = float(self(heard[None])), float(self.limit)
        return {
            "rejected": score > limit,
            "score": score,
            "threshold": limit,
            "false_positive_rate": self.about.false_positive_rate,
        }

    def fitting(self, card: Card) -> Self:
        """This detector, if it knows the layers of the network of `card`. Raises Unreadable."""
        there = [layer for layer in self.about.layers if layer in card.layers]
        values = sum(math.prod(card.layers[layer]) for layer in there)
        if len(there) < len(self.about.layers) or values != self.support.shape[1]:
            listened = " and ".join(self.about.layers)
            raise Unreadable(f"The detector of {card.name} listens to {listened}, of another network; train it again.")
        return self

    def to_bytes(self) -> bytes:
        """safetensors, with `about` in its metadata."""
        from safetensors.torch import save

        return save(self.state_dict(), {"detector": json.dumps(self.about.__dict__)})

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """What `to_bytes` made. Raises Unreadable."""
        from safetensors import SafetensorError
        from safetensors.torch import load

        try:
            told: dict[str, Any] = json.loads(header(data)["detector"])
            about = About(tuple(told["layers"]), float(told["false_positive_rate"]), str(told["provenance"]))
            return cls(about, load(data))
        except (SafetensorError, ValueError, KeyError, TypeError) as e:
            raise Unreadable(f"This is no detector's file ({type(e).__name__}: {e}); train it again.") from e


def header(data: bytes) -> dict[str, str]:
    """The metadata of a safetensors file: eight bytes of length, then JSON. `safetensors` reads it from paths only."""
    length = int.from_bytes(data[:8], "little")
    metadata: dict[str, str] = json.loads(data[8 : 8 + length])["__metadata__"]
    return metadata
