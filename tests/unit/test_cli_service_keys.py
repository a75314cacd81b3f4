"""hashscan service keys: what is typed, what is said, which exit code."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from hashscan.cli.service_keys import group
from hashscan.errors import ExitCode, HashscanError
from hashscan.service import ceremony, keys, root_keys
from hashscan.service.tables import Role
from tests.support.ceremony import Holders, keyed_store


class Desk:
    """A folder to type in, beside a service."""

    def __init__(self, home: Path) -> None:
        self.data = home / "data"
        with keyed_store(self.data):
            pass
        self.holders = Holders(home / "keys", "abcd")
        self.code: int = ExitCode.OK
        self.out = ""

    def type(self, *arguments: str | Path, answer: str = "") -> str:
        """The output; the exit code is in ``code``, an error's message and hint are the output."""
        try:
            done = CliRunner().invoke(
                group,
                [str(one) for one in arguments],
                input=answer,
                obj=self.data,
                standalone_mode=False,
                catch_exceptions=False,
            )
        except HashscanError as error:
            self.code, self.out = error.exit_code, f"{error}; {error.hint}"
        else:
            self.code, self.out = done.return_value, done.output
        return self.out

    def pub(self, name: str) -> Path:
        return self.holders.files[name].public_file

    def key(self, name: str) -> Path:
        return self.holders.files[name].private

    def agree(self, draft: Path, names: str) -> None:
        for name in names:
            self.type("sign", draft, "--key", self.key(name), "--yes")
            assert self.code == ExitCode.OK
        self.type("install", draft)
        assert self.code == ExitCode.OK, self.out


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.chdir(tmp_path)
    return Desk(tmp_path)


@pytest.fixture
def begun(desk: Desk) -> Desk:
    desk.type("init", "--threshold", "2", desk.pub("a"), desk.pub("b"), desk.pub("c"))
    desk.agree(Path("root-1.draft.json"), "ab")
    return desk


def test_make(desk: Desk) -> None:
    told = desk.type("make", "new.pem")
    assert desk.code == ExitCode.OK
    assert Path("new.pem").stat().st_mode & 0o777 == 0o600
    assert root_keys.key_id(Path("new.pem.pub").read_text().strip()) in told
    assert "there already" in desk.type("make", "new.pem")
    assert desk.code == ExitCode.USAGE


def test_init_drafts_and_says_what_to_do(desk: Desk) -> None:
    told = desk.type("init", "--threshold", "2", desk.pub("a"), desk.pub("b"), desk.pub("c"))
    assert desk.code == ExitCode.OK
    assert "it needs 2 more of the 3 keys of the new root" in told
    assert "no root yet" in desk.type("show")
    assert desk.code == ExitCode.OK
    assert "is there already" in desk.type("init", "--threshold", "2", desk.pub("a"), desk.pub("b"))
    desk.type("sign", "root-1.draft.json", "--key", desk.key("a"), "--yes")
    assert "1 of the 2 signatures" in desk.type("install", "root-1.draft.json")
    assert desk.code == ExitCode.USAGE


def test_init_at_once_says_loudly_where_the_keys_are(desk: Desk) -> None:
    told = desk.type("init", "--make", "offline", "--number", "3", "--threshold", "2")
    assert desk.code == ExitCode.OK
    assert f"MOVE THE PRIVATE KEYS IN {Path('offline').absolute()} OFFLINE NOW" in told
    assert sorted(os.listdir("offline")) == [
        "root-1.draft.json",
        *(f"root-{n}.pem{end}" for n in (1, 2, 3) for end in ("", ".pub")),
    ]
    assert "signed by 2 of 3 root keys" in desk.type("show")


@pytest.mark.parametrize(
    "arguments",
    [
        ["init", "--threshold", "1"],
        ["init", "--threshold", "1", "--make", "x", "ab" * 32],
        ["init", "--threshold", "2", "ab" * 32],
        ["init", "--threshold", "1", "zz"],
    ],
)
def test_init_of_nothing_is_refused(desk: Desk, arguments: list[str]) -> None:
    desk.type(*arguments)
    assert desk.code == ExitCode.USAGE
    with keyed_store(desk.data) as store:
        assert keys.root_files(store) == []


