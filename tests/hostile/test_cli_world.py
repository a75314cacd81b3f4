"""Odd worlds: readers that go away, closed descriptors, terminals, roots that are no folders, our own folders in the tree."""

from __future__ import annotations

import os
import pty
import subprocess
import threading
from pathlib import Path

import pytest

from tests.support.world import LISTED, TIMEOUT, Told, World, clean_environment, command, content, digest, hashscan, marks


def in_shell(world: World, script: str) -> Told:
    """A line as a user types it, ``hashscan`` with this company's configuration. The code is that of the first in a pipe."""
    words = " ".join(f"'{os.fsdecode(word)}'" for word in command("--config", world.config))
    done = subprocess.run(
        ["bash", "-c", f'hashscan() {{ {words} "$@"; }}; {script}; exit ${{PIPESTATUS[0]}}'],
        capture_output=True,
        timeout=TIMEOUT,
        check=False,
        env=clean_environment(),
        cwd=world.top,
    )
    told = Told(done.returncode, done.stdout, done.stderr.decode())
    assert "Traceback" not in told.err, told.err
    assert "Exception" not in told.err, told.err
    return told


def test_a_reader_that_goes_away(world: World) -> None:
    """An unread finding must not look like a clean run: never 0, and never 1, which says that we have crashed."""
    for number in range(3):
        world.plant(*LISTED, at=f"customer-{number}")
    told = in_shell(world, "hashscan scan --json -q srv | true")
    assert told.code == 3
    assert "cannot be written" in told.err
    in_shell(world, "hashscan scan --json -q srv | head -1")
    told = in_shell(world, "hashscan scan srv 2>&1 | true")
    assert told.code == 3
    assert world.scan("-q", "--quarantine").code == 10
    for line in ("quarantine list --names", "quarantine list --json", "status", "status --json", "--help", "selftest"):
        assert in_shell(world, f"hashscan {line} | true").code not in (1, 120, 255), line


def test_closed_descriptors(world: World) -> None:
    """The state's own files must not get the numbers 0 to 2, where messages would be written into them."""
    world.plant(LISTED[0])
    assert in_shell(world, "hashscan scan -q srv <&-").code == 10
    assert in_shell(world, "hashscan scan -q srv 2>&-").code == 10
    assert in_shell(world, "hashscan scan -q srv >&- 2>&- <&-").code == 10
    told = in_shell(world, "hashscan scan --json -q srv >&-")
    assert told.code == 3
    assert "cannot be written" in told.err
    assert in_shell(world, "hashscan status >&-").code == 3
    assert in_shell(world, "hashscan scan --json -q srv >/dev/full").code == 3
    assert world.run("status").code == 0
    assert world.run("scan", "-q", "--quarantine", world.tree).code == 10


def on_terminal(world: World, *arguments: str | Path, **env: str) -> bytes:
    """What a terminal gets to see."""
    leader, follower = pty.openpty()
    seen = bytearray()

    def read() -> None:
        while True:
            try:
                seen.extend(os.read(leader, 4096))
            except OSError:  # the last one who had it open is gone
                return

    reader = threading.Thread(target=read)
    environment = {**clean_environment(), **env}
    with subprocess.Popen(
        command("--config", world.config, *arguments), stdin=follower, stdout=follower, stderr=follower, env=environment
    ) as child:
        os.close(follower)
        reader.start()
        assert child.wait(TIMEOUT) != 1
    reader.join(TIMEOUT)
    os.close(leader)
    return bytes(seen)


def test_terminals(world: World) -> None:
    name = b"\x1b]0;owned\x07\x1b[2Jname"
    (world.tree / "alice").mkdir()
    with open(os.path.join(os.fsencode(world.tree), b"alice", name), "wb") as stream:
        stream.write(content(LISTED[0]))
    colourful = on_terminal(world, "scan", world.tree, TERM="xterm-256color")
    assert b"\x1b[" in colourful
    plain = on_terminal(world, "scan", world.tree, TERM="xterm-256color", NO_COLOR="1")
    dumb = on_terminal(world, "scan", world.tree, TERM="dumb")
    for seen in (colourful, plain, dumb):
        assert b"FINDING" in seen
        assert b"\x1b]0" not in seen
        assert b"\x1b[2J" not in seen
        assert b"\\x1b]0;owned" in seen
    assert b"\x1b[3" not in plain
    assert b"\x1b[1;3" not in plain
    assert b"\x1b" not in dumb


def test_the_current_directory_is_gone(world: World) -> None:
    told = in_shell(world, "mkdir here && cd here && rmdir ../here && hashscan scan -q .")
    assert told.code == 2
    assert "current directory is gone" in told.complaint


