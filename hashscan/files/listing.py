"""What is in a directory: its names sorted into frames by what the directory says they are. Opens nothing."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TypeAlias

from hashscan.files.tally import Tally
from hashscan.files.walk import FRAME_NAMES, Frame, Kind, Node, as_bytes, pack_names
from hashscan.model import Reason

WINDOW = 4 * FRAME_NAMES  # names that are sorted by inode together: on a cold disk inodes lie in their order

_FEW = 64  # files whose inodes lie near each other on the disk anyhow

Keep: TypeAlias = Callable[["os.DirEntry[str]"], bool]
"""Whether an entry is part of the scan."""

Recall: TypeAlias = Callable[[Node, int, list[os.DirEntry[str]]], list[tuple[int, str]]]
"""Asked about the regular files of one window of a directory: those that must be read, as inode and name."""


class Listing:
    """One directory after the other as it is read; what is neither directory nor regular file is counted at once."""

    def __init__(self, tally: Tally, alive: Callable[[], None], recall: Recall | None = None) -> None:
        self._tally, self._alive, self._recall = tally, alive, recall
        self._node = Node(None, b"", 0, 0, 0)
        self._directories: list[tuple[int, str]] = []
        self._files: list[tuple[int, str]] = []
        self._packed: list[Frame] = []

    def read(self, node: Node, keep: Keep | None = None, *, recall: bool = True) -> list[Frame]:
        """The frames of the open directory ``node``: subdirectories first, for the bottom of the stack.

        What ``keep`` says no to is not looked at, nor counted here. Raises OSError; see `frames`.
        """
        self._node = node
        with os.scandir(node.fd) as entries:
            wanted = filter(keep, entries) if keep else entries
            if self._recall is None or not recall:
                for entry in wanted:
                    self._sort(entry)
            else:
                self._recall_all(wanted, self._recall)
        return self.frames()

    def _sort(self, entry: os.DirEntry[str]) -> None:
        try:
            if entry.is_file(follow_symlinks=False):
                self._files.append((entry.inode(), entry.name))
            elif entry.is_dir(follow_symlinks=False):
                self._directories.append((entry.inode(), entry.name))
            elif entry.is_symlink():
                self._tally.skip(Reason.SYMLINK)
            else:
                self._look(entry)
        except OSError as error:  # only where the filesystem does not tell types
            self._tally.fail(error, self._node, as_bytes(entry.name))
        if len(self._files) >= WINDOW or len(self._directories) >= WINDOW:
            self._spill()

    def _recall_all(self, entries: Iterator[os.DirEntry[str]], recall: Recall) -> None:
        """The same, window by window, without the files that the digest cache knows."""
        part = 0
        while True:
            window = list(islice(entries, WINDOW))
            try:
                files = [entry for entry in window if entry.is_file(follow_symlinks=False)]
            except OSError:  # types are not told, and one cannot be looked at: `_sort` says why
                files = []
            if len(files) != len(window):
                known = set(files)
                for entry in window:
                    if entry not in known:
                        self._sort(entry)
            if len(files) > _FEW:
                files.sort(key=os.DirEntry.inode)
            self._files += recall(self._node, part, files)
            if len(self._files) >= WINDOW:
                self._spill()
            if len(window) < WINDOW:
                return
            part += 1

    def frames(self) -> list[Frame]:
        """What was read so far of this directory; told once."""
        if not (self._files or self._directories or self._packed):
            return []
        frames, self._packed = [*self._packed, *self._cut()], []
        return sorted(frames, key=lambda frame: frame.kind)

    def _cut(self) -> list[Frame]:
        frames = []
        for kind, names in ((Kind.DIRECTORIES, self._directories), (Kind.FILES, self._files)):
            names.sort(reverse=True)
            ordered = [name for _, name in names]
            names.clear()
            frames += [Frame(kind, self._node, ordered[at : at + FRAME_NAMES]) for at in range(0, len(ordered), FRAME_NAMES)]
        return frames

    def _spill(self) -> None:
        self._packed += [Frame(one.kind, self._node, pack_names(one.names)) for one in self._cut()]
        self._alive()

    def _look(self, entry: os.DirEntry[str]) -> None:
        """FIFO, socket or device; or, where the filesystem does not tell types, something that went
        away meanwhile. Raises OSError."""
        mode = os.stat(entry.name, dir_fd=self._node.fd, follow_symlinks=False).st_mode
        if stat.S_ISREG(mode):
            self._files.append((entry.inode(), entry.name))
        elif stat.S_ISDIR(mode):
            self._directories.append((entry.inode(), entry.name))
        else:
            self._tally.skip(Reason.SPECIAL)
