"""The JSON Schemas (draft 2020-12) of what leaves this program, shipped in the wheel."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

from hashscan.errors import UsageError

NAMES = ("event", "report")


def load(name: str) -> dict[str, Any]:
    """The schema called ``name`` (one of `NAMES`) as an object. Raises `UsageError` where there is none."""
    if name not in NAMES:
        raise UsageError(f"there is no schema called {name!r}", hint=f"schemas: {', '.join(NAMES)}")
    body = resources.files("hashscan.report").joinpath("schema", f"{name}.schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(body)
    return schema
