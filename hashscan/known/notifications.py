"""Notifications: how often files of a series were found, signed, in a chain, counts only (docs/formats.md, "Notifications").

For organisations that tell victims. Nothing of an entry, a provider or a place is in one, and no count that is small.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from hashscan.errors import FilterError
from hashscan.known import envelopes
from hashscan.model import Json, VerdictKey
from hashscan.strict_json import Fields, StrictJsonError, parse_object

FORMAT = 1
K = 10  # counts are told in steps of so many, and what is less is not told
MAX_SERIES = 20_000  # in one notification: about 2 MB


@dataclass(frozen=True, slots=True)
class Count:
    """Of one series at least so many files were found, and of these so many removed; both are multiples of `K`."""

    series: str
    found: int
    removed: int


@dataclass(frozen=True, slots=True)
class Notification:
    """What one says. ``previous`` is the SHA-256 (hex) of the payload before, None in the first; times in seconds since 1970.

    Everything that the service had heard before ``until`` is counted. ``keys`` are those that may sign the next one.
    """

    service: str
    seq: int
    issued: float
    until: float
    previous: str | None
    counts: tuple[Count, ...]
    keys: tuple[VerdictKey, ...]


def rounded(count: int) -> int:
    """What is told of a count: the multiple of `K` below it."""
    return count - count % K


def told(found: dict[str, tuple[int, int]]) -> tuple[Count, ...]:
    """Of each series (found, removed) what may be told, in the order of the names; a series with less than `K` is left out."""
    rows = (Count(name, rounded(found[name][0]), rounded(found[name][1])) for name in sorted(found))
    return tuple(row for row in rows if row.found)


def encode(one: Notification) -> bytes:
    """The payload."""
    keys: list[Json] = [{"public": key.public, "since": key.since, "until": key.until} for key in one.keys]
    counts: list[Json] = [{"series": row.series, "found": row.found, "removed": row.removed} for row in one.counts]
    document: dict[str, Json] = {
        "format": FORMAT,
        "service": one.service,
        "seq": one.seq,
        "issued": one.issued,
        "until": one.until,
        "previous": one.previous,
        "k": K,
        "keys": keys,
        "series": counts,
    }
    return json.dumps(document, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()


def digest_of(payload: bytes) -> str:
    """By which the next notification names this one."""
    return hashlib.sha256(payload).hexdigest()


def verify(data: Sequence[bytes], pinned: str) -> tuple[Notification, ...]:
    """The notifications in these envelopes, the oldest first, none missing between them.

    ``pinned`` is the public key (64 hex digits) of the service that the reader knows from elsewhere. It must have signed the
    first, and one of the keys that each names the next. Raises `FilterError`, `UsageError` (no key).
    """
    keys = [VerdictKey(envelopes.public_key(pinned).keyval["public"], 0.0)]
    read: list[Notification] = []
    before = ""
    for number, envelope in enumerate(data, 1):
        try:
            opened = envelopes.open_envelope(envelope, envelopes.NOTIFICATION, keys)
            one = _decode(opened.payload)
            opened.check_issued(one.issued)
            if read:
                _follows(one, read[-1], before)
        except (FilterError, StrictJsonError) as error:
            raise FilterError(f"notification {number} of {len(data)} does not hold: {error}") from None
        before = digest_of(opened.payload)
        keys = list(one.keys)
        read.append(one)
    return tuple(read)


def _follows(one: Notification, last: Notification, before: str) -> None:
    if (one.seq, one.previous) != (last.seq + 1, before):
        raise StrictJsonError(f"number {one.seq} does not follow number {last.seq} as it was signed")
    if one.until <= last.until or one.service != last.service:
        raise StrictJsonError("it is older than the one before, or of another service")


def _decode(payload: bytes) -> Notification:
    fields = Fields(parse_object(payload, max_bytes=envelopes.MAX_ENVELOPE_BYTES, max_depth=4), "the notification")
    fields.integer("format", low=FORMAT, high=FORMAT)
    step = fields.integer("k", low=2, high=1000)
    seq = fields.integer("seq", low=1, high=2**31)
    return Notification(
        fields.text("service"),
        seq,
        fields.number("issued"),
        fields.number("until"),
        None if seq == 1 and fields.is_null("previous") else fields.hex("previous", digits=64),
        tuple(_count(one, step) for one in fields.objects("series", at_most=MAX_SERIES)),
        tuple(_key(one) for one in fields.objects("keys", at_most=envelopes.MAX_SIGNATURES)),
    )


def _count(fields: Fields, step: int) -> Count:
    one = Count(fields.text("series", max_chars=64), fields.integer("found", low=step), fields.integer("removed"))
    if one.found % step or one.removed % step or one.removed > one.found:
        raise StrictJsonError("a count is no multiple of k, or more was removed than found")
    return one


def _key(fields: Fields) -> VerdictKey:
    until = None if fields.is_null("until") else fields.number("until")
    return VerdictKey(fields.hex("public", digits=64), fields.number("since"), until)
