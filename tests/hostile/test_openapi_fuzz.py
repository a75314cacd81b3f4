"""schemathesis against the running code: what the document allows and forbids, and what the service says to both."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import load_all_checks
from schemathesis.core.failures import FailureGroup
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi import checks

from hashscan.service import admin
from hashscan.service.app import create_app
from hashscan.service.limits import Rate
from hashscan.service.serving import Options
from tests.support.budget import attempts
from tests.support.service import enrol, load, make, sha1

load_all_checks()
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "openapi.json"
NO_LIMIT = Rate(0.0, 0.0)
CHECKS = (
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
    checks.unsupported_method,
)
OPERATIONS = [
    (path, method, mode)
    for path, methods in json.loads(DOCUMENT.read_text())["paths"].items()
    for method, one in methods.items()
    for mode in GenerationMode
    if mode is GenerationMode.POSITIVE or "requestBody" in one or "parameters" in one  # else nothing is forbidden
]
asked: dict[str, int] = {}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FastAPI, str]]:
    data = make(tmp_path_factory.mktemp("fuzz"))
    agent = enrol(data)
    load(data, sha1("a"))
    admin.publish(data)
    admin.set_quota(data, None, per_day=0, burst=None)
    app = create_app(data, options=Options(per_key=NO_LIMIT, per_stranger=NO_LIMIT))
    yield app, agent.api_key
    app.state.served.store.close()
    print(f"requests by operation: {asked}")


def check_answers(app: FastAPI, path: str, method: str, mode: GenerationMode, key: str | None) -> None:
    """Make requests of one operation, and check each answer."""
    schema = schemathesis.openapi.from_dict(json.loads(DOCUMENT.read_text()))
    schema.app = app

    @settings(
        max_examples=attempts(8),
        deadline=None,
        database=None,
        derandomize=True,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    @given(case=schema[path][method.upper()].as_strategy(generation_mode=mode))
    def check_one(case: Any) -> None:
        asked[f"{method} {path}"] = asked.get(f"{method} {path}", 0) + 1
        headers = {"Authorization": f"Bearer {key}"} if key is not None else {}
        case.call_and_validate(headers=headers, checks=list(CHECKS))

    check_one()


@pytest.mark.parametrize(("path", "method", "mode"), OPERATIONS)
def test_every_answer_is_in_the_document(service: tuple[FastAPI, str], path: str, method: str, mode: GenerationMode) -> None:
    """Allowed requests, and forbidden ones, which must not be accepted."""
    app, key = service
    check_answers(app, path, method, mode, key)


@pytest.mark.parametrize(("path", "method", "mode"), OPERATIONS)
def test_without_a_key_nobody_is_answered(service: tuple[FastAPI, str], path: str, method: str, mode: GenerationMode) -> None:
    app, _ = service
    check_answers(app, path, method, mode, None)


def test_control_answers_that_are_not_in_the_document_are_noticed() -> None:
    app = FastAPI()

    @app.get("/health")
    def health() -> dict[str, int]:
        return {"status": 5}

    @app.post("/v1/enrol")
    def enrol_anybody() -> dict[str, str]:
        return {"provider": "acme", "keys": "", "root": "", "mac": "0" * 64}

    for path, method, mode in (("/health", "get", GenerationMode.POSITIVE), ("/v1/enrol", "post", GenerationMode.NEGATIVE)):
        with pytest.raises(FailureGroup):
            check_answers(app, path, method, mode, None)
