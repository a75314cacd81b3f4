"""A one-off audit against a plain list: no service, no configuration, nothing written, nothing moved."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from blake3 import blake3

from tests.support.world import content, hashscan, marks


def _b3(data: bytes) -> str:
    return blake3(data).hexdigest()


def _digest(name: str, algorithm: str) -> str:
    return _b3(content(name)) if algorithm == "blake3" else hashlib.new(algorithm, content(name)).hexdigest()


LINES = {
    "md5, as md5sum": f"{_digest('bad', 'md5')}  some name\n",
    "sha1, bare": f"{_digest('bad', 'sha1')}\n",
    "sha1, upper case": f"{_digest('bad', 'sha1').upper()} *some name\n",
    "sha256, upper case, CRLF": f"{_digest('bad', 'sha256').upper()}\r\n",
    "blake3, as b3sum": f"{_digest('bad', 'blake3')}  some name\n",
    "md5, BSD style": f"MD5 (some name) = {_digest('bad', 'md5')}\n",
    "sha256, openssl": f"SHA2-256(some (name))= {_digest('bad', 'sha256')}\n",
    "sha1, with a byte order mark and comments": f"\ufeff# a list\n\n{_digest('bad', 'sha1')}",
}


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """The environment of a user, or of root, on a host where hashscan was never configured."""
    folder = tmp_path / "home"
    folder.mkdir()
    ours = {f"HASHSCAN_PATHS_{name.upper()}": str(folder / name) for name in ("state", "run", "cache")}
    return {"HOME": str(folder), **ours}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "srv"
    folder.mkdir()
    for name in ("bad", "good"):
        (folder / name).write_bytes(content(name))
    return folder


@pytest.mark.parametrize("text", LINES.values(), ids=LINES)
def test_lists_of_all_kinds(tree: Path, tmp_path: Path, home: dict[str, str], text: str) -> None:
    (tmp_path / "list").write_text(text)
    before = marks(tree)
    told = hashscan("scan", "--json", "--known", tmp_path / "list", tree, env=home)
    assert told.code == 10
    (finding,) = told.of("finding")
    assert (finding["path"], finding["source"]) == (str(tree / "bad"), "local")
    assert {one["action"] for one in told.of("action")} == {"reported"}
    assert told.events[0]["mode"] == "audit"
    assert marks(tree) == before
    assert not list(Path(home["HOME"]).iterdir())


def test_nothing_found(tree: Path, tmp_path: Path, home: dict[str, str]) -> None:
    (tmp_path / "list").write_text(f"{_digest('elsewhere', 'sha1')}\n")
    told = hashscan("scan", "--known", tmp_path / "list", tree, env=home)
    assert told.code == 0
    assert "nothing found" in told.err
    assert "2" in told.err


def test_bad_lines_are_named_by_number_and_never_shown(tree: Path, tmp_path: Path, home: dict[str, str]) -> None:
    secret = _digest("bad", "sha1")
    (tmp_path / "list").write_text(f"{secret}\nno digest at all\n{secret}0\n\n{hashlib.sha1(b'').hexdigest()}\n")
    told = hashscan("scan", "--json", "--known", tmp_path / "list", tree, env=home)
    assert told.code == 2
    complaint = told.complaint
    assert all(f"line {number}:" in complaint for number in (2, 3, 5))
    assert "line 1:" not in complaint
    assert secret not in complaint
    assert [(one["type"], one["exit_code"]) for one in told.events] == [("exit_error", 2)]


def test_an_audit_never_moves(tree: Path, tmp_path: Path, home: dict[str, str]) -> None:
    (tmp_path / "list").write_text(f"{_digest('bad', 'sha1')}\n")
    told = hashscan("scan", "--quarantine", "--known", tmp_path / "list", tree, env=home)
    assert told.code == 2
    assert "never moves" in told.complaint
    enabled = {**home, "HASHSCAN_QUARANTINE_ENABLED": "true"}
    assert hashscan("scan", "-q", "--known", tmp_path / "list", tree, env=enabled).code == 10
    assert (tree / "bad").exists()


def test_check_against_a_plain_list(tree: Path, tmp_path: Path, home: dict[str, str]) -> None:
    (tmp_path / "list").write_text(f"{_digest('bad', 'blake3')}\n")
    told = hashscan("check", "--json", "--known", tmp_path / "list", tree / "bad", tree / "good", env=home)
    assert told.code == 11
    assert [one["candidate"] for one in told.of("check")] == [True, False]
    assert hashscan("check", "--known", tmp_path / "list", tree, env=home).code == 2
    assert not list(Path(home["HOME"]).iterdir())
