"""The routes to what is kept: jobs, their artifacts, datasets and perturbations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, get_args

from rakinglight.results import State
from service.bodies import DATASETS as UPLOADS
from service.datasets import NAME_LENGTH
from service.negotiation import EVENTS, JSON, NPZ, PNG
from service.openapi.parts import (
    ANY_KEPT,
    DATASET,
    JOB,
    LAST_EVENT_ID,
    ONE_KEPT,
    PAGE,
    PERTURBATION,
    ROOT,
    SHA256,
    SUBSTITUTE,
    done,
    ok,
    parameter,
    problems,
)
from service.schemas.parts import Schema, record, reference
from service.settings import Settings

#: Of a substitute's archive.
ZIP = "application/zip"


def kept(
    name: str,
    tag: str,
    summary: str,
    responses: Schema,
    codes: Iterable[str],
    parameters: Sequence[Schema] = (),
    **more: Any,
) -> Schema:
    """A route to what is kept."""
    return {
        "operationId": name,
        "tags": [tag],
        "summary": summary,
        "parameters": list(parameters),
        "security": [{"key": []}, {}],
        **more,
        "responses": responses | problems(codes),
    }


def job_paths() -> dict[str, Any]:
    job, every = {JSON: {"schema": reference("Job")}}, {JSON: {"schema": reference("JobList")}}
    whole: Schema = {
        JSON: {"schema": reference("JobWithResult")},
        NPZ: {"schema": {"type": "string", "contentMediaType": NPZ}},
        PNG: {"schema": {"type": "string", "contentMediaType": PNG}},
    }  # fmt: skip
    events: Schema = {
        EVENTS: {
            "schema": {
                "type": "string",
                "description": "`progress` events (JobProgress), then one `result` or one `problem`. A result "
                "is the reply beside `state`, how the job ended: of a `cancelled` one entries may be null. Their "
                "ids count from 1. A `problem` without an id is the stream's own, and not the end of the job.",
            },
            "example": 'id: 7\nevent: progress\ndata: {"image": 0, "step": 1, "of": 10, "done": 0, "images": 1}\n\n',
        }
    }
    gone = (*ONE_KEPT, "EXPIRED")
    path, state = f"{ROOT}/jobs", parameter("query", "state", {"enum": list(get_args(State))}, "Only those.")
    return {
        path: {
            "get": kept(
                "jobs", "jobs", "Your jobs, newest first.", {"200": ok("A page of them.", every)},
                (*ANY_KEPT, "BAD_PARAMETER"), [*PAGE, state],
            ),
        },
        f"{path}/{{job}}": {
            "get": kept(
                "job", "jobs", "How far a job is, or what came of it.", {"200": ok("The job.", whole)},
                (*gone, "NOT_ACCEPTABLE", "TOO_LARGE"), [JOB],
            ),
            "delete": kept(
                "remove_job", "jobs", "Forget a job that is over, and let its artifacts go.", {"204": done("Done.")},
                (*ONE_KEPT, "CONFLICT"), [JOB],
            ),
        },
        f"{path}/{{job}}/events": {
            "get": kept(
                "job_events", "jobs", "What happens to a job, from its beginning or from where you were.",
                {
                    "200": ok("The events, as they come.", events),
                    "204": done("It is over, and you have seen its last event."),
                },
                (*gone, "NOT_ACCEPTABLE", "BAD_PARAMETER"), [JOB, LAST_EVENT_ID],
            ),
        },
        f"{path}/{{job}}/cancel": {
            "post": kept(
                "cancel_job", "jobs", "Have a job stop, and keep what it has reached.",
                {"200": ok("The job, which ends soon; one that was over stays as it was.", job)}, gone, [JOB],
            ),
        },
        f"{ROOT}/artifacts/{{sha256}}": {
            "get": kept(
                "artifact", "jobs", "What was too large to stand in a reply: follow its href.",
                {"200": ok("The file.", {kind: {} for kind in ("application/x-npy", ZIP, PNG, NPZ)}, "ETag")},
                ONE_KEPT, [SHA256],
            ),
        },
    }  # fmt: skip


def dataset_paths(settings: Settings) -> dict[str, Any]:
    one, every = {JSON: {"schema": reference("Dataset")}}, {JSON: {"schema": reference("DatasetList")}}
    name = {"type": "string", "minLength": 1, "maxLength": NAME_LENGTH}
    file: Schema = {"type": "string", "contentMediaType": "application/octet-stream"}
    form = record("", {"file": file, "name": name}, optional=["name"])
    path = f"{ROOT}/datasets"
    return {
        path: {
            "post": kept(
                "add_dataset", "datasets", "Upload a zip by class folder, or an NPZ: all of it is good, or none kept.",
                {"201": ok("The dataset.", one, "Location")},
                (
                    *ANY_KEPT, "TOO_LARGE", "NOT_A_DATASET", "BAD_PARAMETER", "OVERLOADED", "ENGINE_AWAY",
                ),
                [parameter("query", "name", name, "What it is called, unless the form says it.")],
                description=(
                    f"Up to {settings.dataset_bytes} bytes and {settings.dataset_images} images. A zip has one folder "
                    "a class; an NPZ has `images` [N, H, W, C] uint8 or [N, C, H, W] float32 in [0, 1], and `labels`."
                ),
                requestBody={
                    "required": True,
                    "content": {kind: {"schema": {}} for kind in UPLOADS} | {"multipart/form-data": {"schema": form}},
                },
            ),
            "get": kept(
                "datasets", "datasets", "Yours, and those that everybody may use.",
                {"200": ok("A page of them.", every)}, (*ANY_KEPT, "BAD_PARAMETER"), PAGE,
            ),
        },
        f"{path}/{{dataset}}": {
            "get": kept(
                "dataset", "datasets", "One dataset.", {"200": ok("The dataset.", one)},
                (*ONE_KEPT, "TOO_LARGE", "NOT_A_DATASET"), [DATASET],
            ),
            "delete": kept(
                "remove_dataset", "datasets", "Forget a dataset. Jobs that need its images keep them.",
                {"204": done("Done.")}, ONE_KEPT, [DATASET],
            ),
        },
    }  # fmt: skip


def substitute_paths() -> dict[str, Any]:
    one, every = {JSON: {"schema": reference("Substitute")}}, {JSON: {"schema": reference("SubstituteList")}}
    path = f"{ROOT}/substitutes"
    return {
        path: {
            "get": kept(
                "substitutes", "substitutes", "Yours, newest first.", {"200": ok("A page of them.", every)},
                (*ANY_KEPT, "BAD_PARAMETER"), PAGE,
            ),
        },
        f"{path}/{{substitute}}": {
            "get": kept(
                "substitute_kept", "substitutes", "One substitute; its archive is where the href says.",
                {"200": ok("The substitute.", one)}, (*ONE_KEPT, "EXPIRED"), [SUBSTITUTE],
            ),
            "delete": kept(
                "remove_substitute", "substitutes", "Forget a substitute.", {"204": done("Done.")},
                (*ONE_KEPT, "EXPIRED"), [SUBSTITUTE],
            ),
        },
    }  # fmt: skip


def perturbation_paths() -> dict[str, Any]:
    one, every = {JSON: {"schema": reference("Perturbation")}}, {JSON: {"schema": reference("PerturbationList")}}
    path = f"{ROOT}/perturbations"
    return {
        path: {
            "get": kept(
                "perturbations", "perturbations", "Yours, newest first.", {"200": ok("A page of them.", every)},
                (*ANY_KEPT, "BAD_PARAMETER"), PAGE,
            ),
        },
        f"{path}/{{perturbation}}": {
            "get": kept(
                "perturbation", "perturbations", "One perturbation.", {"200": ok("The perturbation.", one)},
                (*ONE_KEPT, "EXPIRED"), [PERTURBATION],
            ),
            "delete": kept(
                "remove_perturbation", "perturbations", "Forget a perturbation.", {"204": done("Done.")},
                (*ONE_KEPT, "EXPIRED"), [PERTURBATION],
            ),
        },
    }  # fmt: skip
