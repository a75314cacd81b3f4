"""The outbox on disk: durable, round-tripping, refusing what is damaged, and telling nothing that could be linked."""

from __future__ import annotations

import dataclasses
import os
import resource
import signal
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashscan.central import counts
from hashscan.central.outbox import Outbox, decode_candidate, encode_candidate
from hashscan.central.untold import UntoldOutbox
from hashscan.errors import StateError
from hashscan.model import (
    Action,
    Algorithm,
    Candidate,
    Case,
    CaseState,
    FileEntry,
    Finding,
    HashedFile,
    ListRef,
    Place,
    Receipt,
)
from tests.support import nouns
from tests.support.budget import attempts
from tests.support.children import end, run, start
from tests.support.hotline import candidate
from tests.support.service import Clock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "agent.sqlite"


@pytest.fixture
def outbox(path: Path) -> Iterator[Outbox]:
    opened = Outbox(path, Clock(1000.0))
    yield opened
    opened.close()


def waiting(path: Path) -> list[Candidate]:
    opened = Outbox(path, Clock())
    try:
        return [one.candidate for one in opened.waiting()]
    finally:
        opened.close()


def finding(**changes: Any) -> Finding:
    return dataclasses.replace(nouns.finding(), **changes)


BIG = st.integers(0, 2**64 - 1)
TIMES = st.integers(-(2**63), 2**63 - 1)
ENTRIES = st.builds(
    FileEntry,
    st.builds(Place, st.binary(max_size=40), st.binary(max_size=300)),
    BIG,
    BIG,
    BIG,
    TIMES,
    TIMES,
    BIG,
    BIG,
    BIG,
    BIG,
)
DIGESTS = st.dictionaries(st.sampled_from(Algorithm), st.binary(min_size=32, max_size=32), max_size=4).map(
    lambda found: {name: data[: name.digest_size].hex() for name, data in found.items()}
)
LISTS = st.lists(
    st.builds(ListRef, st.text("abc-.:\u00e9", min_size=1), st.integers(0, 2**53), st.integers(0, 2**31)), max_size=4
)
CANDIDATES = st.builds(Candidate, st.builds(HashedFile, ENTRIES, DIGESTS), LISTS.map(tuple))


@given(CANDIDATES)
def test_a_candidate_round_trips(one: Candidate) -> None:
    text = encode_candidate(one)
    assert decode_candidate(text) == one
    assert text.isascii()


def test_a_very_long_path_round_trips(outbox: Outbox) -> None:
    one = candidate(b"x", b"d/" * 30_000 + b"\xff\n")
    outbox.remember([one])
    assert [waiting.candidate for waiting in outbox.waiting()] == [one]


@pytest.mark.parametrize(
    "text",
    ["", "x", "[]", "{}", "null", "1", '{"root": 1}', '{"root":"","path":"","stat":[],"digests":{},"lists":[]}',
     '{"root":"!","path":"","stat":[1,2,3,4,5,6,7,8,9],"digests":{},"lists":[]}',
     '{"root":"","path":"","stat":[1,2,3,4,5,6,7,8,9],"digests":[],"lists":[]}',
     '{"root":"","path":"","stat":[1,2,3,4,5,6,7,8,9],"digests":{"md5":"zz"},"lists":[]}',
     '{"root":"","path":"","stat":[1,2,3,4,5,6,7,8,9],"digests":{"sha3":"00"},"lists":[]}',
     '{"root":"","path":"","stat":[1,2,3,4,5,6,7,8,9],"digests":{},"lists":[["a",1]]}',
     '{"root":"","path":"","stat":[1,2,3,4,5,6,7,8,9],"digests":{},"lists":5}',
     '{"root":"","path":"","stat":[1,2,3,4,5,6,7,8,Infinity],"digests":{},"lists":[]}',
     '{"root":"","path":"","stat":[1,2,3,4,5,6,7,8,1e300],"digests":{},"lists":[]}',
     '{"root":"","path":"","stat":[1,2,3,4,5,6,7,8,null],"digests":{},"lists":[]}',
     '{"root":"","path":"","stat":' + "[" * 10_000],
)  # fmt: skip
def test_a_damaged_candidate_is_a_state_error(path: Path, text: str) -> None:
    opened = Outbox(path, Clock())
    opened.remember([candidate(b"x")])
    opened.close()
    with sqlite3.connect(path) as db:
        db.execute("UPDATE pending SET candidate = ?", (text,))
    db.close()
    with pytest.raises(StateError, match="cannot be read"):
        waiting(path)


