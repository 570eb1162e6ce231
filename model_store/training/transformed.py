"""Training on the images as a defence leaves them.

Guo et al., "Countering adversarial images using input transformations", ICLR 2018: a transformation in front of a
network protects it better if the network was trained on transformed images (section 5.3). Ours are two of
theirs, bit-depth reduction to three bits and then JPEG of quality 75. The network itself is a plain one: whoever uses
it has the same two applied, by `defense`.
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from model_store.training.fitting import Figures, accuracy, fit

BITS, QUALITY = 3, 75


def train(network: Callable[[], nn.Module], seed: int = 0) -> tuple[nn.Module, Figures]:
    """`network` trained on transformed digits; its accuracy on transformed test digits, and on those as they are."""

    def lesson(_network: nn.Module, x: Tensor, y: Tensor, _done: float) -> tuple[Tensor, Tensor]:
        return transformed(x), y

    learner = fit(network, epochs=30, rate=4e-3, lesson=lesson, seed=seed)
    return learner, {"transformed": accuracy(learner, lambda x, _: transformed(x)), "clean": accuracy(learner)}


def transformed(x: Tensor) -> Tensor:
    """Grey pixels [n, 1, H, W] in [0, 1] -> the same with three bits, through JPEG."""
    levels = 2**BITS - 1
    reduced = np.rint(np.rint(x.numpy() * levels) * (255 / levels)).astype(np.uint8)
    return torch.from_numpy(np.stack([jpeg(picture[0])[None] for picture in reduced])) / 255


def jpeg(picture: np.ndarray[tuple[int, int], np.dtype[np.uint8]]) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """uint8 [H, W] -> the same, encoded and decoded."""
    file = BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=QUALITY)
    return np.asarray(Image.open(file))
