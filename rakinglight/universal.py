"""What a universal perturbation does to many images: v [C, H, W] added to each, as the network sees it.

Needs no torch to be imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from rakinglight.queries import Algorithm, Forward, Progress, wave

if TYPE_CHECKING:
    from torch import Tensor

R = TypeVar("R")


def scores(x: Tensor, v: Tensor | float = 0.0, network: str | None = None) -> Algorithm[Tensor]:
    """The logits [n, K] of x + v, cut to [0, 1]; x is [n, C, H, W]. Some rows at a time, so that memory stays flat."""
    from torch import cat

    size, found = wave(x[0]), []
    for first in range(0, len(x), size):
        rows = (x[first : first + size] + v).clamp(0, 1)
        found.append((yield Forward(rows, network=network, seen=True)).logits)
    return cat(found)


def share(which: Tensor) -> float:
    """Of a bool tensor, the share that is true."""
    return float(which.double().mean())


def silent(algorithm: Algorithm[R]) -> Algorithm[R]:
    """`algorithm` as a part of another, which alone tells of its progress."""
    answer: Any = None
    error: BaseException | None = None
    while True:
        try:
            asked = algorithm.throw(error) if error else algorithm.send(answer)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]
        answer = error = None
        if isinstance(asked, Progress):
            continue
        try:
            answer = yield asked
        except GeneratorExit:
            algorithm.close()
            raise
        except BaseException as e:
            error = e