def test_what_was_remembered_is_there_after_reopening(path: Path) -> None:
    for number in range(3):
        opened = Outbox(path, Clock(float(number)))
        opened.remember([candidate(b"x", b"%d" % number)])
        opened.close()
    assert [one.hashed.entry.place.path for one in waiting(path)] == [b"0", b"1", b"2"]
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_killed_at_any_time_it_loses_nothing_that_it_confirmed(path: Path) -> None:
    """The child says through a pipe what `remember` has returned for; then it is killed, often in the middle of the next."""
    said_total = 0
    for number in range(attempts(12)):
        reading, writing = os.pipe()

        def body(writing: int = writing, number: int = number) -> None:
            opened = Outbox(path, Clock())
            for step in range(100_000):
                name = b"%d-%d" % (number, step)
                opened.remember([candidate(b"x", name), candidate(b"y", name + b"y")])
                os.write(writing, name + b" ")

        child = start(body)
        os.close(writing)
        said = os.read(reading, 1)
        time.sleep(0.004 * number)
        os.kill(child, signal.SIGKILL)
        assert end(child) == -signal.SIGKILL
        while more := os.read(reading, 65_536):
            said += more
        os.close(reading)
        names = said.split(b" ")[:-1]
        said_total += len(names)
        kept = {one.hashed.entry.place.path for one in waiting(path)}
        assert {*names, *(name + b"y" for name in names)} <= kept
        mine = {name for name in kept if name.startswith(b"%d-" % number)}
        assert sum(name.endswith(b"y") for name in mine) * 2 == len(mine), "both of one call or none"
    print(f"{attempts(12)} kills, {said_total} calls confirmed")


