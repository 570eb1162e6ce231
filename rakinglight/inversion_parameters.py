"""What a caller of `inversion` may set beside what `parameters` has: the energy, its terms, and how it is descended."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, FailFast, Field

from rakinglight.energy.canvas import Parametrization
from rakinglight.energy.descent import Optimizer
from rakinglight.energy.starts import Beginning
from rakinglight.parameters import (
    A_CLASS,
    ClassReference,
    IsLayer,
    PerImage,
    Picture,
    Pictures,
    SomePicture,
    _fraction,
    _number,
)


def _named_class(value: Any) -> Any:
    """An index or a label: where there is no image, there is no order of classes."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("a class is its index, or its label")
    return value


_Weight = Annotated[float, BeforeValidator(_number), Field(ge=0, le=1e9)]

CodeLayer = Annotated[
    str | None,
    Field(description="The layer whose output is the code. None: the last one that has height and width."),
    IsLayer,
]
_Unit = Annotated[int, Field(ge=0)]
Unit = Annotated[
    _Unit | None,
    BeforeValidator(lambda value: None if value is None else _number(value)),
    Field(description="A channel of the layer, or, where it has no height and width, a neuron of it."),
]
AlphaWeight = Annotated[
    _Weight, Field(description="Weight of the alpha-norm, which keeps colours from growing; a photograph's costs 1.")
]
Alpha = Annotated[
    float,
    BeforeValidator(_number),
    Field(ge=1, le=20, description="alpha, the exponent of the norm of colours."),
]
TotalVariationWeight = Annotated[
    _Weight, Field(description="Weight of TV^beta, which keeps the picture smooth; a photograph's costs about 1.")
]
Beta = Annotated[
    float,
    BeforeValidator(_number),
    Field(ge=0.5, le=4, description="beta, the exponent of the total variation: with 1 edges and spikes stay."),
]
Fidelity = Annotated[
    _Weight,
    Field(description="C, the weight of the loss against the terms: more of it, and the picture is less smooth."),
]
NearWeight = Annotated[
    _Weight, Field(description="Weight of the squared distance to the photograph, in units of a pixel's usual colour.")
]
EditTarget = Annotated[
    ClassReference, Field(description=f"The class towards which it is changed: {A_CLASS}."), PerImage
]
StepsOfDescent = Annotated[
    int, Field(ge=1, le=1000, description="Number of steps of the descent."), BeforeValidator(_number)
]
_Length = Annotated[float, Field(gt=0, le=100)]
StepLength = Annotated[
    _Length | None,
    BeforeValidator(
        lambda value: None if value is None else _fraction(value), json_schema_input_type=_Length | str | None
    ),
    Field(
        description="Length of a step. None: by adam 0.02 of pixels and 0.05 of a spectrum, by momentum 5e-6 and 5e-8."
    ),
]
OptimizerChoice = Annotated[
    Optimizer, Field(description="How a step is made of the slope: by Adam, or by momentum as published.")
]
ParametrizationChoice = Annotated[
    Parametrization,
    Field(description="What is moved: the pixels, or the decorrelated coefficients of their spectrum."),
]
BeginningChoice = Annotated[
    Beginning,
    Field(description="Where it begins: at noise of a photograph's strength, or at the model's mean colour (zeros)."),
]
Jitter = Annotated[
    int,
    BeforeValidator(_number),
    Field(ge=0, le=64, description="Pixels by which the picture is shifted at random, at most, before each step."),
]
Repeats = Annotated[
    int,
    BeforeValidator(_number),
    Field(ge=1, le=16, description="Number of starts, each with noise of its own; the pictures come best first."),
]
RepresentationName = Annotated[
    Literal["network", "hog", "dsift", "bag_of_words"],
    Field(description="What the code is of: a layer of the network, or a representation beyond networks."),
]
CodeOf = Annotated[SomePicture, Field(description="Whose code is looked for. None: the image's.")]
Start = Annotated[SomePicture, Field(description="Where it begins, instead of `beginning`.")]
Prior = Annotated[
    Literal["natural", "none", "dictionary", "decoder"],
    Field(
        description="What is known of pictures: the terms of the energy; nothing (no terms, no jitter, pixels); a "
        "learnt paired dictionary (of hog), or a decoder that was trained for the layer."
    ),
]
FoolingTarget = Annotated[
    int | str,
    BeforeValidator(_named_class),
    Field(description="The class that the model is to see in the picture: its index, or its label."),
]
FoolingEncoding = Annotated[
    Literal["gradient", "direct", "cppn"],
    Field(
        description="How the picture comes about: by steps up the gradient, or, from scores alone, by an evolution of "
        "its pixels (direct) or of graphs that paint regular patterns (cppn)."
    ),
]
Confidence = Annotated[
    float,
    BeforeValidator(_fraction, json_schema_input_type=float | str),
    Field(gt=0, lt=1, description="It ends at the first picture that the model gives the target with more than this."),
]
FoolingStep = Annotated[
    float,
    BeforeValidator(_fraction, json_schema_input_type=float | str),
    Field(gt=0, le=1, description="By how much a step up the gradient changes the pixel that it changes most."),
]
Population = Annotated[
    int, BeforeValidator(_number), Field(ge=1, le=1000, description="Pictures of a generation of an evolution.")
]
MutationRate = Annotated[
    float,
    BeforeValidator(_fraction, json_schema_input_type=float | str),
    Field(
        gt=0,
        le=1,
        description="Share of the pixels that a child of the direct encoding has otherwise; halved after every 1,000 "
        "generations.",
    ),
]
NoiseImages = Annotated[
    int,
    BeforeValidator(_number),
    Field(
        ge=0,
        le=10_000,
        description="Pictures of noise that the model is asked about, for comparison with the best of them.",
    ),
]
MaximizedClass = Annotated[
    int | str | None,
    BeforeValidator(lambda value: None if value is None else _named_class(value)),
    Field(description="The class whose score is climbed: its index, or its label."),
]
MaximizedLayer = Annotated[
    str | None, Field(description="The layer of the `unit` that is to answer, instead of a class."), IsLayer
]
TermsChoice = Annotated[
    Literal["natural", "none"],
    Field(description="What keeps the picture like a photograph: the terms of the energy and the jitter, or nothing."),
]
Starts = Annotated[
    int,
    BeforeValidator(_number),
    Field(ge=1, le=16, description="Number of pictures: the first begins as it is said, each other at its own noise."),
]
BlurSigma = Annotated[
    float,
    BeforeValidator(_number),
    Field(ge=0, le=10, description="Standard deviation of the blur in pixels; 0: none."),
]
BlurEvery = Annotated[
    int, BeforeValidator(_number), Field(ge=1, le=1000, description="Steps from one blur to the next.")
]
ClippedShare = Annotated[
    float,
    BeforeValidator(_fraction, json_schema_input_type=float | str),
    Field(
        ge=0, lt=1, description="Share of the pixels, the least of their kind, that become the mean colour each step."
    ),
]
SomeJitter = Annotated[
    Annotated[int, Field(ge=0, le=64)] | None,
    BeforeValidator(lambda value: None if value is None else _number(value)),
    Field(
        description="Pixels by which the picture is shifted at random, at most, before each step. None: a 14th of it."
    ),
]
CompareSoftmax = Annotated[
    bool, Field(strict=True, description="Climb the probability as well, beside the score, and say what each reached.")
]
RealImages = Annotated[
    Pictures, Field(description="Real images of the class, whose scores the one that is reached is compared with.")
]

