"""What hashdeep writes (file format 1.0): a header that names the columns, then size, digests, and a name without quotes."""

from __future__ import annotations

from collections.abc import Iterator

from hashscan.known.hash_list import BadLine, read_lines
from hashscan.model import Algorithm
from hashscan.service.importers.port import BrokenSource, PeekableStream, Shape, digest_of, size_of
from hashscan.service.merging import Row

MAGIC = b"%%%% HASHDEEP-1.0"
_PERCENT = b"%%%%"
_NAMES = {
    "md5": Algorithm.MD5,
    "sha1": Algorithm.SHA1,
    "sha-1": Algorithm.SHA1,
    "sha256": Algorithm.SHA256,
    "sha-256": Algorithm.SHA256,
    "whirlpool": None,  # legal columns that we have no use for
    "tiger": None,
}
Columns = tuple[Algorithm | None, ...]


def read(stream: PeekableStream, shape: Shape) -> Iterator[tuple[int, Row | BadLine]]:
    """Every row and every bad line with its number. Several files one after the other are one list, each with its header."""
    columns: Columns | None = None
    begun = False
    for number, line in read_lines(stream):
        if isinstance(line, BadLine):
            yield number, line
            continue
        text = line.rstrip(b"\r\n")
        if text.startswith(_PERCENT):
            if text == MAGIC:
                begun, columns = True, None
            else:
                columns = _columns(text, number, begun=begun)
        elif columns is None:
            raise BrokenSource(f"line {number}: a hashdeep file begins with {MAGIC.decode()} and the names of its columns")
        elif text and not text.startswith(b"#"):
            yield number, _row(text, columns, shape)


def _columns(text: bytes, number: int, *, begun: bool) -> Columns:
    names = text[len(_PERCENT) :].decode("ascii", "replace").strip().split(",")
    if not begun or names[:1] != ["size"] or names[-1:] != ["filename"] or not set(names[1:-1]) <= set(_NAMES):
        raise BrokenSource(f"line {number}: the columns of a hashdeep file are size, names of hash functions, and filename")
    columns = tuple(_NAMES[name] for name in names[1:-1])
    known = [one for one in columns if one is not None]
    if not known or len(set(known)) != len(known):
        raise BrokenSource(f"line {number}: the columns hold md5, sha1 or sha256, each once")
    return columns


def _row(text: bytes, columns: Columns, shape: Shape) -> Row | BadLine:
    size, *rest = text.split(b",", len(columns) + 1)  # what comes after is the name, commas and all
    if len(rest) != len(columns) + 1:
        return BadLine("it has fewer columns than the header")
    try:
        digests = {
            algorithm: digest_of(cell.decode("ascii", "replace"), algorithm)
            for algorithm, cell in zip(columns, rest, strict=False)
            if algorithm is not None
        }
        return Row(digests, size_of(size.decode("ascii", "replace")), shape.category, shape.act)
    except BadLine as error:
        return error
