"""What a verdict means for a file: the whole truth table."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashscan.known.exact import ExactSieve
from hashscan.known.judge import Answer, grade, judge, judge_local, settles
from hashscan.known.keys import token
from hashscan.model import (
    Act,
    Algorithm,
    Candidate,
    Finding,
    Grade,
    ListRef,
    Source,
    Standing,
    Tagged,
    Verdict,
)
from tests.support.hotline import LIST, candidate, hashed, raw

KEY = bytes(range(32))
CONTENT = b"harmless"
ALL = tuple(Algorithm)
CANDIDATE = Candidate(hashed(CONTENT, algorithms=ALL), (LIST,))


def tagged(
    agree: tuple[Algorithm, ...],
    differ: tuple[Algorithm, ...] = (),
    *,
    size: int | None = None,
    standing: Standing = Standing.ACTIVE,
    act: Act = Act.QUARANTINE,
    entry: str = "e_1",
) -> Tagged:
    tags = {algorithm: token(KEY, algorithm, raw(algorithm, CONTENT)) for algorithm in agree}
    tags |= {algorithm: token(KEY, algorithm, raw(algorithm, b"another")) for algorithm in differ}
    return Tagged(entry, tags, size, standing, "A", 1, act)


def verdict(*entries: Tagged, reference: ListRef = LIST) -> Verdict:
    return Verdict(f"id-{reference.id}", "acme", reference, 0.0, 60.0, (entries,), b"signed " + reference.id.encode())


def judged(*entries: Tagged, md5_is_enough: bool = False, of: Candidate = CANDIDATE) -> Finding | None:
    return judge(of, [Answer(verdict(*entries), 0, KEY, md5_is_enough)])


SUBSETS = [subset for number in range(5) for subset in itertools.combinations(ALL, number)]
SIZES = [None, len(CONTENT), len(CONTENT) + 1, 0]


def expected(agree: tuple[Algorithm, ...], differ: tuple[Algorithm, ...], size: int | None, md5: bool) -> Grade | None:
    """docs/wire.md, "Confirm", in other words than the code's."""
    if not agree:
        return None
    if differ or size not in {None, len(CONTENT)}:
        return Grade.WEAK
    return Grade.WEAK if set(agree) == {Algorithm.MD5} and not md5 else Grade.MATCH


def test_grades() -> None:
    count = 0
    for agree, differ, size, md5 in itertools.product(SUBSETS, SUBSETS, SIZES, (False, True)):
        if set(agree) & set(differ):
            continue
        one = tagged(agree, differ, size=size)
        assert grade(CANDIDATE.hashed, one, KEY, md5_is_enough=md5) == expected(agree, differ, size, md5), (agree, differ, size)
        count += 1
    assert count == 81 * 8
    print(f"{count} rows")


def test_only_one_row_of_the_table_may_move_a_file() -> None:
    rows = itertools.product(SUBSETS, [(), (Algorithm.MD5,), (Algorithm.SHA1,)], SIZES, Standing, Act, (False, True))
    moves = count = 0
    for agree, differ, size, standing, act, md5 in rows:
        if set(agree) & set(differ):
            continue
        finding = judged(tagged(agree, differ, size=size, standing=standing, act=act), md5_is_enough=md5)
        graded = expected(agree, differ, size, md5)
        count += 1
        if standing is Standing.WITHDRAWN or graded is None:
            assert finding is None
            continue
        assert finding is not None
        may_move = graded is Grade.MATCH and standing is Standing.ACTIVE and act is Act.QUARANTINE
        assert (finding.act is Act.QUARANTINE) == may_move
        assert (finding.grade, finding.standing) == (graded, standing)
        assert finding.source is Source.SERVICE
        assert finding.candidate is CANDIDATE
        assert (finding.verdict_id, finding.envelope) == ("id-police", b"signed police")
        assert finding.reason
        moves += may_move
    assert moves
    print(f"{count} rows, {moves} may move")


