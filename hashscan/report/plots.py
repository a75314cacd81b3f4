"""Plots as SVG inside HTML: no script, no style attribute, sizes in percent so that text never shrinks with the screen.

A plot is never the only place of a number: each bar has its count beside it, each line a sentence below it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_HEIGHT = 100  # of a line's own coordinates; it is stretched to the size of its box


@dataclass(frozen=True, slots=True)
class Part:
    """A share of a whole: what it is, how many, and which of the five colours of the style sheet it has."""

    label: str
    count: int
    color: int


def stack(parts: Sequence[Part], title: str) -> str:
    """One bar of all parts side by side; it is for the eye only, `bars` has the same numbers."""
    total = sum(part.count for part in parts)
    cells, left = [], 0.0
    for part in parts:
        width = 100 * part.count / total if total else 0.0
        if width:
            cells.append(f'<rect class="f{part.color}" x="{left:.3f}%" width="{width:.3f}%" height="100%"/>')
        left += width
    track = '<rect class="track" width="100%" height="100%"/>'
    return f'<div class="stack"><svg role="img" aria-label="{escape(title)}">{track}{"".join(cells)}</svg></div>'


def bars(parts: Sequence[Part], *, whole: int = 0) -> str:
    """A row for each part: label, bar, count. Shares are of ``whole``, or of the longest bar where that is 0."""
    most = whole or max((part.count for part in parts), default=0)
    return "".join(_bar(part, most, whole) for part in parts)


def _bar(part: Part, most: int, whole: int) -> str:
    width = 100 * part.count / most if most else 0.0
    if part.count:
        width = max(width, 0.4)  # one in a million is a line that can be seen
    share = f' <span class="note">{_share(part.count, whole)}</span>' if whole else ""
    filled = f'<rect class="f{part.color}" width="{width:.3f}%" height="100%" rx="2"/>'
    bar = f'<rect class="track" width="100%" height="100%" rx="2"/>{filled}'
    label = f'<span><span class="key k{part.color}"></span>{escape(part.label)}</span>'
    return f'<div class="bar">{label}<svg aria-hidden="true">{bar}</svg><span class="n">{part.count:,}{share}</span></div>'


def _share(count: int, whole: int) -> str:
    percent = 100 * count / whole if whole else 0.0
    if 0 < percent < 0.1:
        return "&lt; 0.1 %"
    return f"{percent:.1f} %"


def line(points: Sequence[tuple[float, float]], *, title: str, bottom: tuple[str, str], top: str) -> str:
    """A line over time from (0, 0). ``points`` ascend; ``bottom`` labels both ends of the time, ``top`` the highest value."""
    last, most = points[-1][0] or 1.0, max(value for _, value in points) or 1.0
    drawn = [(0.0, 0.0), *points]
    places = " ".join(f"{1000 * x / last:.1f},{_HEIGHT - _HEIGHT * y / most:.2f}" for x, y in drawn)
    body = (
        f'<polygon class="area" points="0,{_HEIGHT} {places} 1000,{_HEIGHT}"/><polyline class="line" points="{places}"/>'
        f'</svg><div class="x"><span>{escape(bottom[0])}</span><span>{escape(bottom[1])}</span></div>'
    )
    svg = f'<svg role="img" aria-label="{escape(title)}" viewBox="0 0 1000 {_HEIGHT}" preserveAspectRatio="none">'
    return f'<div class="plot"><div class="y"><span>{escape(top)}</span><span>0</span></div>{svg}{body}</div>'
