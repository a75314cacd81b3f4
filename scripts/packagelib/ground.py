"""What every part of a build knows: where it works, which version and which second it builds, how programs are run."""

from __future__ import annotations

import gzip
import io
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
"""The interpreters that the packages carry compiled modules for. `packaging/launcher.py` says the same."""

MACHINES = {"x86_64": ("amd64", "x86_64"), "aarch64": ("arm64", "aarch64")}
"""What a kernel calls a machine: what Debian and OCI call it, and what RPM calls it."""


class PackageError(Exception):
    """Said in one line; nothing half-built is left in the output folder."""


@dataclass(frozen=True)
class Ground:
    """``source`` is the repository, ``work`` a folder that is thrown away, ``out`` where artefacts go, ``epoch`` their time."""

    source: Path
    work: Path
    out: Path
    epoch: int
    version: str
    compression: int = 6
    """Of xz, 0 to 9."""

    @property
    def machine(self) -> str:
        """What the kernel of this machine calls it."""
        found = platform.machine()
        if found not in MACHINES:
            raise PackageError(f"packages are made for {' and '.join(MACHINES)}, not for {found}")
        return found

    @property
    def packaging(self) -> Path:
        """The folder of what packages are made of."""
        return self.source / "packaging"

    def folder(self, name: str) -> Path:
        """A fresh folder of this build."""
        path = self.work / name
        path.mkdir(parents=True)
        return path


def version_of(source: Path) -> str:
    """The version in hashscan/__init__.py."""
    found = re.search(
        r'^__version__ = "([^"]+)"$', (source / "hashscan" / "__init__.py").read_text(encoding="utf-8"), re.MULTILINE
    )
    if found is None:
        raise PackageError("hashscan/__init__.py says no version")
    return found[1]


def epoch_of(source: Path, environ: Mapping[str, str]) -> int:
    """SOURCE_DATE_EPOCH, else the time of the last commit."""
    said = environ.get("SOURCE_DATE_EPOCH", "")
    if not said:
        git = ["git", "-C", str(source), "log", "-1", "--format=%ct"]
        done = subprocess.run(git, capture_output=True, text=True, check=False)
        if done.returncode:
            raise PackageError("no commit to take the time from: set SOURCE_DATE_EPOCH")
        said = done.stdout.strip()
    if not said.isdigit():
        raise PackageError(f"SOURCE_DATE_EPOCH={said} is not a number of seconds")
    return int(said)


def tilde(version: str) -> str:
    """A version as Debian and RPM order it: what comes before a release has a tilde."""
    return re.sub(r"\.?(dev|a|b|rc)(\d+)", r"~\1\2", version)


def need(program: str, package: str) -> None:
    """Raises `PackageError` where a program is missing."""
    if shutil.which(program) is None:
        raise PackageError(f"{program} is missing (on Debian: apt install {package})")


def run(command: Sequence[str | Path], *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    """Run a program; its stdout. Raises `PackageError` with the end of what it said."""
    done = subprocess.run(
        [str(one) for one in command],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise PackageError(f"{Path(str(command[0])).name} failed with {done.returncode}:\n{said}")
    return done.stdout


def write(path: Path, content: str | bytes, mode: int = 0o644) -> None:
    """Write a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)


def gzipped(content: bytes) -> bytes:
    """Compressed without name and time."""
    buffer = io.BytesIO()
    with gzip.GzipFile("", "wb", 9, buffer, mtime=0) as stream:
        stream.write(content)
    return buffer.getvalue()


PRIVATE = "var/log/hashscan"
"""The one folder that others must not enter: what somebody lets alerts write there may name customers."""


def settle(root: Path, epoch: int) -> None:
    """One time, and modes that no umask has touched: 0755 for folders and programs, 0644 for files."""
    for path in (root, *root.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    if (root / PRIVATE).exists():
        (root / PRIVATE).chmod(0o700)
    for path in (root, *root.rglob("*")):
        os.utime(path, (epoch, epoch), follow_symlinks=False)
