"""scripts/package, part by part: the lock, one folder for every interpreter, texts, the OCI image. Nothing is built here."""

from __future__ import annotations

import ast
import gzip
import hashlib
import io
import json
import re
import tarfile
import tomllib
import zipfile
from pathlib import Path

import click
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts.packagelib import lock, man, oci, staging, texts, tree, twice, wheels
from scripts.packagelib.ground import PYTHONS, Ground, PackageError, epoch_of, settle, tilde, version_of

REPOSITORY = Path(__file__).resolve().parents[2]
EPOCH = 1_700_000_000
DIGEST = "ab" * 32


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(REPOSITORY, tmp_path / "work", tmp_path / "out", EPOCH, "1.2.3")


def wheel(folder: Path, name: str, files: dict[str, str], requires: tuple[str, ...] = ()) -> wheels.Wheel:
    """A wheel of ``name`` 1.0 with some files."""
    path = folder / f"{name}-1.0-{'cp312-cp312-linux_x86_64' if folder.name == 'other' else 'py3-none-any'}.whl"
    path.parent.mkdir(exist_ok=True)
    lines = [f"Name: {name}", "Version: 1.0", "License-Expression: MIT", *(f"Requires-Dist: {one}" for one in requires)]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}-1.0.dist-info/METADATA", "\n".join(lines) + "\n")
        for place, content in files.items():
            archive.writestr(place, content)
    return wheels.Wheel(path)


# The lock


def test_the_lock_is_read_as_it_is_written() -> None:
    pins = [lock.Pin("b", "2.0", frozenset({DIGEST, "cd" * 32})), lock.Pin("a", "1", frozenset({DIGEST}))]
    assert lock.read(lock.written(pins)) == {one.name: one for one in pins}


@pytest.mark.parametrize(
    "bad", ["a>=1 --hash=sha256:" + DIGEST, "a==1", "a==1 --hash=md5:abc", "-r other.txt", "a==1 --hash=sha256:12"]
)
def test_a_line_without_version_and_digest_is_refused(bad: str) -> None:
    with pytest.raises(PackageError, match="not a pin"):
        lock.read(f"{bad}\n")


def test_the_lock_holds_what_the_project_asks_for() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    pins = lock.read((REPOSITORY / lock.LOCK).read_text())
    extras = project["optional-dependencies"]
    asked = [
        Requirement(line)
        for line in (*project["dependencies"], *(one for name in lock.EXTRAS.split(",") for one in extras[name]))
    ]
    asked = [one for one in asked if one.name != "hashscan"]
    assert len(asked) > 15
    assert [str(one) for one in asked if not one.specifier.contains(pins[canonicalize_name(one.name)].version)] == []


def test_what_is_needed_is_followed_through_markers_and_extras(tmp_path: Path) -> None:
    root = wheel(tmp_path, "root", {}, ("a", "b[more]; extra == 'x'", "c; python_version < '3.11'"))
    others = [wheel(tmp_path, "a", {}), wheel(tmp_path, "b", {}, ("d; extra == 'more'",)), wheel(tmp_path, "d", {})]
    assert [one.name for one in wheels.closure(others, root, [])] == ["a"]
    assert [one.name for one in wheels.closure(others, root, ["x"])] == ["a", "b", "d"]
    with pytest.raises(PackageError, match="lacks d"):
        wheels.closure(others[:2], root, ["x"])


def test_a_wheel_of_other_bytes_is_refused(tmp_path: Path, ground: Ground) -> None:
    digest = wheel(tmp_path, "p", {}).digest
    lines = lock.written([lock.Pin("p", "1.0", frozenset({digest}))])
    (tmp_path / "packaging").mkdir()
    (tmp_path / lock.LOCK).write_text(lines)
    there = Ground(tmp_path, ground.work, ground.out, EPOCH, "1.2.3")
    folder = tmp_path / "cache" / hashlib.sha256(f"{lines} 3.12 {there.machine}".encode()).hexdigest()[:16]
    folder.mkdir(parents=True)
    (tmp_path / "p-1.0-py3-none-any.whl").rename(folder / "p-1.0-py3-none-any.whl")
    assert [one.name for one in wheels.fetch(there, lock.read(lines), ["3.12"], tmp_path / "cache")] == ["p"]
    with (folder / "p-1.0-py3-none-any.whl").open("ab") as stream:
        stream.write(b"\0")
    with pytest.raises(PackageError, match="another digest"):
        wheels.fetch(there, lock.read(lines), ["3.12"], tmp_path / "cache")


