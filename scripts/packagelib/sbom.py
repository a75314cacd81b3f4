"""A bill of materials: CycloneDX 1.6 as JSON, the same for the same input."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterable
from typing import Any

from scripts.packagelib.ground import Ground
from scripts.packagelib.wheels import Wheel

_NAMESPACE = uuid.UUID("5b2f2d0e-6c0a-5b0e-9a53-6a1f5f6c1d8e")


def document(ground: Ground, ours: Wheel, others: Iterable[Wheel]) -> str:
    """The bill of a package that carries ``others`` beside (or for) our own wheel."""
    components = [_component(one, "library") for one in _distributions(others)]
    root = _component(ours, "application")
    edges = {root["bom-ref"]: sorted(one["bom-ref"] for one in components)}
    body = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ground.epoch)), "component": root},
        "components": components,
        "dependencies": [{"ref": ref, "dependsOn": below} for ref, below in edges.items()],
    }
    serial = uuid.uuid5(_NAMESPACE, json.dumps(body, sort_keys=True))
    return json.dumps({**body, "serialNumber": f"urn:uuid:{serial}"}, indent=1, sort_keys=True) + "\n"


def _distributions(wheels: Iterable[Wheel]) -> list[list[Wheel]]:
    """The wheels of each distribution together: one component, several files."""
    found: dict[str, list[Wheel]] = {}
    for one in wheels:
        found.setdefault(one.name, []).append(one)
    return [found[name] for name in sorted(found)]


def _component(files: Wheel | list[Wheel], kind: str) -> dict[str, Any]:
    files = files if isinstance(files, list) else [files]
    first = files[0]
    purl = f"pkg:pypi/{first.name}@{first.version}"
    return {
        "type": kind,
        "bom-ref": purl,
        "name": first.name,
        "version": first.version,
        "purl": purl,
        "licenses": [{"license": {"name": first.licence}}],
        "properties": [{"name": f"hashscan:sha256:{one.path.name}", "value": one.digest} for one in files],
    }
