"""RPM packages, by rpmbuild."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from scripts.packagelib import texts
from scripts.packagelib.ground import MACHINES, PRIVATE, Ground, need, run, tilde
from scripts.packagelib.staging import AGENT, LIBRARY, Staged

AGENT_REQUIRES = "(python3 >= 3.11 or python3.14 or python3.13 or python3.12 or python3.11)"


def build(ground: Ground, staged: Staged) -> Path:
    """The .rpm of a staged package, in the output folder."""
    need("rpmbuild", "rpm")
    top = ground.folder(f"rpm-{staged.name}")
    root = top / "root"
    shutil.copytree(staged.root, root, symlinks=True)
    zsh = root / "usr/share/zsh"
    if zsh.exists():
        (zsh / "vendor-completions").rename(zsh / "site-functions")
    files, spec = top / "files", top / "package.spec"
    files.write_text("".join(f"{line}\n" for line in _files(staged, root)))
    spec.write_text(_spec(ground, staged, files), encoding="utf-8")
    machine = MACHINES[ground.machine][1]
    defines = {"_topdir": top / "top", "buildroot": top / "buildroot", "_rpmdir": top / "out", "_dbpath": top / "db"}
    shutil.copytree(root, top / "buildroot", symlinks=True)
    flags = [part for name, value in defines.items() for part in ("--define", f"{name} {value}")]
    environ = {"SOURCE_DATE_EPOCH": str(ground.epoch), "LC_ALL": "C.UTF-8", "TZ": "UTC", "HOME": str(top)}
    run(["rpmbuild", "-bb", "--noclean", "--target", machine, "--buildroot", top / "buildroot", *flags, spec], env=environ)
    (made,) = (top / "out").rglob("*.rpm")
    return Path(shutil.copy(made, ground.out / made.name))


def _files(staged: Staged, root: Path) -> list[str]:
    """Lines of %files: everything, with the folders that are ours alone."""
    lines = []
    for path in sorted(root.rglob("*")):
        name = f"/{path.relative_to(root)}"
        if path.is_dir():
            ours = name in ("/etc/hashscan", "/etc/hashscan/conf.d") or f"{name}/".startswith(
                (f"/{LIBRARY}/", f"/usr/share/doc/{staged.name}/")
            )
            ours = ours or name == f"/{PRIVATE}"
            lines += [f'%dir %attr({path.stat().st_mode & 0o777:04o},root,root) "{name}"'] if ours else []
            continue
        mode = stat.S_IMODE(os.stat(path).st_mode)
        kind = "%config(noreplace) " if name in staged.configuration else "%doc " if name.startswith("/usr/share/doc/") else ""
        lines.append(f'{kind}%attr({mode:04o},root,root) "{name}"')
    return lines


def _spec(ground: Ground, staged: Staged, files: Path) -> str:
    agent, units = staged.name == AGENT, staged.units()
    template = ground.packaging / "rpm" / f"{staged.name}.scripts"
    scripts = ""
    if template.exists():
        scripts = texts.filled(
            template.read_text(),
            SERVICES=" ".join(one for one in units if one.endswith(".service")),
            TRIGGERS=" ".join(one for one in units if not one.endswith(".service")),
        )
    return texts.filled(
        (ground.packaging / "rpm" / "package.spec").read_text(encoding="utf-8"),
        LEVEL=str(ground.compression),
        NAME=staged.name,
        VERSION=tilde(ground.version),
        SUMMARY=(texts.SUMMARY if agent else texts.SERVICE_SUMMARY).capitalize(),
        REQUIRES=f"Requires: {AGENT_REQUIRES if agent else f'{AGENT} = {tilde(ground.version)}'}",
        DESCRIPTION=texts.DESCRIPTION if agent else texts.SERVICE_DESCRIPTION,
        FILES=str(files),
        SCRIPTS=scripts,
        CHANGELOG=texts.rpm_changelog(ground, (ground.source / "CHANGELOG.md").read_text(encoding="utf-8")),
    )
