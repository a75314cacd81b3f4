"""The shapes that go out (docs/wire.md). Only candidates and outcomes can be named here: no path, no name, no customer."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Sequence
from typing import TypeVar

from hashscan.model import Candidate, Dispute, Json, ListRef, Outcome
from hashscan.ports import Backlog, LogHead, Question

Item = TypeVar("Item")

CONFIRM_PATH = "/v1/confirm"
OUTCOMES_PATH = "/v1/outcomes"
DISPUTES_PATH = "/v1/disputes"
FILES_PATH = "/v1/files/"

MAX_ITEMS = 100
MAX_QUESTION_BYTES = 64 * 1024
PREFIX_DIGITS = 8  # four bytes: for a false positive the service learns 32 bits that match nothing


def question(reference: ListRef, candidates: Sequence[Candidate]) -> Question:
    """Ask about at most `MAX_ITEMS` candidates of one list, under a fresh nonce (32 random bytes)."""
    if not 0 < len(candidates) <= MAX_ITEMS:
        raise ValueError(f"a question has 1 to {MAX_ITEMS} items, not {len(candidates)}")
    return Question(
        list=reference,
        nonce=secrets.token_urlsafe(32),
        items=tuple(
            (
                {algorithm: digest[:PREFIX_DIGITS] for algorithm, digest in candidate.hashed.digests.items()},
                candidate.hashed.entry.size,
            )
            for candidate in candidates
        ),
    )


def encode_question(asked: Question) -> bytes:
    """The body of POST /v1/confirm."""
    items: list[Json] = [
        {"i": index, "prefixes": {algorithm.value: prefix for algorithm, prefix in prefixes.items()}, "size": size}
        for index, (prefixes, size) in enumerate(asked.items)
    ]
    reference: Json = {"id": asked.list.id, "version": asked.list.version, "epoch": asked.list.epoch}
    return _encode({"list": reference, "nonce": asked.nonce, "items": items})


def encode_outcomes(outcomes: Sequence[Outcome], head: LogHead | None = None, backlog: Backlog | None = None) -> bytes:
    """The body of POST /v1/outcomes, with the head of the vault's log and what waits, where they are told."""
    rows: list[Json] = [
        {
            "id": outcome.id,
            "entry": outcome.entry,
            "list": outcome.list_id,
            "verdict": outcome.verdict_id,
            "action": outcome.action.value,
            "first_seen": outcome.first_seen,
            "acted_at": outcome.acted_at,
            **({"finding": outcome.finding} if outcome.finding else {}),
        }
        for outcome in outcomes
    ]
    log: dict[str, Json] = {} if head is None else {"log": {"lines": head.lines, "hash": head.hash}}
    waits: dict[str, Json] = {} if backlog is None else {"backlog": {"pending": backlog.pending, "since": backlog.since}}
    return _encode({"outcomes": rows, **log, **waits})


def encode_dispute(dispute: Dispute) -> bytes:
    """The body of POST /v1/disputes."""
    return _encode({"id": dispute.key, "list": dispute.list_id, "entry": dispute.entry, "reason": dispute.reason})


def chunks(candidates: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """Stretches of candidates (or of what stands for them) that fit into one question each."""
    for start in range(0, len(candidates), MAX_ITEMS):
        yield candidates[start : start + MAX_ITEMS]


def _encode(document: dict[str, Json]) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()
