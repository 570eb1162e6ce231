"""The words in which an algorithm asks.

An algorithm is a generator. It yields one of these and is sent the answer:

    Forward(rows)                 -> Scores    what the network says of each row
    Gradient(rows, objective)     -> Slope     the objective of each row, and its derivative
    Compute(function)             -> what `function()` returns, run in a thread while others go on
    Progress(step, of, ...)       -> None      how far it is, and what it would show if it were stopped now

and its return value is its result. It knows neither the network nor who drives it.

Rows are [n, C, H, W], pixels in [0, 1]; a single image [C, H, W] is one row, and then the answer has no row dimension
either. A network in eval mode treats every row by itself: whoever else is in the pass, a row's gradient stays the same.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

if TYPE_CHECKING:
    from torch import Tensor

    from rakinglight.objectives import Objective

#: How a gradient passes a rectifier. Only the standard rule is answered so far.
Rule = Literal["standard"]

R = TypeVar("R")


@dataclass(frozen=True, eq=False)
class Query:
    """What is asked of a network about some rows.

    rows     [n, C, H, W], or one image [C, H, W]
    network  its name; None is the one that the engine was asked about
    """

    rows: Tensor
    network: str | None = field(default=None, kw_only=True)

    def __len__(self) -> int:
        return 1 if self.single else len(self.rows)

    @property
    def single(self) -> bool:
        """Whether it asks about one image, and wants an answer with no row dimension."""
        return self.rows.ndim == 3

    @property
    def batch(self) -> Tensor:
        """The rows, with a row dimension."""
        return self.rows[None] if self.single else self.rows


@dataclass(frozen=True, eq=False)
class Forward(Query):
    """Ask for the logits of `rows` and, where named, the activations of `layers`."""

    layers: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Forward({', '.join([_shape(self.rows), *self.layers])})"


@dataclass(frozen=True, eq=False)
class Gradient(Query):
    """Ask for d objective / d rows."""

    objective: Objective
    rule: Rule = "standard"

    def __repr__(self) -> str:
        return f"Gradient({_shape(self.rows)}, {self.objective})"


@dataclass(frozen=True)
class Compute:
    """Work of more than a few milliseconds that is no query. The run waits for it, the engine does not."""

    function: Callable[[], Any]


@dataclass(frozen=True, eq=False)
class Progress:
    """How far a run is.

    best  what the algorithm would return if it had to stop here; a run that is stopped early answers with it
    """

    step: int
    of: int
    objective: float | None = None
    best: Any = None


Yielded = Forward | Gradient | Compute | Progress
#: An algorithm under way: yields what it wants to know, is sent the answers, returns `R`.
Algorithm = Generator[Any, Any, R]


class Scores(NamedTuple):
    """The answer to `Forward`: logits [n, K] and activations {layer: [n, ...]}."""

    logits: Tensor
    activations: Mapping[str, Tensor] = MappingProxyType({})

    def cut(self, start: int, stop: int) -> Scores:
        """The answer for rows `start` to `stop`."""
        return Scores(self.logits[start:stop], {k: v[start:stop] for k, v in self.activations.items()})

    def first(self) -> Scores:
        """The answer for the first row, without the row dimension."""
        return Scores(self.logits[0], {k: v[0] for k, v in self.activations.items()})

    @staticmethod
    def joined(parts: Sequence[Scores]) -> Scores:
        """The answer for all rows, given those for some."""
        from torch import cat

        layers = parts[0].activations
        return Scores(
            cat([part.logits for part in parts]), {k: cat([part.activations[k] for part in parts]) for k in layers}
        )


class Slope(NamedTuple):
    """The answer to `Gradient`: the objective [n] and its derivative, of the rows' shape."""

    objective: Tensor
    gradient: Tensor

    def cut(self, start: int, stop: int) -> Slope:
        """The answer for rows `start` to `stop`."""
        return Slope(self.objective[start:stop], self.gradient[start:stop])

    def first(self) -> Slope:
        """The answer for the first row, without the row dimension."""
        return Slope(self.objective[0], self.gradient[0])

    @staticmethod
    def joined(parts: Sequence[Slope]) -> Slope:
        """The answer for all rows, given those for some."""
        from torch import cat

        return Slope(cat([part.objective for part in parts]), cat([part.gradient for part in parts]))


class Stopped(Exception):
    """Thrown into a run whose deadline has come or whose rows are spent. Who has something to show catches it.

    reason  `deadline` or `rows`
    """

    def __init__(self, reason: Literal["deadline", "rows"]) -> None:
        super().__init__(reason)
        self.reason = reason


def relayed(
    algorithm: Algorithm[R],
    out: Callable[[Any], Any],
    back: Callable[[Any], Any] = lambda answer: answer,
) -> Algorithm[R]:
    """`algorithm`, with `out` between it and who answers, and `back` on the way home.

    What is thrown in goes through to it, and closing one closes the other: from outside the two are one.
    """
    answer: Any = None
    error: BaseException | None = None
    while True:
        try:
            asked = algorithm.throw(error) if error else algorithm.send(answer)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]
        answer = error = None
        try:
            answer = back((yield out(asked)))
        except GeneratorExit:
            algorithm.close()
            raise
        except BaseException as e:
            error = e


def in_thread(algorithm: Algorithm[R]) -> Algorithm[R]:
    """`algorithm`, what it does between its queries done in a thread: for images so large that this takes a while."""
    answer: Any = None
    error: BaseException | None = None

    def step() -> tuple[bool, Any]:
        try:
            return False, algorithm.throw(error) if error else algorithm.send(answer)
        except StopIteration as done:
            return True, done.value

    while True:
        over, asked = yield Compute(step)  # closed here, it leaves the generator to the thread that is in it
        if over:
            return asked  # type: ignore[no-any-return]
        answer = error = None
        try:
            answer = yield asked
        except GeneratorExit:
            algorithm.close()
            raise
        except BaseException as e:
            error = e


def _shape(rows: Tensor) -> str:
    return "×".join(map(str, rows.shape))
