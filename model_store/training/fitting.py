"""What every training here has in common: the digits, shifted; an optimiser; a schedule; and how the end is judged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad

from model_store import digits

#: Makes the batch to learn from: (network, x [n, 1, 32, 32], y [n], how much of the training is done, 0 to 1) -> x, y.
Lesson = Callable[[nn.Module, Tensor, Tensor, float], tuple[Tensor, Tensor]]
#: What came of a training: a figure's name -> a fraction of the 500 test digits.
Figures = dict[str, float]


def as_it_is(_network: nn.Module, x: Tensor, y: Tensor, _done: float) -> tuple[Tensor, Tensor]:
    """The lesson of ordinary training."""
    return x, y


def fit(
    network: Callable[[], nn.Module],
    *,
    epochs: int,
    rate: float,
    shift: int = 3,
    batch: int = 64,
    lesson: Lesson = as_it_is,
    seed: int = 0,
) -> nn.Module:
    """A network trained on the 1,297 digits, in eval mode.

    rate   the highest learning rate of one cycle
    shift  pixels by which each batch is moved, at most, in a direction of its own
    seed   of the weights, of the order, of the shifts, and of what the lesson draws
    """
    x, y = map(torch.from_numpy, digits.pixels("train"))
    with torch.random.fork_rng(devices=[]), one_thread():
        torch.manual_seed(seed)
        learner = network()
        optimizer = torch.optim.AdamW(learner.parameters())
        steps = epochs * -(-len(x) // batch)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=rate, total_steps=steps)
        for _ in range(epochs):
            for rows in torch.split(torch.randperm(len(x)), batch):
                moved = shifted(x[rows], shift)
                taught, truth = lesson(learner, moved, y[rows], schedule.last_epoch / steps)
                optimizer.zero_grad()
                cross_entropy(learner(taught), truth).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
    return learner.eval()


def shifted(x: Tensor, most: int, fill: float = 0.0) -> Tensor:
    """`x` [n, 1, 32, 32], moved as one by up to `most` pixels each way, by torch's generator as it stands."""
    top, left = torch.randint(0, 2 * most + 1, (2,)).tolist()
    return pad(x, (most, most, most, most), value=fill)[..., top : top + digits.SIDE, left : left + digits.SIDE]


@contextmanager
def one_thread() -> Iterator[None]:
    """Batches this small are not worth a second thread: on a busy machine one would mostly wait for the other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def accuracy(network: nn.Module, change: Callable[[Tensor, Tensor], Tensor] | None = None) -> float:
    """The fraction of the 500 test digits that `network` names.

    change  (x, y) -> what it is shown in place of x, such as adversarial digits
    """
    x, y = map(torch.from_numpy, digits.pixels("test"))
    if change is not None:
        x = change(x, y)
    with torch.no_grad():
        return float((network(x).argmax(1) == y).float().mean())
