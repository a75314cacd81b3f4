"""Evidence that has grown is not what was kept, wherever it ended before."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hashscan.model import Algorithm
from hashscan.quarantine import evidence
from tests.support.findings import digests_of

CHUNK = 1 << 20


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK])
def test_one_byte_more_is_noticed(tmp_path: Path, size: int) -> None:
    data = b"x" * size
    (tmp_path / "a").write_bytes(data)
    digests = digests_of(data, tuple(Algorithm))
    fd = os.open(tmp_path / "a", os.O_RDWR | os.O_APPEND)
    assert evidence.agrees(fd, size, digests) is True
    assert evidence.agrees(fd, size, {}) is False
    os.write(fd, b"x")
    assert evidence.agrees(fd, size, digests) is False
    assert sum(map(len, evidence.read_chunks(fd, size))) == size + 1
    os.write(fd, b"x" * CHUNK)
    assert sum(map(len, evidence.read_chunks(fd, size))) == size + 1
    os.close(fd)


def test_what_a_write_does_not_take_is_written_again() -> None:
    """A pipe takes what it has room for."""
    reading, writing = os.pipe2(os.O_NONBLOCK)
    with pytest.raises(BlockingIOError):
        evidence.write_all(writing, bytes(1 << 20))
    taken = len(os.read(reading, 1 << 20))
    evidence.write_all(writing, bytes(taken))
    assert len(os.read(reading, 1 << 20)) == taken
    os.close(reading)
    os.close(writing)
