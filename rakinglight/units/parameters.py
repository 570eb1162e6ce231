"""What a caller of `units` may set beside what `parameters` has."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, FailFast, Field

from rakinglight.parameters import HasExtent, IsLayer, Pictures, _fraction, _number

Metric = Literal["cosine", "l2"]

FilterLayer = Annotated[
    str | None,
    Field(
        description="A layer with height and width that is linear in the image. None: the first that looks at more "
        "than a pixel."
    ),
    HasExtent,
]
UnitLayer = Annotated[
    str | None, Field(description="The layer of the unit. None: the last one that has height and width."), IsLayer
]
FeatureLayer = Annotated[
    str | None,
    Field(description="The layer whose output stands for an image. None: the last that does not put out classes."),
    IsLayer,
]
OneUnit = Annotated[
    int | None,
    Field(ge=0, description="A channel of the layer. None: all of them."),
    BeforeValidator(lambda value: None if value is None else _number(value)),
]
StrongestUnit = Annotated[
    int | None,
    Field(ge=0, description="A channel of the layer, or a neuron. None: in each image the one that is most excited."),
    BeforeValidator(lambda value: None if value is None else _number(value)),
]
PatchCount = Annotated[
    int,
    BeforeValidator(_number),
    Field(ge=1, le=100, description="How many patches to keep of each unit; no two are of one image."),
]
NeighborCount = Annotated[
    int, BeforeValidator(_number), Field(ge=1, le=100, description="How many neighbours to name of each image.")
]
MetricChoice = Annotated[
    Metric, Field(description="How far apart two images are: 1 minus the cosine of their features, or the L2 distance.")
]
Averaged = Annotated[
    bool, Field(strict=True, description="Take the mean of each unit over its places, and not all of them.")
]
Perplexity = Annotated[
    float | None,
    Field(
        ge=1,
        le=1000,
        description="About how many neighbours an image has; below the number of images. None: 30, or a third of the "
        "other images where they are fewer than 90.",
    ),
    BeforeValidator(lambda value: None if value is None else _number(value)),
]
_Name = Annotated[str, Field(min_length=1, max_length=100)]
Concepts = Annotated[
    tuple[_Name, ...],
    FailFast(),
    Field(
        min_length=1,
        max_length=255,
        description="Names of what the masks show: the first is what has the value 1 there, and so on.",
    ),
]
LabelMaps = Annotated[
    Pictures,
    Field(
        min_length=1,
        description="One picture an image, of its size, grey: the value of a pixel is the number of the concept that "
        "is there, 0 none.",
    ),
]
Quantile = Annotated[
    float,
    BeforeValidator(_fraction, json_schema_input_type=float | str),
    Field(gt=0, le=0.1, description="The share of a unit's values, over all places of all images, that count as high."),
]
DetectorIou = Annotated[
    float,
    BeforeValidator(_fraction, json_schema_input_type=float | str),
    Field(ge=0, lt=1, description="The IoU above which a unit is a detector of a concept."),
]
