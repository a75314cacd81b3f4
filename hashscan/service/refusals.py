"""What an import did not take, and why: counted by reason, the first places of each kept, all places written down on demand."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from hashscan.atomic import replace_file
from hashscan.errors import HashscanError
from hashscan.service.importers.reading import Note

MAX_NOTES = 10  # places kept of each reason


class Refusals:
    """The notes of one import. ``out`` gets all of them as JSON lines."""

    def __init__(self, out: BinaryIO | None = None) -> None:
        self.counts: Counter[str] = Counter()
        self._notes: defaultdict[str, list[Note]] = defaultdict(list)
        self._out = out

    def refuse(self, what: str, note: Note) -> None:
        """Something was not taken; ``what`` is the reason in one word."""
        self.counts[what] += 1
        self.note(what, note)

    def note(self, what: str, note: Note) -> None:
        """Something is worth telling, taken or not. Raises `HashscanError` where the report cannot be written."""
        if len(kept := self._notes[what]) < MAX_NOTES:
            kept.append(note)
        self._write({"place": note.place, "reason": what, "text": note.reason})

    def notes(self) -> tuple[Note, ...]:
        """The first of each reason, in the order of the source."""
        return tuple(sorted((note for some in self._notes.values() for note in some), key=lambda one: (one.source, one.line)))

    def close(self, summary: Mapping[str, object]) -> None:
        """The last line of the report."""
        self._write({"summary": {**summary, "refused": dict(self.counts)}})

    def _write(self, line: Mapping[str, object]) -> None:
        if self._out is not None:
            try:
                self._out.write(json.dumps(line).encode() + b"\n")
            except OSError as error:
                raise HashscanError(f"cannot write the report: {error.strerror}") from None


@contextmanager
def report_file(path: Path | None) -> Iterator[BinaryIO | None]:
    """The file of the report (mode 0600), in place when the block ends well. Raises `HashscanError`."""
    if path is None:
        yield None
        return
    try:
        with replace_file(path) as stream:
            yield stream
    except OSError as error:
        raise HashscanError(f"cannot write the report {path}: {error.strerror}") from None
