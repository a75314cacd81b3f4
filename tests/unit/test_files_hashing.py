"""The hot loop on single files: every size around its limits, and files that are not what was listed."""

from __future__ import annotations

import ctypes
import errno
import os
import random
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hashscan.files.descriptors import MAX_OPEN, STRIDE, Descriptors
from hashscan.files.hashing import BUFFER, LARGE, Batch, Hasher, Refusal
from hashscan.files.reading import RWF_DONTCACHE
from hashscan.files.walk import Node
from hashscan.model import Algorithm, Reason
from tests.support.sieves import digest
from tests.support.trees import descriptors

BOTH = (Algorithm.MD5, Algorithm.SHA1)
FOREVER = float("inf")


@pytest.fixture
def top(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def hasher(max_file_bytes: int | None = None, beats: list[int] | None = None) -> Hasher:
    return Hasher(BOTH, max_file_bytes, lambda: (beats if beats is not None else []).append(1))


def refusals(batch: Batch) -> dict[str, Reason | int | None]:
    return {name: error.reason if isinstance(error, Refusal) else error.errno for name, error in batch.refused}


@pytest.mark.parametrize("size", [0, 1, 55, 56, 63, 64, 65, 4600, BUFFER - 2, BUFFER - 1, BUFFER, BUFFER + 1, 3 * BUFFER + 7])
def test_digests_are_right_at_every_size(tmp_path: Path, top: int, size: int) -> None:
    data = random.Random(size).randbytes(size)
    (tmp_path / "f").write_bytes(data)
    beats: list[int] = []
    batch = hasher(beats=beats).run(top, ["f"], FOREVER, 9)
    assert batch.rows == [tuple(digest(name, data) for name in BOTH)]
    assert batch.bytes_hashed == size
    assert len(beats) == size // BUFFER


def test_names_are_taken_from_the_end_within_limits(tmp_path: Path, top: int) -> None:
    names = [f"f{number}" for number in range(10)]
    for name in names:
        (tmp_path / name).write_text(name)
    left = list(names)
    assert hasher().run(top, left, FOREVER, 4).names == names[:5:-1]
    assert left == names[:6]
    assert hasher().run(top, left, time.monotonic(), 4).names == ["f5"]
    assert left == names[:5]


def test_large_files_wait_and_over_sized_ones_are_refused(tmp_path: Path, top: int) -> None:
    for name, size in (("large", LARGE + 1), ("not large", LARGE), ("over", LARGE + 3)):
        with (tmp_path / name).open("wb") as stream:
            stream.truncate(size)
    batch = hasher(LARGE + 2).run(top, ["large", "not large", "over"], FOREVER, 9)
    assert (batch.large, batch.names, refusals(batch)) == (["large"], ["not large"], {"over": Reason.TOO_LARGE})
    batch = hasher().run(top, ["large"], FOREVER, 1, large=True)
    assert batch.rows == [tuple(digest(name, bytes(LARGE + 1)) for name in BOTH)]


def test_what_took_the_place_of_a_file_is_not_read(tmp_path: Path, top: int) -> None:
    """A FIFO without a writer, a directory, a link and nothing, each where the directory listed a regular file."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "directory").mkdir()
    (tmp_path / "link").symlink_to("f")
    (tmp_path / "f").write_bytes(b"x")
    before = descriptors()
    begin = time.monotonic()
    batch = hasher().run(top, ["fifo", "directory", "link", "gone", "f"], FOREVER, 9)
    assert time.monotonic() - begin < 1
    assert batch.names == ["f"]
    assert refusals(batch) == {
        "fifo": Reason.CHANGED,
        "directory": Reason.CHANGED,
        "link": errno.ELOOP,
        "gone": errno.ENOENT,
    }
    assert descriptors() == before


def test_a_file_whose_size_is_a_lie_is_read_to_its_end() -> None:
    """Files of procfs say 0 bytes; so does, for a moment, a file that is being written."""
    path = b"/proc/self/status"
    batch = hasher().run(None, [path.decode()], FOREVER, 1)
    assert len(batch.rows) == 1
    assert batch.rows[0] != tuple(digest(name, b"") for name in BOTH)


_CACHESTAT = 451  # the same number on every architecture; mincore and RWF_NOWAIT would bring in what they ask about


def cached(path: Path) -> int:
    """How many pages of ``path`` are in the page cache."""
    fd = os.open(path, os.O_RDONLY)
    try:
        counts = ctypes.create_string_buffer(40)
        if ctypes.CDLL(None).syscall(_CACHESTAT, fd, struct.pack("=QQ", 0, 0), counts, 0) != 0:
            pytest.skip("not run: no cachestat here")
        return int(struct.unpack_from("=Q", counts)[0])
    finally:
        os.close(fd)


def make_cold(path: Path) -> None:
    """Write ``path`` through to the disk and out of the page cache."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)


def drops_what_it_reads(path: Path) -> bool:
    """Whether kernel and filesystem know RWF_DONTCACHE."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.preadv(fd, [bytearray(1)], 0, RWF_DONTCACHE)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


@pytest.mark.parametrize("size", [3000, 40_000, 3 * BUFFER])
def test_the_page_cache_is_left_as_it_was(tmp_path: Path, top: int, size: int) -> None:
    path = tmp_path / "f"
    path.write_bytes(os.urandom(size))
    hot = tmp_path / "hot"
    hot.write_bytes(os.urandom(size))
    if not drops_what_it_reads(hot):
        pytest.skip("not run: no RWF_DONTCACHE here")
    make_cold(path)
    before = cached(path), cached(hot)
    assert before == (0, -(-size // 4096))
    hasher().run(top, ["f", "hot"], FOREVER, 2)
    assert (cached(path), cached(hot)) == before
    path.read_bytes()
    assert cached(path) > 0, "the control: a usual read is noticed"


def test_access_times_stay(tmp_path: Path, top: int) -> None:
    (tmp_path / "f").write_bytes(b"x")
    os.utime(tmp_path / "f", (1, 2))
    hasher().run(top, ["f"], FOREVER, 1)
    assert (tmp_path / "f").stat().st_atime == 1


def test_directories_are_opened_again_and_their_number_is_bounded(tmp_path: Path) -> None:
    before = descriptors()
    table = Descriptors([os.fsencode(tmp_path)])
    status = tmp_path.stat()
    node = Node(None, b"", 0, status.st_dev, status.st_ino)
    path, nodes = tmp_path, [node]
    for _ in range(3 * MAX_OPEN):
        path /= "d"
        path.mkdir()
        status = path.stat()
        node = Node(node, b"d", 0, status.st_dev, status.st_ino)
        nodes.append(node)
    for one in [*reversed(nodes), *nodes, *random.Random(1).sample(nodes, 100)]:
        assert os.fstat(table.get(one)).st_ino == one.inode
        assert descriptors() <= before + MAX_OPEN
    table.close()
    assert descriptors() == before
    (tmp_path / "d").rename(tmp_path / "e")
    (tmp_path / "d").mkdir()
    with pytest.raises(FileNotFoundError, match="not the directory"):
        table.get(nodes[1])
    with pytest.raises(FileNotFoundError):
        table.get(nodes[STRIDE + 2])
    assert descriptors() == before + (nodes[0].fd >= 0)
    table.close()
    assert descriptors() == before
