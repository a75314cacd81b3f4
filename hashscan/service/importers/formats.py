"""All formats by name, and what may be told from the first bytes of a file."""

from __future__ import annotations

import io

from hashscan.errors import UsageError
from hashscan.known.hash_list import BadLine, read_lines
from hashscan.service.importers import clamav, columns, hashdeep, ncmec, plain, vics
from hashscan.service.importers.port import BrokenSource, Format, PeekableStream, Shape, check

AUTO = "auto"
SQLITE_MAGIC = b"SQLite format 3\0"
PEEK_BYTES = 65_536
_ALL = (
    Format("plain", "line", plain.read, known_good=True),
    Format("csv", "line", columns.read, known_good=True),
    Format("hashdeep", "line", hashdeep.read, known_good=True),
    Format("clamav", "line", clamav.read),
    Format("vics", "record", vics.read, categories=True),
    Format("ncmec", "entry", ncmec.read, categories=True),
    Format("nsrl", "line", columns.read_nsrl, lists=False, known_good=True),
)
FORMATS = {one.name: one for one in _ALL}
LISTS = tuple(one.name for one in _ALL if one.lists)
KNOWN_GOOD = tuple(one.name for one in _ALL if one.known_good)
_HARMLESS = "NSRL lists hold harmless files: 'hashscan service known-good import' takes them"


def choose(stream: PeekableStream, shape: Shape, *, known_good: bool = False) -> Format:
    """The format that ``shape`` names, or that the stream shows, for a hash list or for the known-good list.

    Raises `UsageError` where that is none, or not for this use, or the categories are missing or 0; `BrokenSource` for a file
    that is none of a list.
    """
    check(shape)
    if shape.format not in (AUTO, *FORMATS):
        raise UsageError(f"no list format {shape.format!r}", hint=f"{', '.join(FORMATS)} or {AUTO}")
    found = FORMATS[_detect(stream, shape) if shape.format == AUTO else shape.format]
    if not known_good and not found.lists:
        raise UsageError("a list of known-good files is never imported as a hash list", hint=_HARMLESS)
    if known_good and not found.known_good:
        raise UsageError(f"{found.name} is no format of known-good lists", hint=f"they are {', '.join(KNOWN_GOOD)} and nsrl3")
    if not known_good:
        _check_categories(found, shape)
    return found


def _check_categories(found: Format, shape: Shape) -> None:
    if not found.categories and len(shape.categories) > 1:
        raise UsageError(f"a {found.name} file has one category", hint="name the one that its entries get")
    if found.categories and not shape.categories:
        hint = "name each category that is taken with --category: what they mean differs between countries and lists"
        raise UsageError(f"a {found.name} file needs the categories that are taken", hint=hint)
    if found.name == "vics" and (wrong := [one for one in shape.categories if not one.isascii() or not one.isdigit()]):
        raise UsageError(f"VICS categories are numbers, not {wrong[0]!r}")
    if found.name == "vics" and any(int(one) == 0 for one in shape.categories):
        raise UsageError("category 0 is never imported", hint="it holds what is not known to be illegal")


def _detect(stream: PeekableStream, shape: Shape) -> str:
    """Only what a file says of itself in so many words is believed; else it is a plain list."""
    head = stream.peek(PEEK_BYTES)[:PEEK_BYTES]
    if head.startswith(SQLITE_MAGIC):
        raise UsageError("this is a database, perhaps NSRL RDS 3", hint=f"{_HARMLESS}, with --format nsrl3")
    for name, looks_like in (
        ("vics", vics.looks_like_vics),
        ("ncmec", ncmec.looks_like_ncmec),
        ("nsrl", columns.looks_like_nsrl),
        ("hashdeep", lambda one: one.startswith(hashdeep.MAGIC)),
    ):
        if looks_like(head) and not (name == "nsrl" and shape.columns):
            return name
    if shape.columns or columns.looks_like_csv(head):
        return "csv"
    return "clamav" if clamav.looks_like_clamav(_first_line(head)) else _plain(head)


def _first_line(head: bytes) -> bytes:
    lines = (line for _, line in read_lines(io.BytesIO(head)) if not isinstance(line, BadLine))
    return next((line for line in lines if line.strip() and not line.startswith(b"#")), b"")


def _plain(head: bytes) -> str:
    if head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"[", b"<"):
        raise BrokenSource("it is JSON or XML, and none that hashscan knows")
    return "plain"
