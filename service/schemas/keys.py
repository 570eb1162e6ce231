"""Keys and the ledger."""

from __future__ import annotations

from typing import get_args

from service.keys import SCOPES, View
from service.keys import Response as KeyResponse
from service.schemas.parts import (
    BOOLEAN,
    INTEGER,
    NUMBER,
    SOME_TEXT,
    SOME_TIME,
    TEXT,
    TIME,
    Schema,
    record,
    reference,
)

_NEXT: Schema = {**SOME_TEXT, "description": "`page_token` of the next page; null on the last."}
_SOME_INTEGER: Schema = {"type": ["integer", "null"]}

_KEY: dict[str, Schema] = {
    "id": TEXT,
    "name": TEXT,
    "scopes": {"type": "array", "items": {"enum": sorted(SCOPES)}},
    "view": {"enum": [*get_args(View), None], "description": "What it is shown; null of a key that is no black box."},
    "top_k": {**_SOME_INTEGER, "description": "Classes that the view `top_k` shows."},
    "budget": {**_SOME_INTEGER, "description": "Images that it may ask about, ever; null is any number."},
    "spent": {**INTEGER, "description": "Images that were answered."},
    "rate": {**_SOME_INTEGER, "description": "Images a minute; null is any number."},
    "response": {
        "enum": [*get_args(KeyResponse), None],
        "description": "What is done once it is noticed to copy the model.",
    },
    "noticed": {
        "anyOf": [
            record(
                "The first alarm, until it is cleared.",
                {
                    "at": TIME,
                    "queries": {**INTEGER, "description": "Images that were asked about."},
                    "score": NUMBER,
                    "times": {**INTEGER, "description": "That there was an alarm."},
                    "over": {**BOOLEAN, "description": "Whether the last one is."},
                },
            ),
            {"type": "null"},
        ]
    },
    "created_at": TIME,
    "expires_at": SOME_TIME,
    "revoked_at": SOME_TIME,
}

KEYS: dict[str, Schema] = {
    "Key": record("Of a caller. Its secret is nowhere.", _KEY),
    "KeyWithSecret": record(
        "A new key.", {**_KEY, "secret": {**TEXT, "description": "For `Authorization: Bearer`. It is told this once."}}
    ),
    "KeyList": record("", {"keys": {"type": "array", "items": reference("Key")}, "next_page_token": _NEXT}),
    "LedgerEntry": record(
        "One image that a black box was asked about, or one attack, whoever asked.",
        {
            "at": TIME,
            "id": TEXT,
            "key": {**TEXT, "description": "Its id, or the name of one of the key file; empty where none was shown."},
            "caller": TEXT,
            "operation": TEXT,
            "model": reference("ModelReference"),
            "method": SOME_TEXT,
            "purpose": SOME_TEXT,
            "request_id": TEXT,
            "idempotency_key": SOME_TEXT,
            "image": {**_SOME_INTEGER, "description": "Its place in the request, from 0; null of a dataset."},
            "dataset": SOME_TEXT,
            "kept": {**SOME_TEXT, "description": "Under which it is an artifact, where the operator has images kept."},
            "charged": {**BOOLEAN, "description": "Whether it took one image off the key's budget."},
            "sha256": {**SOME_TEXT, "description": "Of the image as it came."},
        },
    ),
    "LedgerPage": record(
        "", {"entries": {"type": "array", "items": reference("LedgerEntry")}, "next_page_token": _NEXT}
    ),
}
