"""Each way to read gives the same bytes and leaves the page cache as it was; ways that this kernel lacks are not run."""

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

from hashscan.files.hashing import BUFFER, Hasher
from hashscan.files.reading import RWF_DONTCACHE, RWF_NOWAIT, WAITING, WAYS, Way, resident_pages, stretch_to_drop
from hashscan.model import Algorithm
from tests.support.sieves import digest
from tests.support.trees import descriptors

FOREVER = float("inf")
PAGE = os.sysconf("SC_PAGESIZE")
_CACHESTAT = 451  # the same number on every architecture; mincore and RWF_NOWAIT would bring in what they ask about
SIZES = (0, 1, PAGE, 5000, 40_000, BUFFER - 1, BUFFER, 3 * BUFFER + 17)


NO_SUCH = Way(1 << 30, 1 << 30, drop=False)


def cached(path: Path, begin: int = 0, size: int = 0) -> int:
    """How many pages of that stretch of ``path`` (size 0: to its end) are in the page cache."""
    fd = os.open(path, os.O_RDONLY)
    try:
        counts = ctypes.create_string_buffer(40)
        if ctypes.CDLL(None).syscall(_CACHESTAT, fd, struct.pack("=QQ", begin, size), counts, 0) != 0:
            pytest.skip("not run: no cachestat here")
        return int(struct.unpack_from("=Q", counts)[0])
    finally:
        os.close(fd)


