"""What is still to be done: a stack of frames that stays small for any tree, and can be cut, packed and handed on.

A frame is some names of one directory (at most `FRAME_NAMES`) of one kind. The stack is worked off from the top, so the
directory of each frame lies at or below the directory of the frame beneath it, and a packed frame only says how much further
down it is: a chain of 10,000 directories costs 10,000 names, not 10,000 paths. Names that wait are one blob of bytes, so that
a million subdirectories of one directory cost their characters and no objects.

Names are `str` with surrogateescape in UTF-8 here, as `os.scandir` of a descriptor gives them, and bytes wherever they leave.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import TypeAlias

from hashscan.files.cache import Cache, NoCache
from hashscan.files.excludes import Excludes
from hashscan.files.shards import Shard
from hashscan.files.throttle import Throttle
from hashscan.model import Place

ANY_DEVICE = 0  # of a directory that is known again by its inode alone: no filesystem has this number
FRAME_NAMES = 1024  # names in one frame: what is sent again with every commit that touches it, and shared with a neighbour


@dataclass(frozen=True, slots=True)
class WalkOptions:
    """What the operator wants to be left out.

    ``max_file_bytes``: larger files are named, not read. ``own``: (device, inode) of directories that are ours and are not
    entered; ``own_names``: names of such directories, believed only of one that belongs to us with mode 0700.
    ``file_deadline``: seconds after which a worker that makes no progress on one file or directory is killed.
    ``exclude``: patterns of names that are left out; asked for every name, so the operator pays for using them.
    ``cache``: what is remembered of unchanged files. ``throttle``: how fast to read. ``shard``: which directories are ours.
    """

    max_file_bytes: int | None = None
    own: frozenset[tuple[int, int]] = frozenset()
    own_names: frozenset[bytes] = frozenset()
    file_deadline: float = 120.0
    exclude: Excludes | None = None
    cache: Cache = field(default_factory=NoCache)
    throttle: Throttle | None = None
    shard: Shard | None = None

    def is_own(self, name: bytes, status: os.stat_result) -> bool:
        """Whether a directory is ours: a tenant can choose a name, but neither our uid nor our inodes."""
        if (status.st_dev, status.st_ino) in self.own:
            return True
        return name in self.own_names and status.st_uid == os.geteuid() and status.st_mode & 0o777 == 0o700


class Kind(enum.IntEnum):
    """What the names of a frame are. LARGE files are read by whoever is free."""

    ROOTS = 0
    DIRECTORIES = 1
    FILES = 2
    LARGE = 3


Packed: TypeAlias = tuple[int, int, bytes, int, int, bytes]
"""A frame on its way to another process: kind, root, path below the frame beneath it, device, inode, names joined by NUL."""


def pack_names(names: Sequence[str]) -> bytes:
    """At least one name, as one blob."""
    return "\0".join(names).encode("utf-8", "surrogateescape")


def unpack_names(blob: bytes) -> list[str]:
    """The inverse of `pack_names`."""
    return blob.decode("utf-8", "surrogateescape").split("\0")


def as_bytes(name: str) -> bytes:
    """The name as the kernel has it."""
    return name.encode("utf-8", "surrogateescape")


class Node:
    """A directory that was met: its name below its parent (a whole path where it came from elsewhere) and its identity.

    ``root`` is an index into the roots of the scan. ``fd`` belongs to `descriptors`: -1 where it is not open.
    """

    __slots__ = ("device", "fd", "inode", "name", "parent", "root")

    def __init__(self, parent: Node | None, name: bytes, root: int, device: int, inode: int) -> None:
        self.parent, self.name, self.root, self.device, self.inode = parent, name, root, device, inode
        self.fd = -1

    def path(self, above: Node | None = None) -> bytes:
        """The path below ``above``, which is this node or one that it descends from; None for the root."""
        parts = []
        node: Node | None = self
        while node is not None and node is not above:
            if node.name:
                parts.append(node.name)
            node = node.parent
        return b"/".join(reversed(parts))

    def place(self, root: bytes, name: bytes) -> Place:
        """Where the entry ``name`` of this directory is."""
        path = self.path()
        return Place(root, b"/".join(part for part in (path, name) if part))


class Frame:
    """Some names of one directory, taken from the end; ``node`` is None for a frame of roots."""

    __slots__ = ("_names", "kind", "node")

    def __init__(self, kind: Kind, node: Node | None, names: list[str] | bytes) -> None:
        self.kind, self.node, self._names = kind, node, names

    @property
    def names(self) -> list[str]:
        """The names, unpacked when first needed."""
        if isinstance(self._names, bytes):
            self._names = unpack_names(self._names)
        return self._names

    def pack(self, above: Node | None) -> Packed:
        """For another process; ``above`` is the directory of the frame beneath."""
        blob = self._names if isinstance(self._names, bytes) else pack_names(self._names)
        node = self.node
        if node is None:
            return self.kind, -1, b"", 0, 0, blob
        return self.kind, node.root, node.path(above), node.device, node.inode, blob


class Stack:
    """The frames of one worker, and how far down they were touched since the last `delta`."""

    def __init__(self, packed: Sequence[Packed] = ()) -> None:
        self.frames: list[Frame] = []
        above: Node | None = None
        for kind, root, path, device, inode, blob in packed:
            if root < 0:
                above = None
            elif above is None or path or (device, inode) != (above.device, above.inode):
                above = Node(above, path, root, device, inode)
            self.frames.append(Frame(Kind(kind), above, blob))
        self._low = len(self.frames)

    def push(self, frame: Frame) -> None:
        """Put a frame on top."""
        self.frames.append(frame)

    def touch(self) -> Frame:
        """The top frame, to take names from."""
        self._low = min(self._low, len(self.frames) - 1)
        return self.frames[-1]

    def drop(self) -> None:
        """Remove the top frame."""
        self.frames.pop()
        self._low = min(self._low, len(self.frames))

    def delta(self) -> tuple[int, list[Packed]]:
        """How many of the lowest frames are as they were at the last call, and the packed frames above them."""
        low, self._low = self._low, len(self.frames)
        return low, self._pack(low, len(self.frames))

    def _pack(self, begin: int, end: int) -> list[Packed]:
        above = self.frames[begin - 1].node if begin else None
        packed = []
        for frame in self.frames[begin:end]:
            packed.append(frame.pack(above))
            above = frame.node
        return packed

    def divisible(self) -> bool:
        """Whether `halve` would give something: not a single frame of small files, nor one with a single name."""
        if len(self.frames) > 1:
            return True
        return bool(self.frames) and self.frames[0].kind is not Kind.FILES and len(self.frames[0].names) > 1

    def halve(self) -> tuple[int, list[Packed], list[Packed]]:
        """Part with lower frames, where the most work is expected: (frames cut off below, what replaces them, what is given).

        Call after `delta`. Work is shared by directory; names of small files only where a directory fills several frames.
        """
        if not self.divisible():
            return 0, [], []
        bottom = self.frames[0]
        alike = sum(1 for _ in takewhile(lambda frame: frame.node is bottom.node and frame.kind is bottom.kind, self.frames))
        if alike == 1 and bottom.kind is not Kind.FILES and len(bottom.names) > 1:
            half = len(bottom.names) // 2
            given = [Frame(bottom.kind, bottom.node, bottom.names[:half]).pack(None)]
            del bottom.names[:half]
            return 1, self._pack(0, 1), given
        # Many frames of few names each are a long chain: one by one, each would be a way down from the root for its taker.
        count = max(1, (alike if alike > 1 else len(self.frames)) // 2)
        given = self._pack(0, count)
        del self.frames[:count]
        self._low = len(self.frames)
        return count + 1, self._pack(0, 1), given


def place_of_next(stack: Sequence[Packed], roots: Sequence[bytes]) -> Place:
    """The place of the name that is worked on next."""
    name = as_bytes(unpack_names(stack[-1][5])[-1])
    if stack[-1][0] == Kind.ROOTS:
        return Place(roots[int(name)], b"")
    parts = [path for kind, _, path, _, _, _ in stack if kind != Kind.ROOTS and path]
    return Place(roots[stack[-1][1]], b"/".join([*parts, name]))


def without_next(stack: Sequence[Packed]) -> list[Packed]:
    """The stack without that name."""
    kind, root, path, device, inode, blob = stack[-1]
    names = unpack_names(blob)[:-1]
    return [*stack[:-1], (kind, root, path, device, inode, pack_names(names))] if names else list(stack[:-1])
