"""Training on the images as a defence leaves them.

Guo et al., "Countering adversarial images using input transformations", ICLR 2018: a transformation in front of a
network protects it better if the network was trained on transformed images. Ours are two of
theirs, bit-depth reduction to three bits and then JPEG of quality 75. The network itself is a plain one: whoever uses
it has the same two applied, by `defense`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from model_store.training.fitting import Figures, accuracy, fit
from rakinglight.defenses import Chain
from rakinglight.defenses.bit_depth import BitDepth
from rakinglight.defenses.jpeg import Jpeg

CHAIN = Chain((BitDepth(bits=3), Jpeg(quality=75)))


def train(network: Callable[[], nn.Module], seed: int = 0) -> tuple[nn.Module, Figures]:
    """`network` trained on transformed digits; its accuracy on transformed test digits, and on those as they are."""

    def lesson(_network: nn.Module, x: Tensor, y: Tensor, _done: float) -> tuple[Tensor, Tensor]:
        return transformed(x), y

    learner = fit(network, epochs=30, rate=4e-3, lesson=lesson, seed=seed)
    return learner, {"transformed": accuracy(learner, lambda x, _: transformed(x)), "clean": accuracy(learner)}


def transformed(x: Tensor) -> Tensor:
    """Grey pixels [n, 1, H, W] in [0, 1] -> the same with three bits, through JPEG."""
    none_needed = np.random.default_rng(0)
    return torch.stack([CHAIN.once(image, none_needed) for image in x])
