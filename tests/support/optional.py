"""Components that a test may need and a machine may lack. A test that lacks its component counts as not run."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass

from hashscan.files.filesystems import filesystem_of


@dataclass(frozen=True)
class Component:
    """Something outside Python's own packages: how to see whether it is there, and what to do where it is not."""

    present: Callable[[], bool]
    hint: str


def _program(*names: str) -> Callable[[], bool]:
    return lambda: all(shutil.which(name) is not None for name in names)


def _temporary_folder_on_disk() -> bool:
    """Whether the digest cache believes the filesystem of the tests' temporary folders with its shipped settings."""
    fd = os.open(tempfile.gettempdir(), os.O_RDONLY)
    try:
        return filesystem_of(fd, os.fstat(fd).st_dev).believed
    finally:
        os.close(fd)


COMPONENTS = {
    "systemd": Component(_program("systemd-analyze"), "install systemd"),
    "git": Component(_program("git"), "install git"),
    "cc": Component(_program("cc"), "install a C compiler (gcc or clang)"),
    "strace": Component(_program("strace"), "install strace"),
    "age": Component(_program("age"), "install age"),
    "jq": Component(_program("jq"), "install jq"),
    "bench-peers": Component(
        _program("hashdeep", "rhash", "b3sum", "clamscan"),
        "install hashdeep, rhash, b3sum and clamav, or scripts/bench --install-peers",
    ),
    "fincore": Component(_program("fincore"), "install util-linux"),
    "temporary-folder-on-disk": Component(_temporary_folder_on_disk, "set TMPDIR to a folder on ext4, xfs or btrfs"),
    "shellcheck": Component(_program("shellcheck"), "install shellcheck"),
}


def missing(name: str) -> str:
    """ "" where the component is there, else the line for the summary. Raises KeyError for an unknown name."""
    component = COMPONENTS[name]
    return "" if component.present() else f"optional component {name} is missing: {component.hint}"
