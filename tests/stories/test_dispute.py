"""A company finds its own file on the list, disputes the entry, two people look, and the company gets it back."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from tests.support.world import Hotline, World, digest, hashscan

FILE = "listed-0"


def _disputes(world: World, *arguments: str) -> tuple[int, str]:
    told = hashscan("service", "--data", world.hotline, "disputes", *arguments)
    assert told.err == "" or "no open disputes" in told.err, told.err
    return told.code, told.out.decode()


def test_a_dispute_from_the_case_to_the_restored_file(
    own_hotline: Callable[[], AbstractContextManager[Hotline]], tmp_path: Path
) -> None:
    with own_hotline() as hotline:
        world, other = hotline.admit(tmp_path / "acme"), hotline.admit(tmp_path / "newbie", "newbie")
        world.configure(quarantine={"enabled": True})
        (taken,) = world.plant(FILE)
        assert world.scan().code == 10
        (case,) = world.cases()
        assert not taken.exists()

        # nothing but a reason leaves, and the same words again ask how it stands
        reason = ("--reason", "our own logo")
        first = world.run("dispute", case["case_id"], *reason)
        assert (first.code, b"answers to this provider say disputed" in first.out) == (10, True), first
        assert world.run("dispute", case["case_id"], *reason).out == first.out
        code, said = _disputes(world)
        assert (code, said.count("\n")) == (10, 1)
        dispute = said.split()[0]
        assert "2 more people to withdraw it, 2 more people to confirm it" in said
        before = {one["provider"]: one for one in json.loads(_disputes(world, dispute, "--json")[1])["acted"]}

        # for this company files that match are reported from now on
        (copy,) = world.plant(FILE, at="bob")
        told = world.scan()
        assert (told.code, [event["action"] for event in told.of("action")]) == (10, ["reported"])
        assert copy.exists()
        by = ("--list", "police", "--reason", "it is a logo", "--by")
        assert "1 more person to withdraw it" in world.service("withdraw", digest(FILE), *by, "anna")
        again = world.service("withdraw", digest(FILE), *by, "Anna")
        assert "1 more person to withdraw it" in again, "the same person twice"
        assert "withdrawn: e_" in world.service("withdraw", digest(FILE), *by, "bea")
        world.service("publish")
        assert world.run("sync", "-q").code == 0
        decided = world.run("dispute", case["case_id"], *reason)
        assert (decided.code, b"was withdrawn on 2" in decided.out) == (0, True), decided
        assert world.run("quarantine", "restore", "--withdrawn", "--yes").code == 0
        assert taken.exists()
        assert world.run("confirm", "-q").code == 0

        code, said = _disputes(world, dispute, "--json")
        detail = json.loads(said)
        assert (code, detail["line"]["state"]) == (0, "withdrawn")
        acme, newbie = detail["acted"]
        # The hotline of these tests has heard of that entry before: one more was found and is in place, one was restored.
        assert [acme["provider"], newbie["provider"]] == ["acme", "newbie"]
        more = {key: acme[key] - before["acme"][key] for key in ("findings", "restored", "in_place")}
        assert more == {"findings": 1, "restored": 1, "in_place": 1}
        assert (newbie["findings"], newbie["heard"]) == (before["newbie"]["findings"], False)
        assert [one["by"] for one in detail["opinions"]] == ["Anna (hotline)", "bea (hotline)"]

        # a company cannot dispute what it has not met, and is not told whether it is there
        stranger = other.run("dispute", "--entry", detail["line"]["entry"], "--list", "police", *reason)
        assert (stranger.code, "no outcome about such an entry" in stranger.complaint) == (22, True)


def test_a_dispute_that_nobody_hears_is_not_called_told(world: World) -> None:
    world.configure(service={"url": "http://127.0.0.1:1", "deadline": "2s"})
    told = world.run("dispute", "--entry", "e_x", "--list", "police", "--reason", "x")
    assert told.code == 11, told
    for words in (("c1", "--entry", "e_x", "--list", "police"), (), ("--entry", "e_x"), ("--list", "police")):
        assert world.run("dispute", *words, "--reason", "x").code == 2
    assert world.run("dispute", "--entry", "e_x", "--list", "police", "--reason", "two\nlines").code == 2
