"""A photograph with what a layer sees in it exaggerated."""

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from rakinglight.card import Card
from rakinglight.codes import Original, code_called
from rakinglight.errors import BadParameter
from rakinglight.inversion_parameters import (
    Alpha,
    AlphaWeight,
    Beta,
    CodeLayer,
    Fidelity,
    Jitter,
    OptimizerChoice,
    ParametrizationChoice,
    RepresentationName,
    StepLength,
    StepsOfDescent,
    TotalVariationWeight,
)
from rakinglight.inverted import Inverted
from rakinglight.noise import Noise
from rakinglight.queries import Algorithm, State

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Exaggeration:
    """-<phi, max(phi_0, 0)> / |phi_0|^2: -1 of the image itself, at a layer of which nothing is below zero."""

    phi_0: "Tensor"

    def __call__(self, phi: "Tensor") -> "Tensor":
        phi_0 = self.phi_0.to(phi)
        return -(phi * phi_0.clamp(min=0)).flatten(1).sum(1) / phi_0.square().sum()


def caricature(
    x: "Tensor",
    card: Card,
    noise: Noise,
    state: State | None = None,
    *,
    layer: CodeLayer = None,
    representation: RepresentationName = "network",
    fidelity: Fidelity = 1000.0,
    alpha: Alpha = 6.0,
    alpha_weight: AlphaWeight = 1.0,
    beta: Beta = 2.0,
    tv_weight: TotalVariationWeight = 1.0,
    jitter: Jitter = 4,
    parametrization: ParametrizationChoice = "fourier",
    optimizer: OptimizerChoice = "adam",
    step_size: StepLength = None,
    steps: StepsOfDescent = 60,
) -> "Algorithm[Inverted]":
    """Exaggerates in the image what a layer finds in it.

    Mahendran and Vedaldi, "Visualizing Deep Convolutional Neural Networks Using Natural Pre-Images", IJCV 2016, section
    on caricaturisation: inversion's energy with another loss, the product of the code with the positive part of the
    image's own. It begins at the image. The loss has no end, so it is the alpha-norm that holds the picture.

    x      [C, H, W], as the network sees it
    card   of the network, with its layers and its mean colour
    noise  the run's own random numbers, for the jitter
    state  from which to go on, as its Progress had it
    Returns a picture of x's shape. Its errors are its distance from the image, which grows as it is exaggerated.
    Raises BadParameter where the layer puts out nothing above zero: there is nothing to exaggerate.
    """
    import torch

    from rakinglight.energy import canvas_of, descent_of, minimize, natural

    mean = torch.tensor(card.mean).view(-1, 1, 1)
    original = yield from Original.of(code_called(card, representation, layer), card, x, state)
    if not (original.phi > 0).any():
        detail = (
            f"{original.code.name} puts out nothing above zero for this image, so there is nothing to exaggerate; "
            "name another layer."
        )
        raise BadParameter.at("/parameters/layer", detail)
    loss = Exaggeration(original.phi)

    def ask(rows: "Tensor") -> "Algorithm[tuple[Tensor, Tensor]]":
        value, g = yield from original.code.slope(rows, loss)
        return fidelity * value, fidelity * g

    return (
        yield from minimize(
            canvas_of(parametrization, x[None].clone()),
            ask,
            natural(mean, alpha, alpha_weight, beta, tv_weight),
            descent_of(optimizer, step_size, parametrization),
            steps=steps,
            noise=noise,
            jitter=jitter,
            made=partial(Inverted, original=original),
            known=original.known,
            state=state,
        )
    )
