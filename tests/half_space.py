"""Searches that see labels alone, played by hand: a boundary that is a plane, and all that was asked about it."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from rakinglight.queries import Algorithm, Forward, Progress, Scores

#: Where they set out, and what the model says of it: class 0.
X = torch.full((1, 4, 5), 0.5, dtype=torch.float64)
LABEL = torch.tensor([1.0, 0.0])


def play(flow: Algorithm[Any], reached: Callable[[Tensor], Tensor]) -> tuple[list[Tensor], list[Progress], Any]:
    """Drive by hand: `reached` says of rows [n, C, H, W] which are beyond the boundary. What was asked, told, found."""
    asked: list[Tensor] = []
    told: list[Progress] = []
    answer = None
    while True:
        try:
            what = flow.send(answer)
        except StopIteration as done:
            return asked, told, done.value
        answer = None
        if isinstance(what, Progress):
            told.append(what)
        else:
            assert type(what) is Forward
            assert isinstance(what.rows, Tensor)
            asked.append(what.rows)
            yes = reached(what.rows).double()
            answer = Scores(torch.stack([1 - yes, yes], 1))


def half_space(normal: Tensor, offset: float) -> Callable[[Tensor], Tensor]:
    """Beyond the hyperplane that is `offset` from X along `normal`, of size 1 in l2."""
    return lambda rows: ((rows - X) * normal).flatten(1).sum(1) > offset


def a_normal() -> Tensor:
    n = torch.randn(X.shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    return n / n.norm()
