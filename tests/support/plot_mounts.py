"""Mounts in the tree, as roots, over files, coming and going, and such as never answer."""

from __future__ import annotations

import os
import time
from contextlib import suppress

from tests.support.mounts import detach, mount
from tests.support.plots import Plot, write
from tests.support.slow_fuse import SlowFuse

_READ_ONLY, _NOSUID, _NODEV, _NOEXEC, _REMOUNT, _BIND = 1, 2, 4, 8, 32, 4096


def _mounted(plot: Plot, name: bytes, source: bytes, kind: bytes | None, flags: int = 0, data: bytes | None = None) -> bytes:
    """A mount below the tree, which nobody has named: skipped as such, once."""
    os.mkdir(plot.skip(name, "mount"))
    mount(source, plot.path(name), kind, flags, data)
    plot.find_agrees = False  # it goes into mounts
    return plot.path(name)


def _around(plot: Plot) -> None:
    plot.folder(b"d")
    plot.listed(b"d/f")
    plot.listed(b"z")


def bind_loop(plot: Plot) -> None:
    """The tree mounted in itself, twice: for ever deeper, for who follows."""
    _around(plot)
    _mounted(plot, b"loop", plot.top, None, _BIND)
    _mounted(plot, b"d/loop", plot.top, None, _BIND)


def bind_elsewhere(plot: Plot) -> None:
    """A folder from elsewhere on the same filesystem, with a listed file; its device number is the tree's."""
    _around(plot)
    os.mkdir(plot.home + b"/outside")
    write(plot.home + b"/outside/f", b"listed outside")
    plot.list_data(b"listed outside")
    _mounted(plot, b"bound", plot.home + b"/outside", None, _BIND)


def bind_itself(plot: Plot) -> None:
    """A directory bound to itself: what it holds is out of sight for a scan that was not told of it."""
    _around(plot)
    _mounted(plot, b"bound", plot.path(b"d"), None, _BIND)
    write(plot.path(b"d/g"), b"listed here")
    plot.list_data(b"listed here")
    plot.met_file(plot.path(b"d/g"), found=True)


def memory(plot: Plot) -> None:
    """A filesystem in memory with a listed file, and another one within it."""
    _around(plot)
    path = _mounted(plot, b"memory", b"none", b"tmpfs")
    write(path + b"/f", b"listed inside")
    plot.list_data(b"listed inside")
    os.mkdir(path + b"/deeper")
    mount(b"none", path + b"/deeper", b"tmpfs")


def over_files(plot: Plot) -> None:
    """A mount over a directory that holds a listed file: covered, so that nobody can be served it."""
    _around(plot)
    os.mkdir(plot.skip(b"covered", "mount"))
    write(plot.path(b"covered/f"), b"listed below")
    plot.list_data(b"listed below")
    mount(b"none", plot.path(b"covered"), b"tmpfs")
    plot.find_agrees = False


def overlay(plot: Plot) -> None:
    """An overlay, as containers have it."""
    _around(plot)
    for name in (b"lower", b"upper", b"work"):
        os.mkdir(plot.home + b"/" + name)
    write(plot.home + b"/lower/f", b"listed in the lower layer")
    plot.list_data(b"listed in the lower layer")
    layers = b"lowerdir=%s/lower,upperdir=%s/upper,workdir=%s/work" % (plot.home, plot.home, plot.home)
    _mounted(plot, b"merged", b"overlay", b"overlay", 0, layers)


def overlay_root(plot: Plot) -> None:
    """An overlay that is named as a root: files of both layers, one replaced, one that is covered by a whiteout."""
    base = plot.home + b"/base"
    os.mkdir(base)
    mount(b"none", base, b"tmpfs")
    for name in (b"lower", b"upper", b"work"):
        os.mkdir(base + b"/" + name)
    for name in (b"kept", b"replaced", b"removed"):
        write(base + b"/lower/" + name, b"listed " + name)
    layers = b"lowerdir=%s/lower,upperdir=%s/upper,workdir=%s/work" % (base, base, base)
    mount(b"overlay", plot.top, b"overlay", 0, layers)
    os.unlink(plot.path(b"removed"))
    os.unlink(plot.path(b"replaced"))
    plot.list_data(b"listed kept")
    plot.list_data(b"listed removed")
    plot.met_file(plot.path(b"kept"), found=True)
    plot.listed(b"replaced", b"listed anew")
    plot.listed(b"new")


def kernel_trees(plot: Plot) -> None:
    """proc, sysfs, control groups and pseudo terminals, as in a chroot: files there may hang, act when read, or never end."""
    _around(plot)
    for name, kind in ((b"proc", b"proc"), (b"sys", b"sysfs"), (b"pts", b"devpts"), (b"groups", b"cgroup2")):
        _mounted(plot, name, b"none", kind)


def over_a_file(plot: Plot) -> None:
    """A file mounted over a file: what stands at the path is what its readers are served, and what is read."""
    _around(plot)
    write(plot.home + b"/outside", b"listed outside")
    plot.list_data(b"listed outside")
    plot.met_file(plot.path(b"covered"), found=True)
    write(plot.path(b"covered"), b"innocent below")
    mount(plot.home + b"/outside", plot.path(b"covered"), None, _BIND)


def read_only(plot: Plot) -> None:
    """A root on a filesystem that may not be written, with every other limit that a mount has."""
    _around(plot)
    mount(plot.top, plot.top, None, _BIND)
    mount(b"none", plot.top, None, _REMOUNT | _BIND | _READ_ONLY | _NOSUID | _NODEV | _NOEXEC)


