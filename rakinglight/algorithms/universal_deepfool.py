"""One perturbation for many images, by DeepFool."""

from typing import TYPE_CHECKING, Any

from rakinglight.algorithms.deepfool import deepfool as shortest_way
from rakinglight.noise import Noise
from rakinglight.norms import NORMS
from rakinglight.objectives import Goal
from rakinglight.parameters import Candidates, Epochs, FoolingRate, MostSteps, NormChoice, Overshoot, PositiveEpsilon
from rakinglight.perturbed import scores
from rakinglight.queries import Algorithm, Forward, Progress, Scores, State
from rakinglight.relays import relayed, silent

if TYPE_CHECKING:
    from torch import Tensor


def deepfool(
    x: "Tensor",
    k: "Tensor",
    noise: Noise,
    state: State | None = None,
    *,
    norm: NormChoice = "linf",
    epsilon: PositiveEpsilon = 10 / 255,
    fooling_rate: FoolingRate = 0.8,
    epochs: Epochs = 10,
    candidates: Candidates = 10,
    overshoot: Overshoot = 0.02,
    steps: MostSteps = 10,
) -> "Algorithm[Tensor]":
    """Image by image, the shortest way over the nearest boundary is added to what all have in common.

    Moosavi-Dezfooli et al., "Universal Adversarial Perturbations", CVPR 2017, algorithm 1: X are the images, k^ the
    network, xi is `epsilon` and 1 - delta is `fooling_rate`. As in the authors' code the way is DeepFool's in l2,
    whatever the norm of the ball; it is added only where it led over the boundary; and images come in a new order each
    time round.

    x      [n, C, H, W], the images as the network sees them, pixels in [0, 1]
    k      int64 [n], the network's own answers to them, k^(x_i)
    noise  the run's own random numbers, for the order
    state  from which to go on, as its Progress had it
    Returns v [C, H, W], no larger than epsilon. Its objective is the share of x that v fools, once it is known.
    """
    import torch

    ball, n = NORMS[norm], len(x)
    v, rate, done = torch.zeros_like(x[0]), None, 0
    if state:
        v, rate, done, order = state["best"], state["objective"], state["step"], state["order"]
        noise.go_on(state["noise"])
    while done < epochs * n and (rate is None or rate < fooling_rate):
        if done % n == 0:
            order = noise.uniform(x.new_empty(n), 0, 1).argsort()
        i = int(order[done % n])
        x_i, goal = (x[i] + v).clamp(0, 1), Goal(int(k[i]))
        logits = (yield Forward(x_i)).logits
        if not goal.reached(logits):
            way = shortest_way(
                x_i, goal, logits=logits, norm="l2", candidates=candidates, overshoot=overshoot, steps=steps
            )
            moved, logits = yield from _with_logits(way, logits)
            if goal.reached(logits):
                v = ball.project(v + moved - x_i, epsilon)
        done += 1
        if done % n == 0:
            rate = float(((yield from scores(x, v)).argmax(1) != k).double().mean())
        yield Progress(done, epochs * n, rate, best=v, state={"order": order, "noise": noise.state})
    return v


def _with_logits(way: "Algorithm[Tensor]", logits: "Tensor") -> "Algorithm[tuple[Tensor, Tensor]]":
    """Where DeepFool comes to, and the logits of that: the last that it hears of.

    logits  [K], of where it begins
    """

    def heard(answer: Any) -> Any:
        nonlocal logits
        logits = answer.logits if isinstance(answer, Scores) else logits
        return answer

    moved = yield from relayed(silent(way), lambda asked: asked, heard)
    return moved, logits
