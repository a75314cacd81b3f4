"""What the digest cache remembers of one directory, as bytes: pure rules, no disk and no clock (docs/formats.md).

A row is about a stretch of one directory: the regular files among `listing.WINDOW` names. The identity of each file (inode,
size, mtime, ctime) is packed in a fixed order, so that "is everything as it was?" is one comparison of bytes; the digests are
one column for each algorithm. A digest of zeros is one that is not known. Everything is under a checksum together
with the key of the row: whatever a damaged file gives back, it is that very row as it was written, or nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from itertools import starmap
from operator import attrgetter
from struct import Struct
from typing import NamedTuple

from xxhash import xxh3_64_intdigest

from hashscan.model import Algorithm

IDENTITY = Struct("<QQqq")  # inode, size in bytes, mtime and ctime in nanoseconds since 1970
_HEAD = Struct("<QQQIIIIIBB")  # check, device, inode, part, run, files, length of the root, of the path; algorithms, complete
_DEVICE = Struct("<Q")
_SEED = 0x6873_0001  # the format: a row of another one does not check
_POSITIVE = (1 << 63) - 1  # SQLite's integers are signed
_U64 = (1 << 64) - 1
_SPREAD = 0x9E37_79B9_7F4A_7C15  # 2^64 over the golden ratio: parts of one directory land far from other directories
MAX_ROW_BYTES = 4 << 20  # a full window with all algorithms has 0.55 MB, the path of a deep directory 60 kB

MARK_BYTES = 16

SINGLE = 0xFFFF_FFFF
"""The part of a row about one file on its own: the inode of the key is that file's. A directory has not so many windows."""

_ALGORITHMS = tuple(Algorithm)
BIT = {algorithm: 1 << index for index, algorithm in enumerate(_ALGORITHMS)}
_ZERO = {algorithm: bytes(algorithm.digest_size) for algorithm in _ALGORITHMS}

identity_fields = attrgetter("st_ino", "st_size", "st_mtime_ns", "st_ctime_ns")


def mask_of(algorithms: Iterable[Algorithm]) -> int:
    """The algorithms as one byte: bit i is the i-th of `Algorithm`."""
    mask = 0
    for algorithm in algorithms:
        mask |= BIT[algorithm]
    return mask


def algorithms_of(mask: int) -> tuple[Algorithm, ...]:
    """The inverse of `mask_of`, in the order of `Algorithm`."""
    return tuple(algorithm for algorithm in _ALGORITHMS if mask & BIT[algorithm])


def block_of(statuses: Iterable[os.stat_result]) -> bytes:
    """The identities of files, 32 bytes each."""
    return b"".join(starmap(IDENTITY.pack, map(identity_fields, statuses)))


class Key(NamedTuple):
    """What a row is about: filesystem (see `filesystems`), inode of the directory, which window of its names."""

    device: int
    inode: int
    part: int

    @property
    def id(self) -> int:
        """The row's number: see `id_of`."""
        return id_of(*self)


def id_of(device: int, inode: int, part: int) -> int:
    """The number of a row: neighbouring directories lie side by side. Two keys may share one; then one is forgotten."""
    return (device + inode + part * _SPREAD) & _POSITIVE


def due(row_id: int, run: int, reread: int) -> bool:
    """Whether this run reads the files of the row again: one row in ``reread``, another one each run; never where it is 0."""
    # The upper half of the product (Fibonacci hashing) depends on all bits of the number: inodes have low bits in common.
    return reread > 0 and (((row_id * _SPREAD & _U64) >> 32) + run) % reread == 0


class Row:
    """One row. ``columns`` maps algorithms to their digests, joined, in the order of ``block``; ``check`` is 0 until encoded.

    ``complete`` is the mask of the algorithms whose digest is known for every file of the row.
    """

    __slots__ = ("_columns", "_tail", "block", "check", "complete", "key", "path", "root", "run")

    def __init__(self, key: Key, run: int, where: tuple[bytes, bytes], block: bytes, columns: dict[Algorithm, bytes]) -> None:
        self.key, self.run, self.block = key, run, block
        self._columns: dict[Algorithm, bytes] | None = columns
        self._tail = (0, b"")
        self.root, self.path = where
        self.check = 0
        self.complete = mask_of(algorithm for algorithm in columns if all_known(algorithm, columns[algorithm]))

    @property
    def columns(self) -> dict[Algorithm, bytes]:
        """The digests; cut out of the bytes when first asked for, because of an unchanged directory nobody asks."""
        if self._columns is None:
            self._columns, at = {}, 0
            mask, tail = self._tail
            for algorithm in _OF_MASK[mask]:
                end = at + len(self) * algorithm.digest_size
                self._columns[algorithm] = tail[at:end]
                at = end
        return self._columns

    def __len__(self) -> int:
        return len(self.block) // IDENTITY.size

    def encode(self) -> bytes:
        """The bytes of the row; sets ``check``."""
        where = (len(self), len(self.root), len(self.path))
        head = _HEAD.pack(0, *self.key, self.run, *where, mask_of(self.columns), self.complete)[8:]
        body = b"".join(
            (head, self.root, self.path, self.block, *(self.columns[one] for one in algorithms_of(mask_of(self.columns))))
        )
        self.check = xxh3_64_intdigest(body, _SEED)
        return self.check.to_bytes(8, "little") + body

    def rows(self, algorithms: Sequence[Algorithm]) -> list[tuple[bytes, ...]]:
        """The digests file by file, as a sieve takes them."""
        return list(zip(*[slots(algorithm, self.columns[algorithm]) for algorithm in algorithms], strict=True))