def test_only_digests_that_this_host_has_are_compared() -> None:
    """The list holds a digest that nobody computed here: it neither helps nor harms."""
    only_md5 = Candidate(hashed(CONTENT, algorithms=[Algorithm.MD5]), (LIST,))
    found = judged(tagged(ALL), of=only_md5)
    assert found is not None
    assert (found.grade, found.act) == (Grade.WEAK, Act.REPORT)
    assert judged(tagged((Algorithm.SHA256,)), of=only_md5) is None
    assert judged(tagged((Algorithm.MD5,), (Algorithm.SHA256,)), of=only_md5, md5_is_enough=True) is not None


def test_a_planted_collision_is_weak_even_where_md5_is_enough() -> None:
    found = judged(tagged((Algorithm.MD5,), (Algorithm.SHA1,)), md5_is_enough=True)
    assert found is not None
    assert (found.grade, found.act) == (Grade.WEAK, Act.REPORT)


def test_tags_under_another_key_agree_with_nothing() -> None:
    other = bytes(32)
    assert judge(CANDIDATE, [Answer(verdict(tagged(ALL)), 0, other)]) is None


def test_no_entries_no_answers() -> None:
    assert judged() is None
    assert judge(CANDIDATE, []) is None
    assert judged(Tagged("e", {}, None, Standing.ACTIVE, "", 1, Act.QUARANTINE)) is None


def test_the_answer_about_another_item_is_not_ours() -> None:
    both = Verdict("v", "acme", LIST, 0.0, 60.0, ((tagged(ALL),), ()), b"x")
    assert judge(CANDIDATE, [Answer(both, 1, KEY)]) is None
    assert judge(CANDIDATE, [Answer(both, 0, KEY)]) is not None


STRONG, WEAK = (Algorithm.SHA1,), (Algorithm.MD5,)


@pytest.mark.parametrize(
    ("entries", "winner"),
    [
        ([tagged(WEAK, entry="w"), tagged(STRONG, entry="s")], "s"),
        ([tagged(STRONG, act=Act.REPORT, entry="r"), tagged(STRONG, entry="q")], "q"),
        ([tagged(STRONG, standing=Standing.TEST, entry="t"), tagged(STRONG, entry="a", act=Act.REPORT)], "a"),
        ([tagged(STRONG, standing=Standing.TEST, entry="t"), tagged(STRONG, standing=Standing.DISPUTED, entry="d")], "d"),
        ([tagged(STRONG, standing=Standing.WITHDRAWN, entry="x"), tagged(WEAK, entry="w")], "w"),
        ([tagged(STRONG, standing=Standing.DISPUTED, entry="d"), tagged(WEAK, entry="w")], "d"),
        ([tagged(STRONG, entry="b"), tagged(STRONG, entry="a")], "a"),
    ],
)
def test_the_gravest_wins_whatever_the_order_and_the_list(entries: list[Tagged], winner: str) -> None:
    for order in itertools.permutations(entries):
        found = judged(*order)
        assert found is not None
        assert found.entry == winner
        lists = [ListRef(name, 1, 1) for name in "abc"]
        answers = [Answer(verdict(one, reference=ref), 0, KEY) for one, ref in zip(order, lists, strict=False)]
        apart = judge(CANDIDATE, answers)
        assert apart is not None
        assert apart.entry == winner
        assert apart.list.id == lists[order.index(next(one for one in order if one.entry == winner))].id
        assert apart.envelope.endswith(apart.list.id.encode()), "the evidence is the verdict of that very list"


def test_md5_is_enough_holds_for_its_own_list_only() -> None:
    a, b = ListRef("a", 1, 1), ListRef("b", 1, 1)
    entry = tagged(WEAK)
    found = judge(CANDIDATE, [Answer(verdict(entry, reference=a), 0, KEY), Answer(verdict(entry, reference=b), 0, KEY, True)])
    assert found is not None
    assert (found.list, found.grade, found.act) == (b, Grade.MATCH, Act.QUARANTINE)


