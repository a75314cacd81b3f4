"""Two builds, one checksum: the same source in two folders, under two environments that should not matter."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from scripts.packagelib.ground import PackageError

ENVIRONMENTS: tuple[tuple[int, Mapping[str, str]], ...] = (
    (0o022, {"TZ": "UTC", "LC_ALL": "C.UTF-8"}),
    (0o077, {"TZ": "Asia/Kathmandu", "LC_ALL": "C", "PYTHONHASHSEED": "7", "LOGNAME": "somebody", "USER": "somebody"}),
)
"""umask, and variables."""


def compare(source: Path, epoch: int, arguments: Sequence[str]) -> int:
    """Build twice with the arguments that are not about folders; prints each artefact. 0: all are the same, 1: not."""
    flags = [one for one in arguments if one != "--twice"]
    if any(one.startswith("--out") for one in flags):
        raise PackageError("--twice has folders of its own: leave out --out")
    with tempfile.TemporaryDirectory(prefix="hashscan-twice-") as folder:
        folders = [Path(folder) / f"{'longer-' * number}build" for number in range(len(ENVIRONMENTS))]
        for one in folders:
            _copy(source, one / "source")
        found = [_build(source, one, epoch, flags, number) for number, one in enumerate(folders)]
    different = 0
    for name in sorted(found[0].keys() | found[1].keys()):
        same = found[0].get(name) == found[1].get(name)
        different += not same
        print(f"{'same     ' if same else 'DIFFERENT'}  {found[0].get(name, 'missing')}  {name}")
    print(f"{len(found[0])} artefacts built twice, {different} different")
    return int(different > 0 or not found[0])


def _build(source: Path, folder: Path, epoch: int, flags: list[str], number: int) -> dict[str, str]:
    copy, out = folder / "source", folder / "out"
    umask, environment = ENVIRONMENTS[number]
    shared = {
        "SOURCE_DATE_EPOCH": str(epoch),
        "HOME": str(folder),  # tools of root's make folders there
        "HASHSCAN_PACKAGE_VENV": os.environ.get("HASHSCAN_PACKAGE_VENV", str(source / ".venv-package")),
        "HASHSCAN_PACKAGE_CACHE": os.environ.get("HASHSCAN_PACKAGE_CACHE", str(source / "build" / "wheels")),
    }
    done = subprocess.run(
        [copy / "scripts" / "package", "--out", out, *flags],
        env={**os.environ, **environment, **shared},
        umask=umask,
        check=False,
    )
    if done.returncode:
        raise PackageError(f"build {number + 1} failed")
    lines = (out / "SHA256SUMS").read_text().splitlines()
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


def _copy(source: Path, copy: Path) -> None:
    for name in _tracked(source):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / name, copy / name)


def _tracked(source: Path) -> list[str]:
    """Files that are or would be tracked; in an unpacked sdist, all of them."""
    if (source / ".git").exists():
        git = ["git", "-C", str(source), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(git, capture_output=True, check=True).stdout.decode()
        return [name for name in listed.split("\0") if name and (source / name).is_file()]
    return [str(path.relative_to(source)) for path in source.rglob("*") if path.is_file() and ".venv" not in str(path)]