def decode(data: bytes, key: Key | None) -> Row | None:
    """The row that was encoded under ``key`` (any, for None), or None where these bytes are not that."""
    if not _HEAD.size <= len(data) <= MAX_ROW_BYTES:
        return None
    check, device, inode, part, run, files, root_size, path_size, mask, complete = _HEAD.unpack_from(data)
    if check != xxh3_64_intdigest(data[8:], _SEED) or (key is not None and (device, inode, part) != key):
        return None
    row = Row.__new__(Row)
    row.key = Key(device, inode, part) if key is None else key
    row.run, row.check, row.complete = run, check, complete
    path_at = _HEAD.size + root_size
    block_at = path_at + path_size
    at = block_at + files * IDENTITY.size
    row.root, row.path, row.block = data[_HEAD.size : path_at], data[path_at:block_at], data[block_at:at]
    row._columns, row._tail = None, (mask & 15, data[at:])  # noqa: SLF001  its other constructor
    return row if at + files * _STRIDE[mask & 15] == len(data) else None


_OF_MASK = [algorithms_of(mask) for mask in range(16)]
_STRIDE = [sum(algorithm.digest_size for algorithm in algorithms) for algorithms in _OF_MASK]


def all_known(algorithm: Algorithm, column: bytes) -> bool:
    """Whether no digest of the column is missing."""
    zero = _ZERO[algorithm]
    # A run of zeros elsewhere than in a slot of its own is possible, and rare: only then every slot is looked at.
    return zero not in column or zero not in slots(algorithm, column)


def slots(algorithm: Algorithm, column: bytes) -> list[bytes]:
    """The digests of a column, one by one."""
    size = algorithm.digest_size
    return [column[at : at + size] for at in range(0, len(column), size)]


def is_known(digest: bytes) -> bool:
    """Whether this is a digest and not the place for one. Nobody has a file whose digest is zero."""
    return digest.count(0) != len(digest)


class Marker:
    """Makes marks: short proofs that "under these lists no file that is exactly so, there, is a candidate".

    A mark is keyed BLAKE2b (16 bytes) over lists, filesystem, place and the identity of every file. So it says all by itself,
    and no row is read to believe it; a tenant chooses sizes and times, but cannot aim at a hash whose key is ours. Appended is
    how many of the files have no digest (their size rules them out), where there are any; that is under the hash as well.
    """

    __slots__ = ("_begun",)

    def __init__(self, secret: bytes, fingerprint: bytes, device: int) -> None:
        self._begun = blake2b(_DEVICE.pack(device) + fingerprint, digest_size=MARK_BYTES, key=secret)

    def mark(self, where: bytes, seen: bytes, unknown: int = 0) -> bytes:
        """The mark of files; ``where`` is from `where_of`, ``seen`` is what `looks` says of them."""
        tail = unknown.to_bytes(4, "little") if unknown else b""
        begun = self._begun.copy()
        begun.update(where + seen + tail)
        return begun.digest() + tail

    def unknown(self, mark: bytes | None, where: bytes, seen: bytes) -> int | None:
        """How many files of a marked directory have no digest; None where ``mark`` does not say this of these files."""
        if type(mark) is not bytes or len(mark) > MARK_BYTES + 4:  # in a damaged file it may be anything
            return None
        unknown = int.from_bytes(mark[MARK_BYTES:], "little")
        return unknown if self.mark(where, seen, unknown) == mark else None


def where_of(root: bytes, path: bytes) -> bytes:
    """A place as it goes into a mark; no path holds a NUL."""
    return b"%s\0%s\0" % (root, path)