def test_sign_shows_and_asks(begun: Desk) -> None:
    begun.type("rotate", begun.pub("c"), begun.pub("d"), "--out", "d.json")
    before = Path("d.json").read_bytes()
    told = begun.type("sign", "d.json", "--key", begun.key("a"), answer="n\n")
    assert begun.code == ExitCode.STOPPED
    assert Path("d.json").read_bytes() == before
    assert f"root key added:   {begun.holders.files['d'].id}" in told
    told = begun.type("sign", "d.json", "--key", begun.key("a"), answer="y\n")
    assert begun.code == ExitCode.OK
    assert f"signed by {begun.holders.files['a'].id}" in told
    assert "it still needs 1 more of the 3 keys of the old root and 1 more of the 3 keys of the new root" in told
    told = begun.type("sign", "d.json", "--key", begun.key("b"), "--yes")
    assert "all signatures are there" in told


def test_sign_needs_no_data_folder(begun: Desk) -> None:
    begun.type("renew", "--out", "d.json")
    begun.data.rename("elsewhere")
    begun.type("sign", "d.json", "--key", begun.key("a"), "--yes")
    assert begun.code == ExitCode.OK
    begun.type("make", "another.pem")
    assert begun.code == ExitCode.OK
    assert "there is no service" in begun.type("install", "d.json")


def test_every_change_of_root_keys(begun: Desk) -> None:
    begun.type("add", begun.pub("d"))
    begun.agree(Path("root-2.draft.json"), "bc")
    assert "2 of 4" in begun.type("show")
    begun.type("threshold", "3", "--out", "three.json")
    begun.type("revoke", begun.holders.files["a"].id, "--out", "three.json")
    begun.agree(Path("three.json"), "bcd")
    told = begun.type("show")
    assert "3 of 3" in told
    assert begun.holders.files["a"].id not in told
    assert "3 must sign" in begun.type("revoke", begun.pub("b"))
    assert begun.code == ExitCode.USAGE
    begun.type("rotate", begun.holders.files["b"].id, begun.pub("a"), "--out", "back.json")
    begun.agree(Path("back.json"), "abcd")
    begun.type("renew", "--out", "again.json")
    begun.agree(Path("again.json"), "acd")
    assert "root version 5" in begun.type("show")


def test_a_signed_draft_is_not_changed(begun: Desk) -> None:
    begun.type("renew")
    begun.type("sign", "root-2.draft.json", "--key", begun.key("a"), "--yes")
    assert "signed already" in begun.type("add", begun.pub("d"), "--out", "root-2.draft.json")
    assert begun.code == ExitCode.USAGE
    assert "is there already" in begun.type("add", begun.pub("d"))


@pytest.mark.parametrize(("roles", "changed"), [(["snapshot"], 1), (["targets", "timestamp", "targets"], 2), (["all"], 3)])
def test_rotate_online_keys(begun: Desk, roles: list[str], changed: int) -> None:
    before = sorted(os.listdir(begun.data / "keys"))
    begun.type("rotate", *(word for role in roles for word in ("--online", role)), "--out", "d.json")
    assert begun.code == ExitCode.OK
    begun.agree(Path("d.json"), "ab")
    after = sorted(os.listdir(begun.data / "keys"))
    assert (len(after), len({*after} - {*before})) == (4, changed)


def test_rotate_and_retire_the_verdict_key(begun: Desk) -> None:
    assert "only one" in begun.type("retire-verdict")
    assert begun.code == ExitCode.USAGE
    told = begun.type("rotate", "--verdict", "--overlap", "3")
    assert begun.code == ExitCode.OK
    assert "for 3 days" in told
    assert len(re.findall(r"^  \w{32}  since .*(?:in use|until \S+)  \w{64}$", begun.type("show"), re.MULTILINE)) == 2
    assert "retired verdict key" in begun.type("retire-verdict")
    assert "retired" in begun.type("show")
    with keyed_store(begun.data) as store:
        assert len(keys.OnlineKeys.open(store).signing(Role.VERDICT)) == 1
        assert ceremony.overview(store).warnings == ()


@pytest.mark.parametrize("words", [[], ["one.pub"], ["--verdict", "--online", "targets"], ["--verdict", "a.pub", "b.pub"]])
def test_rotate_one_thing(begun: Desk, words: list[str]) -> None:
    assert "rotate one thing" in begun.type("rotate", *words)
    assert begun.code == ExitCode.USAGE
    assert len(os.listdir(begun.data / "keys")) == 4
