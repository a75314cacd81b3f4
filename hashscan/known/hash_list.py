"""Plain hash lists: bare digests, and what md5sum, sha1sum, sha256sum, b3sum, BSD `md5` and `openssl dgst` print.

The length of a digest says its algorithm, except that 64 hex digits are SHA-256 or BLAKE3: only the caller can know.
File names in a list are read over and never kept. No message repeats a digest: lists are sensitive, messages end up in logs.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from typing import NamedTuple, Protocol

from hashscan.model import Algorithm

MAX_LINE_BYTES = 65_536  # a path has at most 4096 bytes; an escaped one twice that
_BY_DIGITS = {32: (Algorithm.MD5,), 40: (Algorithm.SHA1,), 64: (Algorithm.SHA256, Algorithm.BLAKE3)}
_BY_NAME = {
    b"md5": Algorithm.MD5,
    b"sha1": Algorithm.SHA1,
    b"sha-1": Algorithm.SHA1,
    b"sha256": Algorithm.SHA256,
    b"sha-256": Algorithm.SHA256,
    b"sha2-256": Algorithm.SHA256,
    b"blake3": Algorithm.BLAKE3,
}
_TAGGED = re.compile(rb"\\?([A-Za-z0-9/-]{2,16}) ?\((.*)\) ?= ?([0-9A-Fa-f]+)", re.DOTALL)
_HEX = re.compile(rb"[0-9A-Fa-f]+")
_BOM = b"\xef\xbb\xbf"


class LineStream(Protocol):
    """A binary stream of lines; every open file is one."""

    def readline(self, size: int, /) -> bytes:
        """The next line, at most ``size`` bytes of it; empty at the end."""


class BadLine(ValueError):
    """Why a line is not a digest, in words without the line itself."""


class ParsedDigest(NamedTuple):
    """A raw digest and the algorithms that it may be of: one, or (SHA256, BLAKE3) where nothing tells which."""

    digest: bytes
    algorithms: tuple[Algorithm, ...]


def parse_line(line: bytes, default64: Algorithm | None = None) -> ParsedDigest | None:
    """The digest of one line (its end may be there or not), None for a blank line or a comment (#). Raises `BadLine`.

    ``default64`` says what 64 hex digits without a name are: SHA256, BLAKE3, or None for unknown.
    """
    text = line.strip()
    if not text or text.startswith(b"#"):
        return None
    bare = _from_hex(text, default64)
    if bare is not None:
        return bare
    if b"\0" in text:
        raise BadLine("it holds NUL bytes; is the file UTF-16?")
    tagged = _TAGGED.fullmatch(text)
    if tagged is not None:
        return _tagged(tagged[1], tagged[3])
    # GNU puts a backslash before the digest where the name is escaped.
    first, _, name = text.removeprefix(b"\\").replace(b"\t", b" ", 1).partition(b" ")
    if not _HEX.fullmatch(first):
        raise BadLine("it does not begin with a digest")
    found = _from_hex(first, default64)
    if found is None:
        raise BadLine(f"{len(first)} hex digits: a digest has 32, 40 or 64")
    if not name.strip():
        raise BadLine("a digest and a backslash, but no file name")
    return found


def _from_hex(text: bytes, default64: Algorithm | None) -> ParsedDigest | None:
    algorithms = _BY_DIGITS.get(len(text))
    if algorithms is None:
        return None
    try:
        digest = binascii.unhexlify(text)
    except binascii.Error:
        return None
    if len(algorithms) > 1 and default64 is not None:
        if default64 not in algorithms:
            raise ValueError(f"64 hex digits cannot be {default64}")
        algorithms = (default64,)
    return ParsedDigest(digest, algorithms)


def _tagged(name: bytes, digits: bytes) -> ParsedDigest:
    algorithm = _BY_NAME.get(name.lower())
    if algorithm is None:
        raise BadLine(f"digests of {name.decode()} are not supported: {', '.join(Algorithm)} are")
    if len(digits) != 2 * algorithm.digest_size:
        raise BadLine(f"{len(digits)} hex digits: {algorithm} has {2 * algorithm.digest_size}")
    return ParsedDigest(binascii.unhexlify(digits), (algorithm,))


def read_lines(stream: LineStream, *, max_line_bytes: int = MAX_LINE_BYTES) -> Iterator[tuple[int, bytes | BadLine]]:
    """Lines with their numbers from 1, without a byte order mark at the start; a longer line is a `BadLine`.

    Memory is bounded by ``max_line_bytes`` whatever the stream holds (a file of zeros is one line).
    """
    number = 0
    while piece := stream.readline(max_line_bytes + 1):
        number += 1
        if len(piece) > max_line_bytes and not piece.endswith(b"\n"):
            while piece and not piece.endswith(b"\n"):
                piece = stream.readline(max_line_bytes)
            yield number, BadLine(f"longer than {max_line_bytes} bytes")
            continue
        yield number, piece.removeprefix(_BOM) if number == 1 else piece


def read_list(
    stream: LineStream, *, default64: Algorithm | None = None, max_line_bytes: int = MAX_LINE_BYTES
) -> Iterator[tuple[int, ParsedDigest | BadLine]]:
    """Every digest and every bad line of ``stream`` with its line number; blank lines and comments are left out."""
    for number, line in read_lines(stream, max_line_bytes=max_line_bytes):
        if isinstance(line, BadLine):
            yield number, line
            continue
        try:
            parsed = parse_line(line, default64)
        except BadLine as error:
            yield number, error
            continue
        if parsed is not None:
            yield number, parsed
