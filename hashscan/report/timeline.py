"""How a run went over time: at most a few hundred points, however long it takes."""

from __future__ import annotations

from collections.abc import Mapping

from hashscan.model import Json
from hashscan.report.fields import number

MOST_POINTS = 240
FIRST_STEP_S = 0.25
_KEYS = ("seen", "scanned", "cached")


class Timeline:
    """Points no closer than a step, which doubles whenever there are too many of them."""

    def __init__(self) -> None:
        self._step = FIRST_STEP_S
        self._points: list[dict[str, Json]] = []
        self._last = -FIRST_STEP_S

    def add(self, seconds: float, paths: Mapping[str, Json], hashed: int) -> None:
        """One more look at the counts, ``seconds`` after the beginning."""
        if seconds - self._last < self._step:
            return
        self._last = seconds
        counts: dict[str, Json] = {key: number(paths, key) for key in _KEYS}
        self._points.append({"seconds": round(seconds, 3), **counts, "bytes_hashed": hashed})
        if len(self._points) > MOST_POINTS:
            self._points = self._points[::2]
            self._step *= 2

    def told(self) -> list[Json]:
        """The points, the earliest first."""
        return list(self._points)
