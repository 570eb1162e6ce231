"""Evolution of pictures by a model's scores alone: the best of each class, and children of these."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from rakinglight.algorithms import cppn
from rakinglight.inverted import Inverted
from rakinglight.noise import Noise
from rakinglight.queries import Algorithm, Compute, Forward, Progress, Scores, wave

if TYPE_CHECKING:
    from torch import Tensor

#: Generations after which the direct encoding's rate is halved, and the strength of its operator (Nguyen et al. 2015,
#: section 2.3).
HALVED, ETA_M = 1000, 15
#: Classes whose champions are kept, at most: the target, and those after it. Of a thousand classes of photographs a
#: state would not hold all.
CHAMPIONS = 32


@dataclass(frozen=True, eq=False)
class Found:
    """The best picture so far.

    picture      [C, H, W] of k / 255
    log_p        what the model gives to the target
    evaluations  rows that were asked about
    trace        -log p, step by step or generation by generation; lower is better
    generations  of an evolution
    """

    picture: Tensor
    log_p: float
    evaluations: int
    trace: list[float] = field(default_factory=list)
    generations: int | None = None

    @property
    def p(self) -> float:
        return math.exp(self.log_p)

    @property
    def kept(self) -> dict[str, Any]:
        """It, in plain values and tensors."""
        return vars(self)

    def better(self, picture: Tensor, log_p: float) -> Found:
        """This or the other, whichever the model gives more."""
        return replace(self, picture=picture, log_p=log_p) if log_p > self.log_p else self


@dataclass(frozen=True, eq=False)
class Search:
    """What is looked for: a picture like x [C, H, W] to which the model gives `target` with more than `confidence`.

    labels   of all classes
    queries  rows that may be asked about
    """

    x: Tensor
    labels: Sequence[str]
    target: int
    confidence: float
    queries: int

    @property
    def shape(self) -> tuple[int, int, int]:
        C, H, W = self.x.shape
        return C, H, W

    def over(self, best: Found) -> bool:
        return best.p > self.confidence or best.evaluations >= self.queries

    def log_p(self, logits: Tensor) -> Tensor:
        """Of logits [..., K], what they give to the target."""
        return logits.double().log_softmax(-1)[..., self.target]

    def shown(self, best: Found, noise: Mapping[str, Any] | None = None) -> Inverted:
        """What is returned of it, and of the `noise` beside it."""
        said: dict[str, Any] = {"target": {"index": self.target, "label": self.labels[self.target]}}
        said |= {"confidence": best.p, "fooled": best.p > self.confidence, "evaluations": best.evaluations}
        if best.generations is not None:
            said["generations"] = best.generations
        return Inverted(best.picture[None], [[energy] for energy in best.trace], said={**said, "noise": noise})


class Encoding(Protocol):
    """How a picture is written down, as a tensor, and what a child of it is."""

    def first(self, n: int, noise: Noise) -> Tensor: ...

    def mutated(self, genomes: Tensor, generation: int, noise: Noise) -> Tensor: ...

    def pictures(self, genomes: Tensor) -> Tensor:
        """[n, C, H, W] of k / 255."""
        ...


@dataclass(frozen=True)
class Direct:
    """The pixels themselves, uint8. Each is changed with the probability `rate`, which is halved every so often, by the
    polynomial operator (Deb 2001): mostly a little, seldom much.
    """

    shape: tuple[int, int, int]
    rate: float

    def first(self, n: int, noise: Noise) -> Tensor:
        return _levels(noise, n, self.shape)

    def mutated(self, genomes: Tensor, generation: int, noise: Noise) -> Tensor:
        import torch

        level = genomes.float()
        chosen = noise.uniform(level, 0, 1) < self.rate * 0.5 ** (generation // HALVED)
        u = noise.uniform(level, 0, 1)
        power = 1 / (ETA_M + 1)
        delta = torch.where(u < 0.5, (2 * u) ** power - 1, 1 - (2 - 2 * u) ** power)
        return (level + 255 * delta * chosen).round().clamp(0, 255).to(torch.uint8)

    def pictures(self, genomes: Tensor) -> Tensor:
        return genomes.float() / 255


@dataclass(frozen=True)
class Patterns:
    """Graphs that paint the pictures: `algorithms.cppn`."""

    shape: tuple[int, int, int]

    def first(self, n: int, noise: Noise) -> Tensor:
        return cppn.first_graphs(n, self.shape[0], noise)

    def mutated(self, genomes: Tensor, generation: int, noise: Noise) -> Tensor:
        return cppn.mutated_graphs(genomes, self.shape[0], noise)

    def pictures(self, genomes: Tensor) -> Tensor:
        return rounded(cppn.painted(genomes, self.shape))


def evolved(
    encoding: Encoding, search: Search, population: int, noise: Noise, state: Mapping[str, Any]
) -> Algorithm[Found]:
    """The first picture that is what the search looks for, or else the best.

    MAP-Elites (Mouret and Clune 2015), as Nguyen et al. 2015, section 2.2, use it: of each class the best picture is
    kept, its champion; a child is one of these, changed, and takes the place of every champion that is no better.
    They evolve all classes at once, and draw among all champions; here half of the children are the target's.

    population  children of a generation
    state       from which to go on, as its Progress had it; empty at first
    """
    import torch

    x, queries, classes = search.x, search.queries, len(search.labels)
    niches = torch.tensor([(search.target + i) % classes for i in range(min(classes, CHAMPIONS))])
    champions, fitness = torch.empty(0), torch.full((len(niches),), -math.inf, dtype=torch.float64)
    best = Found(x, -math.inf, 0, generations=0)
    if state:
        champions, fitness, best = state["champions"].clone(), state["fitness"].clone(), Found(**state["found"])
        noise.go_on(state["noise"])

    def bred(of: Tensor | None, n: int, generation: int) -> tuple[Tensor, Tensor]:
        genomes = encoding.first(n, noise) if of is None else encoding.mutated(of, generation, noise)
        return genomes, encoding.pictures(genomes)

    while not search.over(best):
        n, generation = min(population, queries - best.evaluations), best.generations or 0
        chosen = champions[parents(n, len(niches), noise)] if len(champions) else None
        for first in range(0, n, wave(x)):
            last = min(first + wave(x), n)
            own = None if chosen is None else chosen[first:last]
            genomes, rows = yield Compute(partial(bred, own, last - first, generation), stoppable=True)
            scores: Scores = yield Forward(rows, seen=True)
            value, which = scores.logits.double().log_softmax(1)[:, niches].max(0)
            if not len(champions):
                champions = genomes[which]
            taken = value >= fitness  # where scores are rounded most are equal, and what is as good goes elsewhere
            champions[taken], fitness[taken] = genomes[which[taken]], value[taken]
            best = replace(best, evaluations=best.evaluations + last - first)
            best = best.better(rows[which[0]], float(value[0]))
            if search.over(best):
                break
        best = replace(best, generations=generation + 1, trace=[*best.trace, -best.log_p])
        kept = {"found": best.kept, "champions": champions, "fitness": fitness, "noise": noise.state}
        yield Progress(best.evaluations, queries, -best.log_p, search.shown(best), kept)
    return best


def parents(n: int, champions: int, noise: Noise) -> Tensor:
    """Whose child each of n is: the target's champion, which is the first, or any."""
    import torch

    u = noise.uniform(torch.empty(2, n), 0, 1)
    return (u[1] * champions).long().clamp(max=champions - 1) * (u[0] < 0.5)


def rounded(x: Tensor) -> Tensor:
    """The same pictures of 8 bits: k / 255, as they are read again from a file."""
    return (x.clamp(0, 1) * 255).round() / 255


def _levels(noise: Noise, n: int, shape: tuple[int, int, int]) -> Tensor:
    """Uniform noise of 8 bits, uint8 [n, C, H, W]."""
    import torch

    return noise.uniform(torch.empty(n, *shape), 0, 256).floor().clamp(max=255).to(torch.uint8)


def noise_pictures(noise: Noise, n: int, shape: tuple[int, int, int]) -> Tensor:
    """Pictures of uniform noise [n, C, H, W], of k / 255."""
    return _levels(noise, n, shape).float() / 255
