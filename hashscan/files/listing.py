"""What is in a directory: its names sorted into frames by what the directory says they are. Opens nothing."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator

from hashscan.files.tally import Tally
from hashscan.files.walk import FRAME_NAMES, Frame, Kind, Node, as_bytes, pack_names
from hashscan.model import Reason

WINDOW = 4 * FRAME_NAMES  # names that are sorted by inode together: on a cold disk inodes lie in their order


class Listing:
    """One directory as it is read; what is neither directory nor regular file is counted at once."""

    def __init__(self, node: Node, tally: Tally, excluded: Callable[[str], bool] | None, alive: Callable[[], None]) -> None:
        self._node, self._tally, self._excluded, self._alive = node, tally, excluded, alive
        self._directories: list[tuple[int, str]] = []
        self._files: list[tuple[int, str]] = []
        self._packed: list[Frame] = []

    def read(self, fd: int) -> list[Frame]:
        """The frames of the directory: subdirectories first, for the bottom of the stack. Raises OSError; see `frames`."""
        files, directories = self._files, self._directories
        with os.scandir(fd) as entries:
            for entry in self._wanted(entries) if self._excluded else entries:
                try:
                    if entry.is_file(follow_symlinks=False):
                        files.append((entry.inode(), entry.name))
                    elif entry.is_dir(follow_symlinks=False):
                        directories.append((entry.inode(), entry.name))
                    elif entry.is_symlink():
                        self._tally.skip(Reason.SYMLINK)
                    else:
                        self._look(fd, entry)
                except OSError as error:  # only where the filesystem does not tell types
                    self._tally.fail(error, self._node, as_bytes(entry.name))
                if len(files) >= WINDOW or len(directories) >= WINDOW:
                    self._spill()
        return self.frames()

    def frames(self) -> list[Frame]:
        """What was read so far."""
        frames = self._cut()
        return sorted([*self._packed, *frames], key=lambda frame: frame.kind) if self._packed else frames

    def _cut(self) -> list[Frame]:
        frames = []
        for kind, names in ((Kind.DIRECTORIES, self._directories), (Kind.FILES, self._files)):
            names.sort(reverse=True)
            ordered = [name for _, name in names]
            frames += [Frame(kind, self._node, ordered[at : at + FRAME_NAMES]) for at in range(0, len(ordered), FRAME_NAMES)]
        return frames

    def _spill(self) -> None:
        self._packed += [Frame(one.kind, self._node, pack_names(one.names)) for one in self._cut()]
        self._files.clear()
        self._directories.clear()
        self._alive()

    def _wanted(self, entries: Iterator[os.DirEntry[str]]) -> Iterator[os.DirEntry[str]]:
        for entry in entries:
            if self._excluded is not None and self._excluded(entry.name):
                self._tally.skip(Reason.EXCLUDED)
            else:
                yield entry

    def _look(self, fd: int, entry: os.DirEntry[str]) -> None:
        """FIFO, socket or device; or, where the filesystem does not tell types, something that went
        away meanwhile. Raises OSError."""
        mode = os.stat(entry.name, dir_fd=fd, follow_symlinks=False).st_mode
        if stat.S_ISREG(mode):
            self._files.append((entry.inode(), entry.name))
        elif stat.S_ISDIR(mode):
            self._directories.append((entry.inode(), entry.name))
        else:
            self._tally.skip(Reason.SPECIAL)
