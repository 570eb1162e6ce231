"""Jobs, datasets and perturbations: what the service keeps."""

from __future__ import annotations

from typing import get_args

from rakinglight import catalogue
from rakinglight.results import State
from service.schemas.parts import (
    BOOLEAN,
    INTEGER,
    INTEGERS,
    NUMBER,
    SOME_NUMBER,
    SOME_TEXT,
    SOME_TIME,
    TEXT,
    TIME,
    Schema,
    record,
    reference,
    reply_name,
)

_NEXT: Schema = {**SOME_TEXT, "description": "`page_token` of the next page; null on the last."}

_ANY_REPLY: Schema = {
    "anyOf": [reference(reply_name(name)) for name in catalogue.OPERATIONS],
    "description": "What the request would have been answered at once.",
}

#: All of a job but what came of it.
_JOB: dict[str, Schema] = {
    "id": TEXT,
    "state": {
        "enum": list(get_args(State)),
        "description": "`interrupted`: its worker ended; it goes on as soon as another takes it up.",
    },
    "operation": TEXT,
    "model": reference("ModelReference"),
    "method": SOME_TEXT,
    "images": {**INTEGER, "description": "How many it is about."},
    "asked": {
        "type": "object",
        "description": "What tells jobs apart: `parameters`, `compare`, `seed`, `dataset`, as said.",
    },
    "purpose": SOME_TEXT,
    "request_id": {**TEXT, "description": "Of the request that submitted it."},
    "attempts": {**INTEGER, "description": "Times that a worker has taken it up."},
    "cancel_requested": BOOLEAN,
    "progress": {"anyOf": [reference("JobProgress"), {"type": "null"}]},
    "note": {**SOME_TEXT, "description": "What it waits for, if something that it needs is away."},
    "problem": {"anyOf": [reference("Problem"), {"type": "null"}]},
    "created_at": TIME,
    "started_at": SOME_TIME,
    "ended_at": SOME_TIME,
    "expires_at": {**SOME_TIME, "description": "Until when it is kept; null while it is not over."},
}

_PERTURBATION: dict[str, Schema] = {
    "id": TEXT,
    "model": reference("ModelReference"),
    "method": TEXT,
    "norm": {"enum": ["linf", "l2"]},
    "epsilon": NUMBER,
    "shape": {**INTEGERS, "description": "[C, H, W], the model's input."},
    "given": {**reference("Share"), "description": "Of the images that it is made of, those that it fools."},
    "held_out": {"anyOf": [reference("Share"), {"type": "null"}], "description": "Of images that it was made without."},
    "job": {**TEXT, "description": "That has made it."},
    "perturbation": {**reference("Artifact"), "description": "Itself: float32, to be added to pixels in [0, 1]."},
    "created_at": TIME,
    "expires_at": TIME,
}

_SUBSTITUTE: dict[str, Schema] = {
    "id": TEXT,
    "model": {**reference("ModelReference"), "description": "That it stands in for."},
    "architecture": TEXT,
    "queries": {**INTEGER, "description": "Images that it learnt from."},
    "agreement": {**reference("Share"), "description": "Of held-out images, those of which both say the same."},
    "job": {**TEXT, "description": "That has made it."},
    "archive": {**reference("Artifact"), "description": "Itself: a `.mar` for the folder `archives` of a home."},
    "created_at": TIME,
    "expires_at": TIME,
}

_OF_DATASET: dict[str, Schema] = {
    "id": TEXT,
    "name": TEXT,
    "kind": {"enum": ["zip", "npz", "folder"]},
    "configured": {**BOOLEAN, "description": "By the operator: then everybody may use it."},
}
_DATASET: dict[str, Schema] = {
    **_OF_DATASET,
    "images": {**INTEGER, "description": "How many."},
    "classes": {"type": "array", "items": record("", {"name": TEXT, "images": INTEGER})},
    "bytes": INTEGER,
    "created_at": TIME,
    "expires_at": TIME,
}
_UNUSABLE = record(
    "A configured one that cannot be used.",
    {**_OF_DATASET, "problem": {"type": "object", "description": "Why, as in Problem."}},
)

KEPT: dict[str, Schema] = {
    "JobProgress": record(
        "How far the newest run is.",
        {
            "image": {**INTEGER, "description": "Its place in the request, from 0."},
            "step": INTEGER,
            "of": INTEGER,
            "objective": SOME_NUMBER,
            "map": {**INTEGER, "description": "Its place among those that are compared, from 0."},
            "done": {**INTEGER, "description": "Images that have their result."},
            "images": {**INTEGER, "description": "Images in all."},
        },
        optional=("objective", "map"),
    ),
    "PartialReply": record(
        "What a job had reached: a reply in which null stands for the result of an image that has none.",
        {
            "model": reference("ModelReference"),
            "operation": TEXT,
            "method": SOME_TEXT,
            "parameters": {"type": "object"},
            "compare": {"type": "array", "items": {"type": "object"}},
            "seed": INTEGER,
            "results": {"type": "array", "items": {"type": ["object", "null"]}},
            "summary": {"type": "object", "description": "Of the images that have a result."},
            "cost": reference("Cost"),
            "answered_by": reference("AnsweredBy"),
            "elapsed_ms": NUMBER,
            "request_id": TEXT,
        },
        optional=("compare", "summary"),
    ),
    "Job": record("A request whose answer is not waited for.", _JOB),
    "JobWithResult": record(
        "A job, and once it is over what came of it: its `result`, or if it did not come to its end what it had "
        "reached.",
        {**_JOB, "result": _ANY_REPLY, "partial_result": reference("PartialReply")},
        optional=("result", "partial_result"),
    ),
    "JobList": record(
        "Newest first.",
        {"jobs": {"type": "array", "items": reference("Job")}, "next_page_token": _NEXT},
    ),
    "Dataset": record(
        "Many images, most often with the class of each. One that the operator configured has no bytes and no times.",
        _DATASET,
        optional=("bytes", "created_at", "expires_at"),
    ),
    "Perturbation": record("A universal perturbation that is kept.", _PERTURBATION),
    "PerturbationList": record(
        "Newest first.",
        {"perturbations": {"type": "array", "items": reference("Perturbation")}, "next_page_token": _NEXT},
    ),
    "Substitute": record("A substitute that is kept.", _SUBSTITUTE),
    "SubstituteList": record(
        "Newest first.",
        {"substitutes": {"type": "array", "items": reference("Substitute")}, "next_page_token": _NEXT},
    ),
    "DatasetList": record(
        "The configured ones, then the others, newest first.",
        {
            "datasets": {"type": "array", "items": {"anyOf": [reference("Dataset"), _UNUSABLE]}},
            "next_page_token": _NEXT,
        },
    ),
}
