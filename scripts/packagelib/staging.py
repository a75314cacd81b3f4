"""The files of a package as they will lie on a machine, below a folder: what .deb, .rpm and the OCI image have in common."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from scripts.packagelib import sbom, texts, tree
from scripts.packagelib.ground import PRIVATE, Ground, PackageError, gzipped, run, settle, write
from scripts.packagelib.wheels import Wheel

AGENT, SERVICE = "hashscan", "hashscan-service"
LIBRARY = "usr/lib/hashscan"
COMPLETIONS = {
    "hashscan.bash": "usr/share/bash-completion/completions/hashscan",
    "_hashscan": "usr/share/zsh/vendor-completions/_hashscan",
    "hashscan.fish": "usr/share/fish/vendor_completions.d/hashscan.fish",
}
SYSTEMD = {
    **dict.fromkeys((".service", ".timer", ".target", ".path", ".slice", ".socket"), "usr/lib/systemd/system"),
    ".sysusers": "usr/lib/sysusers.d",
    ".tmpfiles": "usr/lib/tmpfiles.d",
    ".preset": "usr/lib/systemd/system-preset",
}
"""Where what is in packaging/systemd goes. Its folders sysusers.d and tmpfiles.d go as they are."""
CONFIGURATION = {"default": "etc/default/hashscan", "logrotate": "etc/logrotate.d/hashscan"}
DOCUMENTS = ("README.md", "CHANGELOG.md", "docs/operating.md", "docs/quarantine.md", "docs/threat-model.md")


@dataclass(frozen=True)
class Staged:
    """A package: ``root`` is what will be /, ``configuration`` files there that an administrator owns."""

    name: str
    root: Path
    configuration: tuple[str, ...]
    wheels: tuple[Wheel, ...]

    def units(self) -> list[str]:
        """Names of the systemd units in it."""
        return sorted(path.name for path in (self.root / "usr/lib/systemd/system").glob("*.*"))


def agent(ground: Ground, ours: Wheel, others: list[Wheel], pages: Path) -> Staged:
    """The agent: program, library, units, manual pages, completions, configuration."""
    root = ground.folder("stage-agent")
    library = root / LIBRARY
    tree.merge([ours.path, *(one.path for one in others)], library)
    write(root / "usr/bin/hashscan", (ground.packaging / "launcher.py").read_bytes(), 0o755)
    for name, place in COMPLETIONS.items():
        write(root / place, (pages / "completions" / name).read_bytes())
    _manuals(root, (one for one in pages.glob("man/*.1") if not one.name.startswith(SERVICE)))
    _units(ground.packaging / "systemd", root)
    write(root / "etc/hashscan/config.toml", run([*program(root), "config", "init", "-"]))
    (root / "etc/hashscan/conf.d").mkdir()
    for file, place in CONFIGURATION.items():
        write(root / place, (ground.packaging / file).read_bytes())
    (root / PRIVATE).mkdir(parents=True)
    for folder in ("cron", "prometheus"):
        shutil.copytree(ground.packaging / folder, root / f"usr/share/doc/{AGENT}/examples/{folder}")
    for name in DOCUMENTS:
        write(root / f"usr/share/doc/{AGENT}/{Path(name).name}", (ground.source / name).read_bytes())
    wheels = (ours, *others)
    write(root / f"usr/share/doc/{AGENT}/sbom.cdx.json", sbom.document(ground, ours, others))
    write(root / f"usr/share/doc/{AGENT}/copyright", texts.copyright_file(others))
    settle(root, ground.epoch)
    return Staged(AGENT, root, ("/etc/hashscan/config.toml", *(f"/{place}" for place in CONFIGURATION.values())), wheels)


def service(ground: Ground, ours: Wheel, others: list[Wheel], pages: Path) -> Staged:
    """What the central service needs beside the agent: libraries and manual pages."""
    root = ground.folder("stage-service")
    tree.merge((one.path for one in others), root / LIBRARY)
    _manuals(root, pages.glob(f"man/{SERVICE}*.1"))
    write(root / f"usr/share/doc/{SERVICE}/service.md", (ground.source / "docs/service.md").read_bytes())
    write(root / f"usr/share/doc/{SERVICE}/sbom.cdx.json", sbom.document(ground, ours, others))
    write(root / f"usr/share/doc/{SERVICE}/copyright", texts.copyright_file(others))
    settle(root, ground.epoch)
    return Staged(SERVICE, root, (), tuple(others))


def program(root: Path) -> list[str | Path]:
    """The command line that starts hashscan from a staged root, without leaving compiled files in it."""
    return [sys.executable, "-ISB", root / "usr/bin/hashscan"]


def pages(ground: Ground, everything: list[Wheel]) -> Path:
    """Manual pages and completions, made by the program that is packed."""
    library, folder = ground.folder("pages-tree"), ground.folder("pages")
    tree.merge((one.path for one in everything), library)
    maker = Path(__file__).with_name("man.py")
    run([sys.executable, "-ISB", maker, library, folder, str(ground.epoch), ground.source / "README.md"])
    shutil.rmtree(library)
    return folder


def _manuals(root: Path, found: Iterable[Path]) -> None:
    for one in found:
        write(root / f"usr/share/man/man1/{one.name}.gz", gzipped(one.read_bytes()))


def _units(folder: Path, root: Path) -> None:
    for path in sorted(folder.rglob("*")):
        if path.is_dir():
            continue
        inside = path.relative_to(folder).parent.name
        place = f"usr/lib/{inside}" if inside in ("sysusers.d", "tmpfiles.d") else SYSTEMD.get(path.suffix)
        if place is None or inside not in ("", "sysusers.d", "tmpfiles.d"):
            raise PackageError(f"{path}: where does it go? See SYSTEMD in scripts/packagelib/staging.py")
        name = f"{path.stem}.conf" if path.suffix in (".sysusers", ".tmpfiles") else path.name
        write(root / place / name, path.read_bytes())
