"""The known-good guard: what is harmless and common is refused at import, left out when published, and never answered."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from hashscan.errors import LockedError, UsageError
from hashscan.known import bloom, envelopes, selftest
from hashscan.known.keys import token
from hashscan.model import Algorithm, ListRef
from hashscan.service import admin, guard, known_good
from hashscan.service.known_good import KnownGoodReport
from hashscan.service.store import Folder, connect, open_store
from tests.support.databases import both
from tests.support.service import LIST, Agent, asking, digest, enrol, load, make, md5, question, sha1


def good(data: Path, text: str) -> KnownGoodReport:
    source = data.parent / "good.txt"
    source.write_text(text)
    return admin.import_known_good(data, source)


def holds(data: Path, agent: Agent, algorithm: Algorithm, value: str, version: int = 1) -> bool:
    key = agent.key.filter_key(LIST, 1)
    path = data / "published" / agent.name / f"{LIST}-{version}-1.filter"
    opened = bloom.open_filter(path, ListRef(LIST, version, 1), key)
    return token(key, algorithm, bytes.fromhex(value)) in opened


@both
def test_known_good_digests_are_refused_with_the_reason(tmp_path: Path) -> None:
    data = make(tmp_path)
    sha256 = digest(Algorithm.SHA256, "w")
    assert good(data, f"{sha1('a')}  wp-includes/a.js\n{md5('b')}\n# a comment\n\n{sha256}\n") == KnownGoodReport(4, 4)
    report = load(data, f"md5,sha1,sha256\n,{sha1('a')},\n{md5('b')},{sha1('b')},\n,,{sha256}\n{md5('c')},{sha1('c')},\n")
    assert (report.added, dict(report.refused)) == (1, {"known_good": 3})
    assert [note.line for note in report.notes] == [2, 3, 4]
    assert all("known-good list" in note.reason for note in report.notes)


def test_a_digest_of_64_hex_digits_counts_as_both(tmp_path: Path) -> None:
    data = make(tmp_path)
    one, two = digest(Algorithm.SHA256, "x"), digest(Algorithm.SHA256, "y")
    assert good(data, f"{one}\n{two}\n") == KnownGoodReport(4, 4)
    assert good(data, f"{one}\n") == KnownGoodReport(2, 4), "there already"
    report = load(data, f"sha256,blake3\n{one},\n,{two}\n")
    assert dict(report.refused) == {"known_good": 2}


def test_what_became_known_good_later_is_left_out_and_named(tmp_path: Path) -> None:
    data = make(tmp_path)
    agent = enrol(data)
    load(data, f"md5,sha1\n{md5('a')},{sha1('a')}\n{md5('b')},{sha1('b')}\n{md5('b')},{sha1('other')}\n")
    (one,) = admin.publish(data)
    assert (one.entries, one.left_out.count) == (4, 0)
    assert good(data, sha1("a").upper()).total == 1
    with asking(data, agent) as client:
        said = agent.open(
            client.post("/v1/confirm", question({"sha1": sha1("a")}, {"md5": md5("b")})).content, envelopes.VERDICT
        )
    assert [len(item["entries"]) for item in said["items"]] == [0, 2], "an older filter may still ask"
    (one,) = admin.publish(data)
    with open_store(data) as store, store.reading() as session:
        rows = session.connection().exec_driver_sql("SELECT public_id FROM entry WHERE sha1=?", (bytes.fromhex(sha1("a")),))
        (public_id,) = rows.scalars()
    assert (one.entries, one.left_out.count, one.left_out.named) == (3, 1, (public_id,))
    assert [holds(data, agent, Algorithm.SHA1, sha1(name), version=2) for name in ("a", "b", "other")] == [False, True, True]
    assert not holds(data, agent, Algorithm.MD5, md5("a"), version=2), "the whole entry is left out"


def test_trivial_digests_that_came_in_some_other_way_are_left_out(tmp_path: Path) -> None:
    """All four algorithms of the empty file, a line end, a space and a NUL: 16 rows that an import would have refused."""
    data = make(tmp_path)
    agent = enrol(data)
    contents = (b"", b"\n", b" ", b"\0")
    names = [f"t{number}" for number in range(len(contents) * len(Algorithm))]
    load(data, "sha1,md5,sha256,blake3\n" + "".join(f"{','.join(digest(a, n) for a in ALL)}\n" for n in [*names, "real"]))
    with open_store(data) as store, store.writing() as session:
        connection = session.connection()
        pairs = [(algorithm, content) for algorithm in Algorithm for content in contents]
        for name, (algorithm, content) in zip(names, pairs, strict=True):
            value = selftest.digest(algorithm, content)
            connection.exec_driver_sql(
                f"UPDATE entry SET {algorithm}=?, {algorithm}_p=? WHERE sha1=?",
                (value, int.from_bytes(value[:4], "big"), bytes.fromhex(sha1(name))),
            )
    (one,) = admin.publish(data)
    assert (one.entries, one.left_out.count, len(one.left_out.named)) == (2, 16, guard.MAX_NAMED)
    assert holds(data, agent, Algorithm.BLAKE3, selftest.digests()[Algorithm.BLAKE3])
    with asking(data, agent) as client:
        empty = {algorithm.value: value for algorithm, value in selftest.digests(b"").items()}
        said = agent.open(client.post("/v1/confirm", question(empty)).content, envelopes.VERDICT)
    assert said["items"][0]["entries"] == []


ALL = (Algorithm.SHA1, Algorithm.MD5, Algorithm.SHA256, Algorithm.BLAKE3)


@both
def test_the_self_test_stays_whatever_is_known_good(tmp_path: Path) -> None:
    data = make(tmp_path)
    agent = enrol(data)
    load(data, sha1("a"))
    everything = "\n".join([*selftest.digests().values(), sha1("a")])
    assert good(data, everything).total == 3, "sha1 of a, and each of the 64-digit ones as the other algorithm"
    (one,) = admin.publish(data)
    assert (one.entries, one.left_out.count) == (1, 1)
    assert holds(data, agent, Algorithm.SHA256, selftest.digests()[Algorithm.SHA256])
    with asking(data, agent) as client:
        test = {algorithm.value: value for algorithm, value in selftest.digests().items()}
        said = agent.open(client.post("/v1/confirm", question(test)).content, envelopes.VERDICT)
    assert [entry["standing"] for entry in said["items"][0]["entries"]] == ["test"]


@pytest.mark.parametrize(
    ("text", "word"),
    [("", "no digest"), ("# nothing\n", "no digest"), (f"{sha1('a')}\njunk\n", "line 2"), ("x\n" * 50, "line 10")],
)
@both
def test_a_bad_file_changes_nothing(tmp_path: Path, text: str, word: str) -> None:
    data = make(tmp_path)
    good(data, sha1("before"))
    with pytest.raises(UsageError, match=word) as caught:
        good(data, text)
    assert "line 11" not in str(caught.value)
    assert good(data, sha1("before")).total == 1
    with pytest.raises(UsageError, match="cannot read"):
        admin.import_known_good(data, tmp_path / "none")


def test_it_waits_for_nobody_for_ever(tmp_path: Path) -> None:
    data = make(tmp_path)
    source = tmp_path / "good.txt"
    source.write_text(sha1("a"))
    impatient = connect(Folder(data), cache_kib=1024, busy_seconds=0.1)
    try:
        with open_store(data) as other, other.writing(), pytest.raises(Exception, match="locked"):
            known_good.import_known_good(impatient, source, known_good.Manner())
    finally:
        impatient.close()


@both
def test_a_hasty_writer_does_not_wait(tmp_path: Path) -> None:
    data = make(tmp_path)
    with open_store(data) as one, open_store(data, busy_seconds=30.0) as other, one.writing():
        started = time.monotonic()
        with pytest.raises(LockedError), open_store(data, busy_seconds=30.0) as hasty, hasty.writing(wait=False):
            pytest.fail("two writers")
        assert time.monotonic() - started < 5.0
        with other.reading() as session:
            assert session.connection().exec_driver_sql("SELECT count(*) FROM provider").scalar_one() == 0


def test_many_of_both(tmp_path: Path) -> None:
    """20,000 entries against 30,000 known-good digests, 5,000 of which they share."""
    data = make(tmp_path)
    enrol(data)
    load(data, "\n".join(sha1(str(number)) for number in range(20_000)))
    assert good(data, "\n".join(sha1(str(number)) for number in range(15_000, 45_000))).total == 30_000
    (one,) = admin.publish(data)
    assert (one.left_out.count, one.entries) == (5000, 15_001)
    assert load(data, "\n".join(sha1(str(number)) for number in range(44_000, 46_000))).refused == {"known_good": 1000}