def make_cold(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
        for _ in range(100):  # a page that waits in another core's list is not dropped at once
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            if not cached(path):
                break
            time.sleep(0.01)
    finally:
        os.close(fd)


def works(path: Path, way: Way) -> bool:
    """Whether kernel and filesystem know its flags."""
    fd = os.open(path, os.O_RDONLY)
    try:
        for flags in (way.ask, way.take):
            try:
                os.preadv(fd, [bytearray(1)], 0, flags)
            except BlockingIOError:
                continue
            except OSError as error:
                if error.errno != errno.EOPNOTSUPP:
                    raise
                return False
    finally:
        os.close(fd)
    return True


@pytest.fixture
def top(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def fill(tmp_path: Path) -> dict[str, bytes]:
    rnd = random.Random(1)
    data = {f"f{size}": rnd.randbytes(size) for size in SIZES}
    for name, content in data.items():
        (tmp_path / name).write_bytes(content)
    return data


def hash_all(top: int, names: list[str], ways: tuple[Way, ...]) -> dict[str, bytes]:
    batch = Hasher((Algorithm.SHA1,), None, lambda: None, ways).run(top, list(names), FOREVER, len(names))
    assert not batch.refused
    assert not batch.waiting
    return {name: row[0] for name, row in zip(batch.names, batch.rows, strict=True)}


def warm_the_middle(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)  # no reading ahead
        os.preadv(fd, [bytearray(1)], path.stat().st_size // 2)
    finally:
        os.close(fd)


def prepared(tmp_path: Path, state: str, way: Way) -> tuple[dict[str, bytes], dict[str, int]]:
    """Contents and resident pages of files that are hot, cold, or have one resident page."""
    data = fill(tmp_path)
    (tmp_path / "spare").write_bytes(b"x" * 5000)
    if not works(tmp_path / "spare", way):
        pytest.skip(f"not run: this filesystem does not know {way}")
    for name in data:
        if state != "hot":
            make_cold(tmp_path / name)
        if state == "half":
            warm_the_middle(tmp_path / name)
    before = {name: cached(tmp_path / name) for name in data}
    assert state != "hot" or before["f5000"] == -(-5000 // PAGE)
    assert state != "cold" or not any(before.values())
    return data, before


@pytest.mark.parametrize("way", range(len(WAYS) - 1))
@pytest.mark.parametrize("state", ["hot", "cold", "half"])
def test_the_bytes_are_right_and_the_page_cache_as_it_was(tmp_path: Path, top: int, way: int, state: str) -> None:
    data, before = prepared(tmp_path, state, WAYS[way])
    assert hash_all(top, list(data), WAYS[way:]) == {name: digest(Algorithm.SHA1, one) for name, one in data.items()}
    after = {name: cached(tmp_path / name) for name in data}
    if state == "half" and WAYS[way].drop:
        # Below one buffer all of a file is dropped whose beginning was not there; else nothing is that somebody else had.
        data = {name: one for name, one in data.items() if len(one) >= BUFFER}
        assert all(after[name] >= before[name] for name in data)
        assert after["f3145745"] <= 1 + BUFFER // PAGE, "only the stretch with the page of somebody else stays"
        return
    assert {name: after[name] for name in data} == {name: before[name] for name in data}


def test_control_the_last_way_is_noticed(tmp_path: Path, top: int) -> None:
    data, _ = prepared(tmp_path, "cold", WAYS[-1])
    assert hash_all(top, list(data), WAYS[-1:]) == {name: digest(Algorithm.SHA1, one) for name, one in data.items()}
    assert cached(tmp_path / "f40000") > 0


@pytest.mark.parametrize(
    ("offset", "found", "got", "resident", "wanted"),
    [
        (0, 0, BUFFER, 0, (0, BUFFER)),
        (BUFFER, 0, 10, 0, (BUFFER, 10)),
        (0, 0, BUFFER, None, (0, BUFFER)),
        (0, 0, BUFFER, 1, (0, 0)),
        (0, 3 * PAGE, BUFFER - 3 * PAGE, 3, (3 * PAGE, BUFFER - 3 * PAGE)),
        (0, 3 * PAGE, BUFFER - 3 * PAGE, 4, (3 * PAGE, 0)),
        (0, 3 * PAGE, BUFFER - 3 * PAGE, None, (3 * PAGE, BUFFER - 3 * PAGE)),
        (0, BUFFER, 0, 256, (BUFFER, 0)),
        (0, 0, 0, 0, (0, 0)),
    ],
)
def test_only_what_we_brought_in_is_dropped(
    offset: int, found: int, got: int, resident: int | None, wanted: tuple[int, int]
) -> None:
    assert stretch_to_drop(offset, found, got, resident) == wanted


def test_residents_are_counted_or_not_known(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(bytes(10 * PAGE))
    fd = os.open(tmp_path / "f", os.O_RDONLY)
    assert resident_pages(fd, 0, 0) in (10, None)
    assert resident_pages(fd, PAGE, 2 * PAGE) in (2, None)
    os.close(fd)
    assert resident_pages(fd, 0, 0) is None


def test_what_nobody_knows_leads_to_the_next(tmp_path: Path, top: int) -> None:
    data = fill(tmp_path)
    wanted = {name: digest(Algorithm.SHA1, one) for name, one in data.items()}
    assert hash_all(top, list(data), (NO_SUCH, NO_SUCH, *WAYS)) == wanted
    assert hash_all(top, list(data), (NO_SUCH, WAYS[-1])) == wanted
    batch = Hasher((Algorithm.SHA1,), None, lambda: None, (NO_SUCH,)).run(top, ["f1"], FOREVER, 1)
    assert [(name, getattr(why, "errno", None)) for name, why in batch.refused] == [("f1", errno.EOPNOTSUPP)]


def test_more_files_wait_than_may_be_open(tmp_path: Path, top: int) -> None:
    contents = {f"{number}": b"%d" % number for number in range(5 * WAITING)}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        make_cold(tmp_path / name)
    before, most = descriptors(), 0

    def look() -> None:
        nonlocal most
        most = max(most, descriptors())

    batch = Hasher((Algorithm.SHA1,), None, look, WAYS).run(top, list(contents), FOREVER, len(contents))
    rows = {name: row[0] for name, row in zip(batch.names, batch.rows, strict=True)}
    assert rows == {name: digest(Algorithm.SHA1, content) for name, content in contents.items()}
    assert most <= before + WAITING + 1
    assert descriptors() == before
    if works(tmp_path / "0", WAYS[0]):
        assert most >= before + WAITING // 2, "some did wait"


def test_a_file_that_changes_while_it_waits_is_told_as_it_is_when_it_is_read(tmp_path: Path, top: int) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).write_bytes(b"old" * 5000)
    if not works(tmp_path / "a", WAYS[0]):
        pytest.skip("not run: nothing waits here")
    for name in ("a", "b", "c"):
        make_cold(tmp_path / name)
    calls = 0

    def meddle() -> None:
        nonlocal calls
        calls += 1
        if calls == 1:  # the first of the three was read, the others wait
            (tmp_path / "b").write_bytes(b"new" * 50)
            with (tmp_path / "a").open("ab") as stream:
                stream.truncate(20 << 20)

    hasher = Hasher((Algorithm.SHA1,), 10 << 20, meddle, WAYS)
    batch = hasher.run(top, ["a", "b", "c"], FOREVER, 3)
    rows = {name: (row[0], status.st_size) for name, row, status in zip(batch.names, batch.rows, batch.statuses, strict=True)}
    assert rows["c"] == (digest(Algorithm.SHA1, b"old" * 5000), 15_000)
    assert rows["b"] == (digest(Algorithm.SHA1, b"new" * 50), 150)
    assert [name for name, _ in batch.refused] == ["a"], "it outgrew the limit while it waited"


def test_the_flags_are_those_of_the_kernel() -> None:
    assert os.RWF_NOWAIT == RWF_NOWAIT
    assert RWF_DONTCACHE == 0x80  # include/uapi/linux/fs.h; Python has no name for it yet
