"""The OpenAPI document that is checked in is the one that the code makes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from hashscan.service.openapi import openapi_document

CHECKED_IN = Path(__file__).resolve().parents[2] / "docs" / "openapi.json"


def test_the_document_is_current() -> None:
    assert openapi_document() == CHECKED_IN.read_text(), "run: python -m hashscan.service.openapi > docs/openapi.json"


def test_the_document_names_every_door_and_every_status_of_the_protocol() -> None:
    paths = json.loads(openapi_document())["paths"]
    said = {(path, method): set(one["responses"]) for path, methods in paths.items() for method, one in methods.items()}
    anybody, agents = {"200", "413", "414", "431"}, {"200", "401", "403", "414", "429", "431", "503"}
    sent = {"408", "413", "422"}
    assert said == {
        ("/v1/confirm", "post"): agents | sent | {"409"},
        ("/v1/outcomes", "post"): agents | sent,
        ("/v1/disputes", "post"): agents | sent | {"409"},
        ("/v1/disputes/{dispute_id}", "get"): agents | {"404", "422"},
        ("/v1/enrol", "post"): agents | sent | {"409", "410"},
        ("/v1/api-keys", "post"): agents - {"200"} | sent | {"201", "409"},
        ("/v1/api-keys/retire", "post"): agents | sent | {"409"},
        ("/v1/provider-keys", "get"): agents | {"409", "422"},
        ("/v1/files/{name}", "get"): agents | {"404", "422"},
        ("/health", "get"): anybody | {"408"},
        ("/ready", "get"): anybody | {"408", "503"},
        ("/metrics", "get"): anybody | {"404", "408", "503"},
    }
    for path, methods in paths.items():
        for one in methods.values():
            assert ("security" in one) == (path.startswith("/v1/") and path != "/v1/enrol")


def test_the_generator_writes_it() -> None:
    root = CHECKED_IN.parents[1]
    done = subprocess.run([sys.executable, "-m", "hashscan.service.openapi"], cwd=root, capture_output=True, check=True)
    assert done.stdout == CHECKED_IN.read_bytes()
