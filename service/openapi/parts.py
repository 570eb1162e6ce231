"""What routes are described with."""

from __future__ import annotations

from collections.abc import Iterable

from rakinglight.errors import CODES
from service.database.pages import MOST, PAGE_SIZE
from service.schemas.parts import Schema, reference

ROOT = "/api/v1"

#: What any route may answer; then what those with a model in their path may; then those with a body.
ANY_ROUTE = ("UNREADABLE", "UNAUTHENTICATED", "FORBIDDEN", "INTERNAL")
ANY_MODEL = (*ANY_ROUTE, "NOT_FOUND")
ANY_OPERATION = (
    *ANY_MODEL, "NOT_ACCEPTABLE", "CONFLICT", "EXPIRED", "TOO_LARGE", "NOT_AN_IMAGE", "BAD_PARAMETER", "NOT_A_DATASET",
    "RUN_KILLS_WORKER", "RATE_LIMITED", "BUDGET_SPENT", "OVERLOADED", "ENGINE_AWAY", "STORAGE_AWAY", "ORACLE_AWAY",
    "ORACLE_FAULT", "ORACLE_CHANGED", "DEADLINE_EXCEEDED",
)  # fmt: skip
#: What any route to what is kept may answer; then what those do that name one thing.
ANY_KEPT = (*ANY_ROUTE, "STORAGE_AWAY")
ONE_KEPT = (*ANY_KEPT, "NOT_FOUND")


def ok(description: str, content: Schema, *headers: str) -> Schema:
    return {**done(description, *headers), "content": content}


def done(description: str, *headers: str) -> Schema:
    """An answer without content."""
    names = ("X-Request-ID", *headers)
    return {
        "description": description,
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in names},
    }


def problems(codes: Iterable[str]) -> dict[str, Schema]:
    """A response for each status that `codes` come with."""
    by_status: dict[int, list[str]] = {}
    for code in codes:
        by_status.setdefault(CODES[code].status, []).append(code)
    answers: dict[str, Schema] = {}
    for status, said in sorted(by_status.items()):
        headers = {"X-Request-ID": {"$ref": "#/components/headers/X-Request-ID"}}
        if status in (429, 503):
            headers["Retry-After"] = {"$ref": "#/components/headers/Retry-After"}
        answers[str(status)] = {
            "description": "; ".join(f"`{code}`: {CODES[code].title}" for code in said),
            "headers": headers,
            "content": {"application/problem+json": {"schema": reference("Problem")}},
        }
    return answers


def path_parameter(name: str, description: str, example: str) -> Schema:
    return {**parameter("path", name, {"type": "string"}, description), "required": True, "example": example}


def parameter(place: str, name: str, schema: Schema, description: str) -> Schema:
    return {"name": name, "in": place, "description": description, "schema": schema}


MODEL = path_parameter("model", "A model's name.", "efficientnet-lite0")
VERSION = path_parameter("version", "One of its versions.", "1.0")
JOB = path_parameter("job", "A job's id.", "job_0123456789abcdefghij")
DATASET = path_parameter("dataset", "A dataset's id, or the name of a configured one.", "ds_0123456789abcdefghij")
PERTURBATION = path_parameter("perturbation", "A perturbation's id.", "pert_0123456789abcdefghij")
SUBSTITUTE = path_parameter("substitute", "A substitute's id.", "subs_0123456789abcdefghij")
KEY = path_parameter("key", "A key's id, or the name of one that is not revoked.", "key_0123456789abcdefghij")
SHA256 = path_parameter("sha256", "Of its content, in hexadecimal.", 64 * "0")
PAGE = [
    parameter(
        "query",
        "page_size",
        {"type": "integer", "minimum": 1, "maximum": MOST, "default": PAGE_SIZE},
        "Most of a page.",
    ),
    parameter("query", "page_token", {"type": "string"}, "`next_page_token` of the page before."),
]
PREFER = parameter("header", "Prefer", {"type": "string"}, "`respond-async`: answer with a job and do not wait.")
IDEMPOTENCY_KEY = parameter(
    "header",
    "Idempotency-Key",
    {"type": "string", "pattern": "^[!-~]{1,255}$"},
    "Of a job, and of what a black box is asked: the same key and request again is the same job, or the same answer, "
    "charged once; the same key and another request is a 409.",
)
LAST_EVENT_ID = parameter(
    "header", "Last-Event-ID", {"type": "integer", "minimum": 0}, "The id of the last event that you have seen."
)
