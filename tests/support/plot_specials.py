"""What is no plain file, and what changes while it is scanned."""

from __future__ import annotations

import array
import fcntl
import mmap
import os
import random
import signal
import stat
import time
from collections.abc import Callable
from contextlib import suppress

from hashscan.files.hashing import BUFFER, LARGE
from tests.support.plots import Plot, write

_LONG = 4 * BUFFER  # read in several pieces


def fifos(plot: Plot) -> None:
    """FIFOs without a writer: opening one waits for ever."""
    plot.folder(b"d")
    for name in (b"a", b"d/b", b"z"):
        plot.fifo(name)
    plot.listed(b"f")
    plot.listed(b"d/f")


def fifo_root(plot: Plot) -> None:
    """A FIFO that is named as a root: not opened either."""
    plot.folder(b"d")
    plot.listed(b"d/f")
    plot.fifo(b"fifo")
    plot.roots = [plot.path(b"d"), plot.path(b"fifo")]
    plot.everything.discard(plot.top)
    plot.folders -= 1


def sockets(plot: Plot) -> None:
    """Sockets that somebody listens on."""
    plot.socket(b"a")
    plot.listed(b"f")


def devices(plot: Plot) -> None:
    """Device nodes that end never, need a terminal, rewind a tape, start a watchdog; a disk; the mark of an overlay."""
    numbers = {b"zero": (1, 5), b"full": (1, 7), b"random": (1, 8), b"tty": (5, 0), b"tape": (9, 0), b"watchdog": (10, 130)}
    for name, (major, minor) in numbers.items():
        os.mknod(plot.skip(name, "special"), stat.S_IFCHR | 0o666, os.makedev(major, minor))
    os.mknod(plot.skip(b"whiteout", "special"), stat.S_IFCHR, os.makedev(0, 0))
    os.mknod(plot.skip(b"disk", "special"), stat.S_IFBLK | 0o666, os.makedev(7, 0))
    plot.listed(b"f")


def unchangeable(plot: Plot) -> None:
    """Immutable and append-only files, in a directory that is immutable itself."""
    plot.folder(b"d")
    for name, flag in ((b"immutable", 0x10), (b"append", 0x20), (b"d/both", 0x30)):
        _flag(plot, plot.listed(name), flag)
    _flag(plot, plot.path(b"d"), 0x10)


def _flag(plot: Plot, path: bytes, flag: int) -> None:
    def put(value: int) -> None:
        fd = os.open(path, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, 0x40086602, array.array("l", [value]))  # FS_IOC_SETFLAGS
        finally:
            os.close(fd)

    before = array.array("l", [0])
    fd = os.open(path, os.O_RDONLY)
    fcntl.ioctl(fd, 0x80086601, before)  # FS_IOC_GETFLAGS
    os.close(fd)
    plot.closing.append(lambda: put(before[0]))
    put(before[0] | flag)


def leased(plot: Plot) -> None:
    """A file on which its owner holds a write lease: who opens it waits, unless it asks not to."""
    path = plot.plain(b"leased", b"innocent, and held")
    plot.listed(b"f")
    plot.hashed -= 1
    plot.errors["EAGAIN"] += 1
    plot.named[path] = "EAGAIN"
    fd = os.open(path, os.O_RDWR)
    plot.closing.append(lambda: os.close(fd))
    fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)


def locked(plot: Plot) -> None:
    """Files that are locked in both ways: locks do not keep a reader out."""
    for number, lock in enumerate((fcntl.flock, fcntl.lockf)):
        fd = os.open(plot.listed(b"%d" % number), os.O_RDWR)
        lock(fd, fcntl.LOCK_EX)
        plot.closing.append(lambda fd=fd: os.close(fd))  # type: ignore[misc]


def _steady(plot: Plot) -> None:
    """Names that do not change, around those that do."""
    plot.folder(b"steady", b"steady/below")
    for number in range(30):
        plot.listed(b"steady/below/%d" % number)
        plot.plain(b"steady/%d" % number)


def growing(plot: Plot) -> None:
    """A log that is written faster than it is read: read to an end all the same."""
    _steady(plot)
    path = plot.plain(b"log", b"x" * _LONG)

    def body() -> None:
        with open(path, "ab") as stream:
            while stream.tell() < 2 * _LONG:
                stream.write(b"y" * 20_000)
                stream.flush()
                time.sleep(0.0005)
        time.sleep(1000)

    plot.meanwhile.append(body)


def _loop(body: Callable[[], object]) -> Callable[[], None]:
    def run() -> None:
        while True:
            with suppress(OSError):
                body()

    return run


