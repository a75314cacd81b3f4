"""Shapes: deep, long, wide, linked in circles, closed; roots of every kind; files of every size."""

from __future__ import annotations

import os
import struct
from pathlib import Path

from hashscan.files.hashing import BUFFER, LARGE
from hashscan.quarantine.vault import HOLDING_NAME
from tests.support.budget import attempts
from tests.support.plots import MAX_FILE, Plot, write
from tests.support.trees import chain, find

ACCESS, DEFAULT = "system.posix_acl_access", "system.posix_acl_default"


def _chained(plot: Plot, depth: int, name: bytes, *, siblings: bool) -> None:
    """Only files by name: all those paths together are hundreds of megabytes."""
    made = chain(Path(os.fsdecode(plot.top)), depth, name, siblings=siblings)
    for level in range(depth):
        plot.list_data(b"level %d" % level)
    plot.must = set(find(plot.top, "-type", "f"))
    plot.hashed, plot.find_agrees = len(plot.must), False
    plot.uncounted, plot.folders = made, made + 1 - plot.hashed


def levels(plot: Plot) -> None:
    """10,000 directories in each other, each with a sibling that waits."""
    _chained(plot, 10_000, b"d", siblings=True)


def bare_levels(plot: Plot) -> None:
    """10,000 directories in each other."""
    _chained(plot, 10_000, b"d", siblings=False)


def long_path(plot: Plot) -> None:
    """A path of more than 60 kB."""
    _chained(plot, 240, b"n" * 255, siblings=True)
    assert max(map(len, plot.must)) > 60_000


def at_path_max(plot: Plot) -> None:
    """Paths of 4094 to 4097 bytes, where the kernel begins to refuse them, and 255 bytes around it."""
    here = b""
    while len(plot.path(here)) < 3700:
        here += (b"/" if here else b"") + b"p" * 200
        plot.folder(here)
    base = os.open(plot.path(here), os.O_RDONLY)
    for length in (4094, 4095, 4096, 4097):
        name = b"f" * (length - len(plot.path(here)) - 1)
        data = b"listed length %d" % length
        fd = os.open(name[:255], os.O_WRONLY | os.O_CREAT, dir_fd=base) if len(name) < 256 else -1
        if fd < 0:
            middle = b"m" * 200
            if not os.access(middle, os.F_OK, dir_fd=base):
                os.mkdir(middle, dir_fd=base)
                plot.meet(plot.path(here + b"/" + middle))
                plot.folders += 1
            name = middle + b"/" + b"f" * (len(name) - 201)
            fd = os.open(name, os.O_WRONLY | os.O_CREAT, dir_fd=base)
        os.write(fd, data)
        os.close(fd)
        plot.list_data(data)
        plot.met_file(plot.path(here + b"/" + name), found=True)
        assert len(plot.path(here + b"/" + name)) == length
    os.close(base)


