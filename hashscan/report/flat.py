"""A status as lines of name and value; apart from `wording`, which brings rich."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hashscan.model import Json
from hashscan.report.fields import text


def pairs(status: Mapping[str, Json]) -> list[tuple[str, str]]:
    """Names with dots for what is nested, printable values. The same time in seconds is for programs, which read --json."""
    return [(name, value) for name, value in _flat(status) if not name.endswith("started_seconds")]


def _flat(data: Mapping[str, Json], above: str = "") -> Iterator[tuple[str, str]]:
    for key in data:
        value = data[key]
        name = f"{above}{text({'key': key}, 'key')}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}.")
        elif isinstance(value, (list, tuple)):
            yield from _flat({str(index): item for index, item in enumerate(value)}, f"{name}.")
        else:
            yield name, "none" if value is None else text(data, key)