StylePicture = Annotated[Picture, Field(description="The picture in whose style it is painted.")]
ContentLayer = Annotated[
    str | None,
    Field(description="The layer at which the content is kept. None: the last that has height and width."),
    IsLayer,
]
StyleLayers = Annotated[
    tuple[str, ...],
    FailFast(),
    Field(
        max_length=16,
        description="Layers with height and width that style is taken from. None named: five, spread over the first "
        "three quarters of the network.",
    ),
    IsLayer,
]
ContentWeight = Annotated[_Weight, Field(description="Weight of the content, against the style.")]
StyleWeight = Annotated[_Weight, Field(description="Weight of the style, against the content.")]
Octaves = Annotated[
    int,
    BeforeValidator(_number),
    Field(ge=1, le=10, description="Sizes at which it is dreamt, from coarse to the image's own."),
]
OctaveScale = Annotated[
    float,
    BeforeValidator(_number),
    Field(gt=1, le=4, description="By how much each size is larger than the one before."),
]
DreamSteps = Annotated[
    int, BeforeValidator(_number), Field(ge=1, le=1000, description="Steps at each size, and of each frame.")
]
DreamStep = Annotated[
    float,
    BeforeValidator(_fraction, json_schema_input_type=float | str),
    Field(gt=0, le=1, description="By how much a step changes a value, as a mean; in units of [0, 1]."),
]
Frames = Annotated[
    int,
    BeforeValidator(_number),
    Field(ge=0, le=48, description="Frames of an animation that goes on zooming in and dreaming; 0: no animation."),
]
Zoom = Annotated[
    float, BeforeValidator(_number), Field(gt=1, le=2, description="By how much a frame is enlarged over the last.")
]
AnimationFormat = Annotated[Literal["gif", "webp"], Field(description="What the animation comes as.")]