# One folder for every interpreter


def test_compiled_modules_of_two_interpreters_lie_side_by_side(tmp_path: Path) -> None:
    same = {"p/__init__.py": "x = 1\n"}
    first = wheel(tmp_path / "one", "p", {**same, "p/m.cpython-311.so": "a", "p-1.0.dist-info/WHEEL": "Tag: cp311"})
    second = wheel(tmp_path / "other", "p", {**same, "p/m.cpython-312.so": "b", "p-1.0.dist-info/WHEEL": "Tag: cp312"})
    tree.merge([first.path, second.path], tmp_path / "tree")
    found = sorted(str(path.relative_to(tmp_path / "tree")) for path in (tmp_path / "tree").rglob("*") if path.is_file())
    assert found == ["p-1.0.dist-info/METADATA", "p/__init__.py", "p/m.cpython-311.so", "p/m.cpython-312.so"]


def test_files_that_differ_are_an_error(tmp_path: Path) -> None:
    first = wheel(tmp_path / "one", "p", {"p/__init__.py": "x = 1\n"})
    second = wheel(tmp_path / "other", "p", {"p/__init__.py": "x = 2\n"})
    with pytest.raises(PackageError, match=r"another __init__\.py"):
        tree.merge([first.path, second.path], tmp_path / "tree")


@pytest.mark.parametrize("name", ["../outside", "/etc/outside", "p/../../outside"])
def test_a_wheel_that_leaves_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(PackageError, match="would write"):
        tree.merge([wheel(tmp_path, "p", {name: ""}).path], tmp_path / "tree")
    assert not (tmp_path / "outside").exists()


def test_the_launcher_knows_the_interpreters() -> None:
    module = ast.parse((REPOSITORY / "packaging/launcher.py").read_text(), feature_version=(3, 7))
    (said,) = [ast.literal_eval(node.value) for node in module.body if isinstance(node, ast.Assign)]
    assert [f"{major}.{minor}" for major, minor in said] == [PYTHONS[0], PYTHONS[-1]]
    scripts = (REPOSITORY / "packaging/rpm/hashscan.scripts").read_text()
    assert all(f"/usr/bin/python{one} " in scripts.replace(";", " ") for one in PYTHONS)


def test_every_unit_has_a_place(tmp_path: Path) -> None:
    staging._units(REPOSITORY / "packaging/systemd", tmp_path)
    placed = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert {"hashscan-scan.service", "hashscan-scan.timer", "hashscan-sync.timer"} <= placed
    (tmp_path / "strange").mkdir()
    (tmp_path / "strange/what.is-it").touch()
    with pytest.raises(PackageError, match="where does it go"):
        staging._units(tmp_path / "strange", tmp_path / "root")


# Versions, times, texts


@pytest.mark.parametrize(
    ("version", "debian"), [("0.1.0", "0.1.0"), ("0.2.0.dev3", "0.2.0~dev3"), ("1.0rc1", "1.0~rc1"), ("1.0b2", "1.0~b2")]
)
def test_what_comes_before_a_release_sorts_before_it(version: str, debian: str) -> None:
    assert tilde(version) == debian


def test_the_time_is_said_or_that_of_the_last_commit(tmp_path: Path) -> None:
    assert epoch_of(tmp_path, {"SOURCE_DATE_EPOCH": "17"}) == 17
    with pytest.raises(PackageError, match="set SOURCE_DATE_EPOCH"):
        epoch_of(tmp_path, {})
    with pytest.raises(PackageError, match="not a number"):
        epoch_of(tmp_path, {"SOURCE_DATE_EPOCH": "yesterday"})


