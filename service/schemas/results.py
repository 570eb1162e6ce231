"""What one image's entry in a reply holds, by operation."""

from __future__ import annotations

from service.schemas.inversion import INVERSION, UNITS
from service.schemas.parts import (
    ARRAY,
    BOOLEAN,
    BOOLEANS,
    INTEGER,
    NUMBER,
    PICTURE,
    PREDICTION,
    SOME_NUMBER,
    SOME_PREDICTION,
    SOME_TEXT,
    TEXT,
    Schema,
    record,
    reference,
)

_BY_EPSILON: Schema = {
    "type": "array",
    "description": "Ascending.",
    "items": record(
        "",
        {
            "epsilon": NUMBER,
            "robust": {**BOOLEAN, "description": "The model is right, and no attack broke it."},
            "tried": {
                **BOOLEAN,
                "description": "false: time or rows ran out before every attack was tried, and none had broken it.",
            },
            "robust_top5": {**BOOLEAN, "description": "As top5 of the summary."},
            "broken_by": {**SOME_TEXT, "description": "A method, or of `auto` the part of it."},
            "distance": {**SOME_NUMBER, "description": "Of the picture that broke it."},
        },
    ),
}

_SAID_OF_ATTACK: Schema = {
    "after": PREDICTION,
    "success": {**BOOLEAN, "description": "Not by `most_likely`, which fools nobody."},
    "success_rate": {**NUMBER, "description": "Behind a random defence: of 20 draws, the share that it succeeded in."},
    "rejected": {**BOOLEAN, "description": "By the model's detector, where it was asked."},
    "distance": reference("Distance"),
}


def _explained(facts: dict[str, Schema]) -> Schema:
    """What an entry of `results` holds that explains: one map, or where several are compared, all of them."""
    geometry = {"prediction": PREDICTION, "geometry": reference("Geometry")}
    one = {
        "target": PREDICTION,
        "map": {**ARRAY, "description": "[H, W], as large as what the model saw; not scaled."},
        "signed_map": {**ARRAY, "description": "[C, H, W], where the method has one."},
        "scaling": reference("Scaling"),
        "evaluation": reference("Evaluation"),
        "curves": {**PICTURE, "description": "Deletion and insertion, where they were evaluated."},
        "partial": {**BOOLEAN, "description": "Time or rows ran out; this is what was reached."},
        "note": {**TEXT, "description": "What a reader should know, such as why there are no figures."},
        **facts,
    }
    named = {"method": TEXT, "parameters": {"type": "object"}}
    maps = {"type": "array", "items": record("", named | one, optional=one.keys() - {"target"})}
    overlays = {"overlay": PICTURE, "partial": one["partial"]}
    return {
        "anyOf": [
            record("", geometry | one | overlays, optional=(one | overlays).keys() - {"target"}),
            record("Where several are compared.", geometry | {"maps": maps} | overlays, optional=overlays),
        ]
    }


