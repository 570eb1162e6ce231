"""What a caller may set: the types, with their limits and what they mean. Algorithms and operations annotate with them.

A parameter is written down once, in the signature of the function that uses it. The JSON Schema that the service
shows, the check that it makes, the default that it fills in and the table in `docs/` are all read from there.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, FailFast, Field, model_validator

from rakinglight import defenses
from rakinglight.defenses import AnyDefense
from rakinglight.errors import BadParameter, shown
from rakinglight.fills import Fill
from rakinglight.norms import NormName
from rakinglight.objectives import AttackLoss, Score
from rakinglight.picture_parameters import Picture as Picture
from rakinglight.picture_parameters import Pictures as Pictures
from rakinglight.picture_parameters import SomePicture as SomePicture
from rakinglight.substitutes.architectures import Architecture
from rakinglight.trust import FIGURES, Figure
from rakinglight.wire import array_from_json


def _fraction(value: Any) -> Any:
    """`"8/255"` is how the field writes an epsilon."""
    if not isinstance(value, str):
        return _number(value)
    if value.strip().endswith("%"):
        raise ValueError(f"{shown(value)} is a percentage; write it in units of [0, 1], such as 0.03 or '8/255'")
    above, slash, below = value.partition("/")
    try:
        return float(above) / float(below) if slash else float(above)
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"{shown(value)} is neither a number nor a fraction such as '8/255'") from None


def _number(value: Any) -> Any:
    """Neither text nor a truth value passes for a number, as it would in Python."""
    if isinstance(value, str):
        try:
            float(value)
        except ValueError:
            raise ValueError("it is no number") from None
        raise ValueError("a number stands without quotes")
    if isinstance(value, bool):
        raise ValueError("a truth value is no number")
    return value


def _filling(value: Any) -> Any:
    """The name of a fill, or a number, as text too."""
    if not isinstance(value, str):
        return _number(value)
    if value in get_args(Fill):
        return value
    try:
        return float(value)
    except ValueError:
        raise ValueError("it is 'grey', 'mean', 'blur', 'noise', or a value in [0, 1] such as 0.5") from None


def _perturbation(value: Any) -> Any:
    """An id as it is; of a tensor, that it is one of three dimensions."""
    if isinstance(value, str):
        return value
    if not isinstance(value, dict) or value.keys() != {"dtype", "shape", "data"}:
        raise ValueError("it is the id of a perturbation, or a tensor with dtype, shape and data")
    try:
        array = array_from_json(value)
    except BadParameter as e:
        raise ValueError(e.detail.removesuffix(".")) from None
    if array.ndim != 3 or array.dtype.kind != "f":
        raise ValueError("as a tensor it has floats and three dimensions, [C, H, W]")
    return value


def as_fraction(value: float) -> str:
    """`value` as it is written: 8/255 where that many grey levels are no shorter in decimals, as 0.2 is."""
    levels, decimals = round(value * 255), f"{value:g}"
    if abs(value * 255 - levels) < 1e-9 and len(decimals) > len(f"{levels}/255"):
        return f"{levels}/255"
    return decimals


class Rank(BaseModel):
    """A class by the model's own order for the image at hand: 1 is its first answer, -1 its last."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    rank: int = Field(strict=True, description="1 is the model's first answer, -1 its last.")

    @model_validator(mode="before")
    @classmethod
    def _alone(cls, value: Any) -> Any:
        # Else pydantic tells of every other member, and a caller can send millions.
        if isinstance(value, dict) and len(value) > 1:
            raise ValueError("it has the one member rank")
        return value


class PerImage:
    """Marks a parameter that may also be a list with one value an image."""


class HasExtent:
    """Marks the name of a layer whose output has height and width."""


class IsLayer:
    """Marks the name of a layer, or a list of them."""


