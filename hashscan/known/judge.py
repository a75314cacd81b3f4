"""What a verdict means for a file: pure rules, decided on this host, with the service's tags and our own digests.

Source: docs/wire.md, "Confirm". The grades exist because of planted collisions (an MD5 collision costs cents and would frame
a customer) and because of wrong entries (June 2021: digests of stock images stood in a national database).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hashscan.known.exact import ExactSieve
from hashscan.known.keys import token
from hashscan.model import (
    Act,
    Candidate,
    Finding,
    Grade,
    HashedFile,
    ListRef,
    Source,
    Standing,
    Tagged,
    Verdict,
)


def none_withdrawn(list_id: str, entry: str) -> bool:  # noqa: ARG001 - what `Answer.withdrawn` is called with
    """No entry of any list is withdrawn."""
    return False


@dataclass(frozen=True, slots=True)
class Answer:
    """The part of one verdict that is about one candidate: ``verdict.answers[index]``, and K_confirm to read it with.

    What this host says of the list: ``md5_is_enough`` for a match on it, ``report_only`` for its findings. ``withdrawn``:
    whether the signed lists in force name an entry (list id, entry) as withdrawn.
    """

    verdict: Verdict
    index: int
    confirm_key: bytes
    md5_is_enough: bool = False
    report_only: bool = False
    withdrawn: Callable[[str, str], bool] = none_withdrawn


def grade(hashed: HashedFile, entry: Tagged, confirm_key: bytes, *, md5_is_enough: bool = False) -> Grade | None:
    """How well the file agrees with the entry; None where no digest agrees."""
    compared = {
        algorithm: token(confirm_key, algorithm, bytes.fromhex(hashed.digests[algorithm])) == tag
        for algorithm, tag in entry.tags.items()
        if algorithm in hashed.digests
    }
    if not any(compared.values()):
        return None
    size_differs = entry.size is not None and entry.size != hashed.entry.size
    if size_differs or not all(compared.values()):
        return Grade.WEAK
    strong = any(algorithm.collision_resistant for algorithm in compared)
    return Grade.MATCH if strong or md5_is_enough else Grade.WEAK


def _kept_from_moving(answer: Answer, entry: Tagged, found: Grade) -> str:
    """Why the finding is only reported, or "" where it may be moved. The order is that of what a reader most wants to know."""
    list_id = answer.verdict.list.id
    rules = (
        (found is Grade.WEAK, "weak match: only MD5 agrees, or something agrees and something else does not"),
        (entry.standing is not Standing.ACTIVE, f"the entry is {entry.standing}"),
        (
            answer.withdrawn(list_id, entry.entry),
            "the lists in force say that the entry is withdrawn, whatever the verdict says",
        ),
        (entry.act is not Act.QUARANTINE, "match; the list asks for a report"),
        (answer.report_only, f"match; findings of {list_id} are only reported (lists.report_only)"),
    )
    return next((reason for applies, reason in rules if applies), "")


def _finding(candidate: Candidate, answer: Answer, entry: Tagged, found: Grade) -> Finding:
    kept = _kept_from_moving(answer, entry, found)
    return Finding(
        candidate=candidate,
        source=Source.SERVICE,
        list=answer.verdict.list,
        entry=entry.entry,
        grade=found,
        standing=entry.standing,
        category=entry.category,
        act=Act.REPORT if kept else Act.QUARANTINE,
        reason=kept or "match",
        verdict_id=answer.verdict.id,
        envelope=answer.verdict.envelope,
    )


_RANK = {
    Standing.ACTIVE: 0,
    Standing.DISPUTED: 1,
    Standing.TEST: 2,
}


def _rank(finding: Finding) -> tuple[bool, bool, int, str]:
    return (finding.act is not Act.QUARANTINE, finding.grade is not Grade.MATCH, _RANK[finding.standing], finding.entry)


def judge(candidate: Candidate, answers: Sequence[Answer]) -> Finding | None:
    """The gravest finding that the answers of all lists support, or None: the candidate is cleared.

    A withdrawn entry supports nothing.
    """
    findings = [
        _finding(candidate, answer, entry, found)
        for answer in answers
        for entry in answer.verdict.answers[answer.index]
        if entry.standing is not Standing.WITHDRAWN
        and (found := grade(candidate.hashed, entry, answer.confirm_key, md5_is_enough=answer.md5_is_enough))
    ]
    return min(findings, key=_rank, default=None)


def settles(finding: Finding | None, missing: str) -> bool:
    """Whether the answers that came are enough: all lists that contain the candidate gave one, or one of them says quarantine.

    ``missing`` says why another list gave none, or is "". A lesser finding must wait for it: that list may say more.
    """
    return not missing or (finding is not None and finding.act is Act.QUARANTINE)


def judge_local(candidate: Candidate, known: ExactSieve) -> Finding:
    """The finding of an audit against a plain list: reported, never moved."""
    agreeing = known.agreeing(candidate.hashed)
    strong = any(algorithm.collision_resistant for algorithm in agreeing)
    algorithm = agreeing[-1]
    return Finding(
        candidate=candidate,
        source=Source.LOCAL,
        list=ListRef(known.list.id, 0, 0),
        entry=f"{algorithm}:{candidate.hashed.digests[algorithm]}",
        grade=Grade.MATCH if strong else Grade.WEAK,
        standing=Standing.ACTIVE,
        category="",
        act=Act.REPORT,
        reason="on the local list" if strong else "on the local list by MD5 only",
    )
