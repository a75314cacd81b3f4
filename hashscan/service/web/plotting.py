"""From figures to plots: what is drawn, and the same in words for who does not see it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise

from hashscan.service.monitor.figures import Group
from hashscan.service.monitor.views import Monitor
from hashscan.service.web.drawing import DESK, PHONE, Mark, Pair, Plot, Rect, paired, removals, share_bar
from hashscan.service.web.rendering import duration, percent

MOST_DAYS = 45  # columns of days; beyond that weeks


@dataclass(frozen=True, slots=True)
class Drawn:
    """One plot in both widths, its title, its content in words, and the rows of the table under it."""

    plots: tuple[Plot, Plot]
    title: str
    words: str
    rows: tuple[tuple[str, ...], ...]


def over_time(figures: Monitor) -> Drawn:
    """Findings that came in, and removals that were told, by day or week."""
    by_day = len(figures.days) <= MOST_DAYS
    spans = figures.days if by_day else figures.weeks
    unit = "day" if by_day else "week"
    pairs = [Pair(_label(one.start), one.findings, one.removed) for one in spans]
    found, gone = sum(one.findings for one in spans), sum(one.removed for one in spans)
    words = f"{found} findings and {gone} removals in {len(spans)} {unit}s"
    if spans:
        most = max(spans, key=lambda one: one.findings)
        words += f"; most findings, {most.findings}, {'on' if by_day else 'in the week from'} {most.start}"
    rows = tuple((one.start, str(one.findings), str(one.removed)) for one in spans)
    return Drawn(_both(pairs, f"per {unit}"), f"Findings and removals per {unit}", f"{words}.", rows)


def _both(pairs: Sequence[Pair], unit: str) -> tuple[Plot, Plot]:
    return paired(pairs, DESK, unit), paired(pairs, PHONE, unit)


def _label(start: str) -> str:
    moment = date.fromisoformat(start)
    return f"{moment.day} {moment:%b}"


def until_removal(figures: Monitor) -> Drawn:
    """How long removals took, with the 24-hour line, the median and the 95th percentile."""
    spread, sums = figures.spread, figures.total.removals
    marks = [
        Mark(value, f"{words} {duration(value)}")
        for value, words in ((sums.median, "median"), (sums.p95, "95 % within"))
        if value is not None
    ]
    plots = tuple(removals(spread.edges, spread.counts, marks, width) for width in (DESK, PHONE))
    words = f"{sums.count} removals"
    if sums.count:
        words += (
            f"; {percent(sums.within_norm)} within 24 hours, the median {duration(sums.median)}, "
            f"95 % within {duration(sums.p95)}"
        )
    names = _between(spread.edges)
    rows = tuple((name, str(count)) for name, count in zip(names, spread.counts, strict=True))
    return Drawn((plots[0], plots[1]), "Time from first sight to removal", f"{words}.", rows)


def _between(edges: Sequence[float]) -> list[str]:
    inner = [f"{duration(low)} to {duration(high)}" for low, high in pairwise(edges)]
    return [f"up to {duration(edges[0])}", *inner, f"more than {duration(edges[-1])}"]


def share_bars(groups: Sequence[Group]) -> list[list[Rect]]:
    """Of each group a bar as long as its findings: removed, open, overdue."""
    most = max((one.findings for one in groups), default=0)
    return [
        share_bar([("in-time", one.removed), ("waiting", one.open - one.overdue), ("after", one.overdue)], most)
        for one in groups
    ]