@pytest.mark.parametrize("data", [b"x" * 4096, b"SQLite format 3\0" + b"\xff" * 5000, b"not a database, only text\n" * 300])
def test_a_damaged_file_is_a_state_error(path: Path, data: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(data)
    with pytest.raises(StateError) as caught:
        Outbox(path, Clock())
    assert str(path) in str(caught.value)
    assert path.read_bytes() == data, "it is left for a person to look at"


def test_flipped_pages_are_a_state_error_or_harmless(path: Path) -> None:
    opened = Outbox(path, Clock())
    opened.remember([candidate(b"x", b"%d" % number) for number in range(200)])
    opened.close()
    good = path.read_bytes()
    errors = 0
    for place in range(100, len(good), len(good) // attempts(40)):
        path.write_bytes(good[:place] + bytes(byte ^ 0xFF for byte in good[place : place + 200]) + good[place + 200 :])
        for rest in path.parent.glob("*-*"):
            rest.unlink()
        try:
            waiting(path)
        except StateError:
            errors += 1
    assert errors
    print(f"{errors} state errors, no traceback")


def test_a_path_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "directory").mkdir()
    for path in (tmp_path / "file" / "agent.sqlite", tmp_path / "directory"):
        with pytest.raises(StateError):
            Outbox(path, Clock())


def test_another_format_is_left_alone(path: Path) -> None:
    Outbox(path, Clock()).close()
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (2,)
        db.execute("PRAGMA user_version = 3")
    db.close()
    with pytest.raises(StateError, match="format 3") as caught:
        Outbox(path, Clock())
    assert "update" in caught.value.hint


def test_the_format_before_goes_on_with_what_waited(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as db:
        db.execute(
            "CREATE TABLE outcome (id TEXT PRIMARY KEY, entry TEXT NOT NULL, list TEXT NOT NULL, verdict TEXT NOT NULL, "
            "action TEXT NOT NULL, first_seen REAL NOT NULL, acted_at REAL NOT NULL, receipt BLOB) STRICT, WITHOUT ROWID"
        )
        db.execute("INSERT INTO outcome VALUES ('o_1', 'e-17', 'police-nl', 'ab', 'reported', 1.0, 2.0, NULL)")
        db.execute("PRAGMA user_version = 1")
    db.close()
    for _ in range(2):
        opened = Outbox(path, Clock(1000.0))
        opened.add_outcome(finding(), Action.REPORTED, 5.0)
        old, new = opened.unsent(10)
        opened.close()
        assert (old.id, old.finding) == ("o_1", "")
        assert new.finding.startswith("f_")


def test_a_full_disk_is_a_state_error_and_loses_nothing(path: Path) -> None:
    def body() -> None:
        opened = Outbox(path, Clock())
        opened.remember([candidate(b"x", b"before")])
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
        many = (candidate(b"x", b"%d" % number + b"x" * 2_000) for number in range(10_000))
        with pytest.raises(StateError, match="disk"):
            list(map(opened.remember, ([one] for one in many)))
        assert b"before" in {one.candidate.hashed.entry.place.path for one in opened.waiting()}

    assert run(body) == 0
    assert b"before" in {one.hashed.entry.place.path for one in waiting(path)}


# Outcomes.


def test_an_outcome_is_told_once_however_often_it_is_noted(outbox: Outbox) -> None:
    for action in (Action.REPORTED, Action.REPORTED, Action.QUARANTINED, Action.REPORTED):
        outbox.add_outcome(finding(), action, 5.0)
    assert sorted(one.action for one in outbox.unsent(10)) == ["quarantined", "reported"]
    assert outbox.unsent_count() == 2
    (one,) = {(one.entry, one.list_id, one.verdict_id, one.first_seen, one.acted_at) for one in outbox.unsent(10)}
    assert one == ("e-17", "police-nl", "ab" * 32, 5.0, 1000.0)


def test_an_outcome_has_no_path_and_its_id_cannot_be_linked(outbox: Outbox, tmp_path: Path) -> None:
    other = Outbox(tmp_path / "other" / "agent.sqlite", Clock(1000.0))
    for one in (outbox, other):
        one.add_outcome(finding(), Action.REPORTED, 5.0)
    (mine,), (theirs,) = outbox.unsent(10), other.unsent(10)
    other.close()
    assert mine.id != theirs.id, "two hosts with the same file have nothing in common"
    assert mine.id.startswith("o_")
    assert mine.finding != theirs.finding
    assert dataclasses.replace(mine, id="", finding="") == dataclasses.replace(theirs, id="", finding="")
    assert "www" not in repr(mine)
    assert nouns.SHA1 not in repr(mine)


def test_ids_are_stable_across_reopening(path: Path) -> None:
    ids = set()
    for _ in range(2):
        opened = Outbox(path, Clock())
        opened.add_outcome(finding(), Action.REPORTED, 5.0)
        ids |= {one.id for one in opened.unsent(10)}
        opened.close()
    assert len(ids) == 1


def test_different_things_have_different_ids(outbox: Outbox) -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"entry": "e-18"},
        {"list": ListRef("other", 1, 1)},
        {"candidate": nouns.candidate(b"b")},
    ]
    for change in changes:
        outbox.add_outcome(finding(**change), Action.REPORTED, 5.0)
    assert outbox.unsent_count() == len(changes)
    outbox.add_outcome(finding(list=ListRef("police-nl", 8, 1), verdict_id="cd" * 32), Action.REPORTED, 6.0)
    assert outbox.unsent_count() == len(changes), "the same finding by a newer version of the list"


def test_a_finding_has_one_name_whatever_root_it_was_met_below(outbox: Outbox) -> None:
    for root, path in ((b"/srv/www", b"alice/a.jpg"), (b"/srv/www/alice", b"a.jpg"), (b"/srv/www/alice/a.jpg", b"")):
        one = nouns.candidate(b"a")
        entry = dataclasses.replace(one.hashed.entry, place=Place(root, path))
        met = dataclasses.replace(one, hashed=dataclasses.replace(one.hashed, entry=entry))
        outbox.add_outcome(finding(candidate=met), Action.HELD, 5.0)
    told = outbox.unsent(10)
    assert len({one.finding for one in told}) == 1, told


