"""The words in which an algorithm asks.

An algorithm is a generator. It yields one of these and is sent the answer:

    Forward(rows)                 -> Scores    what the network says of each row
    Gradient(rows, objective)     -> Slope     the objective of each row, its derivative by pixels or by a layer, and
                                               the logits that came with it
    Compute(function)             -> what `function()` returns, run in a thread while others go on
    Progress(step, of, ...)       -> None      how far it is, and what it would show if it were stopped now

and its return value is its result. It knows neither the network nor who drives it.

Rows are [n, C, H, W], pixels in [0, 1], or are described and made when they are needed (`rakinglight.rows`); a single
image [C, H, W] is one row, and then the answer has no row dimension either. A network in eval mode treats every row by
itself: whoever else is in the pass, a row's gradient stays the same.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

if TYPE_CHECKING:
    from torch import Tensor

    from rakinglight.objectives import LayerObjective, Objective
    from rakinglight.representations import Representation
    from rakinglight.rows import Lazy

#: How a gradient g passes back through an activation f at x.
#: standard   f'(x) g
#: guided     f'(x) max(g, 0)      Springenberg et al. 2015, section 3.4
#: deconvnet  max(g, 0)            Zeiler and Fergus 2014, section 2.1
Rule = Literal["standard", "guided", "deconvnet"]

#: Rows that an algorithm asks for at once where it wants many and keeps only their mean: enough for any pass, few
#: enough that memory stays flat, progress is seen, and a deadline finds something to show.
WAVE = 64
#: Values of such rows together, where the algorithm makes them itself: 16 rows of 3 x 224 x 224.
WAVE_VALUES = 2_500_000

#: What a run can go on from: tensors and plain values by name. An algorithm that is taken up again is given what its
#: Progress kept in `state`, and by their names the `step`, `of`, `objective` and `best` of that Progress.
State = Mapping[str, Any]

R = TypeVar("R")


def wave(x: Tensor) -> int:
    """How many rows like x [C, H, W] to ask for at once, where they are made of x and many are wanted."""
    return max(8, min(WAVE, WAVE_VALUES // x.numel()))


@dataclass(frozen=True, eq=False)
class Query:
    """What is asked of a network about some rows.

    rows        [n, C, H, W], or one image [C, H, W], or rows yet to be made
    network     its name; None is the one that the engine was asked about. Or a representation (`representations`),
                which takes rows of any size: its code stands where a network's logits do
    seen        whether the rows are as the network sees them already: no view is put before it
    randomized  the share of its layers with weights, from the last on, that have random ones instead; 0 is none
    """

    rows: Tensor | Lazy
    network: str | Representation | None = field(default=None, kw_only=True)
    seen: bool = field(default=False, kw_only=True)
    randomized: float = field(default=0.0, kw_only=True)

    def __len__(self) -> int:
        return 1 if self.single else len(self.rows)

    @property
    def single(self) -> bool:
        """Whether it asks about one image, and wants an answer with no row dimension."""
        return self.rows.ndim == 3

    @property
    def batch(self) -> Tensor | Lazy:
        """The rows, with a row dimension."""
        return self.rows[None] if self.single else self.rows  # type: ignore[index]  # what is single is a tensor


@dataclass(frozen=True, eq=False)
class Forward(Query):
    """Ask for the logits of `rows` and, where named, the activations of `layers`.

    short  whether the pass ends at the last of the `layers`: then there are no logits, [n, 0]
    """

    layers: tuple[str, ...] = ()
    short: bool = field(default=False, kw_only=True)

    def __repr__(self) -> str:
        return f"Forward({', '.join([_shape(self.rows), *self.layers])})"


@dataclass(frozen=True, eq=False)
class Gradient(Query):
    """Ask for d objective / d rows, or for the derivative by what a layer puts out.

    objective  of every row, or a sequence: each row's own
    at         the layers whose outputs the objective is made of, {layer: [n, ...]}, in place of the logits. The pass
               ends at the last of them: a layer near the image costs a fraction of a whole pass. There are no logits
    wrt        the layer; None is the rows themselves
    rule       how the gradient passes back through activations
    """

    objective: Objective | LayerObjective | Sequence[Objective | LayerObjective]
    at: tuple[str, ...] = field(default=(), kw_only=True)
    wrt: str | None = field(default=None, kw_only=True)
    rule: Rule = field(default="standard", kw_only=True)

    def values(self, said: Any, start: int, stop: int) -> Tensor:
        """The objective of rows `start` to `stop`, [n].

        said  what these rows came to: their logits [n, K], or the outputs of the layers `at`
        """
        from torch import cat

        if not isinstance(self.objective, Sequence):
            return self.objective(said)
        own = self.objective[start:stop]
        return cat([objective(rows_of(said, i, i + 1)) for i, objective in enumerate(own)])

    def __repr__(self) -> str:
        several = isinstance(self.objective, Sequence)
        said = [_shape(self.rows), "an objective a row" if several else str(self.objective)]
        said += [f"at {', '.join(self.at)}"] if self.at else []
        said += [f"wrt {self.wrt}"] if self.wrt else []
        said += [self.rule] if self.rule != "standard" else []
        return f"Gradient({', '.join(said)})"


@dataclass(frozen=True)
class Compute:
    """Work of more than a few milliseconds that is no query. The run waits for it, the engine does not.

    stoppable  whether the run may be told to stop before it is begun, as at a query
    """

    function: Callable[[], Any]
    stoppable: bool = False


@dataclass(frozen=True, eq=False)
class Progress:
    """How far a run is.

    best   what the algorithm would return if it had to stop here; a run that is stopped early answers with it
    state  what it must know to go on from here, beside `step` and `best`; None where it can only begin anew. It may
           write to these tensors later: who keeps them copies them before the run goes on
    """

    step: int
    of: int
    objective: float | None = None
    best: Any = None
    state: State | None = None


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
            cat([part.logits for part in parts]),
            {k: cat([part.activations[k] for part in parts]) for k in layers},
        )


class Slope(NamedTuple):
    """The answer to `Gradient`: the objective [n], its derivative, of the rows' shape or of the layer's output, and the
    logits [n, K], which the pass had to make anyway; [n, 0] where it ended before.
    """

    objective: Tensor
    gradient: Tensor
    logits: Tensor

    def cut(self, start: int, stop: int) -> Slope:
        """The answer for rows `start` to `stop`.

        In the usual order of memory, whatever the backend's: a sum over the same values in another order has other
        bits, and what is restored from a state has the usual one.
        """
        return Slope(self.objective[start:stop], self.gradient[start:stop].contiguous(), self.logits[start:stop])

    def first(self) -> Slope:
        """The answer for the first row, without the row dimension."""
        return Slope(self.objective[0], self.gradient[0], self.logits[0])

    @staticmethod
    def joined(parts: Sequence[Slope]) -> Slope:
        """The answer for all rows, given those for some."""
        from torch import cat

        return Slope(*map(cat, zip(*parts, strict=True)))


class Stopped(Exception):
    """Thrown into a run whose deadline has come or whose rows are spent. Who has something to show catches it.

    reason  `deadline` or `rows`
    """

    def __init__(self, reason: Literal["deadline", "rows"]) -> None:
        super().__init__(reason)
        self.reason = reason


def rows_of(said: Any, start: int, stop: int) -> Any:
    """Rows `start` to `stop` of logits [n, K], or of the outputs of layers, {layer: [n, ...]}."""
    if isinstance(said, Mapping):
        return {layer: output[start:stop] for layer, output in said.items()}
    return said[start:stop]


def _shape(rows: Tensor | Lazy) -> str:
    return "×".join(map(str, rows.shape))
