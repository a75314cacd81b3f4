"""The short form of scripts/chroots: a .deb and an .rpm for this interpreter are built, looked into, and unpacked to be run.

The long form installs, upgrades and purges them in fresh chroots of Debian; see docs/packaging.md.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from scripts.packagelib.ground import PYTHONS
from tests.support.world import clean_environment

REPOSITORY = Path(__file__).resolve().parents[2]
PYTHON = f"3.{min(sys.version_info[1], int(PYTHONS[-1].partition('.')[2]))}"
CONFIGURATION = ["/etc/hashscan/config.toml", "/etc/default/hashscan", "/etc/logrotate.d/hashscan"]
PLACES = (
    "etc/",
    "usr/bin/hashscan",
    "usr/lib/hashscan/",
    "usr/lib/systemd/",
    "usr/lib/sysusers.d/",
    "usr/lib/tmpfiles.d/",
    "usr/share/",
)
LISTED = b"harmless stand-in\n"

pytestmark = pytest.mark.optional("dpkg")


@dataclass(frozen=True)
class Built:
    """Where the packages are, and the .deb unpacked with its control files in DEBIAN."""

    folder: Path
    root: Path

    @property
    def deb(self) -> Path:
        (found,) = self.folder.glob("*.deb")
        return found


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("packages")
    kinds = ["deb", "sbom", *(["rpm"] if shutil.which("rpmbuild") else [])]
    line = [REPOSITORY / "scripts/package", "--no-service", "--compression", "0", "--python", PYTHON, "--out", folder / "dist"]
    done = subprocess.run([*line, *(f"--only={one}" for one in kinds)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (deb,) = (folder / "dist").glob("*.deb")
    subprocess.run(["dpkg-deb", "-R", deb, folder / "root"], check=True)
    return Built(folder / "dist", folder / "root")


def files(root: Path) -> list[str]:
    found = (path.relative_to(root) for path in root.rglob("*") if not path.is_dir())
    return sorted(str(path) for path in found if path.parts[0] != "DEBIAN")


def try_it(root: Path, folder: Path) -> None:
    """The program of an unpacked package finds a planted file, with nothing of this repository or its environment."""
    tree = folder / "tree"
    tree.mkdir()
    (tree / "page.html").write_text("<p>harmless</p>\n")
    (tree / "listed.bin").write_bytes(LISTED)
    (folder / "known").write_text(f"{hashlib.sha1(LISTED).hexdigest()}\n")
    program = [sys.executable, "-ISB", root / "usr/bin/hashscan"]
    environment = {**clean_environment(), "HOME": str(folder), "PYTHONPATH": ""}
    line = [*program, "scan", "-q", "--json", "--known", folder / "known", tree]
    done = subprocess.run(line, capture_output=True, text=True, check=False, env=environment, cwd=folder)
    assert done.returncode == 10, done.stderr
    assert [one["path"] for one in map(json.loads, done.stdout.splitlines()) if one["type"] == "finding"] == [
        str(tree / "listed.bin")
    ]


def test_the_unpacked_program_scans(built: Built, tmp_path: Path) -> None:
    try_it(built.root, tmp_path)


def test_nothing_beside_the_package_is_imported(built: Built, tmp_path: Path) -> None:
    """A module in the current folder, in PYTHONPATH, or of a user is not run by root."""
    (tmp_path / "click.py").write_text("raise SystemExit(99)\n")
    environment = {**clean_environment(), "PYTHONPATH": str(tmp_path), "HOME": str(tmp_path)}
    program = [sys.executable, "-ISB", built.root / "usr/bin/hashscan", "--version"]
    done = subprocess.run(program, capture_output=True, text=True, check=False, env=environment, cwd=tmp_path)
    assert (done.returncode, done.stdout[:17]) == (0, "hashscan, version")
    control = [sys.executable, "-c", "import click"]
    assert subprocess.run(control, check=False, env=environment, cwd=tmp_path).returncode == 99
    assert (built.root / "usr/bin/hashscan").read_text().startswith("#!/usr/bin/python3 -IS\n")


def test_the_files_are_where_they_belong(built: Built) -> None:
    found = files(built.root)
    assert [name for name in found if not name.startswith(PLACES)] == []
    assert [name for name in found if name.endswith((".pyc", "RECORD", "direct_url.json"))] == []
    assert {f"usr/lib/systemd/system/hashscan-{one}" for one in ("scan.service", "scan.timer", "sync.timer")} <= set(found)
    assert len([name for name in found if name.startswith("usr/share/man/man1/hashscan-")]) > 30
    assert (built.root / "DEBIAN/conffiles").read_text().splitlines() == CONFIGURATION
    listed = subprocess.run(["dpkg-deb", "-c", built.deb], capture_output=True, text=True, check=True).stdout.splitlines()
    assert {line.split()[1] for line in listed} == {"root/root"}
    loose = [line for line in listed if not line.startswith(("-rw-r--r--", "-rwxr-xr-x", "drwxr-xr-x"))]
    assert [line.split()[-1] for line in loose] == ["./var/log/hashscan/"]
    assert stat.S_IMODE((built.root / "var/log/hashscan").stat().st_mode) == 0o700


def test_the_control_file_and_the_sums(built: Built) -> None:
    shown = ["dpkg-deb", "--field", str(built.deb)]
    fields = dict(
        line.split(": ", 1)
        for line in subprocess.run(shown, capture_output=True, text=True, check=True).stdout.splitlines()
        if re.match(r"\w", line)
    )
    assert fields["Package"] == "hashscan"
    assert "python3 (>= 3.11)" in fields["Depends"]
    done = subprocess.run(["md5sum", "--check", "--quiet", built.root / "DEBIAN/md5sums"], cwd=built.root, check=False)
    assert done.returncode == 0
    changelog = gzip.decompress((built.root / "usr/share/doc/hashscan/changelog.gz").read_bytes()).decode()
    assert changelog.startswith(f"hashscan ({fields['Version']}) ")
    done = subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=built.folder, check=False)
    assert done.returncode == 0


def test_the_scripts_know_every_unit_and_are_shell(built: Built) -> None:
    units = {
        path.name for path in (REPOSITORY / "packaging/systemd").rglob("*") if path.suffix in (".service", ".timer", ".path")
    }
    words = set(re.findall(r"[\w.-]+", (built.root / "DEBIAN/prerm").read_text()))
    assert units - words == set()
    for name in ("postinst", "prerm", "postrm"):
        script = built.root / "DEBIAN" / name
        assert "@" not in script.read_text()
        assert subprocess.run(["sh", "-n", script], check=False).returncode == 0
        assert os.access(script, os.X_OK)


@pytest.mark.optional("shellcheck")
def test_shellcheck_has_nothing_to_say(built: Built) -> None:
    scripts = [built.root / "DEBIAN" / name for name in ("postinst", "prerm", "postrm")]
    done = subprocess.run(["shellcheck", *scripts], capture_output=True, text=True, check=False)
    assert done.stdout == ""


def purge(root: Path, folder: Path) -> str:
    """What ``postrm purge`` says, with /var and /etc below ``folder``."""
    script = folder / "postrm"
    script.write_text(re.sub(r"(?<![\w/$])/(var|etc|run)/", rf"{folder}/\1/", (root / "DEBIAN/postrm").read_text()))
    done = subprocess.run(["sh", script, "purge"], capture_output=True, text=True, check=True)
    return done.stderr


def machine(folder: Path) -> Path:
    """State of a whole and of a split host, cache, configuration and empty vaults; the folder where state is."""
    state = folder / "var/lib"
    for name in (
        "hashscan/lists",
        "hashscan/vault/cases",
        "hashscan/vault/holding",
        "hashscan-parts/act/vault/cases",
        "hashscan-parts/net",
    ):
        (state / name).mkdir(parents=True)
    others = (
        "etc/hashscan/api-key",
        "etc/hashscan/root.json",
        "var/cache/hashscan/digests",
        "var/log/hashscan/x",
        "run/hashscan/lock",
    )
    for path in others:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("x")
    return state


def test_purging_an_empty_vault_leaves_nothing(built: Built, tmp_path: Path) -> None:
    machine(tmp_path)
    assert purge(built.root, tmp_path) == ""
    assert list(tmp_path.rglob("*hashscan*")) == []


@pytest.mark.parametrize("holder", ["hashscan", "hashscan-parts/act"])
@pytest.mark.parametrize(
    "kept", ["cases/0123456789abcdef/content", "holding/0123456789abcdef", "certificates/0123456789abcdef.json"]
)
def test_purging_keeps_evidence_and_says_so(built: Built, tmp_path: Path, holder: str, kept: str) -> None:
    place = machine(tmp_path) / holder
    (place / "vault" / kept).parent.mkdir(parents=True, exist_ok=True)
    (place / "vault" / kept).write_text("evidence")
    assert f"{place}/vault holds 1 case(s): evidence is never purged" in purge(built.root, tmp_path)
    assert (place / "vault" / kept).read_text() == "evidence"
    assert sorted(path.name for path in place.iterdir()) == ["root.json", "vault"]
    assert [path.name for path in (tmp_path / "var/lib").iterdir()] == [holder.partition("/")[0]]
    assert not (tmp_path / "etc/hashscan").exists()


def test_a_shell_is_told_how_a_word_goes_on(built: Built) -> None:
    words = {"_HASHSCAN_COMPLETE": "bash_complete", "COMP_WORDS": "hashscan quarantine re", "COMP_CWORD": "2"}
    program = [sys.executable, "-ISB", built.root / "usr/bin/hashscan"]
    done = subprocess.run(program, capture_output=True, text=True, check=False, env={**clean_environment(), **words})
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["plain,release", "plain,restore"], "")
    for path in (
        "bash-completion/completions/hashscan",
        "zsh/vendor-completions/_hashscan",
        "fish/vendor_completions.d/hashscan.fish",
    ):
        assert "_HASHSCAN_COMPLETE" in (built.root / "usr/share" / path).read_text()


@pytest.mark.optional("man")
def test_manual_pages_are_valid(built: Built) -> None:
    pages = sorted((built.root / "usr/share/man/man1").glob("*.gz"))
    line = ["man", "--warnings", "--encoding=UTF-8", "--local-file", "--pager=cat", *map(str, pages)]
    done = subprocess.run(
        line, capture_output=True, text=True, check=False, env={**os.environ, "MANWIDTH": "100", "LC_ALL": "C.UTF-8"}
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"^ +10 +confirmed findings; everything asked for was done$", done.stdout, re.MULTILINE)
    assert "--bwlimit" in done.stdout


@pytest.mark.optional("rpm")
def test_the_rpm_has_the_same_files(built: Built, tmp_path: Path) -> None:
    (package,) = built.folder.glob("*.rpm")
    listed = subprocess.run(["rpm", "-qlp", package], capture_output=True, text=True, check=True).stdout.splitlines()
    theirs = [name.lstrip("/") for name in listed if not (built.root / name.lstrip("/")).is_dir()]
    ours = [name.replace("zsh/vendor-completions", "zsh/site-functions") for name in files(built.root)]
    assert sorted(theirs) == sorted(name for name in ours if not name.endswith("/changelog.gz") and "lintian" not in name)
    archive = subprocess.run(["rpm2cpio", package], capture_output=True, check=True).stdout
    (tmp_path / "root").mkdir()
    subprocess.run(["cpio", "-idm", "--quiet"], input=archive, cwd=tmp_path / "root", check=True)
    try_it(tmp_path / "root", tmp_path)
    owned = subprocess.run(["rpm", "-qcp", package], capture_output=True, text=True, check=True).stdout.splitlines()
    assert sorted(owned) == sorted(CONFIGURATION)


def test_the_bill_names_what_is_packed(built: Built) -> None:
    bill = json.loads((built.root / "usr/share/doc/hashscan/sbom.cdx.json").read_text())
    named = {(one["name"].replace("-", "_"), one["version"]) for one in bill["components"]} | {
        ("hashscan", bill["metadata"]["component"]["version"])
    }
    packed = {
        tuple(path.name.removesuffix(".dist-info").rsplit("-", 1))
        for path in (built.root / "usr/lib/hashscan").glob("*.dist-info")
    }
    assert {(name.lower(), version) for name, version in packed} == named
    assert all(re.fullmatch("[0-9a-f]{64}", one["value"]) for part in bill["components"] for one in part["properties"])
