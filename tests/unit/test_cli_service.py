"""hashscan service: what is typed, what is said, which exit code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from hashscan.cli.service import command
from hashscan.errors import ExitCode, HashscanError
from hashscan.service import admin
from tests.support.service import LIST, enrol, load, make, md5, sha1


class Desk:
    """A service, and a place to type its commands."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.data = make(home)
        self.code: int = ExitCode.OK

    def type(self, *arguments: str | Path) -> str:
        """The output (an error's message and hint); the exit code is in ``code``."""
        words = ["--data", str(self.data), *map(str, arguments)]
        try:
            done = CliRunner().invoke(command, words, standalone_mode=False, catch_exceptions=False)
        except HashscanError as error:
            self.code = error.exit_code
            return f"{error}; {error.hint}"
        if done.exception is not None:
            raise done.exception
        self.code = done.return_value
        return done.output

    def do(self, *arguments: str | Path) -> str:
        """The output of a command that must succeed."""
        said = self.type(*arguments)
        assert self.code == ExitCode.OK, said
        return said


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_a_service_is_made_with_or_without_a_root(desk: Desk) -> None:
    desk.data = desk.home / "other"
    assert "keys init" in desk.do("init", "--name", "X")
    assert "no root yet" in desk.type("provider", "add", "acme", "--url", "https://h.example", "--out", desk.home / "out")
    assert desk.code == ExitCode.USAGE
    desk.data = desk.home / "third"
    assert "take it off this machine" in desk.do("init", "--root-keys", desk.home / "roots3")
    assert (desk.home / "roots3" / "root-1.pem").stat().st_mode & 0o777 == 0o600
    assert "root version 1" in desk.do("keys", "show")


def test_providers_their_agents_and_keys(desk: Desk) -> None:
    assert "provider code acme" in desk.do("provider", "add", "acme")
    said = desk.do("provider", "code", "acme", "--valid", "1h")
    assert re.match(r"hse1-[a-z2-7-]+\n", said), said
    assert desk.do("provider", "agents", "acme").startswith("code ")
    out = desk.home / "beta"
    said = desk.do("provider", "add", "beta", "--url", "https://h.example", "--out", out, "--phase", "regular")
    assert "root.json" in said
    line = desk.do("provider", "agents", "beta")
    assert re.fullmatch(r"(\d+)  folder  made \d{4}-\d\d-\d\d, files, never used\n", line), line
    said = desk.do("provider", "revoke", "beta", line.split()[0])
    assert "ended API key" in said
    assert "no API key any more" in said
    assert ", revoked 20" in desk.do("provider", "agents", "beta")
    assert "epoch 2, 0 keys revoked" in desk.do("provider", "rotate", "beta")
    assert "epoch 3, 2 keys revoked" in desk.do("provider", "rotate", "beta", "--revoke-old")
    assert "phase suspended" in desk.do("provider", "phase", "beta", "suspended")
    listed = desk.do("provider", "list").splitlines()
    assert listed == ["acme: trial, key epoch 1; outcomes none", "beta: suspended, key epoch 3; outcomes none"]
    for words, hint in (
        (("provider", "add", "acme"), "already"),
        (("provider", "add", "new", "--out", desk.home / "x"), "--url"),
        (("provider", "code", "acme", "--valid", "soon"), "duration"),
        (("provider", "code", "acme", "--valid", "1s"), "valid from"),
        (("provider", "code", "nobody"), "no provider"),
        (("provider", "agents", "nobody"), "no provider"),
        (("provider", "revoke", "acme", "99"), "no API key"),
        (("provider", "rotate", "nobody"), "no provider"),
    ):
        assert hint in desk.type(*words)
        assert desk.code == ExitCode.USAGE


