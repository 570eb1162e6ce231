"""What is answered of pictures that are made, and of what units know."""

from __future__ import annotations

from service.schemas.parts import (
    ARRAY,
    BOOLEAN,
    INTEGER,
    INTEGERS,
    NUMBER,
    NUMBERS,
    PICTURE,
    PREDICTION,
    SOME_NUMBER,
    TEXT,
    Schema,
    record,
    reference,
)

#: What there is of every picture that is made.
_PICTURE: dict[str, Schema] = {
    "picture": {**PICTURE, "description": "In 8 bits: what `reached` is said of."},
    "image": {**ARRAY, "description": "[C, H, W] in [0, 1], before it was rounded."},
    "objective": {**ARRAY, "description": "[steps], the energy after each: lower is better."},
    "reached": {**PREDICTION, "description": "What the model sees in the picture."},
    "feature_error": {**SOME_NUMBER, "description": "|f - f0|^2 of the codes, as a share of the mean colour's."},
    "pixel_error": {**SOME_NUMBER, "description": "The same of the pixels."},
}
_NOT_ALWAYS = ("picture", "image", "objective", "feature_error", "pixel_error")
_CLIMBED: Schema = record("", {"logit": NUMBER, "probability": NUMBER})

#: What some methods say beside.
_SAID: dict[str, Schema] = {
    "prediction": {**PREDICTION, "description": "Of the image, where one came."},
    "geometry": reference("Geometry"),
    "others": {
        "type": "array",
        "items": record("From another start.", _PICTURE, optional=_NOT_ALWAYS),
        "description": "The pictures from all other starts, best first.",
    },
    "animation": {**PICTURE, "description": "Of deep_dream: how it goes on, a GIF or WebP file."},
    "target": record("The class that was aimed at.", {"index": INTEGER, "label": TEXT}),
    "score": {**NUMBER, "description": "Of activation_maximization: what is climbed, of the picture in 8 bits."},
    "softmax": record(
        "What climbing the score came to beside climbing the probability, and the picture of the latter.",
        {"by_score": _CLIMBED, "by_probability": _CLIMBED, "picture": PICTURE},
        optional=("picture",),
    ),
    "real_images": record(
        "What the images that were given reach, and how many of them are below the picture.",
        {"scores": NUMBERS, "below": INTEGER},
    ),
    "ranks": {
        "type": "array",
        "description": "By other models, which nothing was optimised against: the rank of the class, 1 is the first.",
        "items": record("", {"model": TEXT, "rank": INTEGER}),
    },
    "confidence": {**NUMBER, "description": "Of fooling: the model's, in the class that was aimed at."},
    "fooled": {**BOOLEAN, "description": "Of fooling: whether that is as high as was asked for."},
    "evaluations": {**INTEGER, "description": "Of fooling: images that the model was asked about."},
    "generations": {**INTEGER, "description": "Of fooling by evolution."},
    "noise": {
        "anyOf": [
            record("Of fooling: the best of so many images of noise.", {"images": INTEGER, "confidence": NUMBER}),
            {"type": "null"},
        ]
    },
    "partial": {**BOOLEAN, "description": "Time or rows ran out; this is what was reached."},
    "note": TEXT,
}

INVERSION: Schema = record("A picture that was made.", _PICTURE | _SAID, optional=(*_NOT_ALWAYS, *_SAID))

_PLACE: Schema = {**INTEGERS, "description": "[row, column] in the unit's map."}
_BOX: Schema = {
    **INTEGERS,
    "description": "[top, left, bottom, right] in pixels of what the network sees: its receptive field.",
}
_PATCHES: Schema = {
    "type": "array",
    "description": "Of top_patches: what excites it most, the strongest first.",
    "items": record("", {"image": INTEGER, "activation": NUMBER, "place": _PLACE, "box": _BOX}),
}
_COUNTS: Schema = {"type": "object", "additionalProperties": INTEGER}

_OF_IMAGE: dict[str, Schema] = {
    "prediction": {**PREDICTION, "description": "Of the image, where one came."},
    "geometry": reference("Geometry"),
    "picture": {**PICTURE, "description": "Of activations."},
    "maps": {**ARRAY, "description": "Of activations: [units, h, w]."},
    "strongest": {
        "type": "array",
        "description": "Of activations: the units with the largest values, the largest first.",
        "items": record("", {"unit": INTEGER, "activation": NUMBER, "place": _PLACE}),
    },
    "neighbors": {
        "type": "array",
        "description": "Other images of the call, from 0, the nearest first.",
        "items": record("", {"image": INTEGER, "distance": NUMBER}),
    },
    "coordinates": {"type": "array", "items": NUMBER, "description": "Of embedding: [x, y]."},
    "unit": {**INTEGER, "description": "Of deconv."},
    "activation": {**NUMBER, "description": "What the unit puts out."},
    "place": _PLACE,
    "box": _BOX,
    "projection": {**ARRAY, "description": "Of deconv: [C, h, w], the unit projected back to pixels."},
    "gradient": {**ARRAY, "description": "The plain derivative there."},
    "correlation": {**SOME_NUMBER, "description": "How much the two are alike."},
}
UNITS: Schema = record("What a view says of this image.", _OF_IMAGE, optional=_OF_IMAGE)

_OF_ALL: dict[str, Schema] = {
    "unit": INTEGER,
    "images": {**INTEGER, "description": "How many were looked at."},
    "picture": PICTURE,
    "weights": {**ARRAY, "description": "Of filters: [units, C, h, w], as they meet what the network sees."},
    "field": {**INTEGERS, "description": "Of top_patches: height and width of a receptive field, in pixels."},
    "units": {
        "type": "array",
        "items": record(
            "",
            {
                "unit": INTEGER,
                "patches": _PATCHES,
                "threshold": {**NUMBER, "description": "Of dissection: above this it is excited."},
                "concept": {**TEXT, "description": "That overlaps most with where it is."},
                "iou": NUMBER,
                "detector": BOOLEAN,
            },
            optional=("patches", "threshold", "concept", "iou", "detector"),
        ),
    },
    "metric": {**TEXT, "description": "Of neighbors."},
    "features": {**INTEGER, "description": "Values of an image's features."},
    "perplexity": {**NUMBER, "description": "Of embedding: how wide a neighbourhood is kept."},
    "divergence": {**NUMBER, "description": "What is left of its objective."},
    "trustworthiness": {
        **NUMBER,
        "description": "The share of neighbours in the picture that are neighbours for the layer.",
    },
    "quantile": {**NUMBER, "description": "Of dissection: the share of all places at which a unit is excited."},
    "iou_above": {**NUMBER, "description": "What makes a detector."},
    "iou": {**ARRAY, "description": "[units, concepts]."},
    "detectors": {**INTEGER, "description": "Units that detect something."},
    "histogram": {**_COUNTS, "description": "By concept, how many detect it."},
    "pixels": {**_COUNTS, "description": "By concept, how many pixels have it."},
    "examples": {
        "type": "array",
        "description": "Of dissection: of the surest detectors the images that excite them most, and where they do.",
        "items": record("", {"unit": INTEGER, "images": INTEGERS, "high": ARRAY}),
    },
    "partial": {**BOOLEAN, "description": "Time or rows ran out; this is what was reached."},
    "note": TEXT,
}
UNITS_SUMMARY: Schema = record(
    "What a view says of all images together.", {"view": TEXT, "layer": TEXT, **_OF_ALL}, optional=_OF_ALL
)
