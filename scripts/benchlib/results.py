"""What was measured, as data: medians, ratios, verdicts, and the file that a broken-off run goes on from. Opens one file."""

from __future__ import annotations

import enum
import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hashscan.atomic import write_bytes

FORMAT = 1


class Unit(enum.StrEnum):
    """What the value of a row is. Less is better for all of them."""

    RATIO = "ratio"  # ours / peer, wall clock, median over pairs
    SECONDS = "s"
    MEGABYTES = "MB"  # 1,000,000 bytes
    FILES = "files"


class Status(enum.StrEnum):
    """How a row ended."""

    MEASURED = "measured"
    EXERCISED = "exercised"  # --quick: run and checked, its times mean nothing
    PEER_MISSING = "peer missing"
    UNAVAILABLE = "not available in this version"
    NOT_RUN = "not run"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two of a row: times in seconds, one for each timed run; memory in bytes, of an extra run that is not timed."""

    wall: tuple[float, ...] = ()
    cpu: tuple[float, ...] = ()
    pss: int = 0
    rss: int = 0


@dataclass(frozen=True, slots=True)
class Result:
    """One row. ``value`` is compared with ``target``; ``low`` and ``high`` are its extremes over the pairs."""

    key: str
    work: str
    peer: str
    target: float | None
    unit: Unit
    status: Status
    value: float | None = None
    low: float | None = None
    high: float | None = None
    ours: Side = field(default_factory=Side)
    theirs: Side | None = None
    note: str = ""
    load: float = 0.0

    @property
    def verdict(self) -> str:
        """ "met" or "missed" where there is a target and a measurement, else how the row ended."""
        if self.status is not Status.MEASURED or self.value is None or self.target is None:
            return str(self.status)
        return "met" if self.value <= self.target else "missed"


def spread(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float, float]:
    """Median, least and greatest of the ratios of the pairs. Raises ValueError where the sides are not pairs."""
    ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
    return statistics.median(ratios), min(ratios), max(ratios)


def median(values: Iterable[float]) -> float | None:
    """None where there are none."""
    kept = list(values)
    return statistics.median(kept) if kept else None


def exit_code(results: Sequence[Result], failed_checks: int) -> int:
    """0 where everything that could run ended well; 1 where something failed, or nothing could run."""
    if failed_checks or any(one.status is Status.FAILED for one in results):
        return 1
    return 0 if any(one.status in (Status.MEASURED, Status.EXERCISED) for one in results) else 1


def to_json(result: Result) -> dict[str, Any]:
    """A row as it is stored."""
    return asdict(result)


def from_json(told: Mapping[str, Any]) -> Result:
    """The inverse of `to_json` after a journey through JSON. Raises KeyError, TypeError, ValueError."""
    sides = {name: _side(told[name]) for name in ("ours", "theirs")}
    return Result(**{**told, "unit": Unit(told["unit"]), "status": Status(told["status"]), **sides})


def _side(told: Mapping[str, Any] | None) -> Side | None:
    if told is None:
        return None
    return Side(tuple(told["wall"]), tuple(told["cpu"]), told["pss"], told["rss"])


class Book:
    """The file of results: written after each row, so that a run that was broken off goes on where it was.

    Rows are kept only for the same ``settings`` (scale, pairs, source of hashscan ...): others would not be comparable.
    """

    def __init__(self, path: Path | None, head: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
        self._path, self._head, self._settings = path, head, settings
        self._rows: dict[str, Result] = {}

    @property
    def results(self) -> list[Result]:
        """All rows, in the order in which they were entered first."""
        return list(self._rows.values())

    def resume(self) -> int:
        """Take over the measured rows of an earlier run with the same settings; how many these are."""
        if self._path is None or not self._path.exists():
            return 0
        told = read(self._path)
        if told["settings"] != json.loads(json.dumps(self._settings)):
            return 0
        rows = [from_json(one) for one in told["rows"]]
        self._rows = {one.key: one for one in rows if one.status is Status.MEASURED}
        return len(self._rows)

    def has(self, key: str) -> bool:
        """Whether the row is there already."""
        return key in self._rows

    def enter(self, result: Result) -> None:
        """Add or replace a row, and store it."""
        self._rows[result.key] = result
        if self._path is not None:
            rows = [to_json(one) for one in self._rows.values()]
            document = {"format": FORMAT, **self._head, "settings": self._settings, "rows": rows}
            write_bytes(self._path, json.dumps(document, indent=1).encode() + b"\n", mode=0o644)


def read(path: Path) -> dict[str, Any]:
    """A file of results. Raises OSError, ValueError."""
    told = json.loads(path.read_bytes())
    if not isinstance(told, dict) or told.get("format") != FORMAT:
        raise ValueError(f"{path} is not a file of results of format {FORMAT}")
    return told
