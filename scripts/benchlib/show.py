"""Results for readers: a line, a Markdown table, a plot. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from scripts.benchlib.results import Result, Side, Status, Unit, median

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
_HEAD = ("work", "peer", "target", "measured", "least to greatest", "ours", "peer's", "processor", "memory", "verdict")
_BAR, _GAP, _LEFT, _WIDTH, _RIGHT = 14, 30, 330, 460, 90  # pixels
_FLOOR, _CEILING = 0.02, 4.0  # ratios at the edges of the plot


def amount(value: float | None, unit: Unit) -> str:
    """A value with as many digits as it deserves."""
    if value is None:
        return "-"
    if unit is Unit.RATIO:
        return f"{value:.3f}"
    if unit is Unit.SECONDS:
        return f"{value:.2f} s"
    return f"{value:,.0f} {unit}"


def line(result: Result) -> str:
    """One row for the terminal."""
    if result.status not in (Status.MEASURED, Status.EXERCISED):
        return f"{result.key:15} {result.status}: {result.note}"
    measured = amount(result.value, result.unit)
    times = f"{_time(result.ours)} / {_time(result.theirs)}"
    said = f"{result.key:15} {measured:>10}  target {amount(result.target, result.unit):>8}  {result.verdict:9} {times}"
    return f"{said}  {result.note}".rstrip()


def table(results: Sequence[Result]) -> str:
    """All rows as a Markdown table; none is left out."""
    lines = [" | ".join(("", *_HEAD, "")).strip(), "|" + "---|" * len(_HEAD)]
    for one in results:
        extremes = (
            "-" if one.low is None or one.high is None else f"{amount(one.low, one.unit)} to {amount(one.high, one.unit)}"
        )
        verdict = f"{one.verdict}: {one.note}" if one.status is not Status.MEASURED and one.note else one.verdict
        cells = (
            one.work,
            one.peer,
            "<= " + amount(one.target, one.unit),
            amount(one.value, one.unit),
            extremes,
            _time(one.ours),
            _time(one.theirs),
            f"{_cpu(one.ours)} / {_cpu(one.theirs)}",
            f"{_memory(one.ours)} / {_memory(one.theirs)}",
            verdict,
        )
        lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    notes = [f"- {one.work} ({one.key}): {one.note}" for one in results if one.status is Status.MEASURED and one.note]
    return "\n".join([*lines, *(["", *notes] if notes else [])]) + "\n"


def _time(side: Side | None) -> str:
    middle = median(side.wall) if side else None
    return "-" if middle is None else f"{middle:.2f} s"


def _cpu(side: Side | None) -> str:
    middle = median(side.cpu) if side else None
    return "-" if middle is None else f"{middle:.1f} s"


def _memory(side: Side | None) -> str:
    return f"{side.pss / 1e6:,.0f} MB" if side and side.pss else "-"


def replaced(document: str, block: str) -> str:
    """``document`` with ``block`` between the two marks. Raises ValueError where they are not there once and in order."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in after or END in after:
        raise ValueError(f"the document must hold {BEGIN} and {END}, once each")
    return f"{before}{BEGIN}\n{block.strip()}\n{END}{after}"


def plot(results: Sequence[Result]) -> str:
    """The ratios as bars on a logarithmic scale, each with a tick at its target: an SVG."""
    shown = [one for one in results if one.unit is Unit.RATIO and one.value is not None]
    height = _GAP * (len(shown) + 2)
    size = f'width="{_LEFT + _WIDTH + _RIGHT}" height="{height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{_LEFT}" y="18">time of hashscan / time of the peer (logarithmic); the tick is the target</text>',
    ]
    for mark in (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 4.0):
        x = _x(mark)
        parts.append(f'<line x1="{x:.1f}" y1="26" x2="{x:.1f}" y2="{height - 24}" stroke="{"#444" if mark == 1 else "#ddd"}"/>')
        parts.append(f'<text x="{x:.1f}" y="{height - 8}" text-anchor="middle">{mark:g}</text>')
    for number, one in enumerate(shown):
        parts += _bar(one, 36 + _GAP * number)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _bar(one: Result, y: int) -> list[str]:
    assert one.value is not None  # the caller chose those
    end, middle = _x(one.value), y + _BAR - 3
    colour = {"met": "#2a7", "missed": "#c63"}.get(one.verdict, "#999")
    parts = [
        f'<text x="{_LEFT - 8}" y="{middle}" text-anchor="end">{escape(f"{one.work} / {one.peer}")}</text>',
        f'<rect x="{_LEFT}" y="{y}" width="{max(1.0, end - _LEFT):.1f}" height="{_BAR}" fill="{colour}"/>',
        f'<text x="{end + 6:.1f}" y="{middle}">{one.value:.3f}</text>',
    ]
    if one.target is not None:
        x = _x(one.target)
        parts.append(f'<line x1="{x:.1f}" y1="{y - 4}" x2="{x:.1f}" y2="{y + _BAR + 4}" stroke="black" stroke-width="2"/>')
    return parts


def _x(ratio: float) -> float:
    inside = min(max(ratio, _FLOOR), _CEILING)
    return _LEFT + _WIDTH * math.log(inside / _FLOOR) / math.log(_CEILING / _FLOOR)


def machine(told: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """Where and with what it was measured, as a Markdown list."""
    versions = ", ".join(told["peers"].values())
    hardware = f"{told['cpu']}, {told['cores']} cores, {told['memory_gb']} GB"
    return (
        f"- Machine: {hardware}; Linux {told['kernel']}, {told['filesystem']}, Python {told['python']}\n"
        f"- Date: {told['date']}; hashscan {settings['hashscan']}, source {settings['source']}\n"
        f"- Peers: {versions}\n"
        f"- Settings: scale {settings['scale']:g}, {settings['entries']:,} entries, {settings['pairs']} pairs, "
        f"{settings['jobs']} workers\n"
    )
