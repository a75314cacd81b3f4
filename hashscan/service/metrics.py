"""The numbers of a running service for Prometheus, in its text format 0.0.4. No digest, prefix, path, name of a host or key.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/. What grows is counted by the processes that answer
(`meters`) and begins at nothing with each start; what stands in the database is read from there when somebody asks.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from hashscan.report.escape import printable
from hashscan.service.meters import Meters

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds
_PREFIX = "hashscan_service_"
_TIMED = re.compile(r"seconds\|(?P<route>[^|]*)\|(?P<part>\d+|sum)")

COUNTERS = {
    "requests_total": "Requests by method, route and status.",
    "questions_total": "Candidates that providers asked about.",
    "entries_told_total": "Entries that answers named because a prefix agreed, by standing; matches are decided by agents.",
    "quota_refusals_total": "Times that an agent was slowed because its budget was empty, at most one a minute and agent.",
}


def named(family: str, **labels: str) -> str:
    """A sample as the text format writes it, without its value."""
    inner = ",".join(f'{key}="{_label(value)}"' for key, value in labels.items())
    return f"{family}{{{inner}}}" if inner else family


def _label(value: str) -> str:
    safe = printable(value).encode("ascii", "backslashreplace").decode()
    return safe.replace("\\", "\\\\").replace('"', '\\"')


def count_request(meters: Meters, method: str, route: str, status: int, seconds: float) -> None:
    """One request that was answered."""
    meters.add(named("requests_total", method=method, route=route, status=str(status)))
    meters.add(f"seconds|{route}|{bisect_left(BUCKETS, seconds)}")
    meters.add(f"seconds|{route}|sum", seconds)


@dataclass(frozen=True, slots=True)
class Gauge:
    """A number read now: its family without prefix, what it says, and the samples, by their labels; ``kind`` for the reader."""

    family: str
    help: str
    samples: tuple[tuple[Mapping[str, str], float], ...]
    kind: str = "gauge"


def exposition(sums: Mapping[str, float], gauges: Iterable[Gauge]) -> str:
    """Everything as text."""
    return "".join(f"{line}\n" for line in (*_counters(sums), *_latency(sums), *_gauges(gauges)))


def _counters(sums: Mapping[str, float]) -> Iterator[str]:
    for family, said in COUNTERS.items():
        yield from _head(family, said, "counter")
        for name in sorted(sums):
            if name.partition("{")[0] == family:
                yield f"{_PREFIX}{name} {_digits(sums[name])}"


def _latency(sums: Mapping[str, float]) -> Iterator[str]:
    """The histogram: counted by bucket, told cumulatively."""
    routes: defaultdict[str, dict[str, float]] = defaultdict(dict)
    for name, value in sums.items():
        if (found := _TIMED.fullmatch(name)) is not None:
            routes[found["route"]][found["part"]] = value
    yield from _head("request_seconds", "How long requests took, from their head to the last byte of the answer.", "histogram")
    for route, parts in sorted(routes.items()):
        below = 0.0
        for index, bound in enumerate([*map(_digits, BUCKETS), "+Inf"]):
            below += parts.get(str(index), 0.0)
            yield f"{_PREFIX}{named('request_seconds_bucket', route=route, le=bound)} {_digits(below)}"
        yield f"{_PREFIX}{named('request_seconds_sum', route=route)} {_digits(parts.get('sum', 0.0))}"
        yield f"{_PREFIX}{named('request_seconds_count', route=route)} {_digits(below)}"


def _gauges(gauges: Iterable[Gauge]) -> Iterator[str]:
    for one in gauges:
        yield from _head(one.family, one.help, one.kind)
        for labels, value in one.samples:
            yield f"{_PREFIX}{named(one.family, **labels)} {_digits(value)}"


def _head(family: str, said: str, kind: str) -> Iterator[str]:
    yield f"# HELP {_PREFIX}{family} {said}"
    yield f"# TYPE {_PREFIX}{family} {kind}"


def _digits(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
