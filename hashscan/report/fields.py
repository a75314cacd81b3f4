"""Reading an event's data for people: text made printable, numbers grouped, sizes and times with units."""

from __future__ import annotations

from collections.abc import Mapping

from hashscan.model import Json
from hashscan.report.escape import printable

LOCAL = "local:"  # begins the id of a plain list on this host
_YES_NO = {True: "yes", False: "no"}
_SHORT_ENTRY = len("sha256:") + 16


def text(data: Mapping[str, Json], key: str) -> str:
    """The value as printable text; empty where it is missing or null."""
    value = data.get(key)
    return "" if value is None else _YES_NO[value] if isinstance(value, bool) else printable(str(value))


def number(data: Mapping[str, Json], key: str) -> int:
    """The value as a whole number; 0 where it is missing or not a number."""
    value = data.get(key)
    return int(value) if isinstance(value, (int, float)) else 0


def table(data: Mapping[str, Json], key: str) -> Mapping[str, Json]:
    """The value as an object; empty where it is missing or something else."""
    value = data.get(key)
    return value if isinstance(value, Mapping) else {}


def rows(data: Mapping[str, Json], key: str) -> list[Mapping[str, Json]]:
    """The objects in the array at ``key``."""
    value = data.get(key)
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, (list, tuple)) else []


def list_name(ref: Mapping[str, Json]) -> str:
    """ "police-nl v7"; "plain list known.sha1" for one that no authority has numbered."""
    name = text(ref, "id")
    return f"plain list {name.removeprefix(LOCAL)}" if name.startswith(LOCAL) else f"{name} v{text(ref, 'version')}"


def entry_name(data: Mapping[str, Json], ref: Mapping[str, Json]) -> str:
    """The id of an entry; of a plain list, where it is a digest, the first digits."""
    entry = text(data, "entry")
    return f"{entry[:_SHORT_ENTRY]}..." if text(ref, "id").startswith(LOCAL) and len(entry) > _SHORT_ENTRY else entry


def list_names(data: Mapping[str, Json]) -> str:
    """ "police-nl v7, ncmec v3"; "no list" where there is none."""
    return ", ".join(list_name(ref) for ref in rows(data, "lists")) or "no list"


def directories(data: Mapping[str, Json]) -> str:
    """ "1 directory", "2,345 directories"."""
    count = number(data, "directories")
    return f"{count:,} director{'y' if count == 1 else 'ies'}"


def size(count: float) -> str:
    """Bytes in decimal units: "999 B", "1.5 MB"."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 999.95 or (unit == "B" and abs(count) < 1000):
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def duration(seconds: float) -> str:
    """ "3.2 s", "4 min 05 s", "2 h 03 min"."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"
