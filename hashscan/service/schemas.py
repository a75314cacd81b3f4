"""The words of the OpenAPI document. What is accepted is decided by `parsing`; a test holds the two together."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hashscan.model import Action, Algorithm
from hashscan.service import parsing

Schema = dict[str, Any]

_HEX64 = {"type": "string", "pattern": "^[0-9a-f]{64}$"}


def _object(properties: Mapping[str, Schema], *optional: str) -> Schema:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": dict(properties), "required": required}


def _text(most: int) -> Schema:
    return {"type": "string", "minLength": 1, "maxLength": most}


ENVELOPE: Schema = {
    "application/json": {
        "schema": _object(
            {
                "payload": {"type": "string", "contentEncoding": "base64"},
                "payloadType": {"type": "string"},
                "signatures": {
                    "type": "array",
                    "items": _object({"keyid": {"type": "string"}, "sig": {"type": "string", "contentEncoding": "base64"}}),
                },
            }
        )
    }
}
FILE: Schema = {
    "application/json": {"schema": {"type": "object"}},
    "application/octet-stream": {"schema": {"type": "string", "contentMediaType": "application/octet-stream"}},
}

ERROR: Schema = _object({"error": _object({"code": {"type": "string"}, "message": {"type": "string"}})})

_MEANING = {
    401: "Unknown API key, or unknown enrolment code",
    403: "The provider is suspended",
    404: "Nothing is published under this name",
    409: "It does not fit what the service knows: the version of the list, the epoch, the API key",
    408: "The request came too slowly",
    410: "The enrolment code was used, has expired or was ended",
    413: "The request, or its answer, would be too long",
    414: "The address is too long",
    422: "The request is not what docs/wire.md says",
    429: "Asked too often, or a budget is empty; Retry-After says how many seconds to wait",
    431: "The headers are too many or too long",
    503: "The database is busy; Retry-After says how many seconds to wait",
}


def errors(*statuses: int) -> dict[int | str, Schema]:
    """The error answers of these statuses; where a request can be too long it can be too slow."""
    slow = (408,) if 413 in statuses else ()
    return {
        status: {"description": _MEANING[status], "content": {"application/json": {"schema": ERROR}}}
        for status in sorted({*statuses, *slow})
    }


def _good(description: str, content: Schema, *statuses: int) -> dict[int | str, Schema]:
    """The good answer to who watches, and these errors."""
    return {200: {"description": description, "content": content}, **errors(413, 414, 431, *statuses)}


STATUS = _good("Yes", {"application/json": {"schema": _object({"status": {"const": "ok"}})}})
READY = _good(
    "Yes; what a person should see to is named",
    {
        "application/json": {
            "schema": _object({"status": {"const": "ready"}, "troubles": {"type": "array", "items": {"type": "string"}}})
        }
    },
    503,
)
METRICS = _good("Prometheus' text format 0.0.4", {"text/plain": {"schema": {"type": "string"}}}, 404, 503)


def answers(description: str, content: Schema, *statuses: int) -> dict[int | str, Schema]:
    """The good answer, these errors, and those that every request of an agent can get."""
    return {200: {"description": description, "content": content}} | errors(401, 403, 414, *statuses, 429, 431, 503)


def added(description: str, *statuses: int) -> dict[int | str, Schema]:
    """The same for an answer with status 201 and nothing to tell."""
    return {201: {"description": description, "content": DONE}} | errors(401, 403, 414, *statuses, 429, 431, 503)


def _request(schema: Schema, *parameters: Schema) -> Schema:
    body = {"required": True, "content": {"application/json": {"schema": schema}}}
    return {"requestBody": body, "parameters": list(parameters)} if parameters else {"requestBody": body}


CONFIRM_SCHEMA = _object(
    {
        "list": _object(
            {
                "id": _text(64),
                "version": {"type": "integer", "minimum": 1},
                "epoch": {"type": "integer", "minimum": 1},
            }
        ),
        "nonce": {"type": "string", "pattern": "^[A-Za-z0-9_-]{43}$"},
        "items": {
            "type": "array",
            "minItems": 1,
            "maxItems": parsing.MAX_ITEMS,
            "items": _object(
                {
                    "i": {"type": "integer", "minimum": 0, "maximum": parsing.MAX_I},
                    "prefixes": {
                        "type": "object",
                        "properties": {one.value: {"type": "string", "pattern": "^[0-9a-f]{8}$"} for one in Algorithm},
                        "minProperties": 1,
                    },
                    "size": {"type": ["integer", "null"], "minimum": 0},
                },
                "size",
            ),
        },
    }
)
_SOMETHING: Schema = {"anyOf": [{"properties": {"outcomes": {"minItems": 1}}}, {"required": ["backlog"]}]}
"""Outcomes, or what waits for an answer: a report of nothing is refused."""
OUTCOMES_SCHEMA: Schema = _SOMETHING | _object(
    {
        "outcomes": {
            "type": "array",
            "maxItems": parsing.MAX_OUTCOMES,
            "items": _object(
                {
                    "id": _text(80),
                    "entry": _text(80),
                    "list": _text(64),
                    "verdict": _HEX64,
                    "action": {"enum": [action.value for action in Action]},
                    "first_seen": {"type": "number", "minimum": 0},
                    "acted_at": {"type": "number", "minimum": 0},
                    "finding": {"type": ["string", "null"], "minLength": 1, "maxLength": 80},
                },
                "finding",
            ),
        },
        "log": _object({"lines": {"type": "integer", "minimum": 0}, "hash": _HEX64}),
        "backlog": _object(
            {"pending": {"type": "integer", "minimum": 0}, "since": {"type": ["number", "null"], "minimum": 0}}, "since"
        ),
    },
    "log",
    "backlog",
)
CONFIRM_REQUEST = _request(
    CONFIRM_SCHEMA,
    {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "description": "The nonce of the question",
        "schema": {"type": "string"},
    },
)
OUTCOMES_REQUEST = _request(OUTCOMES_SCHEMA)

DISPUTE_REQUEST = _request(
    _object(
        {
            "id": {"type": "string", "pattern": "^[A-Za-z0-9_-]{16,64}$"},
            "list": _text(64),
            "entry": _text(80),
            "reason": _text(1000),
        }
    )
)

_LABEL: Schema = {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"}
_NONCE: Schema = {"type": "string", "pattern": "^[A-Za-z0-9_-]{43}$"}
_BASE64: Schema = {"type": "string", "contentEncoding": "base64"}

ENROL_REQUEST = _request(
    _object(
        {
            "code_id": {"type": "string", "pattern": "^[0-9a-f]{16}$"},
            "nonce": _NONCE,
            "api_key_sha256": _HEX64,
            "label": _LABEL,
            "proof": _HEX64,
        }
    )
)
HANDOVER: Schema = {
    "application/json": {"schema": _object({"provider": _text(64), "keys": _BASE64, "root": _BASE64, "mac": _HEX64})}
}
API_KEY_REQUEST = _request(_object({"api_key_sha256": _HEX64, "label": _LABEL}))
RETIRE_REQUEST = _request(_object({"api_key_sha256": _HEX64}))
DONE_BODY = b'{"done":true}'
DONE: Schema = {"application/json": {"schema": _object({"done": {"type": "boolean"}})}}
PROVIDER_KEYS_REQUEST: Schema = {
    "parameters": [
        {"name": "nonce", "in": "query", "required": True, "description": "43 random characters", "schema": _NONCE},
        {
            "name": "have",
            "in": "query",
            "required": True,
            "description": "Since which epoch the agent has its newest key; the answer is readable with that one only",
            "schema": {"type": "integer", "minimum": 1},
        },
    ]
}


def document(openapi: Mapping[str, Any]) -> str:
    """The OpenAPI document as it is checked in, without the version of the program: that changes with every release."""
    fixed = dict(openapi)
    fixed["info"] = {**openapi["info"], "version": "1"}
    return json.dumps(fixed, indent=1, sort_keys=True, ensure_ascii=True) + "\n"
