"""hashscan service withdraw, dispute, reinstate, disputes, monitor: what is typed, what is said, which exit code."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from hashscan.errors import ExitCode
from tests.support.service import LIST, enrol, load, sha1
from tests.unit.test_cli_service import Desk


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    made = Desk(tmp_path)
    load(made.data, f"{sha1('a')}\n{sha1('b')}\n")
    return made


def by(name: str, reason: str = "a logo") -> tuple[str, ...]:
    return ("--list", LIST, "--reason", reason, "--by", name)


def test_two_people_withdraw_and_two_bring_it_back(desk: Desk) -> None:
    assert desk.type("disputes") == "no open disputes\n"
    assert "is disputed; dispute d_" in desk.do("dispute", sha1("a"), *by("anna"))
    said = desk.do("withdraw", sha1("a"), *by("bea"))
    assert "is disputed; dispute d_" in said
    assert "1 more person to withdraw it, 2 more people to confirm it" in said
    assert "1 more person to withdraw it" in desk.do("withdraw", sha1("a"), *by("  BEA "))
    said = desk.do("withdraw", sha1("a"), *by("anna"))
    assert said.startswith("withdrawn: e_")
    assert "service publish" in said
    assert "nothing to change" in desk.do("withdraw", sha1("a"), *by("anna"))
    assert "is withdrawn; dispute d_" in desk.do("reinstate", sha1("a"), *by("anna"))
    assert desk.do("reinstate", sha1("a"), *by("bea")).startswith("active: e_")


def test_who_is_alone_is_shown(desk: Desk) -> None:
    said = desk.do("withdraw", sha1("a"), *by("anna"), "--alone")
    assert "a second one has to look" in said
    assert "is withdrawn; dispute d_" in said
    said = desk.type("disputes")
    assert desk.code == ExitCode.FINDINGS
    assert "WITHDRAWN ALONE by anna (hotline)" in said
    dispute = said.split()[0]
    detail = json.loads(desk.type("disputes", dispute, "--json"))
    assert [one["what"] for one in detail["history"]] == ["withdrawn alone", "withdrawn", "opinion: withdraw"]
    assert "withdraw says anna (hotline): a logo" in desk.type("disputes", dispute)
    desk.do("withdraw", sha1("a"), *by("bea"))
    assert desk.type("disputes") == "no open disputes\n"
    assert "withdrawn," in desk.type("disputes", "--all")
    assert json.loads(desk.type("disputes", "--all", "--json"))["disputes"][0]["state"] == "withdrawn"


@pytest.mark.parametrize(
    ("words", "word"),
    [
        (("withdraw", sha1("a"), *by("..")), "letter or digit"),
        (("withdraw", sha1("a"), *by("x" * 65)), "1 to 64"),
        (("withdraw", sha1("x"), *by("anna")), "no such entry"),
        (("disputes", "d_none"), "no such dispute"),
        (("disputes", "d_none", "--all"), "or --all"),
        (("monitor", "--since", "yesterday"), "neither a date"),
        (("monitor", "--json", "--csv", "days"), "not both"),
        (("monitor", "--country", "nl"), "capital letters"),
        (("monitor", "--provider", "nobody"), "no provider"),
        (("monitor", "--since", "2026-02-02", "--until", "2026-02-01"), "before it begins"),
    ],
)
def test_what_cannot_be_is_said(desk: Desk, words: tuple[str, ...], word: str) -> None:
    assert word in desk.type(*words)
    assert desk.code == ExitCode.USAGE


def test_the_monitor_of_a_quiet_service(desk: Desk) -> None:
    enrol(desk.data)
    said = desk.do("monitor", "--since", "30d")
    assert "all: 0 findings, 0 open, 0 overdue" in said
    assert "never heard of, 1 agent" in said
    assert "acme" not in said
    assert "  acme: never heard of" in desk.do("monitor", "--names")
    rows = list(csv.reader(io.StringIO(desk.do("monitor", "--csv", "contacts", "--names"))))
    assert [row[3] for row in rows] == ["provider", "acme"]
    assert json.loads(desk.do("monitor", "--json"))["total"]["findings"] == 0
