"""Files become chunks of rows with their places; what is no row goes to a listener."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from hashscan.errors import UsageError
from hashscan.known.hash_list import BadLine
from hashscan.service.importers.formats import choose
from hashscan.service.importers.opening import open_source
from hashscan.service.importers.port import BrokenSource, LeftOut, Named, Shape
from hashscan.service.merging import Row

CHUNK_ROWS = 10_000


class Note(NamedTuple):
    """A place worth telling about, and why: the number of a line, a record or an entry of a source; never what stands there.

    ``source`` is the name of the file where an import has several.
    """

    line: int
    reason: str
    unit: str = "line"
    source: str = ""

    @property
    def place(self) -> str:
        """As a person reads it."""
        return f"{self.source} {self.unit} {self.line}".lstrip()

    def because(self, reason: str) -> Note:
        """The same place for another reason."""
        return Note(self.line, reason, self.unit, self.source)


Chunk = Sequence[tuple[Note, Row | Named]]


class Listener(Protocol):
    """Who hears of what is no row."""

    def bad_line(self, note: Note) -> None:
        """Something that is wrong."""

    def left_out(self, what: str, note: Note) -> None:
        """Something that is well and not wanted; ``what`` is the reason in one word."""


def chunks(paths: Sequence[Path], shape: Shape, listener: Listener) -> Iterator[Chunk]:
    """At most `CHUNK_ROWS` rows at a time. Raises `UsageError` where a file cannot be read (on)."""
    for path in paths:
        try:
            yield from _of_one(path, path.name if len(paths) > 1 else "", shape, listener)
        except BrokenSource as error:
            hint = "is the file whole, and in this format?"
            raise UsageError(f"{path} cannot be read, nothing was imported: {error}", hint=hint) from None
        except OSError as error:
            raise UsageError(f"cannot read {path}: {error.strerror or error}") from None


def _of_one(path: Path, name: str, shape: Shape, listener: Listener) -> Iterator[Chunk]:
    chunk: list[tuple[Note, Row | Named]] = []
    with open_source(path) as stream:
        chosen = choose(stream, shape)
        for number, item in chosen.read(stream, shape):
            note = Note(number, "", chosen.unit, name)
            if isinstance(item, BadLine):
                listener.bad_line(note.because(str(item)))
            elif isinstance(item, LeftOut):
                listener.left_out(item.reason, note.because(item.text))
            else:
                chunk.append((note, item))
                if len(chunk) == CHUNK_ROWS:
                    yield chunk
                    chunk = []
    if chunk:
        yield chunk
