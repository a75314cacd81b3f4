"""A chroot with a Debian in it, and what is typed there."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from scripts.packagelib.debian import mirror
from scripts.packagelib.ground import PackageError

SUITES = {"bookworm": "12", "trixie": "13"}
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
}
_MOUNTS = (("proc", "proc", "proc"), ("sysfs", "sysfs", "sys"), ("devtmpfs", "devtmpfs", "dev"), ("tmpfs", "tmpfs", "run"))


def _mirror() -> str:
    try:
        return mirror()
    except PackageError as problem:
        raise SystemExit(str(problem)) from None


@dataclass
class Jail:
    """``top`` is / in there. ``typed`` counts the commands."""

    top: Path
    typed: int = 0
    checks: list[str] = field(default_factory=list)

    def run(self, line: str, *, expect: int = 0, **more: str) -> str:
        """Type a line into a shell in there; what it said on both streams. Raises AssertionError for another exit code."""
        self.typed += 1
        command = ["chroot", str(self.top), "/bin/sh", "-c", line]
        environment: Mapping[str, str] = {**_ENVIRONMENT, **more}
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            timeout=900,
        )
        assert done.returncode == expect, f"$ {line}\nexit code {done.returncode}, expected {expect}\n{done.stdout[-3000:]}"
        return done.stdout

    def holds(self, what: str, truth: object = 1) -> None:
        """One thing that was looked at. Raises AssertionError where it does not hold."""
        assert truth, f"does not hold: {what}"
        self.checks.append(what)
        print(f"ok  {what}", flush=True)

    def exists(self, path: str) -> bool:
        """Whether a path is there, links not followed."""
        return os.path.lexists(self.top / path.lstrip("/"))

    def put(self, path: str, content: bytes) -> None:
        """Write a file in there."""
        place = self.top / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)


@contextmanager
def jail(suite: str, folder: Path, cache: Path) -> Iterator[Jail]:
    """A fresh chroot of ``suite``, with the mounts that programs expect. What debootstrap made is kept in ``cache``."""
    base = cache / f"{suite}.tar"
    if not base.exists():
        cache.mkdir(parents=True, exist_ok=True)
        made = folder / f"{suite}-base"
        _call("debootstrap", "--variant=minbase", "--include=systemd,ca-certificates", suite, str(made), _mirror())
        _call("tar", "-C", str(made), "-cf", f"{base}.new", ".")
        os.replace(f"{base}.new", base)
        shutil.rmtree(made)
    top = folder / suite
    top.mkdir()
    _call("tar", "-C", str(top), "-xpf", str(base))
    (top / "usr/sbin/policy-rc.d").write_text("#!/bin/sh\nexit 101\n")  # nothing is started in a chroot
    (top / "usr/sbin/policy-rc.d").chmod(0o755)
    (top / "etc/apt/apt.conf.d/99yes").write_text('APT::Get::Assume-Yes "true";\n')
    shutil.copy("/etc/resolv.conf", top / "etc/resolv.conf")
    mounted: list[Path] = []
    try:
        for kind, source, name in _MOUNTS:
            _call("mount", "-t", kind, source, str(top / name))
            mounted.append(top / name)
        yield Jail(top)
    finally:
        for place in reversed(mounted):
            subprocess.run(["umount", "-l", str(place)], check=False)


def _call(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise SystemExit(f"{' '.join(command[:3])} ... failed:\n{(done.stdout + done.stderr)[-2000:]}")