def shrinking(plot: Plot) -> None:
    """A file that is cut and filled again, all the time."""
    _steady(plot)
    path = plot.plain(b"f", b"x" * _LONG)

    def body() -> None:
        os.truncate(path, 10)
        os.truncate(path, _LONG)

    plot.meanwhile.append(_loop(body))


def mapped(plot: Plot) -> None:
    """A file that is written through a shared map."""
    _steady(plot)
    path = plot.plain(b"f", b"x" * _LONG)

    def body() -> None:
        rnd = random.Random(1)
        with open(path, "r+b") as stream, mmap.mmap(stream.fileno(), _LONG) as view:
            while True:
                view[rnd.randrange(_LONG)] = rnd.randrange(256)

    plot.meanwhile.append(body)


def replaced(plot: Plot) -> None:
    """A name under which one of two listed files stands, by turns."""
    _steady(plot)
    one, other = plot.listed(b"f"), plot.home + b"/other"
    write(other, b"listed too")
    plot.list_data(b"listed too")

    def body() -> None:
        os.rename(one, plot.home + b"/spare")
        os.rename(other, one)
        os.rename(plot.home + b"/spare", other)

    plot.must.discard(one)
    plot.hashed -= 1
    plot.everything.discard(one)
    plot.find_agrees = False
    plot.loosen(b"f")
    plot.meanwhile.append(_loop(body))


def swapped_kinds(plot: Plot) -> None:
    """Names that are by turns a file, a FIFO, a link out of the tree, a directory and nothing."""
    _steady(plot)
    os.mkdir(plot.home + b"/outside")
    write(plot.home + b"/outside/f", b"listed outside")
    plot.list_data(b"listed outside")
    names = [b"%d" % number for number in range(20)]
    plot.folder(b"odd")
    plot.loosen(*[b"odd/" + name for name in names])
    plot.find_agrees = False

    def body() -> None:
        rnd = random.Random(2)
        makers: list[Callable[[bytes], object]] = [
            lambda path: write(path, b"innocent"),
            os.mkfifo,
            os.mkdir,
            lambda path: os.symlink(plot.home + b"/outside", path),
            lambda path: os.symlink(plot.home + b"/outside/f", path),
        ]
        while True:
            path = plot.path(b"odd/" + rnd.choice(names))
            with suppress(OSError):
                os.unlink(path)
            with suppress(OSError):
                os.rmdir(path)
            with suppress(OSError):
                rnd.choice(makers)(path)

    plot.meanwhile.append(body)


def folder_moves(plot: Plot) -> None:
    """A directory whose name changes all the time, with directories in it; what does not move is found."""
    _steady(plot)
    names = [b"moving", b"moving/d", b"moving/d/e"]
    for name in names:
        os.mkdir(plot.path(name))
    for number in range(50):
        write(plot.path(b"moving/d/e/%d" % number), b"innocent")
    spots = [b"moving", b"moved"]
    files = [b"/d/e/%d" % number for number in range(50)]
    plot.loosen(*spots, *[spot + below for spot in spots for below in (b"/d", b"/d/e", *files)])
    plot.find_agrees = False

    def body() -> None:
        os.rename(plot.path(b"moving"), plot.path(b"moved"))
        os.rename(plot.path(b"moved"), plot.path(b"moving"))

    plot.meanwhile.append(_loop(body))


def _late(plot: Plot, name: bytes) -> bytes:
    """A file that is listed with the first ones, and read after them."""
    plot.listed(b"first")
    write(plot.path(name), b"")
    os.truncate(plot.path(name), LARGE + 1)
    return plot.path(name)


def deleted(plot: Plot) -> None:
    """A file that is deleted after it was listed."""
    plot.skip(b"late", "vanished")
    path = _late(plot, b"late")
    plot.act = lambda: os.unlink(path)


def became_link(plot: Plot) -> None:
    """A file that becomes a link to a listed file outside after it was listed."""
    plot.skip(b"late", "changed")
    path = _late(plot, b"late")
    write(plot.home + b"/outside", b"listed outside")
    plot.list_data(b"listed outside")

    def act() -> None:
        os.unlink(path)
        os.symlink(b"../outside", path)

    plot.act = act


def became_fifo(plot: Plot) -> None:
    """A file that becomes a FIFO after it was listed."""
    plot.skip(b"late", "changed")
    path = _late(plot, b"late")

    def act() -> None:
        os.unlink(path)
        os.mkfifo(path)

    plot.act = act


def became_folder(plot: Plot) -> None:
    """A file that becomes a directory after it was listed."""
    plot.skip(b"late", "changed")
    path = _late(plot, b"late")

    def act() -> None:
        os.unlink(path)
        os.mkdir(path)

    plot.act = act