#: What one entry of `results` holds. `include` may leave some of it out.
RESULTS: dict[str, Schema] = {
    "inversion": INVERSION,
    "units": UNITS,
    "classify": record(
        "",
        {
            "prediction": PREDICTION,
            "predictions": {"type": "array", "items": PREDICTION},
            "activations": {"type": "object", "additionalProperties": ARRAY},
            "detector": record(
                "What the model's detector of adversarial images says, where it was asked.",
                {
                    "rejected": {**BOOLEAN, "description": "Whether `score` is above `threshold`."},
                    "score": NUMBER,
                    "threshold": NUMBER,
                    "false_positive_rate": {**NUMBER, "description": "Of clean images, as measured in training."},
                },
            ),
            "geometry": reference("Geometry"),
        },
        optional=("activations", "detector"),
    ),
    "saliency": _explained(
        {
            "cells": {**ARRAY, "description": "[h, w], of grad_cam: the map as large as its layer."},
            "layer": {**TEXT, "description": "Of grad_cam."},
            "score_difference": {**NUMBER, "description": "The image's score less the baseline's."},
            "completeness_gap": {**NUMBER, "description": "The map's sum less the score difference."},
            "sigma": {**NUMBER, "description": "Standard deviation of the noise."},
            "n_samples": INTEGER,
            "first_order": {**NUMBER, "description": "What the gradient adds to the map's sum."},
            "second_order": {**NUMBER, "description": "What the curvature adds to it."},
            "standard_error": {**SOME_NUMBER, "description": "Of `second_order`; null after one sample."},
        }
    ),
    "occlusion": _explained(
        {
            "grid": {**ARRAY, "description": "The score with the window at each place, [gh, gw] or one a channel."},
            "window": {**INTEGER, "description": "Its side as it was, in pixels."},
            "stride": {**INTEGER, "description": "As it was, in pixels."},
            "score_whole": {**NUMBER, "description": "The score of the untouched image."},
            "masks_used": INTEGER,
            "standard_error": {**SOME_NUMBER, "description": "The largest of any pixel; null after one mask."},
        }
    ),
    "attack": record(
        "",
        {
            "prediction": PREDICTION,
            "before": PREDICTION,
            "label": PREDICTION,
            "target": SOME_PREDICTION,
            "already_misclassified": BOOLEAN,
            "broken_by": {**SOME_TEXT, "description": "Of `auto`: which attack found it, or `repair` of its picture."},
            **_SAID_OF_ATTACK,
            "adversarial": {**PICTURE, "description": "Posted back to classify, it gives `after`."},
            "exact": record(
                "The same before rounding to 8 bits; of a large image without its tensor, unless `include` names it.",
                {**_SAID_OF_ATTACK, "image": ARRAY},
                optional=("success", "success_rate", "rejected", "image"),
            ),
            "perturbation": record("The change, made visible.", {"picture": PICTURE, "factor": NUMBER}),
            "queries": {**INTEGER, "description": "Rows that this image sent through the network."},
            "trace": record(
                "Of a search that sees no gradients: how near its floats had come, after how many queries. Between two "
                "points but the last the distance fell by 3 % at least.",
                {
                    "queries": {"type": "array", "items": INTEGER},
                    "distance": {"type": "array", "items": NUMBER, "description": "In the attack's norm."},
                },
            ),
            "search_queries": {**INTEGER, "description": "Of `queries`, those of the search that has a `trace`."},
            "proof_queries": {**INTEGER, "description": "Of `queries`, those that judged and repaired its pictures."},
            "partial": {**BOOLEAN, "description": "Time or rows ran out; this is what was reached."},
            "note": TEXT,
            "geometry": reference("Geometry"),
        },
        optional=(
            *("broken_by", "success", "success_rate", "rejected"),
            *("adversarial", "exact", "perturbation", "partial", "note"),
            *("trace", "search_queries", "proof_queries"),
        ),
    ),
    "robustness": record(
        "",
        {
            "prediction": PREDICTION,
            "label": PREDICTION,
            "correct": {**BOOLEAN, "description": "Whether the model is right where nothing attacks."},
            "correct_top5": BOOLEAN,
            "epsilons": _BY_EPSILON,
            "lines": {
                "type": "array",
                "description": "Behind a defence. `undefended`: the model without it. `rounded`: that again, shown "
                "floats that were rounded to 8 bits and not repaired. `oblivious`: the defended model, shown what was "
                "made on the model without. `adaptive`: attacked by one who knows of the defence.",
                "items": record(
                    "", {"name": TEXT, "correct": BOOLEAN, "correct_top5": BOOLEAN, "epsilons": _BY_EPSILON}
                ),
            },
            "transfer": {
                "type": "array",
                "description": "Where other models are named.",
                "items": record(
                    "A picture that was made on one model and shown to another, or to the same.",
                    {
                        "made_on": TEXT,
                        "tried_on": TEXT,
                        "correct": {**BOOLEAN, "description": "The latter is right about the untouched image."},
                        "fooled": {**BOOLEAN, "description": "It is wrong about the picture."},
                    },
                ),
            },
            "checks": record(
                "Whether the image was misclassified after each of some small attacks, one an epsilon.",
                {
                    "gradient": {**NUMBER, "description": "The size of the loss's gradient, in linf."},
                    **dict.fromkeys(("one_step", "few_steps", "many_steps", "black_box"), BOOLEANS),
                    "unbounded": {**BOOLEAN, "description": "In a ball that holds every image."},
                },
                optional=("gradient", "one_step", "few_steps", "many_steps", "black_box", "unbounded"),
            ),
            "partial": {**BOOLEAN, "description": "Time or rows ran out before all attacks had been tried."},
            "geometry": reference("Geometry"),
        },
        optional=("lines", "transfer", "checks", "partial"),
    ),
    "universal": record(
        "",
        {
            "prediction": PREDICTION,
            "after": {**PREDICTION, "description": "With the perturbation."},
            "fooled": {**BOOLEAN, "description": "Whether the two are of different classes."},
            "held_out": {**BOOLEAN, "description": "Whether the perturbation was made without it."},
            "geometry": reference("Geometry"),
        },
    ),
    "substitute": record(
        "",
        {
            "prediction": {**PREDICTION, "description": "The model's, of the image at its input size, in eight bits."},
            "substitute": {**PREDICTION, "description": "The substitute's."},
            "seed": {**BOOLEAN, "description": "Whether the substitute was made of it; else it was judged by it."},
            "geometry": reference("Geometry"),
        },
    ),
}