def many_names(plot: Plot) -> None:
    """100,000 names in one directory (times the budget, at most a million), of which ten are listed."""
    count = min(attempts(100_000), 1_000_000)
    fd = os.open(plot.top, os.O_RDONLY)
    for number in range(count):
        os.close(os.open(b"innocent-%07d" % number, os.O_WRONLY | os.O_CREAT, dir_fd=fd))
    os.close(fd)
    plot.hashed += count
    plot.uncounted = count
    for number in range(10):
        plot.listed(b"innocent-%07d-" % (number * count // 10))


def many_folders(plot: Plot) -> None:
    """10,000 directories in one, empty but for every thousandth."""
    for number in range(10_000):
        plot.folder(b"%d" % number)
        if number % 1000 == 999:
            plot.listed(b"%d/f" % number)


def many_links(plot: Plot) -> None:
    """20,000 names that are no files in one directory, and a file between them."""
    for number in range(10_000):
        plot.link(b"a%d" % number, b"nowhere")
        plot.fifo(b"b%d" % number)
    plot.listed(b"f")


def wide_and_deep(plot: Plot) -> None:
    """Four names in each of five levels, all the way: 1,364 directories."""
    level = [b""]
    for _ in range(5):
        below = [b"/".join(part for part in (one, b"%d" % number) if part) for one in level for number in range(4)]
        plot.folder(*below)
        level = below
    for one in level[::50]:
        plot.listed(one + b"/f")


def empty(plot: Plot) -> None:
    """Nothing at all."""


def empty_folders(plot: Plot) -> None:
    """Directories in which nothing is."""
    for number in range(50):
        plot.folder(b"%d" % number, b"%d/below" % number, b"%d/below/below" % number)


def hard_links(plot: Plot) -> None:
    """A listed file with 200 names in ten directories: each is found."""
    first = plot.listed(b"first")
    for number in range(10):
        plot.folder(b"%d" % number)
    for number in range(199):
        name = b"%d/link%d" % (number % 10, number)
        os.link(first, plot.path(name))
        plot.met_file(plot.path(name), found=True)


def link_loops(plot: Plot) -> None:
    """Links to themselves, to each other, to their parent, to the root of the scan."""
    plot.folder(b"a", b"a/b")
    plot.link(b"self", b"self")
    plot.link(b"one", b"two")
    plot.link(b"two", b"one")
    for name, target in ((b"a/here", b"."), (b"a/b/up", b".."), (b"a/b/top", b"../.."), (b"a/b/root", plot.top)):
        plot.link(name, target)
    plot.listed(b"a/b/f")


def links_out(plot: Plot) -> None:
    """Links out of the tree: to a listed file, a folder with one, the whole system, processes, devices, descriptors."""
    os.mkdir(plot.home + b"/outside")
    write(plot.home + b"/outside/f", b"listed outside")
    plot.list_data(b"listed outside")
    for number, target in enumerate((plot.home + b"/outside", plot.home + b"/outside/f", b"../outside/f", b"/", b"/proc")):
        plot.link(b"%d" % number, target)
    for number, target in enumerate((b"/dev/zero", b"/dev/tty", b"/proc/self/root", b"/proc/self/fd/0", b"/proc/kmsg")):
        plot.link(b"device%d" % number, target)
    plot.listed(b"f")


def dangling_links(plot: Plot) -> None:
    """Links to nothing, to an impossible name, through a file."""
    plot.listed(b"f")
    for name, target in ((b"a", b"nowhere"), (b"b", b"n" * 4000), (b"c", b"f/below"), (b"d", b"\xff\n")):
        plot.link(name, target)


def link_chain(plot: Plot) -> None:
    """Fifty links one after the other, more than the kernel follows, to a listed file."""
    plot.listed(b"f")
    for number in range(50):
        plot.link(b"%d" % number, b"%d" % (number - 1) if number else b"f")


def closed_file(plot: Plot) -> None:
    """A file that may not be read."""
    plot.nobody = True
    plot.listed(b"open")
    write(plot.fail(b"closed", "EACCES"), b"x")
    os.chmod(plot.path(b"closed"), 0)


def closed_folder(plot: Plot) -> None:
    """A directory that may not be entered, one whose names cannot be listed, one whose names cannot be opened."""
    plot.nobody, plot.find_agrees = True, False
    plot.listed(b"open")
    for name, mode in ((b"closed", 0o000), (b"unlisted", 0o711)):
        os.mkdir(plot.fail(name, "EACCES"))
        write(plot.path(name + b"/f"), b"x")
        os.chmod(plot.path(name), mode)
    plot.folder(b"unopened")
    write(plot.fail(b"unopened/f", "EACCES"), b"x")
    os.chmod(plot.path(b"unopened"), 0o744)


def access_lists(plot: Plot) -> None:
    """Access lists that say other things than the mode: everyone but nobody, and nobody although the mode says no."""
    plot.nobody = True
    undefined = 0xFFFFFFFF

    def entries(permission: int) -> bytes:
        rows = [
            (1, 6, undefined),
            (2, permission, 65534),
            (4, 0, undefined),
            (16, 7, undefined),
            (32, 4 - permission, undefined),
        ]
        return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *row) for row in rows)

    os.setxattr(plot.listed(b"let in"), ACCESS, entries(4))
    write(plot.fail(b"kept out", "EACCES"), b"x")
    os.setxattr(plot.path(b"kept out"), ACCESS, entries(0))


def attributes(plot: Plot) -> None:
    """Extended attributes of every kind that a tenant and root can set."""
    for number, (name, value) in enumerate({"user.\n\x1b[31m": b"x", "user.big": b"x" * 3000, "user.empty": b""}.items()):
        os.setxattr(plot.listed(b"%d" % number), name, value)
    plot.folder(b"d")
    os.setxattr(plot.path(b"d"), "user.x", b"y")
    plot.listed(b"d/f")


