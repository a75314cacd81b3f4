"""Debian packages, by dpkg-deb."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from scripts.packagelib import texts
from scripts.packagelib.ground import MACHINES, PYTHONS, Ground, gzipped, need, run, settle, tilde, write
from scripts.packagelib.staging import AGENT, Staged

_OLDEST, _AFTER = PYTHONS[0], f"3.{int(PYTHONS[-1].partition('.')[2]) + 1}"
AGENT_DEPENDS = f"python3 (>= {_OLDEST}), python3 (<< {_AFTER}~), libc6 (>= 2.28), libgcc-s1"
SCRIPTS = ("preinst", "postinst", "prerm", "postrm")


def build(ground: Ground, staged: Staged) -> Path:
    """The .deb of a staged package, in the output folder."""
    need("dpkg-deb", "dpkg")
    root = ground.folder(f"deb-{staged.name}") / "root"
    shutil.copytree(staged.root, root, symlinks=True)
    changelog = (ground.source / "CHANGELOG.md").read_text(encoding="utf-8")
    text = texts.debian_changelog(ground, staged.name, changelog)
    write(root / f"usr/share/doc/{staged.name}/changelog.gz", gzipped(text.encode()))
    overrides = ground.packaging / "deb" / f"{staged.name}.lintian-overrides"
    if overrides.exists():
        write(root / f"usr/share/lintian/overrides/{staged.name}", overrides.read_bytes())
    _control(ground, staged, root)
    settle(root, ground.epoch)
    machine = MACHINES[ground.machine][0]
    target = ground.out / f"{staged.name}_{tilde(ground.version)}_{machine}.deb"
    flags = ["--root-owner-group", "-Zxz", f"-z{ground.compression}", "--threads-max=1"]
    environ = {"SOURCE_DATE_EPOCH": str(ground.epoch)}
    if "--threads-max" not in subprocess.run(["dpkg-deb", "--help"], capture_output=True, text=True, check=False).stdout:
        flags.pop()
    run(["dpkg-deb", *flags, "--build", root, target], env=environ)
    return target


def _control(ground: Ground, staged: Staged, root: Path) -> None:
    folder, units = root / "DEBIAN", staged.units()
    values = {
        "SERVICES": " ".join(one for one in units if one.endswith(".service")),
        "TRIGGERS": " ".join(one for one in units if not one.endswith(".service")),
    }
    for name in (*SCRIPTS, "triggers"):
        template = ground.packaging / "deb" / f"{staged.name}.{name}"
        if template.exists():
            write(folder / name, texts.filled(template.read_text(), **values), 0o644 if name == "triggers" else 0o755)
    if staged.configuration:
        write(folder / "conffiles", "".join(f"{one}\n" for one in staged.configuration))
    write(folder / "md5sums", _sums(staged, root))
    write(folder / "control", _fields(ground, staged, root))


def _files(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file() and "DEBIAN" not in path.relative_to(root).parts[:1])


def _sums(staged: Staged, root: Path) -> str:
    lines = []
    for path in _files(root):
        name = str(path.relative_to(root))
        if f"/{name}" not in staged.configuration:
            lines.append(f"{hashlib.md5(path.read_bytes()).hexdigest()}  {name}\n")
    return "".join(lines)


def _fields(ground: Ground, staged: Staged, root: Path) -> str:
    agent = staged.name == AGENT
    size = sum(max(1, os.stat(path).st_size + 1023 >> 10) for path in _files(root))
    fields = {
        "Package": staged.name,
        "Version": tilde(ground.version),
        "Architecture": MACHINES[ground.machine][0],
        "Maintainer": texts.MAINTAINER,
        "Installed-Size": str(size),
        "Depends": AGENT_DEPENDS if agent else f"{AGENT} (= {tilde(ground.version)})",
        "Recommends": "ca-certificates" if agent else "",
        "Suggests": "hashscan-service" if agent else "postgresql",
        "Section": "admin",
        "Priority": "optional",
        "Description": texts.SUMMARY if agent else texts.SERVICE_SUMMARY,
    }
    lines = [f"{name}: {value}" for name, value in fields.items() if value]
    lines += [f" {line}" for line in (texts.DESCRIPTION if agent else texts.SERVICE_DESCRIPTION).splitlines()]
    return "\n".join(lines) + "\n"
