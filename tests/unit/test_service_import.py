"""A list comes in: what is added, merged, refused; all of it or nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from hashscan.errors import LockedError, UsageError
from hashscan.known import selftest
from hashscan.model import Act, Algorithm, Standing
from hashscan.service import admin, entries, importing
from hashscan.service.importers.port import Shape
from hashscan.service.importing import ImportRequest, Note
from hashscan.service.merging import CONFLICT_NOTE, Fate, Known, Row, absorb, added, decide
from hashscan.service.store import open_store
from hashscan.service.tables import Entry, HashList, History, ImportRun
from tests.support.databases import both
from tests.support.service import LIST, digest, load, make, md5, sha1, withdraw

A, B, C = (bytes([letter]) * 16 for letter in b"abc")
X, Y = b"x" * 20, b"y" * 20


def row(*digests: bytes, size: int | None = None, act: Act = Act.QUARANTINE) -> Row:
    names = {16: Algorithm.MD5, 20: Algorithm.SHA1}
    return Row({names[len(one)]: one for one in digests}, size, "A", act)


def known(*digests: bytes, number: int = 1, size: int | None = None, standing: Standing = Standing.ACTIVE) -> Known:
    return Known(number, dict(row(*digests).digests), size, "A", Act.QUARANTINE, standing, ("nl",))


def stored(data: Path, *, test: bool = False) -> list[Entry]:
    with open_store(data) as store, store.reading() as session:
        found = session.scalars(select(Entry).order_by(Entry.id)).all()
    return [one for one in found if test or one.standing != Standing.TEST]


def count(data: Path, table: Any) -> int:
    with open_store(data) as store, store.reading() as session:
        return session.scalars(select(func.count()).select_from(table)).one()


# Decisions, without a database.


@pytest.mark.parametrize(
    ("incoming", "sharing", "fate", "target"),
    [
        (row(A), [], Fate.ADD, 0),
        (row(A), [known(A)], Fate.MERGE, 1),
        (row(A, X), [known(A)], Fate.MERGE, 1),
        (row(A), [known(A, X)], Fate.MERGE, 1),
        (row(A, X), [known(A, Y)], Fate.CONFLICT, 0),
        (row(A, size=3), [known(A, size=4)], Fate.CONFLICT, 0),
        (row(A, size=3), [known(A)], Fate.MERGE, 1),
        (row(A, X), [known(A), known(A, X, number=2)], Fate.MERGE, 2),
        (row(A), [known(A, X, number=3), known(A, Y, number=2)], Fate.MERGE, 2),
        (row(A, X), [known(A, number=1), known(X, number=2)], Fate.MERGE, 1),
        (row(A), [known(A, number=0), known(A, X, number=5)], Fate.MERGE, 5),
        (row(A, X), [known(A, Y), known(X, number=2)], Fate.MERGE, 2),
        (row(A), [known(A, standing=Standing.WITHDRAWN)], Fate.WITHDRAWN, 0),
        (row(A, X), [known(A), known(X, number=2, standing=Standing.WITHDRAWN)], Fate.WITHDRAWN, 0),
        (row(A, X), [known(A, Y, standing=Standing.WITHDRAWN)], Fate.CONFLICT, 0),
        (row(A), [known(A, standing=Standing.DISPUTED)], Fate.MERGE, 1),
    ],
)
def test_what_a_row_means(incoming: Row, sharing: list[Known], fate: Fate, target: int) -> None:
    decided, found = decide(incoming, sharing)
    assert decided is fate
    assert (found.id if found else 0) == target


@pytest.mark.parametrize("algorithm", list(Algorithm))
@pytest.mark.parametrize("content", [*selftest.TRIVIAL, selftest.CONTENT])
def test_trivial_and_self_test_digests_are_refused(algorithm: Algorithm, content: bytes) -> None:
    one = selftest.digest(algorithm, content)
    fate, _ = decide(Row({algorithm: one}, None, "A", Act.REPORT), [])
    assert fate is (Fate.SELF_TEST if content == selftest.CONTENT else Fate.TRIVIAL)


def test_absorbing_fills_in_and_never_overwrites_digests_or_standing() -> None:
    one = known(A, standing=Standing.DISPUTED)
    assert absorb(one, row(A, X, size=7), "be")
    assert (one.digests, one.size, one.standing) == ({Algorithm.MD5: A, Algorithm.SHA1: X}, 7, Standing.DISPUTED)
    assert one.sources == ("be", "nl")
    assert not absorb(one, row(A, X, size=7), "be")
    assert absorb(one, row(A, act=Act.REPORT), "nl")
    assert one.act == Act.REPORT


def test_the_number_of_source_names_is_bounded() -> None:
    one = known(A)
    for number in range(200):
        absorb(one, row(A), f"s{number}")
    assert len(one.sources) == 64


@given(st.lists(st.tuples(st.sampled_from([None, A, B]), st.sampled_from([None, X, Y])).filter(any), max_size=12))
def test_importing_again_changes_nothing(pairs: list[tuple[bytes | None, bytes | None]]) -> None:
    """Every row that was taken in is found again by an entry that agrees with it, in any order of rows."""
    there: list[Known] = []
    rows = [row(*(one for one in pair if one)) for pair in pairs]
    for again in (False, True):
        for one in rows:
            sharing = [each for each in there if set(each.digests.items()) & set(one.digests.items())]
            fate, target = decide(one, sharing)
            if target is not None:
                changed = absorb(target, one, "nl")
                assert not (changed and again)
            else:
                assert not again, f"{fate} at the second import"
                there.append(added(one, "nl"))
                there[-1].id = len(there)


# With a database.


@both
def test_a_plain_list(tmp_path: Path) -> None:
    data = make(tmp_path)
    text = f"# list\n{sha1('a')}\n\n{md5('b').upper()}  name\r\nSHA1 (c) = {sha1('c')}\n{sha1('a')}\n"
    report = load(data, text, shape=Shape(category="B1", act=Act.REPORT))
    assert (report.added, report.merged, report.unchanged, report.conflicts, dict(report.refused)) == (3, 0, 1, 0, {})
    first, second, third = stored(data)
    assert first.sha1 == bytes.fromhex(sha1("a"))
    assert first.sha1_p == int(sha1("a")[:8], 16)
    assert second.md5 == bytes.fromhex(md5("b"))
    assert second.sha1 is None
    assert (third.category, third.act, third.standing, third.sources) == ("B1", "report", "active", '["nl"]')
    assert len({one.public_id for one in stored(data, test=True)}) == 4
    assert all(one.public_id.startswith("e_") and len(one.public_id) == 18 for one in stored(data))
    assert count(data, ImportRun) == 1


@both
def test_every_list_gets_the_self_test_entry_once(tmp_path: Path) -> None:
    data = make(tmp_path)
    load(data, sha1("a"))
    load(data, sha1("b"))
    load(data, sha1("b"), list_id="other")
    tests = [one for one in stored(data, test=True) if one.standing == Standing.TEST]
    assert len(tests) == 2
    assert (tests[0].act, tests[0].category, tests[0].size) == ("report", "test", len(selftest.CONTENT))
    assert {one: getattr(tests[0], one.value).hex() for one in Algorithm} == dict(selftest.digests())


@both
def test_csv_enriches_what_is_there(tmp_path: Path) -> None:
    data = make(tmp_path)
    load(data, f"{md5('a')}\n{md5('b')}\n")
    text = (
        "MD5,sha1,Size,Category,act\n"
        f'{md5("a")},{sha1("a").upper()},123,"A, worst",report\n'
        f"{md5('c')},{sha1('c')},,,\n"
        f"{md5('b')},,,B,quarantine\n"
    )
    report = load(data, text, source_name="be", shape=Shape(category="default"))
    assert (report.added, report.merged, report.unchanged) == (1, 2, 0)
    first, second, third = stored(data)
    assert (first.sha1, first.size, first.category, first.act) == (bytes.fromhex(sha1("a")), 123, "A, worst", "report")
    assert first.sha1_p == int(sha1("a")[:8], 16)
    assert json.loads(first.sources) == ["be", "nl"]
    assert second.category == "B"
    assert (third.category, third.size) == ("default", None)
    assert count(data, History) == 2


@both
def test_a_conflict_is_an_entry_of_its_own_and_is_told(tmp_path: Path) -> None:
    data = make(tmp_path)
    load(data, f"md5,sha1\n{md5('a')},{sha1('a')}\n")
    report = load(data, f"md5,sha1\n{md5('a')},{sha1('planted')}\n")
    assert (report.added, report.conflicts) == (1, 1)
    assert report.notes == (Note(2, CONFLICT_NOTE),)
    assert len(stored(data)) == 2
    again = load(data, f"md5,sha1\n{md5('a')},{sha1('planted')}\n")
    assert (again.added, again.unchanged) == (0, 1)


@both
def test_merging_works_across_chunks(tmp_path: Path) -> None:
    data = make(tmp_path)
    names = [f"f{number}" for number in range(importing.CHUNK_ROWS + 5)]
    lines = [f"{md5(name)}," for name in names] + [f"{md5(name)},{sha1(name)}" for name in reversed(names)]
    report = load(data, "md5,sha1\n" + "\n".join(lines))
    assert (report.added, report.merged) == (len(names), len(names))
    assert all(one.sha1 is not None for one in stored(data))


def test_progress_is_told(tmp_path: Path) -> None:
    data = make(tmp_path)
    source = tmp_path / "list"
    source.write_text("\n".join(sha1(str(number)) for number in range(importing.CHUNK_ROWS + 1)))
    told: list[int] = []
    admin.import_list(data, ImportRequest(LIST, source, "nl"), progress=told.append)
    assert told == [importing.CHUNK_ROWS, importing.CHUNK_ROWS + 1]


@both
def test_a_bad_line_fails_all_of_it_and_names_ten(tmp_path: Path) -> None:
    data = make(tmp_path)
    bad = "\n".join(f"junk {number}" for number in range(30))
    with pytest.raises(UsageError, match="nothing was imported") as caught:
        load(data, f"{sha1('a')}\n{bad}\n")
    assert "line 2: " in str(caught.value)
    assert "line 11: " in str(caught.value)
    assert "line 12: " not in str(caught.value)
    assert "skip-bad" in caught.value.hint
    assert count(data, HashList) == 0
    with pytest.raises(UsageError, match="line 20002"):  # after two chunks were written
        load(data, "\n".join([*(sha1(str(number)) for number in range(20001)), "junk", sha1("z")]))
    assert count(data, Entry) == 0


def test_bad_lines_can_be_left_out_and_are_counted(tmp_path: Path) -> None:
    data = make(tmp_path)
    report = load(data, f"junk\n{sha1('a')}\n" + "0" * 39 + "\n", skip_bad=True)
    assert (report.added, dict(report.refused)) == (1, {"bad_line": 2})
    assert [note.line for note in report.notes] == [1, 3]


def test_trivial_digests_are_refused_and_the_rest_comes_in(tmp_path: Path) -> None:
    data = make(tmp_path)
    empty = selftest.digests(b"")
    text = f"{empty[Algorithm.MD5]}\n{empty[Algorithm.SHA1].upper()}\n{sha1('a')}\n{selftest.digests()[Algorithm.SHA1]}\n"
    report = load(data, text)
    assert (report.added, dict(report.refused)) == (1, {"trivial": 2, "self_test": 1})
    assert "empty" in report.notes[0].reason


@both
def test_a_withdrawn_entry_does_not_come_back(tmp_path: Path) -> None:
    data = make(tmp_path)
    load(data, f"{sha1('a')}\n{sha1('b')}\n")
    withdraw(data, LIST, sha1("a"), "a stock image")
    report = load(data, f"{sha1('a')}\n{sha1('b')}\n", source_name="be")
    assert (report.merged, dict(report.refused)) == (1, {"withdrawn": 1})
    assert [one.standing for one in stored(data)] == ["withdrawn", "active"]


def test_ambiguous_digits_need_a_word(tmp_path: Path) -> None:
    data = make(tmp_path)
    one = digest(Algorithm.SHA256, "a")
    with pytest.raises(UsageError, match="sha256 or blake3"):
        load(data, one)
    load(data, one, shape=Shape(algorithm=Algorithm.BLAKE3))
    assert stored(data)[0].blake3 == bytes.fromhex(one)
    load(data, f"SHA256 (x) = {one}")
    assert stored(data)[1].sha256 == bytes.fromhex(one)


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("Name;Hash 1;Hash 2\nx;{md5};{sha1}\n", {"md5": "hash 1", "sha1": "Hash 2"}),
        ("md5;sha1\n{md5};{sha1}\n", {}),
        ("\ufeffsha1\tmd5\n{sha1}\t{md5}\n", {}),
        ('# export\n"md5","sha1"\n"{md5}","{sha1}"\r\n\n', {}),
    ],
)
def test_csv_dialects(tmp_path: Path, text: str, columns: dict[str, str]) -> None:
    data = make(tmp_path)
    report = load(data, text.format(md5=md5("a"), sha1=sha1("a")), shape=Shape(columns=columns))
    assert report.added == 1
    assert stored(data)[0].md5 == bytes.fromhex(md5("a"))
    assert stored(data)[0].sha1 == bytes.fromhex(sha1("a"))


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("{md5},12x", "size"),
        ("{md5},-1", "size"),
        ("{md5},9999999999999999999", "size"),
        (",12", "no digest"),
        ("{sha1},12", "32 hex digits"),
        ("zz" * 16 + ",1", "not hex"),
        ('"{md5},1', "not CSV"),
        ("\xff{md5},1", "not UTF-8"),
        ("{md5},1," + "c" * 65, "category"),
        ("{md5},1,a\x07b", "category"),
        ("{md5},1,A,delete", "act"),
    ],
)
def test_bad_csv_rows_are_named(tmp_path: Path, line: str, word: str) -> None:
    data = make(tmp_path)
    text = "md5,size,category,act\n" + line.replace("{md5}", md5("a")).replace("{sha1}", sha1("a")) + "\n"
    with pytest.raises(UsageError, match=f"line 2: .*{word}"):
        load(data, text.encode("latin-1"))


@pytest.mark.parametrize(
    ("text", "shape", "word"),
    [
        ("", Shape(), "holds no digest"),
        ("# nothing\n", Shape(), "holds no digest"),
        ("name,size\nx,1\n", Shape(format="csv"), "no header with a digest"),
        ("md5,MD5\n", Shape(), "twice"),
        ("md5,size\n", Shape(columns={"sha1": "Hash"}), "no column for sha1"),
        ("x", Shape(format="xml"), "no list format"),
        ("x", Shape(columns={"crc32": "x"}), "no field crc32"),
        ("x", Shape(algorithm=Algorithm.MD5), "not md5"),
        ("x", Shape(category="c" * 65), "category"),
    ],
)
def test_what_cannot_be_a_list_is_refused(tmp_path: Path, text: str, shape: Shape, word: str) -> None:
    data = make(tmp_path)
    with pytest.raises(UsageError, match=word):
        load(data, text, shape=shape)
    assert count(data, HashList) == 0


@pytest.mark.parametrize("name", ["", "Police", "a/b", "..", "-a", "a" * 65, "a\n", "polizei_de"])
def test_a_list_id_that_could_be_a_path_is_refused(tmp_path: Path, name: str) -> None:
    data = make(tmp_path)
    with pytest.raises(UsageError, match="list id"):
        load(data, sha1("a"), list_id=name)


def test_a_missing_source_and_too_many_lists(tmp_path: Path) -> None:
    data = make(tmp_path)
    with pytest.raises(UsageError, match="cannot read"):
        admin.import_list(data, ImportRequest(LIST, tmp_path / "gone", "nl"))
    for number in range(entries.MAX_LISTS):
        load(data, sha1("a"), list_id=f"l{number}")
    with pytest.raises(UsageError, match="at most 32"):
        load(data, sha1("a"), list_id="one-more")


@both
def test_two_writers_do_not_mix(tmp_path: Path) -> None:
    data = make(tmp_path)
    load(data, sha1("a"))
    with open_store(data, busy_seconds=0.05) as first, first.writing():
        with pytest.raises(LockedError), open_store(data, busy_seconds=0.05) as second, second.writing():
            pytest.fail("two writers")
        assert len(stored(data)) == 1  # readers do not wait


def test_the_prefix_index_is_used(tmp_path: Path) -> None:
    """Without it every chunk would read the whole list: an import of an hour."""
    data = make(tmp_path)
    with open_store(data) as store, store.reading() as session:
        for algorithm in Algorithm:
            wanted = f"list_id = 1 AND {algorithm}_p IN (SELECT value FROM json_each('[1]'))"
            query = f"EXPLAIN QUERY PLAN SELECT id FROM entry WHERE {wanted}"
            plan = " ".join(str(line) for line in session.connection().exec_driver_sql(query))
            assert f"USING INDEX entry_{algorithm}" in plan or f"USING COVERING INDEX entry_{algorithm}" in plan
