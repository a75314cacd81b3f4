"""How long removals took, as counts between fixed times: what a plot of them is made of. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from hashscan.service.monitor.figures import NORM

_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86_400.0
EDGES = (_MINUTE, 10 * _MINUTE, _HOUR, 3 * _HOUR, 6 * _HOUR, 12 * _HOUR, NORM, 2 * _DAY, 4 * _DAY, 7 * _DAY)


@dataclass(frozen=True, slots=True)
class Spread:
    """Removals by the seconds from first sight to removal: at most ``edges[0]``, then to each next one, then beyond the last.

    ``counts`` has one number more than ``edges``. Removals with times in doubt are in none, as in `figures.Removals`.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]


def spread(several: Sequence[Sequence[float]], edges: tuple[float, ...] = EDGES) -> Spread:
    """Of times of which each sequence ascends. One of exactly an edge counts below it: 24 hours are within the norm."""
    up_to = [sum(bisect_right(one, edge) for one in several) for edge in edges]
    ends = [*up_to, sum(map(len, several))]
    return Spread(edges, tuple(end - before for before, end in zip([0, *up_to], ends, strict=True)))