def became_large(plot: Plot) -> None:
    """A file that outgrows the limit after it was listed."""
    plot.skip(b"late", "too_large")
    path = _late(plot, b"late")
    plot.act = lambda: os.truncate(path, 1 << 40)


def _waiting_folder(plot: Plot, reason: str) -> bytes:
    """A directory that is listed with the first file, and entered after it."""
    plot.listed(b"first")
    plot.folder(b"steady")
    plot.listed(b"steady/f")
    os.mkdir(plot.skip(b"waiting", reason))
    plot.find_agrees = False
    write(plot.path(b"waiting/f"), b"innocent")
    return plot.path(b"waiting")


def folder_gone(plot: Plot) -> None:
    """A directory that moves out of the tree before it is entered."""
    path = _waiting_folder(plot, "vanished")
    plot.act = lambda: os.rename(path, plot.home + b"/elsewhere")


def folder_became_link(plot: Plot) -> None:
    """A directory that becomes a link to one outside with a listed file."""
    path = _waiting_folder(plot, "changed")
    plot.list_data(b"innocent")

    def act() -> None:
        os.rename(path, plot.home + b"/elsewhere")
        os.symlink(plot.home + b"/elsewhere", path)

    plot.act = act


def folder_became_file(plot: Plot) -> None:
    """A directory that becomes a file."""
    path = _waiting_folder(plot, "changed")

    def act() -> None:
        os.rename(path, plot.home + b"/elsewhere")
        write(path, b"x")

    plot.act = act


def replaced_while_read(plot: Plot) -> None:
    """A listed file whose name is given to another one while it is read: what was read is told under its name."""
    path = plot.listed(b"f", b"l" * _LONG)
    write(plot.home + b"/other", b"innocent")
    plot.act_reading = lambda: os.rename(plot.home + b"/other", path)


def deleted_while_read(plot: Plot) -> None:
    """A listed file that is deleted while it is read."""
    path = plot.listed(b"f", b"l" * _LONG)
    plot.act_reading = lambda: os.unlink(path)


def cut_while_read(plot: Plot) -> None:
    """A listed file that is cut to nothing while it is read: what is read is no listed one, and the scan goes on."""
    plot.plain(b"f", b"l" * _LONG)
    plot.list_data(b"l" * _LONG)
    plot.listed(b"g")
    plot.act_reading = lambda: os.truncate(plot.path(b"f"), 0)


def grown_while_read(plot: Plot) -> None:
    """A file that becomes a listed one while it is read, by what is appended."""
    path = plot.plain(b"f", b"l" * _LONG)
    plot.list_data(b"l" * _LONG + b"tail")
    plot.must.add(path)

    def act() -> None:
        with open(path, "ab") as stream:
            stream.write(b"tail")

    plot.act_reading = act


def moved_while_read(plot: Plot) -> None:
    """The directory of a file moves out of the tree while the file is read: it and its neighbours are read all the same."""
    plot.folder(b"d")
    for number in range(3):
        plot.listed(b"d/%d" % number, b"%d" % number * _LONG)
    plot.act_reading = lambda: os.rename(plot.path(b"d"), plot.home + b"/elsewhere")


def _remembered(plot: Plot) -> bytes:
    plot.folder(b"d")
    for number in range(5):
        plot.plain(b"d/%d" % number)
    plot.list_data(b"harmfuls")
    path = plot.plain(b"d/f", b"harmless")
    plot.must.add(path)
    return path


def rewritten(plot: Plot) -> None:
    """Other bytes between two scans, of the same size, the time of writing set back: the kernel's own time tells."""
    path = _remembered(plot)

    def then() -> None:
        status = os.stat(path)
        with open(path, "r+b") as stream:
            stream.write(b"harmfuls")
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert os.stat(path).st_mtime_ns == status.st_mtime_ns

    plot.then = then


def renamed_over(plot: Plot) -> None:
    """Another file of the same size and time takes the name between two scans."""
    path = _remembered(plot)
    status = os.stat(path)
    other = plot.home + b"/other"
    write(other, b"harmfuls")
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    plot.then = lambda: os.rename(other, path)


def swapped_names(plot: Plot) -> None:
    """Two remembered files change their names, and a listed one is written over between two scans through another name."""
    path = _remembered(plot)
    os.link(path, plot.home + b"/alias")

    def then() -> None:
        with open(plot.home + b"/alias", "r+b") as stream:
            stream.write(b"harmfuls")

    plot.then = then


def written_by_map(plot: Plot) -> None:
    """Other bytes between two scans through a shared map."""
    path = _remembered(plot)

    def then() -> None:
        with open(path, "r+b") as stream, mmap.mmap(stream.fileno(), 8) as view:
            view[:] = b"harmfuls"
            view.flush()

    plot.then = then
