"""What `hashscan status` knows as metrics for Prometheus, in the text format that node_exporter reads from a folder.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/ (version 0.0.4). No digest, path or name of a customer.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from hashscan.atomic import replace_file
from hashscan.errors import UsageError
from hashscan.model import Json
from hashscan.report.escape import printable
from hashscan.report.fields import rows, table, text

Sample = tuple[Mapping[str, str], float]


@dataclass(frozen=True, slots=True)
class Metric:
    """A gauge: name without its prefix, what it says, and its samples (labels and value)."""

    name: str
    help: str
    samples: tuple[Sample, ...]


def metrics(told: Mapping[str, Json], *, now: float, exit_code: int) -> list[Metric]:
    """The gauges of a status (`jobs.status.status`); what is not known has no sample. ``now`` in seconds since 1970."""
    lists, run, clock = rows(told, "lists"), table(told, "last_run"), table(told, "open_findings")
    return [
        Metric("status_time_seconds", "When this was written, in seconds since 1970.", _one(now)),
        Metric("status_exit_code", "Exit code of hashscan status.", _one(exit_code)),
        Metric("lists_age_seconds", "Age of the signed list metadata in force.", _number(told, "lists_age_hours", factor=3600)),
        Metric("lists_stale", "1 where the lists in force have expired.", _number(told, "lists_stale")),
        Metric("lists_usable", "1 where a scan would use the lists in force.", _usable(told)),
        Metric("list_version", "Version of a list in force.", tuple(_of_list(one, "version") for one in lists)),
        Metric("list_epoch", "Key epoch of a list in force.", tuple(_of_list(one, "epoch") for one in lists)),
        Metric("clock_ok", "0 where the clock stands before a time that it has seen.", _number(told, "clock_ok")),
        Metric("open_findings", "Confirmed files that are still in place.", _number(clock, "count")),
        Metric("open_findings_oldest_seconds", "For how long the oldest of them is known.", _hours(clock, "oldest_hours")),
        Metric("open_findings_left_seconds", "How long there is to remove it.", _hours(clock, "hours_left")),
        Metric("pending", "Candidates without an answer.", _number(told, "pending")),
        Metric("unsent_outcomes", "Outcomes without a receipt of the service.", _number(told, "unsent_outcomes")),
        Metric("cases", "Cases of the quarantine by state.", tuple(_states(table(told, "cases")))),
        Metric("last_run_time_seconds", "When the last scan began, in seconds since 1970.", _number(run, "started_seconds")),
        Metric("last_run_duration_seconds", "How long the last scan took.", _number(run, "seconds")),
        Metric("last_run_exit_code", "Exit code of the last scan.", _number(run, "exit_code")),
        Metric("last_run_complete", "1 where the last scan looked at everything.", _number(run, "complete")),
        Metric("last_run_findings", "Confirmed files of the last scan.", _number(run, "findings")),
    ]


def _one(value: float) -> tuple[Sample, ...]:
    return (({}, value),)


def _number(data: Mapping[str, Json], key: str, *, factor: float = 1) -> tuple[Sample, ...]:
    value = data.get(key)
    return _one(float(value) * factor) if isinstance(value, (int, float)) else ()


def _hours(data: Mapping[str, Json], key: str) -> tuple[Sample, ...]:
    return _number(data, key, factor=3600)


def _usable(told: Mapping[str, Json]) -> tuple[Sample, ...]:
    if "lists" in told or "lists_problem" in told:
        return _one(float("lists_problem" not in told))
    return ()


def _of_list(one: Mapping[str, Json], key: str) -> Sample:
    value = one.get(key)
    return {"list": text(one, "id")}, float(value) if isinstance(value, (int, float)) else 0.0


def _states(cases: Mapping[str, Json]) -> Iterator[Sample]:
    for state, count in cases.items():
        if isinstance(count, (int, float)):
            yield {"state": state}, float(count)


def written(found: Iterable[Metric]) -> str:
    """The text format: pure ASCII, one line a sample."""
    return "".join(line for one in found if one.samples for line in _lines(one))


def _lines(one: Metric) -> Iterator[str]:
    name = f"hashscan_{one.name}"
    yield f"# HELP {name} {one.help}\n# TYPE {name} gauge\n"
    for labels, value in one.samples:
        inner = ",".join(f'{key}="{_label(told)}"' for key, told in labels.items())
        yield f"{name}{{{inner}}} {_digits(value)}\n" if inner else f"{name} {_digits(value)}\n"


def _label(told: str) -> str:
    safe = printable(told).encode("ascii", "backslashreplace").decode()
    return safe.replace("\\", "\\\\").replace('"', '\\"')


def _digits(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


def write(path: Path, found: Iterable[Metric]) -> None:
    """Put the metrics at ``path`` in one step, readable for others: an exporter runs as another user. Raises `UsageError`."""
    try:
        with replace_file(path, mode=0o644) as stream:
            os.fchmod(stream.fileno(), 0o644)  # whatever the umask says
            stream.write(written(found).encode("ascii"))
    except OSError as error:
        raise UsageError(f"the metrics cannot be written to {path}: {error.strerror}") from None