def mount_roots(plot: Plot) -> None:
    """A mount that is named as a root besides the tree is scanned, under its own name, once; the one in it is not."""
    _around(plot)
    plot.folder(b"named")
    mount(b"none", plot.path(b"named"), b"tmpfs")
    plot.listed(b"named/f")
    plot.folder(b"named/d")
    _mounted(plot, b"named/d/unnamed", b"none", b"tmpfs")
    plot.skipped["mount"] += 1  # the mount point, met from the tree; nothing there is left out, so that it is not named
    plot.uncounted = 1
    plot.roots = [plot.top, plot.path(b"named")]


def huge(plot: Plot) -> None:
    """The largest file that there can be: 8 EiB less a byte, without a block."""
    mount(b"none", plot.top, b"tmpfs")
    plot.too_large(b"huge", (1 << 63) - 1)
    plot.listed(b"f")


def million(plot: Plot) -> None:
    """A tree in memory in which inodes have huge numbers and directories no types until they are looked at."""
    mount(b"none", plot.top, b"tmpfs", 0, b"inode64")
    for number in range(100):
        plot.folder(b"%d" % number)
        plot.listed(b"%d/f" % number)


def nested(plot: Plot) -> None:
    """A system within the system, with its own proc and its own copy of itself, as jails are built."""
    for name in (b"etc", b"home", b"home/alice"):
        plot.folder(name)
    plot.listed(b"home/alice/f")
    _mounted(plot, b"proc", b"none", b"proc")
    _mounted(plot, b"dev", b"none", b"tmpfs")
    _mounted(plot, b"jail", plot.top, None, _BIND)
    mount(b"none", plot.path(b"jail/etc"), b"tmpfs")


def comes_and_goes(plot: Plot) -> None:
    """A mount with a listed file that is there and not there by turns."""
    _around(plot)
    os.mkdir(plot.path(b"point"))
    plot.loosen(b"point")
    plot.list_data(b"listed inside")
    plot.find_agrees = False

    def body() -> None:
        while True:
            with suppress(OSError):
                mount(b"none", plot.path(b"point"), b"tmpfs")
                write(plot.path(b"point/f"), b"listed inside")
                time.sleep(0.0005)
            detach(plot.home)

    plot.meanwhile.append(body)


def taken_away(plot: Plot) -> None:
    """A root that is unmounted while it is scanned: what is open stays, and what it holds is found."""
    mount(b"none", plot.top, b"tmpfs")
    plot.listed(b"first")
    plot.folder(b"d")
    plot.listed(b"d/f")
    plot.act = lambda: detach(plot.home)


def mounted_meanwhile(plot: Plot) -> None:
    """A mount that appears over a directory before it is entered."""
    plot.listed(b"first")
    os.mkdir(plot.skip(b"d", "mount"))
    write(plot.path(b"d/f"), b"innocent")
    plot.find_agrees = False
    plot.act = lambda: mount(b"none", plot.path(b"d"), b"tmpfs")


def _slow(plot: Plot, point: bytes, kind: str, files: dict[bytes, bytes] | None = None) -> None:
    plot.deadline = 1.0
    served = SlowFuse(point, kind, files)
    plot.closing.append(served.end)
    plot.find_agrees = False


def mute(plot: Plot) -> None:
    """A filesystem whose server never says a word, in the tree: not touched, so not waited for."""
    _around(plot)
    os.mkdir(plot.skip(b"mute", "network"))
    _slow(plot, plot.path(b"mute"), "mute")


def deaf(plot: Plot) -> None:
    """One whose server takes every question and answers none, in the tree."""
    _around(plot)
    os.mkdir(plot.skip(b"deaf", "network"))
    _slow(plot, plot.path(b"deaf"), "deaf")


def stuck(plot: Plot) -> None:
    """One that is named as a root and serves its files, but for two that it never does, and a directory that it never lists."""
    point = plot.home + b"/served"
    os.mkdir(point)
    files = {b"a": b"listed a", b"stuck": b"x", b"b": b"listed b", b"stuck too": b"xx", b"stuck folder": b"", b"z": b"z"}
    _around(plot)
    plot.list_data(b"listed a")
    plot.list_data(b"listed b")
    plot.roots.append(point)
    plot.meet(point)
    plot.folders += 1
    for name in files:
        if name.startswith(b"stuck"):
            plot.meet(point + b"/" + name)
            plot.skipped["timeout"] += 1
            plot.named[point + b"/" + name] = "timeout"
        else:
            plot.met_file(point + b"/" + name, found=name != b"z")
    plot.lonely = True
    _slow(plot, point, "stuck", files)


def _hung_root(plot: Plot, kind: str) -> None:
    point = plot.home + b"/hung"
    os.mkdir(point)
    _around(plot)
    plot.roots.append(point)
    plot.meet(point)
    plot.skipped["timeout"] += 1
    plot.named[point] = "timeout"
    plot.lonely = True
    _slow(plot, point, kind)


def mute_root(plot: Plot) -> None:
    """A filesystem that never says a word, named as a root besides the tree: told by name, and the tree is scanned."""
    _hung_root(plot, "mute")


def deaf_root(plot: Plot) -> None:
    """One that takes every question and answers none, named as a root besides the tree."""
    _hung_root(plot, "deaf")


def jailed(plot: Plot) -> None:
    """No /proc, as in a bare chroot: nothing tells mounts apart, so nothing is scanned, and it is said."""
    _around(plot)
    plot.lonely, plot.refused = True, 3
    mount(b"none", b"/proc", b"tmpfs")
