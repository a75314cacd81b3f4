"""Harmless nouns for tests of what is told about them. Digests are of made-up bytes."""

from __future__ import annotations

from hashscan.model import (
    Act,
    Algorithm,
    Candidate,
    Case,
    CaseState,
    FileEntry,
    Finding,
    Grade,
    HashedFile,
    ListRef,
    Place,
    Reason,
    Skipped,
    Source,
    Standing,
)
from hashscan.ports import ActionResult

SHA1 = "0123456789abcdef0123456789abcdef01234567"
MD5 = "0123456789abcdef0123456789abcdef"
LIST = ListRef("police-nl", 7, 1)
HOSTILE = b"a\n\x1b[31mb\xe2\x80\xaec\xff\\[bold]d[/bold]\xc2\x85\xe2\x80\xa8e"
"""A newline, ANSI, a bidi override, a byte that is not UTF-8, a backslash, rich markup, C1 and a line separator."""


def candidate(path: bytes = b"www/a.jpg") -> Candidate:
    entry = FileEntry(Place(b"/srv", path), 1, 2, 3000, 0, 0, 0o100644, 1001, 1001, 1)
    return Candidate(HashedFile(entry, {Algorithm.SHA1: SHA1, Algorithm.MD5: MD5}), (LIST,))


def finding(
    path: bytes = b"www/a.jpg", *, grade: Grade = Grade.MATCH, act: Act = Act.QUARANTINE, category: str = "x"
) -> Finding:
    active, why, verdict_id = Standing.ACTIVE, "sha1 agrees", "ab" * 32
    return Finding(candidate(path), Source.SERVICE, LIST, "e-17", grade, active, category, act, why, verdict_id)


def result(action: str = "quarantined", path: bytes = b"www/a.jpg") -> ActionResult:
    return ActionResult(finding(path), action, "case-1", "")


def skip(reason: Reason = Reason.TOO_LARGE, path: bytes = b"www/big", *, errno: str = "", detail: str = "") -> Skipped:
    return Skipped(Place(b"/srv", path), reason, errno, detail)


def case(path: bytes = b"www/a.jpg") -> Case:
    return Case("case-1", CaseState.DONE, Place(b"/srv", path), 3000, "e-17", "police-nl", "ab" * 32, 1_700_000_000.0)
