"""A bill of materials: CycloneDX 1.6 as JSON, the same for the same input."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from scripts.packagelib.ground import Ground
from scripts.packagelib.wheels import Wheel

_EXTRAS = ("evidence", "service", "postgres")
_NAMESPACE = uuid.UUID("5b2f2d0e-6c0a-5b0e-9a53-6a1f5f6c1d8e")


def document(ground: Ground, ours: Wheel, others: Iterable[Wheel]) -> str:
    """The bill of a package that carries ``others`` beside (or for) our own wheel."""
    distributions = _distributions(others)
    components = [_component(one, "library") for one in distributions]
    root = _component([ours], "application")
    refs = {one["name"]: one["bom-ref"] for one in (*components, root)}
    edges = {refs[ours.name]: _edges(ours, refs, _EXTRAS)} | {refs[one[0].name]: _edges(one[0], refs) for one in distributions}
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


def _edges(wheel: Wheel, refs: Mapping[str, str], extras: Iterable[str] = ()) -> list[str]:
    """What of the bill a distribution needs."""
    return sorted(refs[name] for name, _ in wheel.needs(extras) if name in refs and name != wheel.name)


def _component(files: list[Wheel], kind: str) -> dict[str, Any]:
    first = files[0]
    expression = first.metadata.get("License-Expression")
    purl = f"pkg:pypi/{first.name}@{first.version}"
    return {
        "type": kind,
        "bom-ref": purl,
        "name": first.name,
        "version": first.version,
        "purl": purl,
        "licenses": [{"expression": expression} if expression else {"license": {"name": first.licence}}],
        "properties": [{"name": f"hashscan:sha256:{one.path.name}", "value": one.digest} for one in files],
    }
