"""The pure rules of the digest cache: rows, marks, windows, which filesystems are believed."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashscan.files.filesystems import BELIEVED, number_of, type_of_mount
from hashscan.files.rows import (
    IDENTITY,
    MARK_BYTES,
    SINGLE,
    Key,
    Marker,
    Row,
    algorithms_of,
    all_known,
    block_of,
    decode,
    due,
    mask_of,
    where_of,
)
from hashscan.files.window import Memo, Window, unknown_in
from hashscan.model import Algorithm

U64 = st.integers(0, 2**64 - 1)
I64 = st.integers(-(2**63), 2**63 - 1)
FILES = st.lists(st.tuples(U64, U64, I64, I64), max_size=9)
MASKS = st.integers(0, 15)
KEY = Key(1, 2, 3)


def row_of(files: list[tuple[int, int, int, int]], mask: int, key: Key = KEY) -> Row:
    block = b"".join(IDENTITY.pack(*one) for one in files)
    columns = {one: os.urandom(one.digest_size * len(files)) for one in algorithms_of(mask)}
    return Row(key, 7, (b"/srv", b"a/b\xff"), block, columns)


def status(inode: int, size: int = 10, mtime: int = 5, ctime: int = 6) -> os.stat_result:
    return cast("os.stat_result", SimpleNamespace(st_ino=inode, st_size=size, st_mtime_ns=mtime, st_ctime_ns=ctime))


@given(FILES, MASKS, U64, U64, st.integers(0, 2**32 - 1))
def test_a_row_comes_back_as_it_was(
    files: list[tuple[int, int, int, int]], mask: int, device: int, inode: int, part: int
) -> None:
    row = row_of(files, mask, Key(device, inode, part))
    again = decode(row.encode(), row.key)
    assert again is not None
    for name in ("block", "check", "columns", "complete", "key", "path", "root", "run"):
        assert getattr(again, name) == getattr(row, name), name
    assert 0 <= row.key.id < 2**63


def test_no_flipped_bit_gets_through() -> None:
    data = row_of([(1, 2, 3, 4), (5, 6, -7, 8)], 3).encode()
    for bit in range(len(data) * 8):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        assert decode(bytes(damaged), KEY) is None
    assert decode(data, KEY) is not None, "the control"


@pytest.mark.parametrize("data", [b"", b"x", bytes(57), b"\xff" * 200, bytes(5 << 20)])
def test_other_bytes_are_no_row(data: bytes) -> None:
    assert decode(data, None) is None


def test_a_row_is_believed_under_its_own_key_only() -> None:
    data = row_of([(1, 2, 3, 4)], 3).encode()
    for other in (Key(2, 2, 3), Key(1, 3, 3), Key(1, 2, 4)):
        assert decode(data, other) is None
    assert decode(data[:-1], KEY) is None
    assert decode(data + b"\0", KEY) is None
    row = decode(data, None)
    assert row is not None
    assert row.key == KEY


def test_algorithms_are_a_mask() -> None:
    for mask in range(16):
        assert mask_of(algorithms_of(mask)) == mask


def test_unknown_digests_are_zeros_in_their_own_slots() -> None:
    size = Algorithm.MD5.digest_size
    known = b"\x01" + bytes(size - 1)
    assert all_known(Algorithm.MD5, known + known)
    assert all_known(Algorithm.MD5, bytes(size - 1) + b"\x01" + b"\x01" + bytes(size - 1)), "zeros across two slots are no slot"
    assert not all_known(Algorithm.MD5, known + bytes(size))
    columns = {Algorithm.MD5: known + bytes(size), Algorithm.SHA1: b"\x02" * 40}
    row = Row(KEY, 1, (b"", b""), bytes(64), columns)
    assert algorithms_of(row.complete) == (Algorithm.SHA1,)
    assert unknown_in(row, (Algorithm.MD5, Algorithm.SHA1)) == 1
    assert unknown_in(row, (Algorithm.SHA1,)) == 0
    assert unknown_in(row, (Algorithm.BLAKE3,)) == 2


@given(st.integers(0, 2**63 - 1), st.integers(1, 40), st.integers(0, 10**6))
def test_each_row_is_read_again_once_in_so_many_runs(row_id: int, reread: int, begin: int) -> None:
    assert sum(due(row_id, run, reread) for run in range(begin, begin + reread)) == 1
    assert not due(row_id, begin, 0)


def test_rows_are_spread_over_the_runs() -> None:
    """Directories that are made one after the other lie in groups of inodes whose numbers have much in common."""
    ids = [Key(99, group * 8192 + 12, 0).id for group in range(3200)]
    counts = [sum(due(one, run, 32) for one in ids) for run in range(32)]
    assert 50 < min(counts) <= max(counts) < 160


WHERE = where_of(b"/srv", b"a/b")
SEEN = bytes(range(96))


@given(st.integers(0, 2**32 - 1))
def test_a_mark_says_how_many_files_have_no_digest(unknown: int) -> None:
    marker = Marker(bytes(32), b"lists", 9)
    mark = marker.mark(WHERE, SEEN, unknown)
    assert marker.unknown(mark, WHERE, SEEN) == unknown
    assert len(mark) in {MARK_BYTES, MARK_BYTES + 4}


def test_a_mark_falls_with_anything_that_it_says() -> None:
    marker = Marker(bytes(32), b"lists", 9)
    mark = marker.mark(WHERE, SEEN, 3)
    assert marker.unknown(mark, WHERE, SEEN) == 3, "the control"
    others = [Marker(b"\1" + bytes(31), b"lists", 9), Marker(bytes(32), b"list", 9), Marker(bytes(32), b"lists", 8)]
    assert [one.unknown(mark, WHERE, SEEN) for one in others] == [None] * 3
    for bit in range(len(SEEN) * 8):
        changed = bytearray(SEEN)
        changed[bit // 8] ^= 1 << bit % 8
        assert marker.unknown(mark, WHERE, bytes(changed)) is None
    for where, seen in (
        (where_of(b"/srv", b"a"), SEEN),
        (where_of(b"/srv/a", b"b"), SEEN),
        (WHERE, SEEN[:48]),
        (WHERE, SEEN + bytes(48)),
        (WHERE + SEEN[:48], SEEN[48:]),
    ):
        assert (marker.unknown(mark, where, seen) is None) == (where + seen != WHERE + SEEN)


def test_what_is_no_mark_says_nothing() -> None:
    marker = Marker(bytes(32), b"lists", 9)
    mark = marker.mark(WHERE, SEEN)
    for bit in range(len(mark) * 8):
        damaged = bytearray(mark)
        damaged[bit // 8] ^= 1 << bit % 8
        assert marker.unknown(bytes(damaged), WHERE, SEEN) is None
    for other in (None, 7, "x", b"", mark[:-1], mark + b"\0", mark + bytes(4), mark + b"\1\0\0\0", mark + bytes(5)):
        assert marker.unknown(other, WHERE, SEEN) is None  # type: ignore[arg-type]


class TestWindow:
    def window(self, count: int = 2) -> Window:
        window = Window(KEY, (b"/srv", b""), block_of([status(one) for one in range(count)]), (Algorithm.SHA1,))
        window.missing = {f"f{one}": one for one in range(count)}
        return window

    def test_it_becomes_a_row(self) -> None:
        window = self.window()
        assert window.fill("f0", status(0), [b"a" * 20], settled=True)
        assert window.fill("f1", status(1), [b"b" * 20], settled=True)
        row = window.row(9)
        assert (row.columns, row.run, window.missing, window.barred) == ({Algorithm.SHA1: b"a" * 20 + b"b" * 20}, 9, {}, False)
        assert window.known([1]) == [(b"b" * 20,)]

    def test_what_is_not_settled_is_not_known(self) -> None:
        window = self.window()
        window.fill("f0", status(0), [b"a" * 20], settled=False)
        window.give_up("f1")
        assert window.barred
        assert not window.any_known
        assert window.row(9).columns == {Algorithm.SHA1: bytes(40)}

    def test_a_file_that_was_replaced_since_is_remembered_as_what_was_read(self) -> None:
        window = self.window()
        assert window.adopt(0, {Algorithm.BLAKE3: b"c" * 32}) is False
        window.promise(0, {Algorithm.SHA1: b"z" * 20})
        assert window.fill("f0", status(0, ctime=7), [b"a" * 20], settled=True), "another identity promised nothing"
        row = window.row(9)
        assert row.block[:32] == block_of([status(0, ctime=7)])
        assert row.columns[Algorithm.BLAKE3] == bytes(64), "of the other file"
        assert row.columns[Algorithm.SHA1][:20] == b"a" * 20

    def test_a_broken_promise_is_noticed_and_the_truth_is_kept(self) -> None:
        window = self.window()
        window.promise(0, {Algorithm.SHA1: b"z" * 20, Algorithm.MD5: b"y" * 16})
        window.promise(1, {Algorithm.SHA1: b"b" * 20, Algorithm.MD5: b"x" * 16})
        assert not window.fill("f0", status(0), [b"a" * 20], settled=True)
        assert window.fill("f1", status(1), [b"b" * 20], settled=True)
        columns = window.row(9).columns
        assert columns[Algorithm.SHA1] == b"a" * 20 + b"b" * 20
        assert columns[Algorithm.MD5] == bytes(16) + b"x" * 16, "one that lied is believed in nothing"

    def test_a_memo_knows_files_by_their_whole_identity(self) -> None:
        window = self.window()
        window.fill("f0", status(0), [b"a" * 20], settled=True)
        memo = Memo([window.row(1)])
        assert memo.get(block_of([status(0)])) == {Algorithm.SHA1: b"a" * 20}
        assert memo.get(block_of([status(1)])) == {}, "it is there, and not known"
        for other in (status(9), status(0, size=11), status(0, mtime=6), status(0, ctime=7)):
            assert memo.get(block_of([other])) == {}


MOUNTINFO = b"""22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:26 / /tmp rw,nosuid - tmpfs tmpfs rw,size=10%
31 22 0:27 / /srv/na\\040me rw master:3 propagate_from:2 - fuse.sshfs host:/ rw
"""


def test_the_type_of_a_mount_is_read_from_mountinfo() -> None:
    assert [type_of_mount(MOUNTINFO, one) for one in (22, 30, 31, 2, 99)] == [b"ext4", b"tmpfs", b"fuse.sshfs", b"", b""]


@pytest.mark.parametrize("kind", [b"tmpfs", b"ramfs", b"nfs4", b"nfs", b"cifs", b"fuse.sshfs", b"fuseblk", b"9p", b"", b"proc"])
def test_what_cannot_be_believed_is_not(kind: bytes) -> None:
    assert kind not in BELIEVED


def test_a_filesystem_has_one_number() -> None:
    disk, other = os.makedev(8, 1), os.makedev(8, 17)
    assert len({number_of(disk, 5), number_of(other, 5), number_of(disk, 6), number_of(disk, 0)}) == 4
    anonymous, later = os.makedev(0, 40), os.makedev(0, 41)
    assert number_of(anonymous, 5) == number_of(later, 5), "its number came with the order of mounting"
    assert number_of(anonymous, 0) != number_of(later, 0)


def test_a_single_file_is_no_window() -> None:
    assert SINGLE > 2**31
