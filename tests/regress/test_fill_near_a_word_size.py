"""A true filter is never refused for its fill: near the sizes where pybloom changes its word, bits are not hit equally often.

With bits a slice just below 2^15, pybloom takes 16-bit words modulo m, and a check that took all bits for equal refused lists
of about 18,000 to 20,000 tokens, so that they could not be published.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from hashscan.known import bloom, selftest
from hashscan.known.container import FilterHeader
from hashscan.known.keys import token
from hashscan.model import Algorithm, ListRef

KEY = bytes(range(32))
LIST = ListRef("police", 1, 1)


@pytest.mark.parametrize("count", [200, 15_000, 18_000, 19_000, 20_000])
def test_true_filters_of_this_size_open(count: int, tmp_path: Path) -> None:
    def header(tokens: int, length: int, digest: str) -> FilterHeader:
        return FilterHeader(LIST, "acme", (Algorithm.SHA1,), 1.0, count, tokens, 1e-6, length, digest)

    digests = [hashlib.sha1(b"harmless %d" % number).digest() for number in range(count - 1)]
    digests.append(hashlib.sha1(selftest.CONTENT).digest())
    tokens = (token(KEY, Algorithm.SHA1, digest) for digest in digests)
    path = tmp_path / "filter"
    path.write_bytes(bloom.build(header, KEY, tokens, capacity=count, error_rate=1e-6))
    assert len(bloom.open_filter(path, LIST, KEY)) == count + bloom.CANARIES
