"""One file for every interpreter, by pex, from the wheels that the other packages are made of."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from packaging.tags import compatible_tags, cpython_tags

from scripts.packagelib import lock
from scripts.packagelib.ground import PYTHONS, Ground, run
from scripts.packagelib.wheels import Wheel


def build(ground: Ground, ours: Wheel, others: list[Wheel], extras: str) -> Path:
    """hashscan.pex: agent and service, without the driver of PostgreSQL."""
    lock.pip("install", "--no-compile", "--only-binary", ":all:", "-r", ground.packaging / "pex-tool.txt")
    folder = ground.folder("pex")
    (folder / "wheels").mkdir()
    for wheel in (ours, *others):
        (folder / "wheels" / wheel.path.name).symlink_to(wheel.path.resolve())
    platforms = []
    for python in PYTHONS:
        path = folder / f"{python}.json"
        path.write_text(json.dumps(_platform(python, ground.machine)))
        platforms += ["--complete-platform", str(path)]
    target = ground.out / f"hashscan-{ground.version}-{ground.machine}.pex"
    run(
        [
            *(sys.executable, "-m", "pex", f"hashscan[{extras}]=={ground.version}"),
            *("--no-index", "--find-links", folder / "wheels", *platforms),
            *("--script", "hashscan", "--venv", "prepend", "--inherit-path=false"),
            *("--python-shebang", "/usr/bin/env python3", "--no-emit-warnings"),
            *("--pex-root", folder / "root", "--output-file", target),
        ],
        env={"SOURCE_DATE_EPOCH": str(ground.epoch), "PEX_ROOT": str(folder / "root")},
    )
    target.chmod(0o755)
    return target


def _platform(python: str, machine: str) -> dict[str, object]:
    """An interpreter on Linux with glibc 2.28, as pex and pip want it described."""
    version = tuple(int(part) for part in python.split("."))
    known = [f"manylinux_2_{minor}_{machine}" for minor in range(28, 16, -1)] + [f"manylinux2014_{machine}", f"linux_{machine}"]
    tags = [*cpython_tags(version, platforms=known), *compatible_tags(version, f"cp{python.replace('.', '')}", known)]
    markers = {
        "implementation_name": "cpython",
        "implementation_version": f"{python}.0",
        "os_name": "posix",
        "platform_machine": machine,
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": f"{python}.0",
        "python_version": python,
        "sys_platform": "linux",
    }
    return {"path": "", "compatible_tags": [str(one) for one in tags], "marker_environment": markers}
