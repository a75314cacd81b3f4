"""ClamAV's hash signatures (.hdb, .hsb): DIGEST:SIZE:NAME, then perhaps the engine versions that may use it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hashscan.known.hash_list import BadLine, read_lines
from hashscan.model import Algorithm
from hashscan.service.importers.port import PeekableStream, Shape, digest_of, size_of
from hashscan.service.merging import Row

_LINE = re.compile(rb"[0-9A-Fa-f]{32,64}:(?:[0-9]+|\*):[^:]+(?::[0-9]*){0,2}")
_BY_DIGITS = {2 * one.digest_size: one for one in (Algorithm.MD5, Algorithm.SHA1, Algorithm.SHA256)}
_MOST_PARTS = 5  # digest, size, name, lowest and highest engine version


def looks_like_clamav(line: bytes) -> bool:
    """Whether a line is a signature."""
    return _LINE.fullmatch(line.rstrip(b"\r\n")) is not None


def read(stream: PeekableStream, shape: Shape) -> Iterator[tuple[int, Row | BadLine]]:
    """Every row and every bad line with its number. A size of ``*`` is one that nobody knows; names are read over."""
    for number, line in read_lines(stream):
        if isinstance(line, BadLine):
            yield number, line
            continue
        text = line.strip()
        if text and not text.startswith(b"#"):
            try:
                yield number, _row(text, shape)
            except BadLine as error:
                yield number, error


def _row(text: bytes, shape: Shape) -> Row:
    digest, *rest = (part.decode("ascii", "replace") for part in text.split(b":"))
    if not 2 <= len(rest) < _MOST_PARTS or not rest[1]:
        raise BadLine("it is not DIGEST:SIZE:NAME")
    if not all(level.isdigit() or not level for level in rest[2:]):
        raise BadLine("its engine versions are no numbers")
    algorithm = _BY_DIGITS.get(len(digest))
    if algorithm is None:
        raise BadLine(f"{len(digest)} digits: a digest has 32, 40 or 64")
    if rest[0] == "":
        raise BadLine("its size is neither a number of bytes nor *")
    size = None if rest[0] == "*" else size_of(rest[0])
    return Row({algorithm: digest_of(digest, algorithm)}, size, shape.category, shape.act)
