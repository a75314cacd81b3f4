"""Results as JSON lines, one for each change and each control: a run that was stopped goes on where it was."""

from __future__ import annotations

import enum
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from scripts.mutatelib.changes import Change

_HEAD = "| module | changes | killed | survived | killed, % |"


class End(enum.StrEnum):
    """What became of a change."""

    KILLED = "killed"
    SURVIVED = "survived"
    CUT = "cut off"  # its time was over before all tests had run: it counts as survived


@dataclass(frozen=True, slots=True)
class Result:
    """One line. ``by``: the test that failed, or "time" for a change that never ended; ``tests``: how many were run."""

    key: str
    module: str
    function: str
    line: int
    what: str
    end: End
    by: str
    tests: int
    seconds: float
    control: bool = False


def read(path: Path) -> dict[str, Result]:
    """The last result of each key; a line that a kill cut off is left out."""
    found = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            fields = json.loads(line)
        except json.JSONDecodeError:
            continue
        found[fields["key"]] = Result(**{**fields, "end": End(fields["end"])})
    return found


def line_of(result: Result) -> str:
    """As it is written."""
    return json.dumps(asdict(result)) + "\n"


def table(every: Sequence[Change], results: dict[str, Result]) -> str:
    """A row for each module, in Markdown. Pure."""
    rows = [_HEAD, "|---|---|---|---|---|"]
    names = dict.fromkeys(change.module for change in every)
    for name in [*names, ""]:
        of_it = [change for change in every if name in ("", change.module)]
        killed, survived, missing = counted(of_it, results)
        share = f"{100 * killed / len(of_it):.1f}" if of_it else "-"
        label = f"`{name.removeprefix('hashscan/')}`" if name else "all"
        rows.append(f"| {label} | {len(of_it)} | {killed} | {survived}{f' ({missing} not run)' if missing else ''} | {share} |")
    return "\n".join(rows)


def put_into(document: str, table: str) -> str:
    """The document with the table in the place of the one that it has. Raises ValueError where it has none."""
    begin = document.find(_HEAD)
    if begin < 0:
        raise ValueError(f"the document has no table that begins with {_HEAD}")
    end = document.find("\n\n", begin)
    return document[:begin] + table + document[end if end >= 0 else len(document) :]


def counted(every: Iterable[Change], results: dict[str, Result]) -> tuple[int, int, int]:
    """Killed, survived, and not run yet."""
    found = [results.get(change.key) for change in every]
    killed = sum(one is not None and one.end is End.KILLED for one in found)
    missing = found.count(None)
    return killed, len(found) - killed - missing, missing


def survivors(every: Iterable[Change], results: dict[str, Result]) -> Iterator[str]:
    """A line for each change that no test noticed."""
    for change in every:
        result = results.get(change.key)
        if result is None or result.end is not End.KILLED:
            said = "not run" if result is None else f"{result.end}, {result.tests} tests"
            yield f"{change.module}:{change.lines[0]} {change.function}: {change.what} [{said}]"


def control(results: dict[str, Result]) -> tuple[list[Result], list[Result]]:
    """All functions that were run unchanged, and those of them that a test called changed."""
    every = [one for one in results.values() if one.control]
    return every, [one for one in every if one.end is End.KILLED]
