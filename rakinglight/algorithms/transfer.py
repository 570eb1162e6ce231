"""An adversarial example made on other networks, to be tried on this one."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from rakinglight.norms import NORMS
from rakinglight.objectives import Goal
from rakinglight.parameters import Epsilon, Models, Momentum, NormChoice, SomeStepSize, Steps
from rakinglight.queries import Algorithm, Gradient, Progress, State

if TYPE_CHECKING:
    from torch import Tensor

    from rakinglight.view import View


def transfer(
    x: "Tensor",
    goal: Goal,
    view_of: "Callable[[str], View]",
    state: State | None = None,
    *,
    models: Models,
    norm: NormChoice = "linf",
    epsilon: Epsilon = 8 / 255,
    step_size: SomeStepSize = None,
    steps: Steps = 10,
    momentum: Momentum = 0.0,
) -> "Algorithm[Tensor]":
    """Steps up the mean loss of other models: what fools them all may fool this one too, which is not asked.

    Liu et al., "Delving into Transferable Adversarial Examples and Black-box Attacks", ICLR 2017, section 5, for
    several models at once, here by the mean of their losses; Dong et al., "Boosting Adversarial Attacks with Momentum",
    CVPR 2018, algorithm 1, for the momentum. With one model and no momentum it is PGD on that model.

    x        [C, H, W], pixels in [0, 1]
    goal     the label to leave, or the target to reach
    view_of  a model's name -> how that model sees x
    state    from which to go on, as its Progress had it
    Returns an image of x's shape, within epsilon of x, pixels in [0, 1].
    """
    ball, J, eps, mu, T = NORMS[norm], goal.loss, epsilon, momentum, steps
    alpha = 2.5 * eps / T if step_size is None else step_size
    views: Mapping[str, View] = {name: view_of(name) for name in models}
    x_t, g, done = (state["best"], state["g"], state["step"]) if state else (x, x * 0, 0)
    for t in range(done, T):
        losses, gradient = 0.0, x * 0
        for name, view in views.items():
            value, slope, _ = yield Gradient(view(x_t), J, network=name, seen=True)
            losses, gradient = losses + float(value), gradient + view.pullback(slope)
        g = mu * g + gradient / gradient.abs().sum().clamp(min=1e-37)
        x_t = x_t + alpha * ball.direction(g)
        x_t = (x + ball.project(x_t - x, eps)).clamp(0, 1)
        yield Progress(t + 1, T, losses / len(views), best=x_t, state={"g": g})
    return x_t
