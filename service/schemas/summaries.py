"""What a reply says of all its images together."""

from __future__ import annotations

from service.schemas.inversion import UNITS_SUMMARY
from service.schemas.parts import ARRAY, BOOLEAN, INTEGER, NUMBER, PICTURE, SOME_NUMBER, TEXT, Schema, record, reference

_SHARE = reference("Share")
_SOME_SHARE: Schema = {"anyOf": [_SHARE, {"type": "null"}]}
_TOP5: Schema = {**_SHARE, "description": "Under attacks on the first answer, not on the first five."}

_ASKED = ("training", "evaluation", "control")
_TRANSFER: Schema = {
    "type": "array",
    "items": record(
        "Pictures made on one network, and how many of them fool the model.",
        {
            "epsilon": NUMBER,
            "attack": {"enum": ["fgsm", "pgd"]},
            "targeted": {**BOOLEAN, "description": "Whether only the class that was aimed at counts."},
            "fooled": _SHARE,
        },
    ),
}
_CURVE: Schema = {
    "type": "array",
    "items": record(
        "After a round.",
        {
            "round": INTEGER,
            "queries": {**INTEGER, "description": "Images that it had learnt from."},
            "agreement": {**_SHARE, "description": "Of the held-out images, those of which it says the same."},
            "transfer": {**_TRANSFER, "description": "Of those that the model gets right, those that fool it now."},
        },
        optional=("agreement", "transfer"),
    ),
}

_ACCURACIES: Schema = {
    "clean": record("Where nothing attacks.", {"top1": _SHARE, "top5": _SHARE}),
    "accuracy": {
        "type": "array",
        "description": "Under attack, by epsilon, ascending: an upper bound.",
        "items": record(
            "",
            {
                "epsilon": NUMBER,
                "top1": _SHARE,
                "top5": _TOP5,
                "untried": {
                    **INTEGER,
                    "description": "How many images count as right only because time or rows ran out before every "
                    "attack was tried: while it is not 0, accuracy is not measured here.",
                },
                "broken_by": {
                    "type": "object",
                    "additionalProperties": INTEGER,
                    "description": "How many images each attack broke.",
                },
            },
        ),
    },
}

#: What there is to say of all images together, where an operation says anything.
SUMMARIES: dict[str, Schema] = {
    "units": UNITS_SUMMARY,
    "robustness": record(
        "Over all images that were answered.",
        {
            "images": INTEGER,
            "partial_images": {**INTEGER, "description": "Of which attacks, or checks, were not all tried."},
            "norm": TEXT,
            **_ACCURACIES,
            "note": TEXT,
            "lines": {
                "type": "array",
                "description": "Behind a defence: undefended, rounded, oblivious, adaptive, as each image has them.",
                "items": record("", {"name": TEXT, **_ACCURACIES}),
            },
            "transfer": record(
                "Where other models are named.",
                {
                    "method": {**TEXT, "description": "The attack that made the pictures."},
                    "epsilon": {**NUMBER, "description": "The largest."},
                    "cells": {
                        "type": "array",
                        "items": record(
                            "",
                            {
                                "made_on": TEXT,
                                "tried_on": TEXT,
                                "fooled": {
                                    **_SHARE,
                                    "description": "Of the images that the latter is right about untouched.",
                                },
                            },
                        ),
                    },
                },
            ),
            "checks": {
                "type": "array",
                "items": record(
                    "Whether the figures can be believed, in one respect.",
                    {
                        "name": TEXT,
                        "passed": {"type": ["boolean", "null"], "description": "null: there was nothing to compare."},
                        "detail": TEXT,
                        "comparisons": {
                            "type": "array",
                            "items": record(
                                "It does not hold where `share` is above the interval of `against`, and that below the "
                                "interval of `share`; or, where that is null, where its interval begins above 1 %.",
                                {
                                    "epsilon": SOME_NUMBER,
                                    "share": _SHARE,
                                    "against": {"anyOf": [_SHARE, {"type": "null"}]},
                                },
                            ),
                        },
                    },
                ),
            },
            "failed_checks": {"type": "array", "items": TEXT},
            "chart": {**PICTURE, "description": "Accuracy over epsilon."},
        },
        optional=("lines", "transfer", "checks", "failed_checks", "chart"),
    ),
    "substitute": record(
        "How well a substitute stands in for the model, after every round of making it.",
        {
            "id": {**TEXT, "description": "Under which it is kept."},
            "archive": {**ARRAY, "description": "The substitute: the bytes of a `.mar`, uint8."},
            "architecture": TEXT,
            "side": {**INTEGER, "description": "Of what it looks at."},
            "tells": {"enum": ["logits", "probabilities", "labels"], "description": "What the model answers."},
            "answers": {"enum": ["hard", "soft"], "description": "What the substitute learnt from."},
            **dict.fromkeys(("seeds", "held_out"), INTEGER),
            "judged": {**INTEGER, "description": "Held-out images of which adversarial pictures were made."},
            "curve": _CURVE,
            "random_sign": {**_CURVE, "description": "The same of steps along random signs."},
            "white_box": {**_TRANSFER, "description": "The same pictures made on the model itself."},
            "white_box_note": {**TEXT, "description": "Why that is not there."},
            "queries": record("Images that the model was asked about.", dict.fromkeys(_ASKED, INTEGER)),
            "max_queries": {"anyOf": [INTEGER, {"type": "null"}]},
            "stopped_by": {"enum": ["rounds", "queries", "budget", "deadline", "rows"]},
            "partial": {**BOOLEAN, "description": "Budget, time or rows ran out; this is what was reached."},
        },
        optional=("id", "archive", "random_sign", "white_box", "white_box_note", "partial"),
    ),
    "universal": record(
        "The one perturbation, and how many images it fools.",
        {
            "id": {**TEXT, "description": "Under which it is kept."},
            "perturbation": {**ARRAY, "description": "[C, H, W], of the model's input size."},
            "picture": {**PICTURE, "description": "Of it, amplified by `factor`."},
            "factor": INTEGER,
            "norm": {"enum": ["linf", "l2"]},
            "epsilon": NUMBER,
            "distance": record("", {"linf": NUMBER, "l2": NUMBER}),
            "given": {**_SHARE, "description": "Of the images that it is made of, those that it fools."},
            "held_out": {**_SOME_SHARE, "description": "Of those that were held out; null where none was."},
            "noise": {**_SHARE, "description": "Of the latter, those that random noise of the same size fools."},
            "curve": {
                "type": "array",
                "items": record(
                    "The same of one that is made of fewer images.",
                    {"images": INTEGER, "given": _SHARE, "held_out": _SOME_SHARE},
                ),
            },
            "chart": {**PICTURE, "description": "The curve."},
            "transfer": {
                "type": "array",
                "description": "Of each of `models`, the images that it fools there.",
                "items": record(
                    "",
                    {
                        "model": TEXT,
                        "value": SOME_NUMBER,
                        **dict.fromkeys(("low", "high"), NUMBER),
                        **dict.fromkeys(("count", "of"), INTEGER),
                    },
                ),
            },
            "partial": {**BOOLEAN, "description": "Time or rows ran out; this is what was reached."},
        },
        optional=("id", "perturbation", "picture", "factor", "chart", "partial"),
    ),
}