def test_a_finding_has_one_name_from_the_first_report_to_the_restore(outbox: Outbox) -> None:
    one = finding()
    place = one.candidate.hashed.entry.place
    for action in (Action.REPORTED, Action.HELD, Action.QUARANTINED):
        outbox.add_outcome(one, action, 5.0)
    case = Case("c1", CaseState.RESTORED, place, 3, one.entry, one.list.id, "ab" * 32, 5.0)
    outbox.add_restored(case, 10.0)
    assert len({told.finding for told in outbox.unsent(10)}) == 1
    outbox.add_outcome(finding(entry="e-18"), Action.REPORTED, 5.0)
    outbox.add_outcome(finding(candidate=nouns.candidate(b"b")), Action.REPORTED, 5.0)
    assert len({told.finding for told in outbox.unsent(10)}) == 3


def test_a_receipt_ends_it(outbox: Outbox) -> None:
    outbox.add_outcome(finding(), Action.REPORTED, 5.0)
    outbox.add_outcome(finding(), Action.HELD, 5.0)
    (first, second) = outbox.unsent(10)
    assert [one.id for one in outbox.unsent(1)] == [first.id]
    outbox.acknowledge([Receipt(first.id, 1.0, b"signed"), Receipt("o_unknown", 1.0, b"x")])
    assert [one.id for one in outbox.unsent(10)] == [second.id]
    outbox.add_outcome(finding(), Action(first.action), 9.0)
    assert [one.id for one in outbox.unsent(10)] == [second.id], "told is told"


def test_each_restore_is_told(outbox: Outbox) -> None:
    case = Case("c1", CaseState.RESTORED, Place(b"/srv", b"a"), 3, "e-17", "police-nl", "ab" * 32, 5.0)
    outbox.add_restored(case, 10.0)
    outbox.add_restored(case, 10.0)
    outbox.add_restored(case, 11.0)
    assert [(one.action, one.acted_at) for one in outbox.unsent(10)] == [(Action.RESTORED, 10.0), (Action.RESTORED, 11.0)]


def test_a_dry_run_tells_nothing(path: Path) -> None:
    opened = UntoldOutbox(path, Clock())
    opened.add_outcome(finding(), Action.REPORTED, 5.0)
    assert opened.unsent_count() == 0
    opened.close()


# How much waits, without the nouns.


def test_what_waits_is_counted(path: Path) -> None:
    opened = Outbox(path, Clock())
    assert counts.waits(path) == (0, 0)
    opened.remember([candidate(b"a"), candidate(b"bb"), candidate(b"ccc")])
    opened.add_outcome(finding(), Action.REPORTED, 5.0)
    assert counts.waits(path) == (opened.count(), opened.unsent_count()) == (3, 1), "also while another one has it open"
    opened.close()
    assert counts.waits(path) == (3, 1)


def test_to_count_writes_nothing(path: Path) -> None:
    opened = Outbox(path, Clock())
    opened.remember([candidate(b"a")])
    opened.close()
    before = path.read_bytes(), path.stat().st_mtime_ns
    assert counts.waits(path) == (1, 0)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert os.listdir(path.parent) == [path.name]


def test_what_a_killed_writer_left_in_its_journal_is_counted(path: Path) -> None:
    def write() -> None:
        Outbox(path, Clock()).remember([candidate(b"a")])
        os.kill(os.getpid(), signal.SIGKILL)

    assert run(write) == -signal.SIGKILL
    assert path.with_name(path.name + "-wal").exists()
    assert counts.waits(path) == (1, 0)


def test_an_outbox_whose_making_was_cut_off_has_nothing(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    assert counts.waits(path) == (0, 0)


def test_an_outbox_that_cannot_be_counted_is_an_error(path: Path) -> None:
    with pytest.raises(StateError, match="cannot be used"):
        counts.waits(path)
    assert not path.exists()
    path.parent.mkdir()
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(StateError, match="not a database") as caught:
        counts.waits(path)
    assert "damaged" in caught.value.hint
    path.unlink()
    Outbox(path, Clock()).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 3")
    db.close()
    with pytest.raises(StateError, match="format 3"):
        counts.waits(path)
