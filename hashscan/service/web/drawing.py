"""Plots as geometry: from numbers to rectangles, lines and words. The template draws them, the style sheet colours them.

Each plot is made twice, for desks and for phones: one SVG that is scaled would have words of six pixels on a phone.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

DESK, PHONE = 560, 330  # units of width; the SVG is as wide as its column
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 10, 26, 44
_CHARACTER = 6.6  # width of one at 12 px, about
NORM_SECONDS = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Rect:
    """A filled rectangle; ``kind`` is its class."""

    x: float
    y: float
    width: float
    height: float
    kind: str


@dataclass(frozen=True, slots=True)
class Line:
    """A straight line; ``kind`` is its class."""

    x1: float
    y1: float
    x2: float
    y2: float
    kind: str


@dataclass(frozen=True, slots=True)
class Text:
    """Words at a point; ``anchor`` is start, middle or end."""

    x: float
    y: float
    text: str
    kind: str = "tick"
    anchor: str = "middle"


@dataclass(frozen=True, slots=True)
class Plot:
    """One drawing in units of its own."""

    width: float
    height: float
    rects: list[Rect] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    texts: list[Text] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two counts of one span of time: what was found, what was removed; ``label`` stands under them."""

    label: str
    found: int
    removed: int


@dataclass(frozen=True, slots=True)
class Mark:
    """A value to be marked over the columns of `removals`: seconds, and its words."""

    seconds: float
    words: str


def nice_ceiling(most: float) -> tuple[int, int]:
    """(top of an axis, step) for counts up to ``most``: two to five steps of 1, 2 or 5 times a power of ten."""
    if most <= 4:
        return max(1, math.ceil(most)), 1
    power = 10 ** math.floor(math.log10(most))
    for step in (power // 5, power // 2, power, 2 * power):
        if step >= 1 and math.ceil(most / step) <= 5:
            return math.ceil(most / step) * step, step
    raise AssertionError("2 * power is always enough")


def paired(pairs: Sequence[Pair], width: int, unit: str) -> Plot:
    """Two columns for each pair, and as many labels under them as have room. ``unit`` is what the numbers count."""
    plot = Plot(width, 230 if width == PHONE else 270)
    field_ = _Field(plot, len(pairs), max((max(one.found, one.removed) for one in pairs), default=0))
    field_.axes(unit)
    longest = max((len(one.label) for one in pairs), default=1) * _CHARACTER + 14
    every = max(1, math.ceil(longest / field_.slot))
    half = min(14.0, field_.slot * 0.4)
    for number, one in enumerate(pairs):
        middle = field_.middle(number)
        field_.column(middle - half, half, one.found, "waiting")
        field_.column(middle, half, one.removed, "in-time")
        if number % every == 0:
            plot.texts.append(Text(middle, field_.bottom + 18, one.label))
    return plot


def removals(edges: Sequence[float], counts: Sequence[int], marks: Iterable[Mark], width: int) -> Plot:
    """How long removals took: a column between each two ``edges`` (seconds) and one beyond the last; the 24-hour line.

    ``counts`` has one number more than ``edges``: below the first, between them, beyond the last. Columns are equally wide, so
    the axis is neither linear nor logarithmic: its edges are written under it.
    """
    plot = Plot(width, 270 if width == PHONE else 290)
    field_ = _Field(plot, len(counts), max(counts, default=0), top=62)
    field_.axes("removals")
    for number, count in enumerate(counts):
        late = number > 0 and edges[number - 1] >= NORM_SECONDS
        breadth = min(52.0, field_.slot * 0.86)
        field_.column(field_.middle(number) - breadth / 2, breadth, count, "after" if late else "in-time")
    for number, edge in enumerate(edges):
        x = round(_LEFT + (number + 1) * field_.slot, 2)
        plot.lines.append(Line(x, field_.bottom, x, field_.bottom + 4, "axis"))
        if width == DESK or (len(edges) - number) % 2 == 0:
            plot.texts.append(Text(x, field_.bottom + 18, _short(edge)))
    plot.texts.append(Text((_LEFT + plot.width - _RIGHT) / 2, plot.height - 6, "time from first sight to removal", "unit"))
    for row, one in enumerate(marks):
        _mark(plot, field_, round(_LEFT + place(one.seconds, edges) * field_.slot, 2), row, one.words)
    _norm(plot, field_, _LEFT + place(NORM_SECONDS, edges) * field_.slot)
    return plot


def place(seconds: float, edges: Sequence[float]) -> float:
    """Where on the axis of `removals` a time is, in columns; logarithmic within a column, the middle of the outer two."""
    column = bisect_right(edges, seconds)
    if column == 0:
        return 0.5
    if column == len(edges):
        return column + (0.0 if seconds <= edges[-1] else 0.5)
    low, high = edges[column - 1], edges[column]
    return column + math.log(seconds / low) / math.log(high / low)


def share_bar(parts: Sequence[tuple[str, float]], most: float) -> list[Rect]:
    """A bar in a table, 100 units wide for ``most``: (class, amount) from the left."""
    rects, x = [], 0.0
    for kind, amount in parts:
        width = 100 * amount / most if most > 0 else 0.0
        if width > 0:
            rects.append(Rect(round(x, 2), 0, round(width, 2), 10, kind))
        x += width
    return rects


def _norm(plot: Plot, field_: _Field, x: float) -> None:
    plot.lines.append(Line(round(x, 2), 44, round(x, 2), field_.bottom, "norm"))
    plot.texts.append(Text(round(x - 5, 2), 54, "24 hours", "late", "end"))


def _mark(plot: Plot, field_: _Field, x: float, row: int, words: str) -> None:
    """A marked value above the columns, each in a row of its own."""
    y = 14 + 16 * row
    plot.lines.append(Line(x, y - 3, x, field_.bottom, "mark"))
    fits = x + 6 + len(words) * _CHARACTER < plot.width
    plot.texts.append(Text(round(x + 5 if fits else x - 5, 2), y + 2, words, "strong", "start" if fits else "end"))


def _short(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size and (unit != "d" or seconds > 86_400):
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"


class _Field:
    """The field inside the axes of a plot, for ``columns`` columns of at most ``most``."""

    def __init__(self, plot: Plot, columns: int, most: int, *, top: int = _TOP) -> None:
        self._plot = plot
        self._most, self._step = nice_ceiling(most)
        self._height = plot.height - top - _BOTTOM
        self.bottom = plot.height - _BOTTOM
        self.slot = (plot.width - _LEFT - _RIGHT) / max(1, columns)

    def axes(self, unit: str) -> None:
        """Lines and numbers of the count, and what is counted."""
        for value in range(0, self._most + 1, self._step):
            y = round(self.bottom - self._height * value / self._most, 2)
            self._plot.lines.append(Line(_LEFT, y, self._plot.width - _RIGHT, y, "grid" if value else "axis"))
            self._plot.texts.append(Text(_LEFT - 7, y + 4, f"{value:,}".replace(",", "\u202f"), "tick", "end"))
        self._plot.texts.append(Text(2, 12, unit, "unit", "start"))

    def middle(self, number: int) -> float:
        """The middle of a column."""
        return round(_LEFT + (number + 0.5) * self.slot, 2)

    def column(self, left: float, width: float, count: int, kind: str) -> None:
        """One column; at least one unit high, so that one finding beside thousands is seen."""
        if count:
            height = round(max(1.0, self._height * count / self._most), 2)
            self._plot.rects.append(Rect(round(left, 2), round(self.bottom - height, 2), round(width, 2), height, kind))