#: The forms in which a class is named.
A_CLASS = 'its index, its label, or {"rank": 1} for the model\'s first answer, {"rank": -1} for its last'
ClassReference = Annotated[int, Field(strict=True)] | str | Rank
Target = Annotated[ClassReference | None, Field(description=f"The class that is explained: {A_CLASS}."), PerImage]
AttackTarget = Annotated[
    ClassReference | None,
    Field(description=f"The class to reach: {A_CLASS}. With none the attack goes away from the label."),
    PerImage,
]
Label = Annotated[
    ClassReference | None, Field(description=f"The true class: {A_CLASS}. None: the model's own prediction."), PerImage
]

_DefenseSaid = defenses.Name | AnyDefense

TrueLabels = Annotated[
    ClassReference | None,
    Field(description=f"The true class of each image: {A_CLASS}. None: what the dataset says, if it does."),
    PerImage,
]
EarlyStop = Annotated[
    bool, Field(strict=True, description="Stop at the first picture that is proven, and look for no higher loss.")
]

_Radius = Annotated[float, Field(ge=0, le=1000)]
_Length = Annotated[float, Field(gt=0, le=1000)]
Epsilon = Annotated[
    _Radius,
    BeforeValidator(_fraction, json_schema_input_type=_Radius | str),
    Field(description="Radius of the ball in units of [0, 1]; '8/255' is eight grey levels. At most 1 in linf."),
]
PositiveEpsilon = Annotated[
    _Length,
    BeforeValidator(_fraction, json_schema_input_type=_Length | str),
    Field(description="Radius of the ball in units of [0, 1]; '8/255' is eight grey levels. At most 1 in linf."),
]
Epsilons = Annotated[
    tuple[Epsilon, ...],
    FailFast(),
    Field(min_length=1, max_length=20, description="Radii of the ball, as `epsilon` of an attack. At most 1 in linf."),
]
SomeStepSize = Annotated[
    _Length | None,
    BeforeValidator(_fraction, json_schema_input_type=_Length | str | None),
    Field(description="Length of one step, in units of [0, 1] in the chosen norm. None: 2.5 epsilon / steps."),
]
Momentum = Annotated[
    float,
    BeforeValidator(_number),
    Field(ge=0, le=1, description="How much of the direction so far each step keeps; 0 forgets it."),
]
Models = Annotated[
    tuple[str, ...],
    FailFast(),
    Field(min_length=1, max_length=8, description="Names of other models, with the labels of this one."),
]
Steps = Annotated[int, Field(ge=1, le=1000, description="Number of gradient steps."), BeforeValidator(_number)]
MostSteps = Annotated[
    int,
    Field(ge=1, le=1000, description="Gradient steps at most; of each run, where the method makes several."),
    BeforeValidator(_number),
]
Restarts = Annotated[
    int,
    Field(
        ge=1,
        le=100,
        description="Number of starts, all after the first at random in the ball; the best that is found counts.",
    ),
    BeforeValidator(_number),
]
AttackLossChoice = Annotated[
    AttackLoss,
    Field(description="What is climbed: the cross-entropy, or the ratio of differences of logits, with no softmax."),
]
Queries = Annotated[
    int,
    Field(ge=1, le=100_000, description="Rows that the search may ask about, and never one more."),
    BeforeValidator(_number),
]
InitialRows = Annotated[
    int,
    Field(ge=1, le=10_000, description="Rows of the first estimate; the t-th has sqrt(t) times as many."),
    BeforeValidator(_number),
]
Gamma = Annotated[
    float,
    BeforeValidator(_number),
    Field(
        gt=0,
        le=1e9,
        description="How many times as coarse as published the way to the boundary is searched, and as long the probes "
        "are. More than 1 for a model that is shown 8-bit pictures, which the published probes are lost in.",
    ),
]
StepShare = Annotated[
    float,
    BeforeValidator(_fraction, json_schema_input_type=float | str),
    Field(gt=0, lt=1, description="The first step, as a share of the distance to the image; it then follows success."),
]
Start = Annotated[
    SomePicture,
    Field(
        description="An image to begin at that is where the attack wants to go, of the image's own size. None: noise "
        "is searched for one."
    ),
]
InitialShare = Annotated[
    float,
    BeforeValidator(_fraction, json_schema_input_type=float | str),
    Field(gt=0, le=1, description="Share of the image's area that the first squares have."),
]
TargetClasses = Annotated[
    int,
    Field(ge=1, le=1000, description="How many of the best other classes are aimed at, one after the other."),
    BeforeValidator(_number),
]
Candidates = Annotated[
    int,
    Field(ge=2, le=1000, description="How many of the likeliest classes are looked at, the label among them."),
    BeforeValidator(_number),
]
Overshoot = Annotated[
    float,
    BeforeValidator(_number),
    Field(ge=0, le=1, description="How far beyond the boundary to go, as a share of the way to it."),
]
BinarySearchSteps = Annotated[
    int,
    Field(ge=1, le=100, description="How many weights of the distance to try; each is one minimisation."),
    BeforeValidator(_number),
]
NormChoice = Annotated[
    NormName,
    Field(description="The norm of the ball and of the step; where there is no ball, of the change to be kept small."),
]
ScoreChoice = Annotated[
    Score,
    Field(description="What is explained: the logit, the probability, or its logarithm. More is more of the class."),
]
TopK = Annotated[
    int, Field(ge=1, le=1000, description="How many of the best classes to name."), BeforeValidator(_number)
]
LayerNames = Annotated[
    tuple[str, ...], FailFast(), Field(max_length=8, description="Layers whose activations come with the answer.")
]
SpatialLayer = Annotated[
    str | None, Field(description="A layer whose output has height and width. None: the last one that has."), HasExtent
]
Figures = Annotated[
    tuple[Figure, ...],
    FailFast(),
    Field(max_length=len(FIGURES), description="Figures that say how far to trust the map."),
]
_Side = Annotated[int, Field(ge=0, le=100_000), BeforeValidator(_number)]
Boxes = Annotated[
    tuple[tuple[_Side, _Side, _Side, _Side], ...],
    FailFast(),
    Field(
        max_length=100,
        description="Where the class is to be seen: [top, left, bottom, right] in pixels of the image as it came.",
    ),
]
NSamples = Annotated[int, Field(ge=1, le=1000, description="How often noise is drawn."), BeforeValidator(_number)]
_Share = Annotated[float, Field(ge=0, le=1)]
NoiseLevel = Annotated[
    _Share,
    BeforeValidator(_fraction, json_schema_input_type=_Share | str),
    Field(description="Standard deviation of the noise, as a share of the image's range, max - min."),
]
_Deviation = Annotated[float, Field(ge=0.001, le=1)]
Sigma = Annotated[
    _Deviation,
    BeforeValidator(_fraction, json_schema_input_type=_Deviation | str),
    Field(description="Standard deviation of the noise, in units of [0, 1]."),
]
NSteps = Annotated[
    int, Field(ge=1, le=1000, description="Number of points on the path from the baseline."), BeforeValidator(_number)
]
Filling = Annotated[
    _Share | Fill,  # the number first: its refusal is told, text was read before
    BeforeValidator(_filling),
    Field(
        description="What stands for nothing: grey (0.5), the image's mean colour, the image blurred, uniform noise, "
        "or a value in [0, 1]."
    ),
]
_Pixels = Annotated[int, Field(ge=1), BeforeValidator(_number)]
Window = Annotated[
    _Pixels | None,
    Field(description="Side of the window in pixels, at most the image's. None: a seventh of its shorter side."),
]
Stride = Annotated[
    _Pixels | None,
    Field(description="Pixels from one place of the window to the next, at most its side. None: half of that."),
]
PerChannel = Annotated[
    bool, Field(strict=True, description="Cover one channel at a time instead of all of them together.")
]
Masks = Annotated[int, Field(ge=1, le=10_000, description="Number of random masks, at most."), BeforeValidator(_number)]
Cells = Annotated[
    int,
    Field(ge=2, description="Cells of a mask on each side, at most the image's pixels: more of them, finer masks."),
    BeforeValidator(_number),
]
KeepProbability = Annotated[
    float,
    BeforeValidator(_fraction, json_schema_input_type=float | str),
    Field(ge=0.01, le=0.99, description="Probability that a cell of a mask lets the image through."),
]
_Error = Annotated[float, BeforeValidator(_fraction, json_schema_input_type=float | str), Field(gt=0)]
StandardError = Annotated[
    _Error | None,
    Field(description="Stop once no pixel's standard error is above this, in units of the score. None: use all masks."),
]
Defenses = Annotated[
    tuple[AnyDefense, ...],
    BeforeValidator(defenses.read, json_schema_input_type=_DefenseSaid | list[_DefenseSaid]),
    Field(description="What an image passes before the model sees it, in this order: names, or objects with a name."),
]
Adaptive = Annotated[
    bool,
    Field(strict=True, description="Whether the attack knows of the defence. Else it is made on the model without."),
]
Draws = Annotated[
    int,
    Field(ge=1, le=100, description="Draws of a random defence that an adaptive attack's gradient is the mean over."),
    BeforeValidator(_number),
]
UseDetector = Annotated[
    bool,
    Field(
        strict=True,
        description="Ask the model's detector of adversarial images, too. An attack succeeds only with a picture that "
        "it lets pass.",
    ),
]
RandomStart = Annotated[
    bool, Field(strict=True, description="Start at a random point of the ball instead of at the image.")
]
Epochs = Annotated[
    int, Field(ge=1, le=1000, description="How often to go through all images, at most."), BeforeValidator(_number)
]
BatchSize = Annotated[int, Field(ge=1, le=1000, description="Images that a step is made by."), BeforeValidator(_number)]
TenthStepSize = Annotated[
    _Length | None,
    BeforeValidator(_fraction, json_schema_input_type=_Length | str | None),
    Field(description="Length of one step, in units of [0, 1] in the chosen norm. None: epsilon / 10."),
]
FoolingRate = Annotated[
    _Share,
    BeforeValidator(_fraction, json_schema_input_type=_Share | str),
    Field(description="Stop once this share of the images is fooled."),
]
Holdout = Annotated[
    float,
    BeforeValidator(_fraction, json_schema_input_type=float | str),
    Field(ge=0, le=0.9, description="Share of the images that is kept aside, and judged by; 0 judges by none."),
]
ImageCounts = Annotated[
    tuple[Annotated[int, Field(ge=1), BeforeValidator(_number)], ...],
    FailFast(),
    Field(
        max_length=16,
        description="Of how many images to make it, once for each number, to see what more of them bring; it is made "
        "of all in any case. Empty: an eighth, a quarter and half of them.",
    ),
]
OtherModels = Annotated[
    tuple[str, ...],
    FailFast(),
    Field(max_length=8, description="Names of other models, with the labels of this one, on which it is tried."),
]

