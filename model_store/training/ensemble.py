"""Training on one-step examples that were made on other networks too.

Tramèr et al., "Ensemble adversarial training: attacks and defenses", ICLR 2018, section 3.4: a network trained on its
own one-step examples learns to make them weak, by a loss that is bent sharply beside the data. The examples of networks
that do not change meanwhile cannot be made weak. So each batch is attacked on one of them or on the learner, drawn
anew, and learnt together with the clean digits.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from model_store.training.adversarial import ROBUST, pgd, robust_accuracy
from model_store.training.fitting import Figures, accuracy, fit

#: In units of [0, 1]; a little more than the zoo is judged at.
EPSILON = 0.15


def train(network: Callable[[], nn.Module], seed: int = 0) -> tuple[nn.Module, Figures]:
    """`network` trained on examples from itself and from three static ones, trained first and then dropped."""
    static = [fit(make, epochs=20, rate=4e-3, seed=seed) for make in (shallow, dense, coarse)]

    def lesson(learner: nn.Module, x: Tensor, y: Tensor, done: float) -> tuple[Tensor, Tensor]:
        source = (learner, *static)[int(torch.randint(0, 1 + len(static), ()))]
        eps = EPSILON * min(1.0, done / 0.3)
        return torch.cat([x, fgsm(source, x, y, eps)]), torch.cat([y, y])

    learner = fit(network, epochs=60, rate=6e-3, shift=2, lesson=lesson, seed=seed)
    return learner, {"clean": accuracy(learner), ROBUST: robust_accuracy(learner)}


def fgsm(network: nn.Module, x: Tensor, y: Tensor, eps: float) -> Tensor:
    """The one step of the fast gradient sign method, within [0, 1]."""
    return pgd(network, x, y, eps=eps, alpha=eps, steps=1)


def shallow() -> nn.Module:
    """Two strided convolutions, no pooling."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 5, 2), nn.ReLU(), nn.Conv2d(16, 32, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(32 * 6 * 6, 10)
    )


def dense() -> nn.Module:
    """No convolution at all."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(32 * 32, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10)
    )


def coarse() -> nn.Module:
    """One convolution over the digit at half its size."""
    return nn.Sequential(
        nn.AvgPool2d(2),
        nn.Conv2d(1, 24, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(24 * 7 * 7, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )
