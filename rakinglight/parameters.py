"""What a caller may set: the types, with their limits and what they mean. Algorithms and operations annotate with them.

A parameter is written down once, in the signature of the function that uses it. The JSON Schema that the service
shows, the check that it makes, the default that it fills in and the table in `docs/` are all read from there.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, FailFast, Field, model_validator

from rakinglight.errors import shown
from rakinglight.norms import NormName
from rakinglight.objectives import Score


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
RandomStart = Annotated[
    bool, Field(strict=True, description="Start at a random point of the ball instead of at the image.")
]
