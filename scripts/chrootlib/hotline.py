"""A hotline on loopback for the agents in the chroots: the packages of agent and service, unpacked on this machine."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

LISTED = b"harmless stand-in for a listed file\n" * 40
"""The bytes that the list names."""


@dataclass(frozen=True)
class Hotline:
    """Where it answers, and how its commands are typed."""

    url: str
    program: tuple[str, ...]
    data: Path

    def code(self) -> str:
        """A code for one host, which works once."""
        return _code(self.program, self.data)


def _type(program: tuple[str, ...], data: Path, *arguments: str) -> str:
    line = [*program, "service", "--data", str(data), *arguments]
    done = subprocess.run(line, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, f"{' '.join(arguments)}: {done.stdout}{done.stderr}"
    return done.stdout


def _code(program: tuple[str, ...], data: Path) -> str:
    (code,) = re.findall(r"hse1-[a-z2-7-]+", _type(program, data, "provider", "code", "acme"))
    return str(code)


@contextmanager
def hotline(packages: list[Path], folder: Path) -> Iterator[Hotline]:
    """Serve a list of one entry to the company acme, in the phase in which files may be moved."""
    root, data = folder / "hotline-program", folder / "hotline-data"
    for package in packages:
        subprocess.run(["dpkg-deb", "-x", str(package), str(root)], check=True)
    program = (sys.executable, "-ISB", str(root / "usr/bin/hashscan"))
    listed = folder / "list.sha1"
    listed.write_text(f"{hashlib.sha1(LISTED).hexdigest()}\n")
    _type(program, data, "init", "--name", "Hotline of the chroots", "--root-keys", str(folder / "root-keys"))
    _type(program, data, "import", str(listed), "--list", "police")
    _type(program, data, "provider", "add", "acme")
    _type(program, data, "provider", "phase", "acme", "regular")
    _type(program, data, "publish")
    line = [*program, "service", "--data", str(data), "serve", "--port", "0"]
    with subprocess.Popen(line, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env={**os.environ}) as child:
        try:
            assert child.stderr is not None
            said = child.stderr.readline()
            assert said.startswith("answering on http://127.0.0.1:"), said
            yield Hotline(said.split()[-1], program, data)
        finally:
            child.send_signal(signal.SIGTERM)
            child.wait(60)