def modes(plot: Plot) -> None:
    """Set-user-id, sticky, writable by all: read like any other."""
    for mode in (0o4755, 0o2755, 0o1777, 0o0666, 0o0444):
        os.chmod(plot.listed(b"%o" % mode), mode)
        plot.folder(b"d%o" % mode)
        plot.listed(b"d%o/f" % mode)
        os.chmod(plot.path(b"d%o" % mode), mode | 0o500)


def times(plot: Plot) -> None:
    """Times before 1970, after 2400, and in the future."""
    for number, seconds in enumerate((-(1 << 31), -1, 0, 1 << 33, 1 << 34)):
        os.utime(plot.listed(b"%d" % number), (seconds, seconds))


def own_holding(plot: Plot) -> None:
    """Our own holding directory is left out and named; a tenant's of the same name, open to others, is scanned."""
    os.mkdir(plot.skip(HOLDING_NAME, "own"), 0o700)
    plot.folder(b"tenant", b"tenant/" + HOLDING_NAME)
    plot.listed(b"tenant/" + HOLDING_NAME + b"/f")


def buffer_edges(plot: Plot) -> None:
    """Sizes around nothing, a page and the buffer."""
    for size in (1, 2, 4095, 4096, 4097, BUFFER - 2, BUFFER - 1, BUFFER, BUFFER + 1, 2 * BUFFER - 1, 2 * BUFFER):
        plot.listed(b"%d" % size, bytes([size % 251]) * size)
    plot.plain(b"0", b"")


def large_edges(plot: Plot) -> None:
    """Sizes around the one from which a file is work of its own, and around the limit past which it is not read."""
    for size in (LARGE - 1, LARGE, LARGE + 1, MAX_FILE - 1, MAX_FILE):
        plot.listed(b"%d" % size, b"%d" % (size % 7) * size)
    plot.too_large(b"a", MAX_FILE + 1)
    plot.too_large(b"b", MAX_FILE * 2)


def sparse(plot: Plot) -> None:
    """A terabyte and as much as the filesystem takes, without a block; and a sparse file that is small enough to be read."""
    plot.too_large(b"1 TB", 1 << 40)
    plot.too_large(b"16 TB", (1 << 44) - 4096)
    hole = plot.listed(b"hole", b"")
    plot.digests.clear()
    os.truncate(hole, MAX_FILE)
    plot.list_data(bytes(MAX_FILE))


def root_twice(plot: Plot) -> None:
    """The same root under three spellings: each path once."""
    plot.listed(b"f")
    plot.find_agrees = False
    plot.roots = [plot.top, plot.top, plot.top + b"//", plot.top + b"/../tree/."]


def roots_overlap(plot: Plot) -> None:
    """A root below another, a file below both, and both again in the other order: each path once."""
    plot.folder(b"a", b"a/b")
    below = plot.listed(b"a/b/f")
    plot.listed(b"g")
    plot.find_agrees = False
    plot.roots = [plot.path(b"a/b"), plot.top, below, plot.path(b"a"), plot.top]


def root_file(plot: Plot) -> None:
    """A root that is a file, beside others that are not asked for."""
    plot.roots = [plot.listed(b"f")]
    write(plot.path(b"other"), b"x")
    plot.everything.discard(plot.top)
    plot.folders = 0


def root_link(plot: Plot) -> None:
    """A root that is a link, to a link, to the tree: the operator's word is followed, and names are told below it."""
    os.symlink(plot.top, plot.home + b"/first")
    os.symlink(b"first", plot.home + b"/second")
    plot.listed(b"f")
    plot.link(b"l", b"f")
    root = plot.home + b"/second"
    plot.roots, plot.find_agrees = [root], False
    plot.must = {root + b"/f"}


def root_gone(plot: Plot) -> None:
    """A root that is not there is a mistake of the operator: nothing is scanned, and it is said."""
    plot.listed(b"f")
    plot.roots, plot.find_agrees, plot.refused = [plot.top, plot.path(b"gone")], False, 2
    plot.lonely = True


def many_roots(plot: Plot) -> None:
    """300 roots."""
    for number in range(300):
        plot.folder(b"%d" % number)
        if number % 30 == 0:
            plot.listed(b"%d/f" % number)
    plot.roots = [plot.path(b"%d" % number) for number in range(300)]
    plot.everything.discard(plot.top)
    plot.folders -= 1