def test_publishing_says_what_it_did_and_left_out(desk: Desk) -> None:
    enrol(desk.data)
    load(desk.data, "\n".join(sha1(str(number)) for number in range(3000)))
    assert "acme: police version 1, 3,001 entries" in desk.do("publish")
    good = desk.home / "good"
    good.write_text("\n".join(sha1(str(number)) for number in range(12)))
    assert "12 digests read; the known-good list has 12 now" in desk.do("known-good", "import", good)
    desk.do("withdraw", sha1("77"), "--list", LIST, "--reason", "a mistake", "--by", "anna", "--alone")
    said = desk.do("publish")
    assert re.search(r"version 2, 2,988 entries, [\d,]+ tokens, [\d,]+ bytes, 1 withdrawn, delta \d+ bytes, ", said), said
    assert re.search(r"police: left out 12 known-good entries: (e_[a-z2-7]{16}, ){10}\.\.\.\n", said), said
    source = desk.home / "list"
    source.write_text(f"{sha1('5')}\n{md5('new')}\n")
    said = desk.do("import", source, "--list", LIST)
    assert "1 entry added" in said
    assert "refused 1: known_good" in said
    bad = desk.home / "bad"
    bad.write_text("junk\n")
    assert "bad lines" in desk.type("known-good", "import", bad)


def test_a_leaked_file_is_traced(desk: Desk) -> None:
    enrol(desk.data)
    load(desk.data, sha1("a"))
    desk.do("publish")
    published = desk.data / "published" / "acme" / "police-1-1.filter"
    said = desk.do("trace", published)
    assert "it says of itself: provider 'acme', list police, epoch 1" in said
    assert re.search(r"FOUND provider acme, list police, epoch 1 \(chance 1 in 10\^\d\d+\)", said), said
    assert "FOUND the very file police-1-1.filter of acme: list police version 1" in said
    leak = desk.home / "leak"
    leak.write_bytes(published.read_bytes()[8:])
    said = desk.do("trace", leak)
    assert "FOUND provider acme" in said
    assert "the version is not known" in said
    (desk.home / "elsewhere").mkdir()
    other = make(desk.home / "elsewhere")
    enrol(other)
    load(other, sha1("a"))
    admin.publish(other)
    said = desk.type("trace", other / "published" / "acme" / "police-1-1.filter")
    assert (desk.code, said.splitlines()[-1]) == (
        ExitCode.FINDINGS,
        "not found: no key of this service made it, of 1 that were tried",
    )
    leak.write_text("no filter at all, but longer than a header of one\n")
    assert "it holds no filter" in desk.type("trace", leak)
    assert desk.code == ExitCode.FINDINGS


def test_an_export_is_for_hosts_without_a_network(desk: Desk) -> None:
    enrol(desk.data)
    load(desk.data, sha1("a"))
    stick = desk.home / "stick"
    assert "nothing is published" in desk.type("export", "acme", stick)
    desk.do("publish")
    assert "6 files" in desk.do("export", "acme", stick)
    assert (stick / "timestamp.json").stat().st_mode & 0o777 == 0o600


def test_the_pace_and_flags_that_do_not_fit(desk: Desk) -> None:
    assert "agents wait 2h" in desk.do("pace", "--wait", "2h", "--jitter", "10m")
    assert "from 0 to 86400" in desk.type("pace", "--wait", "2d", "--jitter", "0")
    assert "duration" in desk.type("pace", "--wait", "never", "--jitter", "0")
    pem = desk.home / "x.pem"
    pem.write_text("x")
    for words in (("--tls-cert", pem), ("--tls-key", pem), ("--tls-client-ca", pem)):
        assert "--tls-cert and --tls-key" in desk.type("serve", "--port", "0", *words)
        assert desk.code == ExitCode.USAGE
    assert "for TLS" in desk.type("serve", "--port", "0", "--tls-cert", pem, "--tls-key", pem)


def test_an_empty_answer_is_said(desk: Desk) -> None:
    assert "no list has left this service" in desk.type("exports")
    assert "no accounts yet: 'hashscan service people add' makes one" in desk.type("people", "list")
    enrol(desk.data, "gamma")
    desk.do("provider", "add", "delta")
    assert "no agents yet: 'hashscan service provider code delta'" in desk.type("provider", "agents", "delta")
    assert desk.code == ExitCode.OK


def test_one_is_not_many(desk: Desk) -> None:
    desk.do("provider", "add", "delta")
    desk.do("provider", "code", "delta")
    assert re.search(r"code \w+  not used yet, made ", desk.do("provider", "agents", "delta"))
    desk.do("keys", "rotate", "--verdict")
    assert "hold their candidates back" in desk.do("keys", "retire-verdict")
    assert "one verdict key is in use and no other: there is nothing to retire" in desk.do("keys", "retire-verdict")
