"""Reading the list that an operator imports: plain or CSV, line by line, nothing in memory but one line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from hashscan.errors import UsageError
from hashscan.known.hash_list import BadLine, LineStream, read_lines, read_list
from hashscan.model import Act, Algorithm
from hashscan.service.merging import Row


class PeekableStream(LineStream, Protocol):
    """A stream that can be looked into without reading: `io.BufferedReader`, also over a pipe."""

    def peek(self, size: int, /) -> bytes:
        """Some of the bytes to come; at least one unless the stream is at its end."""


FIELDS = (*(algorithm.value for algorithm in Algorithm), "size", "category", "act")
MAX_CATEGORY = 64  # characters
_DELIMITERS = (",", ";", "\t")
_PEEK_BYTES = 65_536
WHICH_64 = "64 hex digits are sha256 or blake3: say which with the algorithm option"


@dataclass(frozen=True, slots=True)
class Shape:
    """How to read a list. ``format`` is plain, csv or auto; ``columns`` maps our field names to the names in the CSV header.

    ``algorithm`` says what 64 hex digits are in a plain list; ``category`` and ``act`` hold where a row says nothing.
    """

    format: str = "auto"
    columns: Mapping[str, str] = field(default_factory=dict)
    algorithm: Algorithm | None = None
    category: str = "unspecified"
    act: Act = Act.QUARANTINE


def read_rows(stream: PeekableStream, shape: Shape) -> Iterator[tuple[int, Row | BadLine]]:
    """Every row and every bad line with its number. Raises `UsageError` where the whole cannot be read (a CSV header)."""
    _check(shape)
    chosen = shape.format
    if chosen == "auto":
        chosen = "csv" if shape.columns or _looks_like_csv(stream.peek(_PEEK_BYTES)[:_PEEK_BYTES]) else "plain"
    return _csv_rows(stream, shape) if chosen == "csv" else _plain_rows(stream, shape)


def _check(shape: Shape) -> None:
    if shape.format not in ("plain", "csv", "auto"):
        raise UsageError(f"no list format {shape.format!r}", hint="plain, csv or auto")
    if shape.algorithm not in (None, Algorithm.SHA256, Algorithm.BLAKE3):
        raise UsageError(f"64 hex digits are sha256 or blake3, not {shape.algorithm}")
    if unknown := set(shape.columns) - set(FIELDS):
        raise UsageError(f"no field {', '.join(sorted(unknown))}", hint=f"fields are {', '.join(FIELDS)}")
    if not 0 < len(shape.category) <= MAX_CATEGORY or not shape.category.isprintable():
        raise UsageError(f"a category has 1 to {MAX_CATEGORY} printable characters")


def _plain_rows(stream: PeekableStream, shape: Shape) -> Iterator[tuple[int, Row | BadLine]]:
    for number, parsed in read_list(stream, default64=shape.algorithm):
        if isinstance(parsed, BadLine):
            yield number, parsed
        elif len(parsed.algorithms) > 1:
            yield number, BadLine(WHICH_64)
        else:
            yield number, Row({parsed.algorithms[0]: parsed.digest}, None, shape.category, shape.act)


def _looks_like_csv(head: bytes) -> bool:
    """Whether the first line that says something is a header with one of our fields."""
    for _, line in read_lines(io.BytesIO(head)):
        if not isinstance(line, BadLine) and line.strip() and not line.startswith(b"#"):
            text = line.decode("utf-8", "replace")
            return any(field in _cells(text, delimiter) for delimiter in _DELIMITERS for field in FIELDS[:4])
    return False


def _cells(line: str, delimiter: str) -> list[str]:
    return [cell.strip().lower() for cell in line.replace('"', "").split(delimiter)]


def _csv_rows(stream: PeekableStream, shape: Shape) -> Iterator[tuple[int, Row | BadLine]]:
    lines = read_lines(stream)
    delimiter, where = _header(lines, shape.columns)
    for number, line in lines:
        if isinstance(line, BadLine):
            yield number, line
        elif line.strip():
            try:
                yield number, _csv_row(_split(line, delimiter), where, shape)
            except BadLine as error:
                yield number, error


def _header(lines: Iterator[tuple[int, bytes | BadLine]], columns: Mapping[str, str]) -> tuple[str, dict[str, int]]:
    """The delimiter, and of each field that is there the index of its column."""
    wanted = {columns.get(name, name).strip().lower(): name for name in FIELDS}
    for _, line in lines:
        if isinstance(line, BadLine):
            break
        if not line.strip() or line.startswith(b"#"):
            continue
        text = line.decode("utf-8", "replace").strip("\r\n")
        where: dict[str, int] = {}
        delimiter = max(_DELIMITERS, key=lambda one: sum(cell in wanted for cell in _cells(text, one)))
        for index, cell in enumerate(_cells(text, delimiter)):
            if cell in wanted and where.setdefault(wanted[cell], index) != index:
                raise UsageError(f"the CSV header names {cell} twice")
        if missing := set(columns) - set(where):
            raise UsageError(f"the CSV header has no column for {', '.join(sorted(missing))}")
        if any(algorithm in where for algorithm in Algorithm):
            return delimiter, where
        break
    raise UsageError("the CSV has no header with a digest column", hint=f"name columns {', '.join(FIELDS)}, or map them")


def _split(line: bytes, delimiter: str) -> list[str]:
    """The cells of one line. A quoted line end is not ours: a quote that never closes must not eat the file."""
    try:
        text = line.decode("utf-8").rstrip("\r\n")
        return text.split(delimiter) if '"' not in text else next(csv.reader([text], delimiter=delimiter, strict=True))
    except UnicodeDecodeError:
        raise BadLine("it is not UTF-8") from None
    except csv.Error as error:
        raise BadLine(f"it is not CSV: {error}") from None


def _csv_row(cells: list[str], where: Mapping[str, int], shape: Shape) -> Row:
    values = {name: cells[index].strip() for name, index in where.items() if index < len(cells)}
    digests = {algorithm: _digest(values[algorithm], algorithm) for algorithm in Algorithm if values.get(algorithm)}
    if not digests:
        raise BadLine("it has no digest")
    category = values.get("category") or shape.category
    if len(category) > MAX_CATEGORY or not category.isprintable():
        raise BadLine(f"its category is longer than {MAX_CATEGORY} characters or not printable")
    return Row(digests, _size(values.get("size", "")), category, _act(values.get("act", ""), shape.act))


def _digest(text: str, algorithm: Algorithm) -> bytes:
    if len(text) == 2 * algorithm.digest_size:
        try:
            digest = bytes.fromhex(text)
        except ValueError:
            raise BadLine(f"its {algorithm} is not hex") from None
        if len(digest) == algorithm.digest_size:  # fromhex skips spaces
            return digest
    raise BadLine(f"its {algorithm} is not {2 * algorithm.digest_size} hex digits")


def _size(text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise BadLine("its size is not a number of bytes")
    return int(text)


def _act(text: str, default: Act) -> Act:
    if not text:
        return default
    try:
        return Act(text.lower())
    except ValueError:
        raise BadLine(f"its act is none of {', '.join(Act)}") from None
