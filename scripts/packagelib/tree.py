"""One folder that serves every interpreter: compiled modules have its name in theirs, everything else is the same."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from scripts.packagelib.ground import PackageError, write

_LEFT_OUT = {"RECORD", "WHEEL", "INSTALLER", "direct_url.json"}
"""In .dist-info: they speak of one wheel, and there are several."""


def merge(wheels: Iterable[Path], folder: Path) -> None:
    """Unpack wheels into one folder. Raises `PackageError` where two disagree about a file, or one would leave the folder."""
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            for member in archive.infolist():
                name = None if member.is_dir() else _place(member.filename, wheel)
                if name is not None:
                    _put(folder / name, archive.read(member), wheel)


def _place(name: str, wheel: Path) -> PurePosixPath | None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise PackageError(f"{wheel.name} would write {name}")
    first, *rest = path.parts
    if first.endswith(".data"):
        # Other folders hold scripts and headers, which nobody runs here.
        return PurePosixPath(*rest[1:]) if rest[0] in ("purelib", "platlib") else None
    if first.endswith(".dist-info") and (path.name in _LEFT_OUT or rest[0] == "sboms"):
        return None
    return None if path.name == ".gitignore" else path


def _put(path: Path, content: bytes, wheel: Path) -> None:
    if not path.exists():
        write(path, content)
    elif path.read_bytes() != content:
        raise PackageError(f"{wheel.name} has another {path.name} than another wheel: one folder cannot serve both")
