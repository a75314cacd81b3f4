"""Bad input and bad circumstances at the command line: one clear line, the right exit code, never a traceback."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import hashlib
import os
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support import mounts
from tests.support.world import LISTED, Hotline, Told, World, content, digest, hashscan, marks

PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 24, 1, 2


def complains(told: Told, code: int, *words: str) -> None:
    """One line (and a hint) that holds ``words``, and the exit code."""
    assert told.code == code, (told.code, told.err)
    complaint = told.complaint
    assert all(word in complaint for word in words), complaint


def ends_in_error(told: Told, code: int, *words: str) -> None:
    """The same, for people and for machines: the last NDJSON line says it too."""
    complains(told, code, *words)
    assert (told.events[-1]["type"], told.events[-1]["exit_code"]) == ("exit_error", code)
    assert not told.of("summary")


def without_privileges() -> None:
    """In the child, before it becomes the command: root that has to obey the permission bits of its own files."""
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None)
        for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
            assert libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0


def test_a_missing_path(world: World) -> None:
    ends_in_error(world.run("scan", "--json", "-q", world.top / "nowhere"), 2, "no such file or directory", "nowhere")
    complains(world.run("scan", "-q", b"/nowhere/\xff\n\x1b[31m"), 2, "no such file or directory")
    complains(world.run("check", world.top / "nowhere"), 2, "nowhere")
    complains(world.run("scan", "-q", ""), 2, "empty")
    complains(world.run("scan"), 2, "nothing to scan")


def test_an_unreadable_folder(tmp_path: Path) -> None:
    tree, home = tmp_path / "srv", tmp_path / "home"
    (tree / "locked").mkdir(parents=True)
    home.mkdir()
    (tree / "locked" / "bad").write_bytes(content("bad"))
    (tree / "closed").write_bytes(b"closed")
    (tree / "good").write_bytes(b"good")
    for path in (tree / "locked", tree / "closed"):
        path.chmod(0)
    (tmp_path / "list").write_text(digest("bad") + "\n")
    line = ("scan", "--json", "--known", tmp_path / "list", tree)
    told = hashscan(*line, env={"HOME": str(home)}, preexec_fn=without_privileges)
    (tree / "locked").chmod(0o700)
    assert told.code == 3
    assert {one["path"]: one["errno"] for one in told.of("error")} == {
        str(tree / "locked"): "EACCES",
        str(tree / "closed"): "EACCES",
    }
    assert told.summary["paths"]["errors"] == {"EACCES": 2}
    assert (told.summary["paths"]["seen"], told.summary["paths"]["scanned"]) == (3, 1)
    assert "unreadable" in told.err


def _filters(world: World) -> list[Path]:
    return sorted((world.state / "lists").glob("*.filter"))


def test_a_corrupt_filter(world: World) -> None:
    path = _filters(world)[-1]
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    ends_in_error(world.scan("-q"), 20, path.name)
    ends_in_error(world.run("confirm", "-q", "--json"), 20, path.name)
    complains(world.run("selftest"), 20, path.name)
    path.write_bytes(b"\xff" * len(data))
    ends_in_error(world.scan("-q"), 20, path.name)
    path.write_bytes(data[:40])
    ends_in_error(world.scan("-q"), 20, path.name)
    path.unlink()
    ends_in_error(world.scan("-q"), 20, path.name)
    world.run("sync", "-q")
    assert world.scan("-q").code == 0


def test_a_filter_of_somebody_else(world: World, hotline: Hotline, tmp_path: Path) -> None:
    other = hotline.admit(tmp_path / "other", "newbie")
    for mine, theirs in zip(_filters(world), _filters(other), strict=True):
        shutil.copy(theirs, mine)
    ends_in_error(world.scan("-q"), 20, "filter")
    complains(world.run("selftest"), 20, "filter")
    shutil.copytree(other.state / "lists", world.state / "lists", dirs_exist_ok=True)
    ends_in_error(world.scan("-q"), 20)
    assert world.run("status").code == 20


def test_lists_that_are_missing_or_too_old(world: World) -> None:
    world.configure(lists={"max_age": "0s"})
    ends_in_error(world.scan("-q"), 20, "days old", "sync")
    assert world.run("status").code == 20
    shutil.rmtree(world.state / "lists")
    ends_in_error(world.scan("-q"), 20, "no hash list", "sync")
    assert world.run("status").code == 20


def test_a_wrong_api_key(world: World) -> None:
    key = world.etc / "api-key"
    key.write_text("hsk_" + "A" * 43 + "\n")
    paths = world.plant(LISTED[0])
    told = world.scan("--quarantine")
    assert told.code == 22
    assert told.summary["refused"] is True
    assert [one["path"] for one in told.of("pending")] == [str(paths[0])]
    assert paths[0].exists()
    ends_in_error(world.run("sync", "-q", "--json"), 22, "401")
    told = world.run("selftest")
    assert told.code == 22
    assert "refused" in told.complaint


@pytest.fixture
def html_service() -> Iterator[str]:
    """A web server that answers everything with a page, as a captive portal or a proxy does."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b"<html><h1>Welcome</h1><p>true</p></html>"
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def log_message(self, *arguments: object) -> None:
            """Silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_service_that_speaks_html(world: World, html_service: str) -> None:
    world.configure(service={"url": html_service, "deadline": 1})
    paths = world.plant(*LISTED)
    before = marks(world.tree)
    told = world.scan("--quarantine")
    assert told.code == 11
    assert len(told.of("pending")) == len(paths)
    assert not told.of("finding")
    assert marks(world.tree) == before
    told = world.run("sync", "-q", "--json")
    assert told.code in (11, 20)
    ends_in_error(told, told.code)
    assert world.run("selftest").code == 20
    assert world.run("status").code == 11  # the lists in force are as they were


def test_a_full_disk_in_the_vault(world: World) -> None:
    """The originals stay where they are, untouched; what fits is taken."""
    paths = world.plant(*LISTED)

    def body() -> None:
        vault = world.top / "small"
        mounts.tmpfs(vault, 64)
        vault.chmod(0o700)
        world.configure(quarantine={"vault": str(vault), "enabled": True})
        before = marks(world.tree)
        told = world.scan()
        assert told.code == 12, told.err
        ends = {one["path"]: (one["action"], one["reason"]) for one in told.of("action")}
        failed = {path for path, (action, _) in ends.items() if action == "failed"}
        assert failed
        assert all("No space left" in ends[path][1] for path in failed)
        for path in failed:
            assert marks(world.tree)[os.fsencode(path)] == before[os.fsencode(path)]
        assert world.run("quarantine", "list").code == 0

    mounts.with_own_mounts(body)
    assert any(path.exists() for path in paths)


def fill(path: Path) -> None:
    """Until there is no byte left."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    while suppressed_write(fd):
        pass
    os.close(fd)


