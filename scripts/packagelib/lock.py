"""packaging/wheels.lock: exactly which distributions of others are packed, by their digests. pip and scanners read it too."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name, parse_sdist_filename, parse_wheel_filename

from scripts.packagelib.ground import MACHINES, PYTHONS, Ground, PackageError, run

LOCK = "packaging/wheels.lock"
FROM_SOURCE = ("pybloom-live",)
"""Pure Python that is published as source only: the wheel is made here."""
EXTRAS = "evidence,service,postgres"
_HEAD = """\
# What the packages carry, made by scripts/package --lock: every file by its SHA-256, for all interpreters and machines.
# The wheel of hashscan itself has ranges (pyproject.toml); these are the versions that the tests of a release ran with.
"""


@dataclass(frozen=True)
class Pin:
    """One distribution of an exact version, and the SHA-256 of every file of it that may be taken."""

    name: str
    version: str
    digests: frozenset[str]


def read(text: str) -> dict[str, Pin]:
    """The pins by canonical name. Raises `PackageError` for a line that is none."""
    pins = {}
    for line in text.replace("\\\n", " ").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        found = re.fullmatch(r"([A-Za-z0-9._-]+)==(\S+)((?:\s+--hash=sha256:[0-9a-f]{64})+)\s*", line)
        if found is None:
            raise PackageError(f"{LOCK}: not a pin: {line[:80]}")
        name = canonicalize_name(found[1])
        pins[name] = Pin(name, found[2], frozenset(re.findall(r"[0-9a-f]{64}", found[3])))
    return pins


def written(pins: Iterable[Pin]) -> str:
    """The text that `read` reads."""
    lines = []
    for pin in sorted(pins, key=lambda one: one.name):
        hashes = " \\\n    ".join(f"--hash=sha256:{digest}" for digest in sorted(pin.digests))
        lines.append(f"{pin.name}=={pin.version} \\\n    {hashes}\n")
    return _HEAD + "".join(lines)


def name_of(path: Path) -> tuple[str, str]:
    """Canonical name and version of a wheel or an sdist."""
    if path.suffix == ".whl":
        name, version, _, _ = parse_wheel_filename(path.name)
    else:
        name, version = parse_sdist_filename(path.name)
    return name, str(version)


def platform_flags(python: str, machine: str) -> list[str]:
    """What pip is told to choose wheels for an interpreter that is not there: glibc 2.28 and older."""
    short = python.replace(".", "")
    known = [f"manylinux_2_{minor}_{machine}" for minor in range(28, 16, -1)]
    if machine == "x86_64":
        known += ["manylinux2010_x86_64", "manylinux1_x86_64"]
    flags = ["--python-version", python, "--implementation", "cp", "--abi", f"cp{short}", "--abi", "abi3", "--abi", "none"]
    for one in (*known, f"manylinux2014_{machine}", f"linux_{machine}"):
        flags += ["--platform", one]
    return flags


def pip(*arguments: str | Path, env: Mapping[str, str] | None = None) -> None:
    """Run pip of the tools' environment."""
    run([sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments], env=env)


def renew(ground: Ground, wheel: Path) -> str:
    """Resolve the newest versions for the oldest interpreter, take the same for the others; the text of the lock."""
    folder, sources, constraints = ground.folder("lock"), ground.folder("sources"), ground.work / "constraints"
    for name in FROM_SOURCE:
        pip("download", "-d", sources, "--no-deps", "--no-binary", name, "--no-build-isolation", name)
    pip("wheel", "-w", folder, "--no-deps", "--no-build-isolation", *sources.iterdir())
    made = {path.name for path in folder.iterdir()}
    constraints.write_text("")
    for python in PYTHONS:
        for machine in MACHINES:
            flags = [*platform_flags(python, machine), "--only-binary", ":all:", "--find-links", folder]
            pip("download", "-d", folder, "-c", constraints, *flags, f"{wheel}[{EXTRAS}]")
            names = {name_of(path) for path in folder.iterdir() if path.name != wheel.name}
            constraints.write_text("".join(f"{name}=={version}\n" for name, version in sorted(names)))
    files = [path for path in (*folder.iterdir(), *sources.iterdir()) if path.name not in {*made, wheel.name}]
    digests: dict[tuple[str, str], set[str]] = {}
    for path in files:
        digests.setdefault(name_of(path), set()).add(hashlib.sha256(path.read_bytes()).hexdigest())
    return written(Pin(name, version, frozenset(found)) for (name, version), found in digests.items())
