"""Open directories: a bounded number of them, opened again from the nearest one above when they are needed again."""

from __future__ import annotations

import errno
import os
from collections import OrderedDict
from collections.abc import Sequence

from hashscan import fsops
from hashscan.files.walk import ANY_DEVICE, Node

MAX_OPEN = 64  # directories that one worker holds open
STRIDE = 32  # levels that are opened in one go; a longer way down leaves a directory open at each halving of the rest of it
FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_QUIETLY = FLAGS | os.O_NOATIME


class Descriptors:
    """The directory descriptors of one worker. No path is resolved from the root of the filesystem but the roots' own."""

    def __init__(self, roots: Sequence[bytes]) -> None:
        self._roots = roots
        self._open: OrderedDict[Node, None] = OrderedDict()

    def open_child(self, node: Node, name: bytes) -> int:
        """Open the directory ``name`` of ``node``. Raises OSError: EXDEV for a mount point, ELOOP for a link.

        Without changing its access time, where that is ours to ask for: it is for the owner and for root.
        """
        above = node.fd if node.fd >= 0 else self.get(node)
        try:
            return fsops.open_beneath(above, name, _QUIETLY)
        except PermissionError as error:
            if error.errno != errno.EPERM:
                raise
            return fsops.open_beneath(above, name, FLAGS)

    def open_root(self, index: int) -> int:
        """Open a root, following links. Raises OSError."""
        return fsops.open_root(self._roots[index], FLAGS & ~os.O_NOFOLLOW)

    def keep(self, node: Node, fd: int) -> None:
        """Take over ``fd`` as the descriptor of ``node``; the one unused for longest is closed."""
        if len(self._open) >= MAX_OPEN:
            self.release(next(iter(self._open)))
        node.fd = fd
        self._open[node] = None

    def release(self, node: Node | None) -> None:
        """Close the descriptor of ``node``, where it is open."""
        if node is not None and node.fd >= 0:
            del self._open[node]
            os.close(node.fd)
            node.fd = -1

    def close(self) -> None:
        """Close all."""
        for node in list(self._open):
            self.release(node)

    def get(self, node: Node) -> int:
        """The open directory ``node``. Raises OSError; ENOENT also where another directory stands at its path now."""
        if node.fd >= 0:
            self._open.move_to_end(node)
            return node.fd
        missing = [node]
        above = node.parent
        while above is not None and above.fd < 0:
            missing.append(above)
            above = above.parent
        # Climbing out of n levels opens n log n names so, and not n * n.
        while len(missing) > STRIDE:
            half = len(missing) // 2
            self._reopen(missing[half], missing[half:])
            del missing[half:]
        self._reopen(node, missing)
        return node.fd

    def _reopen(self, node: Node, missing: Sequence[Node]) -> None:
        """Open ``node`` from the parent of the last of ``missing``, which lead up from it."""
        path = b"/".join(one.name for one in reversed(missing) if one.name)
        above = missing[-1].parent
        base = self.open_root(node.root) if above is None else above.fd
        try:
            fd = fsops.open_directory_fd(base, path, FLAGS)
        finally:
            if above is None:
                os.close(base)
        status = os.fstat(fd)
        if status.st_ino != node.inode or node.device not in (status.st_dev, ANY_DEVICE):
            os.close(fd)
            raise OSError(errno.ENOENT, "not the directory that was listed")
        node.device = status.st_dev
        self.keep(node, fd)