def suppressed_write(fd: int) -> int:
    """How many bytes went in; 0 where the disk is full."""
    try:
        return os.write(fd, bytes(512))
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        return 0


def test_a_full_disk_in_the_state_folder(world: World) -> None:
    """A candidate that cannot be remembered is not asked about, and nothing is moved."""
    world.plant(*LISTED)

    def body() -> None:
        state = world.top / "small"
        mounts.tmpfs(state, 1024)
        state.chmod(0o700)
        shutil.copytree(world.state / "lists", state / "lists")
        world.configure(paths={"state": str(state)}, quarantine={"enabled": True})
        fill(state / "ballast")
        before = marks(world.tree)
        told = world.scan("-q")
        ends_in_error(told, 3, "state")
        assert marks(world.tree) == before
        told = world.run("sync", "--json", "-q")
        assert told.code in (0, 3)

    mounts.with_own_mounts(body)


HOSTILE = [b"new\nline", b"\xff\xfe not utf-8", b"\x1b[31mred", b"\xe2\x80\xaertl", b"--help", b"tab\t\\"]


def test_hostile_names(world: World) -> None:
    home = os.fsencode(world.tree)
    for name in HOSTILE:
        with open(os.path.join(home, name), "wb") as stream:
            stream.write(content(LISTED[0]))
    told = world.scan()
    assert told.code == 10
    assert len(told.of("finding")) == len(HOSTILE)
    assert sum("path_b64" in one for one in told.of("finding")) == 1
    raw = told.err.encode()
    assert not any(bad in raw for bad in (b"\x1b", b"new\nline", b"\xe2\x80\xae", b"\t"))
    before = marks(world.tree)
    assert world.scan("--quarantine").code == 10
    assert os.listdir(home) == []
    for case in world.cases():
        assert world.run("quarantine", "restore", case["case_id"]).code == 0
    after = marks(world.tree)
    assert {path: mark.restored() for path, mark in after.items()} == {path: mark.restored() for path, mark in before.items()}


def test_another_run_holds_the_lock(world: World) -> None:
    lock = world.top / "run" / "lock"
    lock.parent.mkdir(exist_ok=True)
    with lock.open("w") as stream:
        stream.write("pid 1 since yesterday")
        stream.flush()
        fcntl.flock(stream, fcntl.LOCK_EX)
        ends_in_error(world.scan("-q"), 21, "pid 1", "run/lock")
        ends_in_error(world.run("confirm", "-q", "--json"), 21)
        complains(world.run("quarantine", "restore", "00"), 21)
        assert world.run("sync", "-q").code == 0
        assert world.run("status").code == 0
    assert world.scan("-q").code == 0


def test_no_service_is_configured(tmp_path: Path) -> None:
    ours = {f"HASHSCAN_PATHS_{name}": str(tmp_path / name.lower()) for name in ("STATE", "RUN", "CACHE")}
    env = {"HOME": str(tmp_path), **ours}
    (tmp_path / "srv").mkdir()
    for line in (("scan", "-q", tmp_path / "srv"), ("sync",), ("confirm", "-q"), ("selftest",), ("check", "/etc/passwd")):
        complains(hashscan(*line, env=env), 2, "no central service is configured", "--known")
    assert hashscan("status", env=env).code == 0
    made = sorted(path.name for path in tmp_path.iterdir())
    assert made == ["srv"], "a command that cannot work leaves nothing behind"


