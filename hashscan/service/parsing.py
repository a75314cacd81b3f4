"""Requests become values: pure, strict about what we know, silent about keys that we do not (docs/wire.md)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from hashscan.model import Action, Algorithm, ListRef, Outcome
from hashscan.ports import Backlog, LogHead
from hashscan.service.disputing.complaints import Complaint
from hashscan.service.disputing.rules import MAX_REASON
from hashscan.strict_json import Fields, StrictJsonError, parse_object

MAX_CONFIRM_BYTES = 64 * 1024
MAX_OUTCOMES_BYTES = 256 * 1024
MAX_COMPLAINT_BYTES = 8 * 1024
MAX_ITEMS = 100
MAX_OUTCOMES = 100
MAX_I = 10_000
PREFIX_DIGITS = 8
_NONCE = re.compile(r"[A-Za-z0-9_-]{43}")
_KEY = re.compile(r"[A-Za-z0-9_-]{16,64}")


@dataclass(frozen=True, slots=True)
class Item:
    """One candidate: its number in the question, and of each digest the first four bytes as an integer."""

    i: int
    prefixes: Mapping[Algorithm, int]


@dataclass(frozen=True, slots=True)
class Asked:
    """A question about candidates of one list."""

    list: ListRef
    nonce: str
    items: tuple[Item, ...]


def parse_confirm(body: bytes) -> Asked:
    """The question in the body of ``POST /v1/confirm``. Raises `StrictJsonError`."""
    fields = Fields(parse_object(body, max_bytes=MAX_CONFIRM_BYTES), "request")
    nonce = fields.text("nonce", max_chars=43)
    if not _NONCE.fullmatch(nonce):
        raise StrictJsonError("request: 'nonce' is not 43 base64url characters")
    items = tuple(_item(one) for one in fields.objects("items", at_most=MAX_ITEMS))
    if not items:
        raise StrictJsonError("request: 'items' is empty")
    if len({item.i for item in items}) != len(items):
        raise StrictJsonError("request: two items have the same 'i'")
    return Asked(_list_ref(fields.object("list")), nonce, items)


def _list_ref(fields: Fields) -> ListRef:
    return ListRef(
        fields.text("id", max_chars=64),
        fields.integer("version", low=1, high=2**53),
        fields.integer("epoch", low=1, high=2**31),
    )


def _item(fields: Fields) -> Item:
    prefixes = fields.object("prefixes")
    known = {
        algorithm: int(prefixes.hex(algorithm, digits=PREFIX_DIGITS), 16)
        for algorithm in Algorithm
        if algorithm in prefixes.names()
    }
    if not known:
        raise StrictJsonError("request: an item has no prefix of an algorithm that is known here")
    if not fields.is_null("size"):
        fields.integer("size")
    return Item(fields.integer("i", high=MAX_I), known)


@dataclass(frozen=True, slots=True)
class Report:
    """What an agent tells: outcomes, the head of its log, and what waits for an answer; each may be missing, not all."""

    outcomes: tuple[Outcome, ...]
    head: LogHead | None = None
    backlog: Backlog | None = None


def parse_outcomes(body: bytes) -> Report:
    """The body of ``POST /v1/outcomes``. Raises `StrictJsonError`."""
    fields = Fields(parse_object(body, max_bytes=MAX_OUTCOMES_BYTES), "request")
    outcomes = tuple(_outcome(one) for one in fields.objects("outcomes", at_most=MAX_OUTCOMES))
    backlog = None if fields.is_null("backlog") else _backlog(fields.object("backlog"))
    if not outcomes and backlog is None:
        raise StrictJsonError("request: 'outcomes' is empty")
    if fields.is_null("log"):
        return Report(outcomes, None, backlog)
    log = fields.object("log")
    return Report(outcomes, LogHead(log.integer("lines", high=2**53), log.hex("hash", digits=64)), backlog)


def _backlog(fields: Fields) -> Backlog:
    return Backlog(fields.integer("pending", high=2**53), None if fields.is_null("since") else fields.number("since"))


def parse_complaint(body: bytes) -> Complaint:
    """The body of ``POST /v1/disputes``. Raises `StrictJsonError`."""
    fields = Fields(parse_object(body, max_bytes=MAX_COMPLAINT_BYTES, max_depth=2), "request")
    key = fields.text("id", max_chars=64)
    if not _KEY.fullmatch(key):
        raise StrictJsonError("request: 'id' is not 16 to 64 base64url characters")
    reason = fields.text("reason", max_chars=MAX_REASON)
    if not reason.isprintable():
        raise StrictJsonError("request: 'reason' has characters that cannot be printed")
    return Complaint(key, fields.text("list", max_chars=64), fields.text("entry", max_chars=80), reason)


def _outcome(fields: Fields) -> Outcome:
    try:
        action = Action(fields.text("action", max_chars=16))
    except ValueError as error:
        if isinstance(error, StrictJsonError):
            raise
        raise StrictJsonError(f"request: an action is none of {', '.join(Action)}") from None
    return Outcome(
        id=fields.text("id", max_chars=80),
        entry=fields.text("entry", max_chars=80),
        list_id=fields.text("list", max_chars=64),
        verdict_id=fields.hex("verdict", digits=64),
        action=action,
        first_seen=fields.number("first_seen"),
        acted_at=fields.number("acted_at"),
        finding="" if fields.is_null("finding") else fields.text("finding", max_chars=80),
    )