def test_no_umask_and_no_clock_is_left_in_files(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir(mode=0o700)
    for name, mode in (("program", 0o700), ("file", 0o660)):
        (tmp_path / "bin" / name).touch(mode)
    (tmp_path / "link").symlink_to("bin")
    settle(tmp_path, EPOCH)
    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")} == {
        "bin": 0o755,
        "link": 0o755,
        "program": 0o755,
        "file": 0o644,
    }
    assert {path.lstat().st_mtime for path in (tmp_path, *tmp_path.rglob("*"))} == {EPOCH}


def test_the_changelog_is_the_newest_section(ground: Ground) -> None:
    text = "# C\n\n## [Unreleased]\n\n### Added\n\n- `scan`: one,\n  two.\n- See [a](b.md) 100%.\n\n## [0.1]\n\n- old\n"
    assert texts.changes(text) == ["scan: one, two.", "See a 100%."]
    told = texts.debian_changelog(ground, "hashscan", text)
    assert told.startswith("hashscan (1.2.3) unstable; urgency=medium\n\n  * scan: one, two.\n  * See a 100%.\n\n -- ")
    assert told.endswith("  Tue, 14 Nov 2023 22:13:20 +0000\n")
    assert "100%%." in texts.rpm_changelog(ground, text)
    assert all(
        len(line) < 90
        for line in texts.debian_changelog(ground, "hashscan", (REPOSITORY / "CHANGELOG.md").read_text()).splitlines()
    )


def test_a_name_that_nobody_fills_is_an_error() -> None:
    assert texts.filled("a @B@ c", B="x") == "a x c"
    with pytest.raises(KeyError):
        texts.filled("@NOBODY@")


# Manual pages


def test_roff_takes_the_text_literally() -> None:
    assert man.escaped(".TH\n'x\na-b\\") == "\\&.TH\n\\&'x\na\\-b\\e"


def test_a_page_says_what_help_says() -> None:
    @click.command(name="dance")
    @click.option("--fast", "-f", is_flag=True, help="Not slow.")
    @click.argument("path")
    def dance() -> None:
        """Dance well.

        \b
        one
          two
        """

    said = man.page("hashscan dance", dance, ["hashscan", "hashscan dance"], EPOCH, [])
    assert '.TH "HASHSCAN\\-DANCE" 1 "2023-11-14"' in said
    assert ".SH NAME\nhashscan\\-dance \\- Dance well" in said
    assert "\\fBhashscan dance\\fR [OPTIONS] PATH" in said
    assert ".nf\none\ntwo\n.fi" in said
    assert ".TP\n\\fB\\-f, \\-\\-fast\\fR\nNot slow." in said


def test_exit_codes_are_those_of_the_readme() -> None:
    codes = man.exit_codes((REPOSITORY / "README.md").read_text())
    assert dict(codes)["10"] == "confirmed findings; everything asked for was done"
    assert len(codes) == 11


# The image


def test_the_image_names_every_blob_by_its_digest(ground: Ground, tmp_path: Path) -> None:
    (tmp_path / "root/usr/bin").mkdir(parents=True)
    (tmp_path / "root/usr/bin/hashscan").write_text("#!/bin/sh\n")
    (tmp_path / "root/usr/bin/hashscan").chmod(0o755)
    made = oci.image(ground, [oci._directories(), oci.from_folder(tmp_path / "root")])
    assert made == oci.image(ground, [oci._directories(), oci.from_folder(tmp_path / "root")])
    with tarfile.open(fileobj=io.BytesIO(made)) as archive:
        blobs = {one.name: archive.extractfile(one).read() for one in archive if one.isreg()}  # type: ignore[union-attr]
    for name, content in blobs.items():
        if name.startswith("blobs/"):
            assert name == f"blobs/sha256/{hashlib.sha256(content).hexdigest()}"
    (top,) = json.loads(blobs["index.json"])["manifests"]
    manifest = json.loads(blob(blobs, top))
    config = json.loads(blob(blobs, manifest["config"]))
    plain = [gzip.decompress(blob(blobs, one)) for one in manifest["layers"]]
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(one).hexdigest()}" for one in plain]
    assert config["config"]["Entrypoint"] == ["/usr/bin/hashscan"]
    with tarfile.open(fileobj=io.BytesIO(plain[0])) as layer:
        assert (layer.getmember("home/hashscan").uid, layer.getmember("home/hashscan").mode) == (oci.NONROOT, 0o700)
        assert {one.mtime for one in layer} == {EPOCH}
    with tarfile.open(fileobj=io.BytesIO(plain[1])) as layer:
        assert layer.getmember("usr/bin/hashscan").mode == 0o755