CONFIGS = {
    "not TOML": (b"[service\n", "not TOML"),
    "not UTF-8": (b"\xff\xfe", "not TOML"),
    "an unknown section": (b"[servce]\n", "did you mean 'service'"),
    "an unknown key": (b"[quarantine]\nenable = true\n", "did you mean 'enabled'"),
    "a text for a flag": (b'[quarantine]\nenabled = "maybe"\n', "true or false"),
    "a number below zero": (b"[scan]\njobs = -1\n", "whole number"),
    "a section that is none": (b"scan = 3\n", "[scan]"),
    "too many workers": (b"[scan]\njobs = 100000\n", "workers"),
    "no address": (b'[service]\nurl = "hashes.example.org"\nprovider = "x"\n', "service"),
    "an address without TLS": (b'[service]\nurl = "http://hashes.example.org"\nprovider = "x"\n', "not encrypted"),
    "a huge file": (b"#" * (2 << 20), "longer than"),
}


@pytest.mark.parametrize(("text", "words"), CONFIGS.values(), ids=CONFIGS)
def test_bad_configuration(world: World, text: bytes, words: str) -> None:
    keys = b'api_key_file = "api-key"\nprovider_key_file = "provider-key"\nroot_file = "root.json"\n'
    world.config.write_bytes(text + (keys if text.startswith(b"[service]\n") else world.config.read_bytes()))
    ends_in_error(world.scan("-q"), 2, words)


def test_bad_secrets(world: World) -> None:
    key = world.etc / "api-key"
    key.chmod(0o644)
    ends_in_error(world.scan("-q"), 2, "can be read by others", "chmod 600")
    key.unlink()
    ends_in_error(world.scan("-q"), 2, "api-key", "No such file")
    os.mkfifo(key, 0o600)
    ends_in_error(world.scan("-q"), 2, "api-key")
    key.unlink()
    key.write_bytes(b"\xff" * 10_000)
    key.chmod(0o600)
    ends_in_error(world.scan("-q"), 2, "does not hold a key")
    (world.etc / "root.json").write_text("xyz")
    ends_in_error(world.scan("-q"), 2)


def test_bad_paths_from_a_file(world: World, tmp_path: Path) -> None:
    listed = tmp_path / "paths"
    listed.write_bytes(b"/etc/host\0name\n")
    ends_in_error(world.run("scan", "--json", "-q", "--files-from", listed), 2, "NUL", "-0")
    listed.write_bytes(b"\n\n")
    ends_in_error(world.run("scan", "--json", "-q", "--files-from", listed), 2, "nothing to scan")
    ends_in_error(world.run("scan", "--json", "-q", "--files-from", tmp_path), 2, "directory")
    ends_in_error(world.run("scan", "--json", "-q", "--files-from", "/dev/zero"), 2, "longer than")


def test_state_of_somebody_else(world: World) -> None:
    """What cannot be read is told, and not taken for nothing."""
    world.plant(LISTED[0])
    assert world.scan("--quarantine").code == 10
    world.state.chmod(0)
    for line in (
        ("status",),
        ("quarantine", "list"),
        ("quarantine", "show", "00"),
        ("confirm", "-q"),
        ("scan", "-q", world.tree),
    ):
        told = world.run(*line, preexec_fn=without_privileges)
        assert told.code in (3, 12, 20), line
        assert "Permission denied" in told.complaint
    world.state.chmod(0o700)


def test_damaged_state(world: World) -> None:
    world.plant(*LISTED[:2])
    assert world.scan("--quarantine").code == 10
    case = world.cases()[0]["case_id"]
    (world.vault / "cases" / case / "record.json").write_bytes(b"{}")
    told = world.run("quarantine", "list", "--json")
    assert told.code == 12
    assert sorted(one["state"] for one in told.of("case")) == ["damaged", "done"]
    complains(world.run("quarantine", "restore", case), 12, case)
    complains(world.run("quarantine", "show", case), 12, case)
    (world.state / "last-run.json").write_bytes(b"\xff")
    assert "cannot be read" in world.run("status").out.decode()
    (world.state / "agent.sqlite").write_bytes(hashlib.sha256(b"").digest() * 1000)
    ends_in_error(world.scan("-q"), 3, "agent.sqlite")
    complains(world.run("status"), 3, "agent.sqlite")


def test_a_state_folder_that_cannot_be(world: World) -> None:
    world.plant(LISTED[0])
    for path in ("/dev/null", "/proc/self/nowhere"):
        world.configure(paths={"state": path, "run": f"{path}/run"})
        told = world.scan("-q")
        ends_in_error(told, 3, path)
