"""One picture's content in the style of another."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rakinglight.card import Card
from rakinglight.codes import Distance
from rakinglight.errors import BadParameter
from rakinglight.inversion_parameters import (
    Beta,
    ContentLayer,
    ContentWeight,
    Jitter,
    OptimizerChoice,
    ParametrizationChoice,
    StepLength,
    StepsOfDescent,
    StyleLayers,
    StylePicture,
    StyleWeight,
    TotalVariationWeight,
)
from rakinglight.inverted import Inverted
from rakinglight.noise import Noise
from rakinglight.picture_parameters import seen
from rakinglight.queries import Algorithm, Forward, Gradient, Scores, Slope, State

if TYPE_CHECKING:
    from torch import Tensor

#: Layers that style is taken from where none are named, spread over the first three quarters of the network.
SPREAD = 5


def gram(F: "Tensor") -> "Tensor":
    """F F^T / M of the maps F [n, N, h, w], M = h w places: how the N features go together, wherever. [n, N, N]."""
    F = F.flatten(2)
    return F @ F.mT / F.shape[-1]


@dataclass(frozen=True, eq=False)
class Blend:
    """alpha |F - P|^2 / |P|^2 at the content's layer, and beta times the mean over layers of |G - A|^2 / |A|^2.

    content       layer -> P, the maps of the content image [N, h, w]
    style         layer -> A, the Gram matrix of the style image [N, N]
    """

    content: "Mapping[str, Tensor]"
    style: "Mapping[str, Tensor]"
    alpha: float
    beta: float

    def __call__(self, outputs: "Mapping[str, Tensor]") -> "Tensor":
        from torch import stack

        content = [Distance(P)(outputs[layer]) for layer, P in self.content.items()]
        style = [Distance(A)(gram(outputs[layer])) for layer, A in self.style.items()]
        return self.alpha * stack(content).sum(0) + self.beta * stack(style).mean(0)


def style(
    x: "Tensor",
    card: Card,
    noise: Noise,
    state: State | None = None,
    *,
    style: StylePicture,
    content_layer: ContentLayer = None,
    style_layers: StyleLayers = (),
    content_weight: ContentWeight = 1.0,
    style_weight: StyleWeight = 30.0,
    beta: Beta = 2.0,
    tv_weight: TotalVariationWeight = 0.1,
    jitter: Jitter = 0,
    parametrization: ParametrizationChoice = "fourier",
    optimizer: OptimizerChoice = "adam",
    step_size: StepLength = None,
    steps: StepsOfDescent = 100,
) -> "Algorithm[Inverted]":
    """Paints the image in the style of another picture: its content at one layer, the other's Gram matrices at several.

    Gatys, Ecker and Bethge, "Image Style Transfer Using Convolutional Neural Networks", CVPR 2016, equations 1 to 7.
    Each layer's term is divided by the size of what it is to become, so that the weights mean the same for every
    network. It begins at the image.

    x      [C, H, W], as the network sees it: the content
    card   of the network
    noise  the run's own random numbers, for the jitter
    state  from which to go on, as its Progress had it
    Returns a picture of x's shape. Raises BadParameter where a layer puts out nothing for one of the two pictures.
    """
    from rakinglight.energy import TotalVariation, canvas_of, descent_of, minimize

    content = content_layer or card.code_layer
    layers = style_layers or spread(card)
    for at, layer in enumerate(style_layers):
        card.check_spatial_layer(layer, f"/parameters/style_layers/{at}")
    asked = tuple(dict.fromkeys([content, *layers]))
    if state is None:
        of_x: Scores = yield Forward(x[None], (content,), seen=True, short=True)
        of_style: Scores = yield Forward(seen(card, style)[None], tuple(layers), seen=True, short=True)  # type: ignore[arg-type]
        P = {content: of_x.activations[content][0]}
        A = {layer: gram(of_style.activations[layer])[0] for layer in layers}
    else:
        P, A = dict(state["P"]), dict(state["A"])
    for what, found in (("content_layer", P), ("style_layers", A)):
        if dark := [layer for layer, value in found.items() if not value.any()]:
            detail = f"{dark[0]} puts out nothing but zeros for this picture; name another layer."
            raise BadParameter.at(f"/parameters/{what}", detail)
    loss = Blend(P, A, content_weight, style_weight)

    def ask(rows: "Tensor") -> "Algorithm[tuple[Tensor, Tensor]]":
        slope: Slope = yield Gradient(rows, loss, at=asked, seen=True)
        return slope.objective, slope.gradient

    return (
        yield from minimize(
            canvas_of(parametrization, x[None].clone()),
            ask,
            [TotalVariation(tv_weight, beta)] if tv_weight else [],
            descent_of(optimizer, step_size, parametrization),
            steps=steps,
            noise=noise,
            jitter=jitter,
            known={"P": P, "A": A},
            state=state,
        )
    )


def spread(card: Card) -> Sequence[str]:
    """Layers with height and width, spread over the first three quarters of those that the network has."""
    there = [name for name, shape in card.layers.items() if len(shape) == 3 and max(shape[1:]) > 1]
    if not there:
        card.check_spatial_layer(None, "/parameters/style_layers")
    last = min(3 * len(there) // 4, len(there) - 1)
    return list(dict.fromkeys(there[i * last // (SPREAD - 1)] for i in range(SPREAD)))
