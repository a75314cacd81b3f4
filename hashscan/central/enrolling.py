"""How an agent gets its keys and changes them: the requests of docs/wire.md, "Enrolment". What comes back is unchecked."""

from __future__ import annotations

import json
from urllib.parse import urlencode

from hashscan.central.client import Line
from hashscan.central.link import Clock, Link
from hashscan.central.retry import Backoff
from hashscan.errors import RefusedError

ENROL_PATH = "/v1/enrol"
API_KEYS_PATH = "/v1/api-keys"
RETIRE_PATH = "/v1/api-keys/retire"
PROVIDER_KEYS_PATH = "/v1/provider-keys"
_ADDED = frozenset({200, 201})


class HttpKeys:
    """The requests over HTTPS. All of them are safe to repeat. They raise `ServiceUnavailable` and `RefusedError`."""

    def __init__(self, link: Link, *, backoff: Backoff | None = None, clock: Clock | None = None) -> None:
        self._line = Line(link, backoff, clock)

    def enrol(self, application: bytes) -> bytes:
        """POST /v1/enrol, without an API key (``link.api_key`` None)."""
        try:
            return self._line.ask("POST", ENROL_PATH, application)
        except RefusedError as error:
            hint = "was the code typed for this service? Otherwise ask the hotline for a new one"
            raise RefusedError(str(error), hint=hint) from None

    def add_api_key(self, sha256: str, label: str) -> None:
        """POST /v1/api-keys: another key (64 hex digits of its SHA-256) beside the one that asks."""
        self._line.ask("POST", API_KEYS_PATH, _encode({"api_key_sha256": sha256, "label": label}), good=_ADDED)

    def retire_api_key(self, sha256: str) -> None:
        """POST /v1/api-keys/retire: the key by which the one that asks was added."""
        self._line.ask("POST", RETIRE_PATH, _encode({"api_key_sha256": sha256}))

    def provider_keys(self, nonce: str, have: int) -> bytes:
        """GET /v1/provider-keys: an envelope over keys that only a holder of the key since epoch ``have`` can read."""
        return self._line.ask("GET", f"{PROVIDER_KEYS_PATH}?{urlencode({'nonce': nonce, 'have': have})}")

    def close(self) -> None:
        """Close the connections."""
        self._line.close()


def _encode(document: dict[str, str]) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=True).encode()
