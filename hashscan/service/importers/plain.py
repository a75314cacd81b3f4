"""Plain lists: bare digests, and what md5sum, sha1sum, sha256sum, b3sum, BSD `md5` and `openssl dgst` print."""

from __future__ import annotations

from collections.abc import Iterator

from hashscan.known.hash_list import BadLine, read_list
from hashscan.service.importers.port import PeekableStream, Shape
from hashscan.service.merging import Row

WHICH_64 = "64 hex digits are sha256 or blake3: say which with the algorithm option"


def read(stream: PeekableStream, shape: Shape) -> Iterator[tuple[int, Row | BadLine]]:
    """Every row and every bad line with its number."""
    for number, parsed in read_list(stream, default64=shape.algorithm):
        if isinstance(parsed, BadLine):
            yield number, parsed
        elif len(parsed.algorithms) > 1:
            yield number, BadLine(WHICH_64)
        else:
            yield number, Row({parsed.algorithms[0]: parsed.digest}, None, shape.category, shape.act)
