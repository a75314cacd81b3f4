"""hashscan service people: what is typed, what is said, which exit code; and that no password is ever on a command line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hashscan.cli import service_people
from hashscan.errors import ExitCode
from hashscan.service.store import open_store
from hashscan.service.web import managing, sessions
from hashscan.service.web.sessions import Attempt
from tests.support.service import enrol
from tests.unit.test_cli_service import Desk

GOOD = "correct horse battery staple"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def secret(folder: Path, text: str | bytes, mode: int = 0o600) -> Path:
    path = folder / "secret"
    path.unlink(missing_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    path.chmod(mode)
    return path


def logs_in(data: Path, name: str, password: str) -> bool:
    with open_store(data) as store:
        return sessions.log_in(store, Attempt(name, password, "", "198.51.100.7"), 1_790_000_000.0) is not None


def test_accounts_from_code_to_end(desk: Desk) -> None:
    enrol(desk.data)
    said = desk.do("people", "add", "ann", "--role", "hotline")
    assert re.search(r"^[a-z2-7]{8}(-[a-z2-7]{8}){3}$", said, re.MULTILINE), said
    desk.do(
        "people", "add", "dirk", "--role", "provider", "--provider", "acme", "--password-file", secret(desk.home, f"{GOOD}\n")
    )
    said = desk.do("people", "list")
    assert re.search(r"^ann  hotline, made \d{4}-\d\d-\d\d, never logged in, set-up code open$", said, re.MULTILINE), said
    assert re.search(r"^dirk  provider of acme, made \d{4}-\d\d-\d\d, never logged in$", said, re.MULTILINE), said
    assert logs_in(desk.data, "dirk", GOOD)
    assert "has the role reviewer" in desk.do("people", "role", "dirk", "reviewer")
    assert "dirk  reviewer, made" in desk.do("people", "list")
    assert "is disabled" in desk.do("people", "disable", "dirk")
    assert not logs_in(desk.data, "dirk", GOOD)
    assert "disabled" in desk.do("people", "list")
    assert "is enabled" in desk.do("people", "enable", "dirk")
    assert logs_in(desk.data, "dirk", GOOD)
    other = "another long password"
    assert "changed the password" in desk.do("people", "password", "dirk", "--password-file", secret(desk.home, other))
    assert logs_in(desk.data, "dirk", other)
    assert "-" in desk.do("people", "password", "dirk")
    assert not logs_in(desk.data, "dirk", other)
    assert {one.name for one in managing.accounts(desk.data)} == {"ann", "dirk"}


def test_what_is_refused(desk: Desk) -> None:
    good = secret(desk.home, GOOD)
    for words, hint in (
        (("add", "Ann", "--role", "hotline"), "cannot be the name"),
        (("add", "dirk", "--role", "provider"), "needs a provider"),
        (("add", "dirk", "--role", "provider", "--provider", "nobody"), "no provider 'nobody'"),
        (("add", "ann", "--role", "hotline", "--provider", "acme"), "has no provider"),
        (("add", "ann", "--role", "hotline", "--ask", "--password-file", good), "take one"),
        (("add", "ann", "--role", "hotline", "--ask"), "needs a terminal"),
        (("add", "ann", "--role", "hotline", "--password-file", desk.home / "none"), "cannot read"),
        (("password", "ann"), "no account 'ann'"),
        (("disable", "ann"), "no account 'ann'"),
        (("enable", "ann"), "no account 'ann'"),
        (("role", "ann", "hotline"), "no account 'ann'"),
    ):
        assert hint in desk.type("people", *words)
        assert desk.code == ExitCode.USAGE
    for text, mode, hint in (
        (GOOD, 0o640, "others may read"),
        ("short", 0o600, "12 to 256"),
        (b"\xff" * 20, 0o600, "not UTF-8"),
    ):
        path = secret(desk.home, text, mode)
        assert hint in desk.type("people", "add", "ann", "--role", "hotline", "--password-file", path)
        assert desk.code == ExitCode.USAGE
    assert desk.do("people", "list") == "no accounts yet: 'hashscan service people add' makes one\n"


def test_no_option_takes_a_password() -> None:
    for command in service_people.group.commands.values():
        for one in command.params:
            assert "password" not in (one.name or "") or one.name == "password_file"
