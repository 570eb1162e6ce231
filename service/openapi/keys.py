"""The routes of keys and of the ledger."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from rakinglight.catalogue import OPERATIONS
from service.negotiation import JSON, LINES
from service.openapi.kept import kept
from service.openapi.parts import ANY_KEPT, KEY, ONE_KEPT, PAGE, ROOT, ok, parameter
from service.rest_keys import NewKey, TopUp
from service.schemas.parts import REFERENCE, Schema, reference


def key_paths() -> dict[str, Any]:
    one, every = {JSON: {"schema": reference("Key")}}, {JSON: {"schema": reference("KeyList")}}
    said, path = (*ANY_KEPT, "BAD_PARAMETER", "TOO_LARGE", "CONFLICT", "OVERLOADED", "ENGINE_AWAY"), f"{ROOT}/keys"
    new = {JSON: {"schema": reference("KeyWithSecret")}}
    return {
        path: {
            "post": kept(
                "make_key", "keys", "Make a key. Its secret is told in the answer, and never again.",
                {"201": ok("The key.", new, "Location")}, said, requestBody=_body(NewKey),
            ),
            "get": kept(
                "keys", "keys", "All keys of the database, newest first, the revoked ones too.",
                {"200": ok("A page of them.", every)}, (*ANY_KEPT, "BAD_PARAMETER"), PAGE,
            ),
        },
        f"{path}/{{key}}": {
            "get": kept("key", "keys", "One key.", {"200": ok("The key.", one)}, ONE_KEPT, [KEY]),
            "delete": kept(
                "revoke_key", "keys", "Let nobody in by a key from now on. It stays in the list and in the ledger.",
                {"200": ok("The key.", one)}, ONE_KEPT, [KEY],
            ),
        },
        f"{path}/{{key}}/top-up": {
            "post": kept(
                "top_up_key", "keys", "Let a key ask about more images.", {"200": ok("The key.", one)},
                (*said, "NOT_FOUND"), [KEY], requestBody=_body(TopUp),
            ),
        },
        f"{path}/{{key}}/clear": {
            "post": kept(
                "clear_key", "keys", "Forget that a key was noticed, and what was seen of its questions.",
                {"200": ok("The key.", one)}, ONE_KEPT, [KEY],
            ),
        },
    }  # fmt: skip


def ledger_paths() -> dict[str, Any]:
    entries: Schema = {
        JSON: {"schema": reference("LedgerPage")},
        LINES: {"schema": {"type": "string", "description": "All entries, oldest first: a LedgerEntry a line."}},
    }
    filters = [
        parameter("query", "key", {"type": "string"}, "Only of this key: its id, or its name."),
        parameter("query", "operation", {"enum": list(OPERATIONS)}, "Only of this operation."),
        parameter("query", "since", {"type": "string", "format": "date-time"}, "Only since then."),
    ]
    return {
        f"{ROOT}/ledger": {
            "get": kept(
                "ledger", "keys", "Who asked what and when: a black box's images, and every attack. Newest first.",
                {"200": ok("A page of it, or all of it.", entries)},
                (*ANY_KEPT, "BAD_PARAMETER", "NOT_FOUND", "NOT_ACCEPTABLE"), [*PAGE, *filters],
            ),
        },
    }  # fmt: skip


def _body(kind: type[BaseModel]) -> Schema:
    schema = kind.model_json_schema(ref_template=REFERENCE)
    return {"required": True, "content": {JSON: {"schema": schema}}}
