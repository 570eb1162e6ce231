"""Pictures that a code cannot tell from the one that it is of."""

from functools import partial
from typing import TYPE_CHECKING

from rakinglight.card import Card
from rakinglight.codes import Original, code_called
from rakinglight.errors import BadParameter
from rakinglight.inversion_parameters import (
    Alpha,
    AlphaWeight,
    BeginningChoice,
    Beta,
    CodeLayer,
    CodeOf,
    Fidelity,
    Jitter,
    OptimizerChoice,
    ParametrizationChoice,
    Prior,
    Repeats,
    RepresentationName,
    Start,
    StepLength,
    StepsOfDescent,
    TotalVariationWeight,
)
from rakinglight.inverted import Inverted
from rakinglight.noise import Noise
from rakinglight.picture_parameters import seen
from rakinglight.queries import Algorithm, Compute, State
from rakinglight.subject import Subject

if TYPE_CHECKING:
    from torch import Tensor

#: Noise, in units of pixels, without which a representation of slopes would see none.
TRACE = 0.01


def invert(
    x: "Tensor",
    subject: Subject,
    card: Card,
    noise: Noise,
    state: State | None = None,
    *,
    layer: CodeLayer = None,
    representation: RepresentationName = "network",
    code_of: CodeOf = None,
    prior: Prior = "natural",
    beginning: BeginningChoice = "zeros",
    start: Start = None,
    repeats: Repeats = 1,
    fidelity: Fidelity = 1000.0,
    alpha: Alpha = 6.0,
    alpha_weight: AlphaWeight = 1.0,
    beta: Beta = 2.0,
    tv_weight: TotalVariationWeight = 1.0,
    jitter: Jitter = 0,
    parametrization: ParametrizationChoice = "fourier",
    optimizer: OptimizerChoice = "adam",
    step_size: StepLength = None,
    steps: StepsOfDescent = 300,
) -> "Algorithm[Inverted]":
    """Finds a picture with the same code as the image, and as like a photograph as that leaves open.

    Mahendran and Vedaldi, "Visualizing Deep Convolutional Neural Networks Using Natural Pre-Images", IJCV 2016,
    equation 1 with the normalised Euclidean distance (equation 2), the alpha-norm (4) and TV^beta (6). Begun at one
    photograph with the code of another, it ends at a picture that is like the one and has the code of the other (Tatu
    et al., "Exploring the Representation Capabilities of the HOG Descriptor", ICCV workshops 2011).

    x        [C, H, W], as the network sees it: the picture whose code is inverted, unless `code_of` is another
    subject  has the network's decoders
    card     of the network, with its layers and its mean colour
    noise    the run's own random numbers, for noise to begin at and the jitter
    state    from which to go on, as its Progress had it
    Returns `repeats` pictures of x's shape, each from noise of its own, and their errors against the code's picture.
    Raises BadParameter where the code is zero throughout, and for pictures that the model cannot see.
    """
    import torch

    from rakinglight.energy import begun, canvas_of, descent_of, minimize, natural
    from rakinglight.representations.dictionary import dictionary_inverse

    mean = torch.tensor(card.mean).view(-1, 1, 1)
    code = code_called(card, representation, layer)
    assert not isinstance(code_of, str), "a door has decoded it"
    assert not isinstance(start, str), "a door has decoded it"
    original = yield from Original.of(code, card, x if code_of is None else seen(card, code_of), state)
    if prior == "decoder":
        picture = yield Compute(partial(subject.decoders[code.name].picture, original.phi))
        return Inverted(picture[None], original=original)
    if prior == "dictionary":
        C, H, W = original.x.shape
        picture = yield Compute(partial(dictionary_inverse, original.phi, (C, H, W)))
        return Inverted(picture[None], original=original)

    def ask(rows: "Tensor") -> "Algorithm[tuple[Tensor, Tensor]]":
        value, g = yield from original.slope(rows)
        return fidelity * value, fidelity * g

    free = prior == "none"
    z = begun(beginning, mean, x, repeats, noise) if start is None else seen(card, start)[None].clone()
    if representation != "network" and start is None:  # where a picture is flat they have no slope to go down along
        z = (z + TRACE * noise.normal(z)).clamp(0, 1)
    return (
        yield from minimize(
            canvas_of("pixels" if free else parametrization, z),
            ask,
            () if free else natural(mean, alpha, alpha_weight, beta, tv_weight),
            descent_of(optimizer, step_size, "pixels" if free else parametrization),
            steps=steps,
            noise=noise,
            jitter=0 if free else jitter,
            made=partial(Inverted, original=original),
            known=original.known,
            state=state,
        )
    )


def check_together(
    _shape: tuple[int, int, int], representation: str, prior: str, beginning: str, start: object, repeats: int
) -> None:
    """Raise BadParameter where they do not go together: a prior with another kind of code, repeats that are alike."""
    check_prior(_shape, representation, prior)
    if repeats > 1 and (start is not None or beginning == "zeros"):
        detail = (
            f"{repeats} repeats from the same start would be {repeats} times the same picture: take beginning noise"
        )
        detail += ", and no start." if start is not None else "."
        raise BadParameter.at("/parameters/repeats", detail)


def check_prior(_shape: tuple[int, int, int], representation: str, prior: str) -> None:
    """Raise BadParameter where what was learnt for `prior` is of another kind of code than `representation`."""
    if prior == "decoder" and representation != "network":
        detail = f"A decoder is of a layer of the network, and the representation is {representation}: take natural."
    elif prior == "dictionary" and representation != "hog":
        detail = f"The dictionary is of hog, and the representation is {representation}: take natural."
    else:
        return
    raise BadParameter.at("/parameters/prior", detail)