def blob(blobs: dict[str, bytes], named: dict[str, str]) -> bytes:
    content = blobs[f"blobs/{named['digest'].replace(':', '/')}"]
    assert len(content) == named["size"]
    return content


@pytest.mark.parametrize(
    "name",
    [
        "usr/share/doc/x/README",
        "usr/share/man/man1/x.1",
        "var/lib/dpkg/status",
        "var/cache/apt/x",
        "usr/bin/dpkg",
        "usr/lib/hashscan/x.cpython-312-x86_64-linux-gnu.so",
    ],
)
def test_the_image_leaves_out_what_nobody_runs(name: str) -> None:
    assert not oci.is_used(name)


@pytest.mark.parametrize(
    "name",
    [
        "usr/share/doc/x/copyright",
        "usr/bin/python3.13",
        "usr/lib/python3.13/os.py",
        "usr/lib/hashscan/x.py",
        "usr/lib/hashscan/x.cpython-313-x86_64-linux-gnu.so",
        "var/lib",
    ],
)
def test_control_the_image_keeps_what_is_run(name: str) -> None:
    assert oci.is_used(name)


# Scripts of packages


def test_purging_asks_for_cases_before_anything_is_removed() -> None:
    text = (REPOSITORY / "packaging/deb/hashscan.postrm").read_text()
    assert text.index("cases=$(find") < text.index("rm -rf")
    for line in re.findall(r"rm -rf (.*)$", text, re.MULTILINE):
        assert "vault" not in line


def test_the_version_is_that_of_the_program() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", version_of(REPOSITORY))


# Two builds


BUILDS = """#!/bin/sh
mkdir -p "$2"
printf 'aa  same.whl\\n%s  other.whl\\n' "{other}" >"$2/SHA256SUMS"
exit {code}
"""


@pytest.mark.parametrize(
    ("other", "code", "said"),
    [("bb", 0, "2 artefacts built twice, 0 different"), ("$TZ", 0, "2 artefacts built twice, 1 different")],
)
def test_two_builds_that_differ_are_noticed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], other: str, code: int, said: str
) -> None:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/package").write_text(BUILDS.format(other=other, code=code))
    (tmp_path / "scripts/package").chmod(0o755)
    assert twice.compare(tmp_path, EPOCH, ["--twice"]) == int("1 different" in said)
    assert capsys.readouterr().out.splitlines()[-1] == said


def test_a_build_that_fails_is_no_comparison(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/package").write_text(BUILDS.format(other="x", code=3))
    (tmp_path / "scripts/package").chmod(0o755)
    with pytest.raises(PackageError, match="build 1 failed"):
        twice.compare(tmp_path, EPOCH, [])


# Ansible


def test_the_role_names_every_variable_it_reads() -> None:
    role = REPOSITORY / "packaging/ansible/roles/hashscan"
    known = set(re.findall(r"^(hashscan_\w+):", (role / "defaults/main.yml").read_text(), re.MULTILINE))
    read = [*(role / "tasks").iterdir(), *(role / "templates").iterdir()]
    assert {name for path in read for name in re.findall(r"\bhashscan_\w+", path.read_text())} == known
    units = {path.name for path in (REPOSITORY / "packaging/systemd").iterdir()}
    assert set(re.findall(r"hashscan-\w+\.timer", (role / "defaults/main.yml").read_text())) <= units
