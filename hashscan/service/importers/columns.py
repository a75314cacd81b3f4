"""CSV with a header that names its columns, or a map that says which is which. NSRL RDS 2.x is one."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping

from hashscan.errors import UsageError
from hashscan.known.hash_list import BadLine, read_lines
from hashscan.model import Act, Algorithm
from hashscan.service.importers.port import FIELDS, MAX_CATEGORY, PeekableStream, Shape, digest_of, is_category, size_of
from hashscan.service.merging import Row

_DELIMITERS = (",", ";", "\t")
_NSRL = {"md5": "MD5", "sha1": "SHA-1", "sha256": "SHA-256", "size": "FileSize"}


def looks_like_csv(head: bytes) -> bool:
    """Whether the first line that says something is a header with one of our fields."""
    return _header_names(head, set(FIELDS[:4]))


def looks_like_nsrl(head: bytes) -> bool:
    """Whether the first line is the header of NSRLFile.txt, in the order of before or of since 2003."""
    return head.startswith((b'"SHA-1","MD5","CRC32"', b'"SHA-1","FileName","FileSize"', b'"SHA-256","SHA-1","MD5"'))


def _header_names(head: bytes, names: set[str]) -> bool:
    for _, line in read_lines(io.BytesIO(head)):
        if not isinstance(line, BadLine) and line.strip() and not line.startswith(b"#"):
            text = line.decode("utf-8", "replace")
            return any(not names.isdisjoint(_cells(text, delimiter)) for delimiter in _DELIMITERS)
    return False


def read(stream: PeekableStream, shape: Shape) -> Iterator[tuple[int, Row | BadLine]]:
    """Every row and every bad line with its number. Raises `UsageError` for a header that names no digest, or one twice."""
    lines = read_lines(stream)
    delimiter, where = _header(lines, shape.columns)
    return _rows(lines, delimiter, where, shape)


def read_nsrl(stream: PeekableStream, shape: Shape) -> Iterator[tuple[int, Row | BadLine]]:
    """NSRLFile.txt of RDS 2.x. Its file names are in any encoding, and quoted without doubling what they quote."""
    lines = read_lines(stream)
    delimiter, where = _header(lines, _NSRL, some=True)
    return _rows(lines, delimiter, where, shape, names=True)


def _rows(
    lines: Iterator[tuple[int, bytes | BadLine]], delimiter: str, where: Mapping[str, int], shape: Shape, *, names: bool = False
) -> Iterator[tuple[int, Row | BadLine]]:
    split = _split_nsrl if names else _split
    for number, line in lines:
        if isinstance(line, BadLine):
            yield number, line
        elif line.strip():
            try:
                yield number, _row(split(line, delimiter), where, shape)
            except BadLine as error:
                yield number, error


def _cells(line: str, delimiter: str) -> list[str]:
    return [cell.strip().lower() for cell in line.replace('"', "").split(delimiter)]


def _header(
    lines: Iterator[tuple[int, bytes | BadLine]], columns: Mapping[str, str], *, some: bool = False
) -> tuple[str, dict[str, int]]:
    """The delimiter, and of each field that is there the index of its column; with ``some`` not all of ``columns`` must be."""
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
        if not some and (missing := set(columns) - set(where)):
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


def _split_nsrl(line: bytes, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line.decode("utf-8", "replace").rstrip("\r\n")], delimiter=delimiter))
    except csv.Error as error:
        raise BadLine(f"it is not CSV: {error}") from None


def _row(cells: list[str], where: Mapping[str, int], shape: Shape) -> Row:
    values = {name: cells[index].strip() for name, index in where.items() if index < len(cells)}
    digests = {algorithm: digest_of(values[algorithm], algorithm) for algorithm in Algorithm if values.get(algorithm)}
    if not digests:
        raise BadLine("it has no digest")
    category = values.get("category") or shape.category
    if not is_category(category):
        raise BadLine(f"its category is longer than {MAX_CATEGORY} characters or not printable")
    return Row(digests, size_of(values.get("size", "")), category, _act(values.get("act", ""), shape.act))


def _act(text: str, default: Act) -> Act:
    if not text:
        return default
    try:
        return Act(text.lower())
    except ValueError:
        raise BadLine(f"its act is none of {', '.join(Act)}") from None