MatrixModels = Annotated[
    tuple[str, ...],
    FailFast(),
    Field(
        max_length=8,
        description="Names of other models, with the labels of this one: what is made on each is tried on all of them.",
    ),
]


class AttackChoice(BaseModel):
    """A method of `attack`, and those of its own parameters that are not to have their defaults."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    method: str = Field(description="The name of a method of attack.")
    parameters: dict[str, Any] = Field(
        default_factory=dict, description="Its own, save norm and epsilon, which are the same for all."
    )

    def __str__(self) -> str:
        return self.method


def _attack(value: Any) -> Any:
    if isinstance(value, str):
        return {"method": value}
    # Else pydantic tells of every other member, and a caller can send millions.
    if isinstance(value, dict) and not value.keys() <= {"method", "parameters"}:
        raise ValueError("an attack has the members method and parameters, and no others")
    return value


_Attack = Annotated[AttackChoice, BeforeValidator(_attack, json_schema_input_type=AttackChoice | str)]
Attacks = Annotated[
    tuple[_Attack, ...],
    FailFast(),
    Field(
        min_length=1,
        max_length=10,
        description="Methods of attack, tried one after the other until the image is broken: names, or each as "
        '{"method", "parameters"}.',
    ),
]
Checks = Annotated[
    bool, Field(strict=True, description="Also try small attacks on each image, to see if the figures can be believed.")
]
KnownLabels = Annotated[
    ClassReference | None,
    Field(
        description=f"The true class of each image: {A_CLASS}. None: what the dataset says, else what the model "
        "answers. Nothing is made of images that the model gets wrong."
    ),
    PerImage,
]
Seeds = Annotated[
    int | None,
    Field(
        ge=1,
        le=10_000,
        description="Images that the substitute begins with; it is judged by the others. None: a fifth.",
    ),
    BeforeValidator(lambda value: None if value is None else _number(value)),
]
Shuffle = Annotated[
    bool, Field(strict=True, description="Draw the seeds from all images; else they are the first ones.")
]
Answers = Annotated[
    Literal["auto", "hard", "soft"],
    Field(
        description="What the substitute learns from: the model's first answer (hard), or its probabilities (soft). "
        "auto: soft, where the model tells them."
    ),
]
MaxQueries = Annotated[
    int | None,
    Field(
        ge=1,
        le=10_000_000,
        description="Images that the model is asked about at most: to learn from, to be judged by, and for the "
        "control. None: as many as it takes.",
    ),
    BeforeValidator(lambda value: None if value is None else _number(value)),
]
TransferEpsilons = Annotated[
    tuple[PositiveEpsilon, ...],
    FailFast(),
    Field(min_length=1, max_length=5, description="Radii of the l-infinity ball of the pictures that are to transfer."),
]
TransferTargeted = Annotated[
    bool, Field(strict=True, description="Aim at another class of each image, too, and not only away from its own.")
]
Control = Annotated[
    bool,
    Field(
        strict=True,
        description="Make a second substitute with as many queries, by steps along random signs: what the Jacobian is "
        "worth.",
    ),
]
WhiteBox = Annotated[
    bool,
    Field(strict=True, description="Also make the same pictures on the model itself, where it answers gradients."),
]
ArchitectureChoice = Annotated[Architecture, Field(description="What the substitute is.")]
SubstituteSide = Annotated[
    int | None,
    Field(
        ge=1,
        le=256,
        description="Side of what the substitute looks at, at most: images are averaged down to it. None: half of the "
        "model's input, and 32 at most.",
    ),
    BeforeValidator(lambda value: None if value is None else _number(value)),
]
Rounds = Annotated[int, Field(ge=0, le=100, description="How often the images are added to."), BeforeValidator(_number)]
JacobianStep = Annotated[
    float,
    BeforeValidator(_fraction, json_schema_input_type=float | str),
    Field(
        ge=-1,
        le=1,
        description="lambda: how far a new image is from the one that it is made of, in linf. Below 0 it first goes "
        "down the score of that one's label, and then up.",
    ),
]
FlipEvery = Annotated[
    int, Field(ge=1, le=100, description="tau: rounds after which lambda changes its sign."), BeforeValidator(_number)
]
Doublings = Annotated[
    int,
    Field(ge=0, le=100, description="sigma: rounds in which every image is stepped from."),
    BeforeValidator(_number),
]
ReservoirSize = Annotated[
    int,
    Field(ge=1, le=10_000, description="kappa: images drawn to be stepped from in each of the rounds after those."),
    BeforeValidator(_number),
]
LearningRate = Annotated[float, BeforeValidator(_number), Field(gt=0, le=1, description="Adam's, for the substitute.")]
PerturbationReference = Annotated[
    str | dict[str, Any],
    BeforeValidator(_perturbation),
    Field(
        description="A universal perturbation: the id under which the service keeps it, or an exact tensor. With an "
        "id, norm and epsilon are by default those that it was made with; a tensor is cut to epsilon."
    ),
]
