"""The command line of scripts/chroots."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from scripts.chrootlib import role, story
from scripts.chrootlib.hotline import Hotline, hotline
from scripts.chrootlib.jail import SUITES, Jail, jail

SOURCE = Path(__file__).resolve().parents[2]


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="scripts/chroots", description=__doc__)
    parser.add_argument(
        "--suite", action="append", choices=SUITES, help="default: all, or the newest with HASHSCAN_BUDGET below 1"
    )
    parser.add_argument("--packages", type=Path, help="folder with the .deb files; default: build them")
    parser.add_argument(
        "--cache", type=Path, default=SOURCE / "build" / "chroots", help="where fresh chroots are kept as tar files"
    )
    parser.add_argument("--ansible", default=shutil.which("ansible-playbook"), help="ansible-playbook, to play the role too")
    asked = parser.parse_args()
    if not asked.suite:
        asked.suite = list(SUITES) if float(os.environ.get("HASHSCAN_BUDGET", "1")) >= 1 else list(SUITES)[-1:]
    return asked


def newer_version(package: Path, folder: Path) -> tuple[Path, str]:
    """The same package under the next version, with a program that says so; as a release would be."""
    root = folder / "newer"
    subprocess.run(["dpkg-deb", "-R", str(package), str(root)], check=True)
    control = root / "DEBIAN/control"
    (version,) = re.findall(r"^Version: (.*)$", control.read_text(), re.MULTILINE)
    control.write_text(control.read_text().replace(f"Version: {version}\n", f"Version: {version}+next\n"))
    with (root / "usr/lib/hashscan/hashscan/__init__.py").open("a") as stream:
        stream.write('\n__version__ += "+next"\n')
    made = folder / "newer.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-Zgzip", "--build", str(root), str(made)], check=True, capture_output=True
    )
    return made, f"{version}+next"


def live(suite: str, here: Jail, service: Hotline, package: Path, newer: tuple[Path, str]) -> None:
    """Everything that happens to a package on one machine."""
    commands = story.quick_start(SOURCE / "README.md")
    shutil.copy(package, here.top / "opt/hashscan.deb")
    story.plant(here)
    said = here.run("apt-get update -q && apt-get install -y -q /opt/hashscan.deb && hashscan --version")
    here.holds(f"installed on Debian {SUITES[suite]}: {said.splitlines()[-1]}, {here.run('python3 --version').strip()}")
    story.contents(here)
    story.audit(here)
    story.nightly(here, service, commands)
    story.remove(here)
    story.purge_all(here)
    story.nightly(here, service, commands)
    case = story.quarantine(here)
    story.upgrade(here, *newer, case)
    story.remove(here)
    story.purge_with_case(here, case)


def main() -> int:
    """Run the story in each suite; prints what was looked at, and how much."""
    asked = arguments()
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        print("scripts/chroots: needs root and debootstrap (on Debian: apt install debootstrap)", file=sys.stderr)
        return 2
    looked_at = typed = 0
    with tempfile.TemporaryDirectory(prefix="hashscan-chroots-") as name:
        folder = Path(name)
        packages = asked.packages or folder / "dist"
        if not asked.packages:
            subprocess.run([SOURCE / "scripts" / "package", "--only", "deb", "--out", packages], check=True)
        (agent,), (service,) = packages.glob("hashscan_*.deb"), packages.glob("hashscan-service_*.deb")
        newer = newer_version(agent, folder)
        with hotline([agent, service], folder) as told:
            for suite in asked.suite:
                begun = time.monotonic()
                with jail(suite, folder, asked.cache) as here:
                    live(suite, here, told, agent, newer)
                    if asked.ansible:
                        role.play(here, told, agent, asked.ansible)
                    else:
                        print("not run: the Ansible role; install ansible, or name ansible-playbook with --ansible")
                looked_at, typed = looked_at + len(here.checks), typed + here.typed
                seconds = time.monotonic() - begun
                print(f"Debian {SUITES[suite]}: {len(here.checks)} things hold, {here.typed} commands, {seconds:.0f} s")
    print(f"{len(asked.suite)} chroots, {looked_at} things hold, {typed} commands typed, none failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
