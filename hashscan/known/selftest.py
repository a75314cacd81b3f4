"""The harmless file that every published list holds, so that a silent miss becomes an alarm, and digests no list may hold."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from blake3 import blake3

from hashscan.model import Algorithm

CONTENT = b"hashscan self-test file, version 1. It is harmless. A scan that does not find it does not work.\n"
"""The bytes of the self-test file. Published, never changed: lists in the field hold its digests."""

TRIVIAL = (b"", b"\n", b"\r\n", b"\0", b" ", b"{}", b"[]", b"\xef\xbb\xbf")
"""Contents that occur everywhere by accident. No list may hold their digests."""


def digest(algorithm: Algorithm, content: bytes) -> bytes:
    """The raw digest of ``content``."""
    if algorithm is Algorithm.BLAKE3:
        return blake3(content).digest()
    return hashlib.new(algorithm.value, content, usedforsecurity=False).digest()


def digests(content: bytes = CONTENT) -> Mapping[Algorithm, str]:
    """All four digests (lowercase hex) of ``content``, the self-test file by default."""
    return {algorithm: digest(algorithm, content).hex() for algorithm in Algorithm}


def trivial_digests() -> frozenset[tuple[Algorithm, bytes]]:
    """The digests of `TRIVIAL` under every algorithm: a list that holds one of them would match files everywhere."""
    return frozenset((algorithm, digest(algorithm, content)) for algorithm in Algorithm for content in TRIVIAL)
