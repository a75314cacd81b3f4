"""Patterns in gitignore syntax, from the operator only: what they leave out, and which are refused."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pathspec import GitIgnoreSpec

from hashscan.errors import UsageError
from hashscan.files.engine import InProcessEngine
from hashscan.files.excludes import Excludes, patterns_of
from hashscan.files.filesystems import NETWORK, is_network_mount, lies_elsewhere, network_mounts
from hashscan.files.walk import WalkOptions
from hashscan.model import Reason
from tests.support.sieves import FakeSieve
from tests.support.trees import HOSTILE_NAMES, total


def left_out(patterns: list[str], root: str, path: str) -> bool:
    """Whether a walk of ``root`` leaves ``path`` out, or something above it; a directory ends with a slash."""
    excludes = Excludes(patterns)
    parts = path.removeprefix(root.rstrip("/") + "/").rstrip("/").split("/")
    for depth, part in enumerate(parts):
        is_dir = depth < len(parts) - 1 or path.endswith("/")
        if excludes.below(root.encode(), "/".join(parts[:depth]).encode())(part, is_dir):
            return True
    return False


@pytest.mark.parametrize(
    ("patterns", "path", "out"),
    [
        (["*.iso"], "/srv/a/b/x.iso", True),
        (["*.iso"], "/srv/a/x.iso/file", True),
        (["*.iso"], "/srv/a/x.iso2", False),
        (["tmp/"], "/srv/a/tmp/", True),
        (["tmp/"], "/srv/a/tmp", False),
        (["tmp/"], "/srv/tmp/x", True),
        (["/srv/*/tmp/"], "/srv/a/tmp/x", True),
        (["/srv/*/tmp/"], "/srv/a/b/tmp/x", False),
        (["/srv/**/tmp/"], "/srv/a/b/tmp/x", True),
        (["/home/*/tmp/"], "/srv/a/tmp/x", False),
        (["**/wp-content/cache/"], "/srv/a/wp-content/cache/x", True),
        (["**/wp-content/cache/"], "/srv/a/cache/x", False),
        (["*.log", "!keep.log"], "/srv/keep.log", False),
        (["!keep.log", "*.log"], "/srv/keep.log", True),
        (["*.log", "!/srv/a/keep.log"], "/srv/a/keep.log", False),
        (["/srv/a/*.log", "!keep.log"], "/srv/a/keep.log", False),
        (["!keep.log", "/srv/a/*.log"], "/srv/a/keep.log", True),
        (["tmp/", "!keep"], "/srv/tmp/keep", True),
        (["\\#x", "\\!y"], "/srv/#x", True),
        (["\\#x", "\\!y"], "/srv/!y", True),
    ],
)
def test_what_is_left_out(patterns: list[str], path: str, out: bool) -> None:
    assert left_out(patterns, "/srv", path) is out


def test_a_root_is_scanned_whatever_leads_to_it() -> None:
    """`tmp/` is about names below the root, not about where the root lies."""
    assert not left_out(["tmp/"], "/tmp/audit", "/tmp/audit/x")
    assert not Excludes(["tmp/"]).names_root(b"/tmp/audit")
    assert Excludes(["/tmp/"]).names_root(b"/tmp/audit")
    assert Excludes(["/tmp/*"]).names_root(b"/tmp/audit")
    assert not Excludes(["/tmp/audit/x/"]).names_root(b"/tmp/audit")
    assert not Excludes(["/**"]).names_root(b"/")


@pytest.mark.parametrize("pattern", ["a/b", "wp-content/cache/", "!a/b", "[", "a[b", "!", "a\\", "/", "[z-a]", "#c", "   "])
def test_what_would_surprise_is_refused(pattern: str) -> None:
    with pytest.raises(UsageError) as caught:
        Excludes(["*.iso", pattern])
    assert repr(pattern) in str(caught.value)
    assert caught.value.hint


def test_patterns_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes(b"# ours\n\n*.iso\r\n  \ncaf\xe9\n")
    assert patterns_of(["tmp/"], tmp_path / "list") == ["*.iso", "caf\udce9", "tmp/"]
    assert Excludes(["caf\udce9"]).below(b"/srv", b"")("caf\udce9", False)
    with pytest.raises(UsageError, match="No such file"):
        patterns_of([], tmp_path / "nothing")
    (tmp_path / "list").write_bytes(b"x\n" * (1 << 20))
    with pytest.raises(UsageError, match="longer than"):
        patterns_of([], tmp_path / "list")


def test_hostile_names_are_names(tmp_path: Path) -> None:
    for name in HOSTILE_NAMES:
        Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name))).write_bytes(b"x")
    (tmp_path / "x.iso\nnot").write_bytes(b"x")
    (tmp_path / ".gitignore").write_bytes(b"*\n")
    (tmp_path / ".hashscanignore").write_bytes(b"*\n")
    seen = total(InProcessEngine(WalkOptions(exclude=Excludes(["*.iso"]))).sift([os.fsencode(tmp_path)], FakeSieve()))
    assert seen.skipped == {}, "nothing that a tenant writes leaves anything out"
    assert seen.scanned == len(HOSTILE_NAMES) + 3
    seen = total(InProcessEngine(WalkOptions(exclude=Excludes(["*"]))).sift([os.fsencode(tmp_path)], FakeSieve()))
    assert seen.skipped == {Reason.EXCLUDED: len(HOSTILE_NAMES) + 3}


PATTERNS = ["*.a", "b/", "/r/c", "/r/*/d/", "**/e/f", "!g", "h*", "!/r/b/g", "[ab]c", "?"]
NAMES = ["a.a", "b", "c", "d", "e", "f", "g", "hx", "ac", "z"]


@given(
    st.lists(st.sampled_from(PATTERNS), max_size=6),
    st.lists(st.sampled_from(NAMES), min_size=1, max_size=4),
    st.booleans(),
)
def test_as_git_has_it(patterns: list[str], names: list[str], is_dir: bool) -> None:
    """pathspec on the whole path, told where the root is, is the reference; ours asks name by name with a memory."""
    moved = [one.replace("/r/", "/") for one in patterns]
    path = "/".join(names) + ("/" if is_dir else "")
    above = ["/".join(names[: depth + 1]) + "/" for depth in range(len(names) - 1)]
    spec = GitIgnoreSpec.from_lines(moved)
    wanted = next((True for one in [*above, path] if spec.match_file(one)), False)
    assert left_out(patterns, "/r", f"/r/{path}") is wanted


def test_network_mounts_are_known_by_their_type(tmp_path: Path) -> None:
    lines = [
        b"36 35 98:0 / / rw,noatime master:1 - ext4 /dev/root rw",
        b"37 36 0:50 / /srv/share\\040one rw - nfs4 host:/x rw",
        b"38 36 0:51 / /srv/sshfs rw shared:7 - fuse.sshfs host: rw",
        b"39 36 0:52 / /srv/ctl rw - fusectl none rw",
        b"40 37 0:53 / /srv/over rw - nfs host:/y rw",
        b"41 40 8:1 / /srv/over rw - ext4 /dev/sda1 rw",
        b"broken",
    ]
    assert network_mounts(b"\n".join(lines)) == {b"/srv/share one", b"/srv/sshfs"}
    assert not is_network_mount(os.fsencode(tmp_path))


def test_scan_and_doctor_ask_the_same_about_a_type() -> None:
    kinds = [*sorted(NETWORK), b"fuse", b"fuse.sshfs", b"fuse.rclone", b"fuseblk", b"fusectl", b"ext4", b"tmpfs", b""]
    lines = [b"%d 1 0:%d / /m/%s rw - %s none rw" % (number, number, kind, kind) for number, kind in enumerate(kinds)]
    assert network_mounts(b"\n".join(lines)) == {b"/m/" + kind for kind in kinds if lies_elsewhere(kind)}
    assert not any(map(lies_elsewhere, (b"fuseblk", b"fusectl", b"ext4", b"overlay", b"tmpfs", b"")))
    assert all(map(lies_elsewhere, (b"nfs4", b"cifs", b"glusterfs", b"lustre", b"fuse", b"fuse.sshfs", b"fuse.s3fs")))


def test_git_agrees_where_it_is_there(tmp_path: Path) -> None:
    """The syntax is git's: where git is installed, it is asked about a handful of patterns."""
    try:
        subprocess.run(["git", "init", "-q", tmp_path], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("not run: git is not installed")
    patterns = ["*.iso", "tmp/", "/top", "**/a/b/", "!keep.iso", "[xy]z"]
    (tmp_path / ".gitignore").write_text("\n".join(patterns) + "\n")
    paths = ["q.iso", "keep.iso", "d/tmp/f", "top", "d/top", "d/a/b/f", "a/b/f", "xz", "zz", "d/keep.iso"]
    for path in paths:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"")
    asked = subprocess.run(
        ["git", "-C", tmp_path, "check-ignore", "--no-index", *paths], capture_output=True, text=True, check=False
    )
    ours = [one.replace("/top", "/r/top") for one in patterns]
    assert asked.stdout.split() == [path for path in paths if left_out(ours, "/r", f"/r/{path}")]
