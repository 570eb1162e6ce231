"""What a caller may set: the types, with their limits and what they mean. Algorithms and operations annotate with them.

A parameter is written down once, in the signature of the function that uses it. The JSON Schema that the service
shows, the check that it makes, the default that it fills in and the table in `docs/` are all read from there.
"""

from __future__ import annotations

from typing import Annotated, Any, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, FailFast, Field, model_validator

from rakinglight.errors import shown
from rakinglight.fills import Fill
from rakinglight.norms import NormName
from rakinglight.objectives import Score
from rakinglight.trust import FIGURES, Figure


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


def as_fraction(value: float) -> str:
    """`value` as it is written: 8/255 where it is a whole number of grey levels, else in decimals."""
    levels = round(value * 255)
    if value != int(value) and abs(value * 255 - levels) < 1e-9:
        return f"{levels}/255"
    return f"{value:g}"


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


#: The forms in which a class is named.
A_CLASS = 'its index, its label, or {"rank": 1} for the model\'s first answer, {"rank": -1} for its last'
ClassReference = Annotated[int, Field(strict=True)] | str | Rank
Target = Annotated[ClassReference | None, Field(description=f"The class that is explained: {A_CLASS}."), PerImage]
AttackTarget = Annotated[
    ClassReference | None,
    Field(description=f"Makes the attack targeted: {A_CLASS}. None: away from the label."),
    PerImage,
]
Label = Annotated[
    ClassReference | None, Field(description=f"The true class: {A_CLASS}. None: the model's own prediction."), PerImage
]

_Radius = Annotated[float, Field(ge=0, le=1000)]
_Length = Annotated[float, Field(gt=0, le=1000)]
Epsilon = Annotated[
    _Radius,
    BeforeValidator(_fraction, json_schema_input_type=_Radius | str),
    Field(description="Radius of the ball in units of [0, 1]; '8/255' is eight grey levels. At most 1 in linf."),
]
StepSize = Annotated[
    _Length,
    BeforeValidator(_fraction, json_schema_input_type=_Length | str),
    Field(description="Length of one step, in units of [0, 1] in the chosen norm."),
]
Steps = Annotated[int, Field(ge=1, le=1000, description="Number of gradient steps."), BeforeValidator(_number)]
NormChoice = Annotated[NormName, Field(description="The norm of the ball and of the step.")]
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
    str | None, Field(description="A layer whose output has height and width. None: the last one that has.")
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
RandomStart = Annotated[
    bool, Field(strict=True, description="Start at a random point of the ball instead of at the image.")
]
