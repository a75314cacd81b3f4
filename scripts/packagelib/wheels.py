"""The wheels that packages are made of: our own, and those of others that the lock names."""

from __future__ import annotations

import hashlib
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesParser
from functools import cached_property
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts.packagelib import lock
from scripts.packagelib.ground import PYTHONS, Ground, PackageError, run
from scripts.packagelib.lock import Pin

BUILT_EPOCH = "315532800"
"""1980-01-01: the time in wheels that are made from the source of others. They are the same in every build."""


@dataclass(frozen=True)
class Wheel:
    """A wheel on disk."""

    path: Path

    @property
    def name(self) -> str:
        """Canonical name of the distribution."""
        return lock.name_of(self.path)[0]

    @property
    def version(self) -> str:
        """Its version."""
        return lock.name_of(self.path)[1]

    @cached_property
    def metadata(self) -> Message:
        """Its METADATA."""
        with zipfile.ZipFile(self.path) as archive:
            (member,) = [one for one in archive.namelist() if one.count("/") == 1 and one.endswith(".dist-info/METADATA")]
            return BytesParser().parsebytes(archive.read(member))

    @property
    def licence(self) -> str:
        """An SPDX expression where it says one, else the first line of what it says."""
        said = self.metadata.get("License-Expression") or self.metadata.get("License") or ""
        first = said.strip().splitlines()[0] if said.strip() else ""
        classifiers = [one for one in self.metadata.get_all("Classifier", []) if one.startswith("License ::")]
        return first if 0 < len(first) <= 60 else (classifiers[0].rpartition(":: ")[2] if classifiers else "see its files")

    @property
    def digest(self) -> str:
        """SHA-256, hex."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()

    def needs(self, extras: Iterable[str] = ()) -> set[tuple[str, frozenset[str]]]:
        """Canonical names and extras of what it requires, on any of the interpreters."""
        found = set()
        for line in self.metadata.get_all("Requires-Dist", []):
            wanted = Requirement(line)
            if wanted.marker is None or any(wanted.marker.evaluate(one) for one in _environments(("", *extras))):
                found.add((canonicalize_name(wanted.name), frozenset(wanted.extras)))
        return found


def _environments(extras: Iterable[str]) -> list[dict[str, str]]:
    linux = {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "implementation_name": "cpython"}
    linux["platform_python_implementation"] = "CPython"
    return [
        {**linux, "python_version": one, "python_full_version": f"{one}.1", "extra": extra}
        for one in PYTHONS
        for extra in extras
    ]


def ours(ground: Ground) -> tuple[Path, Path]:
    """Our own wheel and sdist."""
    folder = ground.folder("ours")
    environ = {"SOURCE_DATE_EPOCH": str(ground.epoch)}
    run([sys.executable, "-m", "hatchling", "build", "-d", folder], cwd=ground.source, env=environ)
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, sdist


def fetch(ground: Ground, pins: Mapping[str, Pin], pythons: Iterable[str], cache: Path) -> list[Wheel]:
    """The wheels of all pins, from the cache or the package index. Raises `PackageError` for bytes that are not in the lock."""
    found: dict[str, Wheel] = {}
    for python in pythons:
        text = f"{(ground.source / lock.LOCK).read_text()} {python} {ground.machine}"
        folder = cache / hashlib.sha256(text.encode()).hexdigest()[:16]
        if not folder.exists():
            _fill(ground, python, folder)
        found.update((path.name, Wheel(path)) for path in folder.glob("*.whl"))
    for wheel in found.values():
        pin = pins.get(wheel.name)
        if pin is None or pin.version != wheel.version:
            raise PackageError(f"{wheel.path} is not in {lock.LOCK}: remove the cache")
        if wheel.name not in lock.FROM_SOURCE and wheel.digest not in pin.digests:
            raise PackageError(f"{wheel.path} has another digest than {lock.LOCK}: remove the cache")
    return [found[name] for name in sorted(found)]


def _fill(ground: Ground, python: str, folder: Path) -> None:
    """Everything for one interpreter, or nothing."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".new-") as name:
        new = Path(name) / "wheels"
        parts = {True: "", False: ""}
        for pin in lock.read((ground.source / lock.LOCK).read_text()).values():
            parts[pin.name in lock.FROM_SOURCE] += f"{pin.name}=={pin.version} " + " ".join(
                f"--hash=sha256:{digest}" for digest in sorted(pin.digests)
            )
            parts[pin.name in lock.FROM_SOURCE] += "\n"
        for from_source, text in parts.items():
            (Path(name) / f"{from_source}.txt").write_text(text)
        common = ["--require-hashes", "--no-deps", "-r"]
        flags = [*lock.platform_flags(python, ground.machine), "--only-binary", ":all:"]
        lock.pip("download", "-d", new, *flags, *common, f"{name}/False.txt")
        epoch = {"SOURCE_DATE_EPOCH": BUILT_EPOCH}
        lock.pip("wheel", "-w", new, "--no-build-isolation", *common, f"{name}/True.txt", env=epoch)
        new.rename(folder)


def closure(wheels: Iterable[Wheel], root: Wheel, extras: Iterable[str]) -> list[Wheel]:
    """What ``root`` with ``extras`` needs, without ``root``. Raises `PackageError` where the lock lacks something."""
    by_name: dict[str, list[Wheel]] = {}
    for wheel in wheels:
        by_name.setdefault(wheel.name, []).append(wheel)
    seen: set[tuple[str, frozenset[str]]] = set()
    ahead = sorted(root.needs(extras))
    while ahead:
        name, wanted = one = ahead.pop()
        if one in seen:
            continue
        seen.add(one)
        if name == root.name:
            ahead += root.needs(wanted)
        elif name not in by_name:
            raise PackageError(f"{lock.LOCK} lacks {name}: run scripts/package --lock")
        else:
            ahead += by_name[name][0].needs(wanted)
    names = {name for name, _ in seen} - {root.name}
    return [wheel for name in sorted(names) for wheel in by_name[name]]
