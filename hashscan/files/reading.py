"""How bytes are asked for, so that a cold disk is kept busy and the page cache of the host is left as it was found.

First asked with RWF_NOWAIT: what is resident comes at once, and this is the only read of it. What is not makes the kernel
start to read ahead and answer EAGAIN; such a file waits, open, while its neighbours are asked for, and is read for good a
little later. With RWF_DONTCACHE on both reads the pages that were brought in for us are dropped when they have been copied;
those that somebody else had there stay. Pages that POSIX_FADV_WILLNEED brings in would look like somebody else's.

Where the kernel or the filesystem does not know RWF_DONTCACHE, what RWF_NOWAIT did not find is dropped by POSIX_FADV_DONTNEED,
in stretches of one buffer: one of which `cachestat` says that something else is resident is left alone, and where there is no
`cachestat` (before Linux 6.5), as with files below one buffer, its first page that is missing speaks for the rest of it.
Sources: preadv2(2), posix_fadvise(2), `filemap_get_pages` and `filemap_end_dropbehind_read` in the kernel's mm/filemap.c.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from dataclasses import dataclass

RWF_NOWAIT = 0x08  # Linux 4.14
RWF_DONTCACHE = 0x80  # Linux 6.14; per filesystem
WAITING = 64  # files that are open and wait for the disk, in one worker
_PAGE = os.sysconf("SC_PAGESIZE")
_CACHESTAT = 451  # the same number on every architecture
_RANGE = struct.Struct("=QQ")
_libc = ctypes.CDLL(None)
_cachestat_call = _libc["syscall"]
_cachestat_call.restype = ctypes.c_long
_cachestat_call.argtypes = (ctypes.c_long, ctypes.c_uint, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_uint)


def resident_pages(fd: int, begin: int, size: int) -> int | None:
    """How many pages of that stretch are in the page cache; None where the system does not say (old, or not our file)."""
    counts = ctypes.create_string_buffer(40)
    if _cachestat_call(_CACHESTAT, fd, _RANGE.pack(begin, size), counts, 0) != 0:
        return None
    return int.from_bytes(counts.raw[:8], sys.byteorder)


def stretch_to_drop(offset: int, found: int, got: int, resident: int | None) -> tuple[int, int]:
    """(begin, bytes) of what a read brought in: ``found`` bytes from ``offset`` were there at once, ``got`` bytes came after.

    ``resident`` pages of the stretch were there before. Nothing where these are more than what was found.
    """
    begin = (offset + found) // _PAGE * _PAGE
    if not got or (resident is not None and resident > -(-found // _PAGE)):
        return begin, 0
    return begin, offset + found + got - begin


@dataclass(frozen=True, slots=True)
class Way:
    """Flags for the first read of a file, for those that may block, and whether what these brought in must be dropped."""

    ask: int
    take: int
    drop: bool

    def take_whole(self, fd: int, buffers: list[memoryview]) -> int:
        """The beginning of a file that was not resident when it was asked for. Raises OSError."""
        got = os.preadv(fd, buffers, 0, self.take)
        if self.drop:
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        return got

    def begin(self, fd: int) -> None:
        """Before a file is read with `take_at`. Raises OSError."""
        if self.drop:
            # Else the kernel reads ahead past the buffer, and what we brought in looks like somebody else's at the next one.
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)

    def take_at(self, fd: int, view: memoryview, offset: int) -> int:
        """Read into ``view``, blocking; 0 at the end. Raises OSError."""
        if not self.drop:
            return os.preadv(fd, [view], offset, self.take)
        resident = resident_pages(fd, offset, len(view))  # before anything of it is asked for
        try:
            found = os.preadv(fd, [view], offset, RWF_NOWAIT)
        except BlockingIOError:
            found = 0
        got = os.preadv(fd, [view[found:]], offset + found, 0) if found < len(view) else 0
        begin, size = stretch_to_drop(offset, found, got, resident)
        if size:
            os.posix_fadvise(fd, begin, size, os.POSIX_FADV_DONTNEED)
        return found + got


WAYS = (
    Way(RWF_NOWAIT | RWF_DONTCACHE, RWF_DONTCACHE, drop=False),
    Way(RWF_DONTCACHE, RWF_DONTCACHE, drop=False),
    Way(RWF_NOWAIT, 0, drop=True),
    Way(0, 0, drop=False),
)
"""The best first; EOPNOTSUPP leads to the next. The last one leaves what it read in the cache: only a kernel before 4.14, or
a filesystem that cannot say what is resident (tmpfs, which has nothing to drop; some network and FUSE ones), gets there."""