def test_a_report_only_list_never_moves_and_does_not_hold_back_another() -> None:
    """Police list may quarantine, hotline list reports."""
    police, hotline = ListRef("police", 1, 1), ListRef("hotline", 1, 1)
    entry = tagged(STRONG)
    reported = Answer(verdict(entry, reference=hotline), 0, KEY, report_only=True)
    alone = judge(CANDIDATE, [reported])
    assert alone is not None
    assert (alone.act, alone.grade, alone.standing) == (Act.REPORT, Grade.MATCH, Standing.ACTIVE)
    assert "hotline" in alone.reason
    assert "report_only" in alone.reason
    together = judge(CANDIDATE, [reported, Answer(verdict(entry, reference=police), 0, KEY)])
    assert together is not None
    assert (together.list, together.act) == (police, Act.QUARANTINE)


def test_a_withdrawn_entry_never_moves_whatever_the_verdict_says() -> None:
    asked: list[tuple[str, str]] = []

    def withdrawn(list_id: str, entry: str) -> bool:
        asked.append((list_id, entry))
        return (list_id, entry) == ("police", "gone")

    for entry, act in (("gone", Act.REPORT), ("stays", Act.QUARANTINE)):
        found = judge(CANDIDATE, [Answer(verdict(tagged(STRONG, entry=entry)), 0, KEY, withdrawn=withdrawn)])
        assert found is not None
        assert (found.act, "withdrawn" in found.reason) == (act, act is Act.REPORT)
    assert asked == [("police", "gone"), ("police", "stays")]
    other = verdict(tagged(STRONG, entry="gone"), reference=ListRef("hotline", 1, 1))
    elsewhere = judge(CANDIDATE, [Answer(other, 0, KEY, withdrawn=withdrawn)])
    assert elsewhere is not None
    assert elsewhere.act is Act.QUARANTINE, "an authority withdraws its own entries"


def test_only_a_quarantine_settles_what_another_list_did_not_answer() -> None:
    table = [(act, missing, not missing or act is Act.QUARANTINE) for act in (None, *Act) for missing in ("", "busy")]
    assert [settles(judged(tagged(STRONG, act=act)) if act else None, missing) for act, missing, _ in table] == [
        enough for _, _, enough in table
    ]
    assert [enough for *_, enough in table].count(False) == 2


ENTRIES = st.builds(
    lambda agree, differ, size, standing, act, entry: tagged(
        agree, tuple(one for one in differ if one not in agree), size=size, standing=standing, act=act, entry=entry
    ),
    st.sampled_from(SUBSETS),
    st.sampled_from(SUBSETS),
    st.sampled_from(SIZES),
    st.sampled_from(Standing),
    st.sampled_from(Act),
    st.sampled_from("abc"),
)


@given(st.lists(ENTRIES, max_size=5))
def test_a_file_moves_only_where_one_entry_by_itself_says_so(entries: list[Tagged]) -> None:
    found = judged(*entries)
    alone = [judged(one) for one in entries]
    assert (found is None) == all(one is None for one in alone)
    assert (found is not None and found.act is Act.QUARANTINE) == any(one and one.act is Act.QUARANTINE for one in alone)


# A plain list on this host.


@pytest.mark.parametrize("algorithms", [subset for subset in SUBSETS if subset], ids=str)
def test_a_local_finding_never_moves(algorithms: tuple[Algorithm, ...]) -> None:
    known = ExactSieve("x", {algorithm: frozenset([raw(algorithm, CONTENT)]) for algorithm in algorithms})
    found = judge_local(CANDIDATE, known)
    assert (found.source, found.act, found.envelope, found.verdict_id) == (Source.LOCAL, Act.REPORT, b"", "")
    assert found.grade is (Grade.WEAK if algorithms == (Algorithm.MD5,) else Grade.MATCH)
    algorithm, _, digest = found.entry.partition(":")
    assert raw(Algorithm(algorithm), CONTENT).hex() == digest
    assert known.candidates([CANDIDATE.hashed, candidate(b"other").hashed]) == [Candidate(CANDIDATE.hashed, (known.list,))]
