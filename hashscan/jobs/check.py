"""Check: would these files be candidates? Nothing is asked, nothing is moved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hashscan.errors import IncompleteError
from hashscan.model import Candidate
from hashscan.ports import Engine, Reporter, Sieve
from hashscan.report import events


@dataclass(frozen=True, slots=True)
class Checked:
    """How many files were looked at and how many are candidates."""

    files: int
    candidates: int


def check(engine: Engine, sieve: Sieve, paths: Mapping[bytes, bytes], reporter: Reporter) -> Checked:
    """One answer for each file; ``paths`` maps the name to tell to the absolute path. Raises `IncompleteError`."""
    files = candidates = 0
    for name, path in paths.items():
        found = _look(engine, sieve, path)
        files += 1
        candidates += len(found)
        reporter.tell(events.check(name, [reference for candidate in found for reference in candidate.lists]))
    return Checked(files, candidates)


def _look(engine: Engine, sieve: Sieve, path: bytes) -> list[Candidate]:
    stretches = list(engine.sift([path], sieve))
    met = sum(one.scanned + one.cached + one.by_size for one in stretches)
    if met != 1 or any(one.directories for one in stretches):  # a directory with one file in it is not a file
        note = next((skip for one in stretches for skip in one.notes), None)
        why = f"{note.reason}{' ' + note.errno if note.errno else ''}" if note else "not a regular file"
        raise IncompleteError(f"{path.decode('utf-8', 'backslashreplace')} could not be read: {why}")
    return [candidate for one in stretches for candidate in one.candidates]
