"""A status as one line for Nagios, Icinga and their like, with performance data.

Source: https://www.monitoring-plugins.org/doc/guidelines.html: exit 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN; after the bar
``label=value[unit];warn;crit``.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping

from hashscan.errors import ExitCode
from hashscan.model import Json
from hashscan.report.escape import printable
from hashscan.report.fields import number, table, text
from hashscan.report.meaning import files

LISTS_WARN_H, RUN_WARN_H, RUN_CRITICAL_H = 24.0, 26.0, 50.0
_BAD_CASES = ("held", "orphan", "damaged", "copied")
_CRITICAL_RUNS = {int(ExitCode.CRASH), int(ExitCode.ACTION_FAILED), int(ExitCode.FILTER), int(ExitCode.REFUSED)}
_WARNING_RUNS = {int(ExitCode.USAGE), int(ExitCode.INCOMPLETE), int(ExitCode.STOPPED), int(ExitCode.LOCKED)}


class State(enum.IntEnum):
    """What the monitor shows; the value is the exit code."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


Problem = tuple[State, str]


def line(told: Mapping[str, Json], now: float) -> tuple[str, State]:
    """The line for a status (`jobs.status.status`) at ``now``, seconds since 1970."""
    problems = list(_problems(told, now))
    state = max((how for how, _ in problems), default=State.OK)
    said = "; ".join(word for _, word in sorted(problems, key=lambda one: -one[0])) or "nothing open, lists in force"
    return f"HASHSCAN {state.name} - {_plain(said)} | {' '.join(_performance(told, now))}", state


def unknown(why: str) -> tuple[str, State]:
    """The line where the state cannot be read."""
    return f"HASHSCAN UNKNOWN - {_plain(why)}", State.UNKNOWN


def _plain(said: str) -> str:
    """The bar begins performance data, so that it cannot stand in the text."""
    return printable(said).replace("|", "/")


def _problems(told: Mapping[str, Json], now: float) -> Iterator[Problem]:
    yield from _open(table(told, "open_findings"))
    bad = {state: number(table(told, "cases"), state) for state in _BAD_CASES}
    if any(bad.values()):
        yield State.CRITICAL, "cases that need a person: " + ", ".join(f"{n} {state}" for state, n in bad.items() if n)
    if told.get("lists_problem"):
        yield State.CRITICAL, text(told, "lists_problem")
    elif told.get("lists_stale") is True or _float(told, "lists_age_hours") > LISTS_WARN_H:
        yield State.WARNING, f"lists are {_float(told, 'lists_age_hours'):.0f} h old"
    if (pending := number(told, "pending")) > 0:
        yield State.WARNING, f"{pending} candidate{'' if pending == 1 else 's'} without an answer"
    if (withdrawn := number(table(told, "withdrawn"), "cases")) > 0:
        yield State.WARNING, f"{withdrawn} case{'' if withdrawn == 1 else 's'} of withdrawn entries"
    yield from _run(told, now)


def _open(clock: Mapping[str, Json]) -> Iterator[Problem]:
    count = number(clock, "count")
    if not count:
        return
    left, within = _float(clock, "hours_left"), _float(clock, "within_hours")
    state = State.CRITICAL if left <= 0 or left < within / 2 else State.WARNING
    over = f"{left:.1f} h left" if left > 0 else f"{-left:.1f} h over time"
    yield state, f"{count} open confirmed {files(count)}, {over}"


def _run(told: Mapping[str, Json], now: float) -> Iterator[Problem]:
    run = table(told, "last_run")
    if "started_seconds" not in run:
        yield State.WARNING, "no scan has run yet"
        return
    age = (now - _float(run, "started_seconds")) / 3600
    if age > RUN_WARN_H:
        yield (State.CRITICAL if age > RUN_CRITICAL_H else State.WARNING), f"the last scan began {age:.0f} h ago"
    code = number(run, "exit_code")
    if code in _CRITICAL_RUNS:
        yield State.CRITICAL, f"the last scan ended with exit code {code}"
    elif code in _WARNING_RUNS:
        yield State.WARNING, f"the last scan ended with exit code {code}"


def _performance(told: Mapping[str, Json], now: float) -> Iterator[str]:
    clock, run, cases = (table(told, key) for key in ("open_findings", "last_run", "cases"))
    yield f"open={number(clock, 'count')};0;0;0"
    if "oldest_hours" in clock:
        within = _float(clock, "within_hours")
        yield f"oldest={_float(clock, 'oldest_hours') * 3600:.0f}s;{within * 1800:.0f};{within * 3600:.0f};0"
    yield f"pending={number(told, 'pending')};0;;0"
    yield f"unsent={number(told, 'unsent_outcomes')};;;0"
    yield f"held={number(cases, 'held')};0;0;0"
    if "lists_age_hours" in told:
        yield f"lists_age={_float(told, 'lists_age_hours') * 3600:.0f}s;{LISTS_WARN_H * 3600:.0f};;0"
    if "started_seconds" in run:
        age = now - _float(run, "started_seconds")
        yield f"run_age={age:.0f}s;{RUN_WARN_H * 3600:.0f};{RUN_CRITICAL_H * 3600:.0f};0"
        yield f"run_time={_float(run, 'seconds'):.0f}s;;;0"
        yield f"seen={number(run, 'seen')};;;0"


def _float(data: Mapping[str, Json], key: str) -> float:
    value = data.get(key)
    return float(value) if isinstance(value, (int, float)) else 0.0
