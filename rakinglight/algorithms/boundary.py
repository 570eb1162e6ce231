"""The Boundary Attack: a random walk along the boundary, by labels alone."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from math import sqrt
from typing import TYPE_CHECKING, Any

from rakinglight.decisions import Decisions, Spent
from rakinglight.errors import BadParameter
from rakinglight.example import Example
from rakinglight.noise import Noise
from rakinglight.norms import NORMS, NormName, unit
from rakinglight.objectives import Goal
from rakinglight.parameters import NormChoice, Queries, Start, StepShare
from rakinglight.queries import Algorithm, Progress, State

if TYPE_CHECKING:
    from torch import Tensor

#: Of so many proposals one is also asked about before its step towards the image: is the sideways part too long?
TESTED = 5
#: Outcomes that a length is judged by, and by what it is multiplied or divided then.
SIDEWAYS, TOWARDS, LONGER = 10, 20, 1.5
#: Shares of successes between which a length stays. The paper, section 2.2, has the rule, and that about half of the
#: sideways steps shall succeed; these bands, and the factor above, are the customary ones.
SIDEWAYS_SHARE, TOWARDS_SHARE = (0.2, 0.5), (0.1, 0.25)
#: The step towards the image below which the walk has come to its end.
CONVERGED = 1e-7
#: How near to the boundary it begins, as a share of the way from the start to the image.
THETA = 0.001


def check_walk(_shape: tuple[int, int, int], norm: NormName) -> None:
    """Raise BadParameter for any norm but l2."""
    if norm != "l2":
        detail = f"boundary walks on spheres around the image, which are those of l2; {norm} is for hop_skip_jump."
        raise BadParameter.at("/parameters/norm", detail)


def boundary(
    x: "Tensor",
    goal: Goal,
    noise: Noise,
    logits: "Tensor",
    state: State | None = None,
    *,
    norm: NormChoice = "l2",
    queries: Queries = 5000,
    orthogonal_step: StepShare = 0.1,
    source_step: StepShare = 0.05,
    start: Start = None,
) -> "Algorithm[Tensor | Example]":
    """A random walk along the boundary towards the image, by labels alone: simple, and it takes many queries.

    Brendel, Rauber and Bethge, "Decision-Based Adversarial Attacks: Reliable Attacks Against Black-Box Machine Learning
    Models", ICLR 2018, algorithm 1 and section 2. Each proposal goes sideways on the sphere around the image, then
    towards it, and is taken if it is still beyond the boundary. Both lengths follow how often that is so. The walk
    begins where the straight way from noise to the image crosses the boundary. It is told nothing but which class is
    first.

    x       [C, H, W], pixels in [0, 1]
    goal    the label to leave, or the target to reach
    noise   the run's own random numbers
    logits  [K], of x; of these, too, only which is the largest
    state   from which to go on, as its Progress had it
    Returns an image of x's shape, pixels in [0, 1], the nearest of all that were asked about and reach the goal; x
    where it is reached already, or where no point was found to begin at, and then a `note`.
    """
    C, H, W = x.shape
    check_walk((C, H, W), norm)
    if goal.reached(logits):
        return x
    ask = Decisions(x, goal, norm, queries)
    with suppress(Spent):
        yield from _walked(ask, noise, state, orthogonal_step, source_step, start)
    return ask.best if ask.nearest is not None else Example(x, {"note": ask.nowhere()})


def _walked(
    ask: Decisions,
    noise: Noise,
    state: State | None,
    delta: float,
    epsilon: float,
    start: str | Mapping[str, Any] | None,
) -> "Algorithm[None]":
    """Walk until the queries are spent, when Spent is raised, or the steps have become nothing."""
    import torch

    sideways: list[bool] = []
    towards: list[bool] = []
    if state:
        ask.spent, ask.nearest = state["step"], state["best"]
        x_k, k, delta, epsilon = state["x_k"], state["k"], state["delta"], state["epsilon"]
        sideways, towards = list(state["sideways"]), list(state["towards"])
        noise.go_on(state["noise"])
    else:
        yield Progress(0, ask.queries, best=ask.x)
        begun = yield from ask.begun(noise, start)
        if begun is None:
            return
        yield Progress(ask.spent, ask.queries, ask.far(ask.best), best=ask.best)
        x_k, k = (yield from ask.to_boundary(begun, THETA)), 0
    while epsilon > CONVERGED:
        on_sphere, nearer = proposed(ask.x, x_k, delta, epsilon, noise)
        tested = k % TESTED == 0 and ask.left > 1
        reached = (yield from ask.of(torch.stack([nearer, on_sphere] if tested else [nearer]))).tolist()
        towards.append(reached[0])
        if tested:
            sideways.append(reached[1])
        if reached[0]:
            x_k = nearer
        if len(sideways) == SIDEWAYS:
            factor = followed(sideways, SIDEWAYS_SHARE)
            # Both: where the boundary is flat to the length of one it is flat to that of the other, too.
            delta, epsilon, sideways = min(delta * factor, 1.0), min(epsilon * factor, 0.5), []
        if len(towards) == TOWARDS:
            epsilon, towards = min(epsilon * followed(towards, TOWARDS_SHARE), 0.5), []
        k += 1
        kept = {
            "x_k": x_k, "k": k, "delta": delta, "epsilon": epsilon,
            "sideways": sideways, "towards": towards, "noise": noise.state,
        }  # fmt: skip
        yield Progress(ask.spent, ask.queries, ask.far(ask.best), best=ask.best, state=kept)


def proposed(x: "Tensor", x_k: "Tensor", delta: float, epsilon: float, noise: Noise) -> "tuple[Tensor, Tensor]":
    """Figure 2: a step sideways from x_k on the sphere around x, and from there one towards x. Both in the box.

    delta    length of the first as a share of the sphere's radius
    epsilon  share of the radius that the second goes
    """
    l2, r = NORMS["l2"], x_k - x
    radius = l2.size(r)
    e, eta = unit(l2, r), noise.normal(x)
    eta = unit(l2, eta - (eta * e).sum() * e)
    on_sphere = (x + (r + delta * radius * eta) / sqrt(1 + delta**2)).clamp(0, 1)
    return on_sphere, (x + (1 - epsilon) * radius * unit(l2, on_sphere - x)).clamp(0, 1)


def followed(outcomes: Sequence[bool], stays: tuple[float, float]) -> float:
    """By what a length is multiplied after `outcomes`."""
    rate = sum(outcomes) / len(outcomes)
    return LONGER if rate > stays[1] else 1 / LONGER if rate < stays[0] else 1.0