def test_a_demo_needs_a_new_folder(world: World) -> None:
    told = hashscan("demo", "--keep", world.tree)
    assert told.code == 2
    assert "File exists" in told.complaint


@pytest.fixture
def known(tmp_path: Path) -> Path:
    path = tmp_path / "known"
    path.write_text(f"{digest(LISTED[0])}\n")
    return path


def test_roots_of_all_kinds(world: World, known: Path) -> None:
    (planted,) = world.plant(LISTED[0])
    top = world.top
    os.mkfifo(top / "fifo")
    (top / "link").symlink_to(world.tree)
    (top / "file link").symlink_to(planted)
    (top / "dangling").symlink_to(top / "nowhere")
    (top / "loop").symlink_to(top / "loop")

    def audit(*roots: str | bytes | Path) -> Told:
        return hashscan("scan", "--json", "-q", "--known", known, *roots, cwd=world.tree)

    assert audit(planted).code == 10
    assert audit(top / "link").code == 10
    assert audit(top / "file link").code == 10
    assert audit("alice/../../srv/./alice").code == 10
    assert audit(".").code == 10
    assert audit(b"//" + os.fsencode(world.tree) + b"//").code == 10
    for odd in (top / "fifo", "/dev/null", "/dev/zero"):
        told = audit(odd)
        assert told.code == 0
        assert told.summary["paths"]["skipped"] == {"special": 1}
    assert audit(top / "dangling").code == 2
    assert audit(top / "loop").code in (2, 3)
    assert audit(planted / "below").code == 2
    told = audit("/proc/self/task")
    assert told.code in (0, 3)


def test_our_own_folders(world: World) -> None:
    """Evidence is never scanned, so never quarantined again; but a folder that is not private is no folder of ours."""
    world.plant(*LISTED[:2])
    world.configure(quarantine={"enabled": True, "vault": "../srv/vault"}, paths={"state": "../srv/state", "run": "../srv"})
    (world.state / "lists").rename(world.tree / "lists")
    (world.tree / "state").mkdir(mode=0o700)
    (world.tree / "lists").rename(world.tree / "state" / "lists")
    told = world.scan()
    assert told.code == 10
    assert {one["action"] for one in told.of("action")} == {"quarantined"}
    told = world.scan()
    assert told.code == 0, told.events
    assert told.summary["paths"]["skipped"] == {"own": 2}
    for path in ("vault", "vault/cases", "state", "state/lists"):
        told = world.run("scan", "--json", "-q", world.tree / path)
        assert told.code == 2
        assert "belongs to hashscan itself" in told.complaint
    (world.top / "link").symlink_to(world.tree / "vault")
    assert world.run("scan", "-q", world.top / "link" / "cases").code == 2
    assert world.run("quarantine", "list").code == 0


def test_a_listed_path_that_is_gone(world: World) -> None:
    """A list of files is older than the scan: what vanished meanwhile must not keep the others from being scanned."""
    (planted,) = world.plant(LISTED[0])
    listed = world.top / "paths"
    listed.write_bytes(b"%s\n%s\n" % (os.fsencode(world.tree / "gone"), os.fsencode(planted)))
    told = world.run("scan", "--json", "-q", "--files-from", listed)
    assert told.code == 10
    assert [one["path"] for one in told.of("finding")] == [str(planted)]
    assert told.summary["paths"]["errors"] == {"ENOENT": 1}
    assert told.summary["paths"]["seen"] == 2
    assert [one["path"] for one in told.of("error")] == [str(world.tree / "gone")]
    listed.write_bytes(os.fsencode(world.tree / "gone") + b"\n")
    assert world.run("scan", "--json", "-q", "--files-from", listed).code == 3


def test_hard_links_that_may_be_moved(world: World) -> None:
    """All names of one file go, each with a case of its own."""
    (path,) = world.plant(LISTED[0])
    (world.tree / "bob").mkdir()
    os.link(path, world.tree / "bob" / "other")
    world.configure(quarantine={"enabled": True, "allow_hard_links": True})
    before = marks(world.tree)
    told = world.scan()
    assert told.code == 10, told.of("action")
    assert {one["action"] for one in told.of("action")} == {"quarantined"}
    assert len(world.cases()) == 2
    for case in world.cases():
        assert world.run("quarantine", "restore", case["case_id"]).code == 0
    after = marks(world.tree)
    assert {name: mark.digest for name, mark in after.items()} == {name: mark.digest for name, mark in before.items()}
