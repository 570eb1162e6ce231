"""One perturbation for many images, by gradient steps."""

from typing import TYPE_CHECKING

from rakinglight.noise import Noise
from rakinglight.norms import NORMS
from rakinglight.objectives import CrossEntropy
from rakinglight.parameters import BatchSize, Epochs, NormChoice, PositiveEpsilon, Restarts, TenthStepSize
from rakinglight.perturbed import scores
from rakinglight.queries import Algorithm, Gradient, Progress, State

if TYPE_CHECKING:
    from torch import Tensor

#: beta of the clipped loss: the cross-entropy above which an image is fooled for good and pulls no more.
BETA = 9.0


def gradient(
    x: "Tensor",
    k: "Tensor",
    noise: Noise,
    state: State | None = None,
    *,
    norm: NormChoice = "linf",
    epsilon: PositiveEpsilon = 10 / 255,
    step_size: TenthStepSize = None,
    epochs: Epochs = 10,
    batch_size: BatchSize = 64,
    restarts: Restarts = 4,
) -> "Algorithm[Tensor]":
    """Steps up the loss of a few images at a time, each projected back onto the ball.

    Shafahi et al., "Universal Adversarial Training", AAAI 2020: the stochastic gradient attack with sign steps, on the
    loss that is clipped at beta, so that no single image can pull for ever. Most of what one perturbation fools ends in
    one class, and which that is, the first steps decide: so it is begun `restarts` times, at first at zero, then at
    random points of the ball, and the one that fools most of x is kept.

    x      [n, C, H, W], the images as the network sees them, pixels in [0, 1]
    k      int64 [n], the network's own answers to them: the labels y
    noise  the run's own random numbers, for the order and the starts
    state  from which to go on, as its Progress had it
    Returns delta [C, H, W], no larger than epsilon. Its objective is the share of a batch that delta fooled before the
    step.
    """
    import torch

    ball, n, m = NORMS[norm], len(x), batch_size
    alpha = epsilon / 10 if step_size is None else step_size
    batches = -(-n // m)
    each = epochs * batches
    delta, best, rate, done = torch.zeros_like(x[0]), None, -1.0, 0
    if state:
        delta, rate, done = state["delta"], state["rate"], state["step"]
        best = state["best"] if rate >= 0 else None
        order = state["order"]
        noise.go_on(state["noise"])
    for t in range(done, restarts * each):
        if t % each == 0 and t:
            delta = ball.random(noise, delta, epsilon)
        if t % batches == 0:
            order = noise.uniform(x.new_empty(n), 0, 1).argsort()
        batch = order[t % batches :: batches]  # every batch of about the same size
        x_t, y = x[batch] + delta, k[batch].tolist()
        J, g, logits = yield Gradient(x_t.clamp(0, 1), [CrossEntropy(c) for c in y])
        # What is clipped, of the loss or of a pixel, does not change with delta.
        g = g * (J < BETA)[:, None, None, None] * ((x_t >= 0) & (x_t <= 1))
        delta = ball.project(delta + alpha * ball.direction(g.sum(0)), epsilon)
        fooled = float((logits.argmax(1) != k[batch]).double().mean())
        if (t + 1) % each == 0:
            found = float(((yield from scores(x, delta)).argmax(1) != k).double().mean())
            best, rate = (delta, found) if found > rate else (best, rate)
        kept = {"order": order, "noise": noise.state, "delta": delta, "rate": rate}
        yield Progress(t + 1, restarts * each, fooled, best=delta if best is None else best, state=kept)
    return delta if best is None else best
