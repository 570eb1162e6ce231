"""Training against the worst that PGD finds.

Madry et al., "Towards deep learning models resistant to adversarial attacks", ICLR 2018, equation 2.1:

    min over theta of E [ max over delta in S of L(theta, x + delta, y) ],    S the l-infinity ball of epsilon

The inner maximum is what PGD finds from a random start. The paper's small networks ended by giving one class to
everything (section 4), and LeNet-5 is small: here epsilon grows over the first fifth of the training. It grows to a
little more than the network will be judged at.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from model_store.training.fitting import Figures, accuracy, fit, one_thread

#: What the zoo is judged at, and what this network is trained at, in units of [0, 1].
EPSILON, TAUGHT = 0.13, 0.15
#: The name of the robust accuracy among the figures.
ROBUST = "PGD-40 at 0.13"


def train(network: Callable[[], nn.Module], seed: int = 0) -> tuple[nn.Module, Figures]:
    """`network` trained against PGD; its accuracy on the test digits, clean and under PGD."""
    learner = fit(network, epochs=100, rate=8e-3, shift=1, batch=128, lesson=worst, seed=seed)
    return learner, {"clean": accuracy(learner), ROBUST: robust_accuracy(learner)}


def worst(network: nn.Module, x: Tensor, y: Tensor, done: float) -> tuple[Tensor, Tensor]:
    """The lesson: x where the network is worst, as far as seven steps of a quarter of the radius find it."""
    eps = TAUGHT * min(1.0, done / 0.2)
    return pgd(network, x, y, eps=eps, alpha=eps / 4, steps=7, start=uniform(x, eps)), y


def pgd(
    network: nn.Module, x: Tensor, y: Tensor, *, eps: float, alpha: float, steps: int, start: Tensor | None = None
) -> Tensor:
    """Madry et al., section 2.1: x_t+1 = P(x_t + alpha sgn(grad L(x_t, y))), within eps of x [n, C, H, W] and [0, 1].

    start  the first step away from x; none without it
    """
    delta = torch.zeros_like(x) if start is None else start
    for _ in range(steps):
        delta = delta.detach().requires_grad_()
        loss = cross_entropy(network((x + delta).clamp(0, 1)), y, reduction="sum")
        (g,) = torch.autograd.grad(loss, delta)
        delta = (delta + alpha * g.sign()).clamp(-eps, eps)
    return (x + delta.detach()).clamp(0, 1)


def uniform(x: Tensor, eps: float) -> Tensor:
    """A random place in the ball, by torch's generator as it stands."""
    return torch.empty_like(x).uniform_(-eps, eps)


def robust_accuracy(network: nn.Module, *, eps: float = EPSILON, alpha: float = 0.01, steps: int = 40) -> float:
    """The fraction of the 500 test digits that `network` still names under PGD, which begins at the digit itself."""
    with one_thread():
        return accuracy(network, partial(pgd, network, eps=eps, alpha=alpha, steps=steps))
