"""What a list took back: the file NAME.withdrawn (docs/formats.md), and looking things up in it.

A withdrawn entry is no longer in the filter. This list reaches back: to cases, pending candidates and held findings of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from hashscan.errors import FilterError
from hashscan.known.container import list_ref
from hashscan.known.keys import KeyRing, token
from hashscan.model import Algorithm, ListRef
from hashscan.strict_json import Fields, StrictJsonError, parse_object

FORMAT = 1
MAX_WITHDRAWN_BYTES = 16 * 2**20
MAX_WITHDRAWALS = 65_536
_MAX_ENTRY_CHARS = 64


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """An entry that its list took back ``at`` (seconds since 1970); ``tokens`` under K_filter of the list and epoch."""

    entry: str
    tokens: tuple[str, ...]
    at: float


def encode(ref: ListRef, withdrawals: Iterable[Withdrawal]) -> bytes:
    """The file for one state of one list. Raises `FilterError` where it would be more than agents take."""
    rows = [{"entry": one.entry, "tokens": list(one.tokens), "at": one.at} for one in withdrawals]
    told = {"format": FORMAT, "list": ref.id, "version": ref.version, "epoch": ref.epoch, "withdrawn": rows}
    data = json.dumps(told, separators=(",", ":")).encode()
    decode(data, ref)  # agents are no kinder
    return data


def decode(data: bytes, expect: ListRef) -> tuple[Withdrawal, ...]:
    """What ``data`` takes back; ``expect`` is what the signed metadata says it is about. Raises `FilterError`."""
    try:
        fields = Fields(parse_object(data, max_bytes=MAX_WITHDRAWN_BYTES, max_depth=4), "withdrawn")
        if fields.integer("format") != FORMAT:
            raise StrictJsonError("another format")
        ref = list_ref(fields, "list")
        if ref != expect:
            raise StrictJsonError(f"it is about {ref}, the signed metadata says {expect}")
        found = tuple(_withdrawal(one) for one in fields.objects("withdrawn", at_most=MAX_WITHDRAWALS))
        if len({one.entry for one in found}) != len(found):
            raise StrictJsonError("an entry is withdrawn twice")
    except StrictJsonError as error:
        raise FilterError(f"the withdrawn entries of {expect.id} cannot be used: {error}") from None
    return found


def _withdrawal(fields: Fields) -> Withdrawal:
    tokens = tuple(fields.texts("tokens", at_most=len(Algorithm), max_chars=64))
    if any(len(one) != 64 or one.strip("0123456789abcdef") for one in tokens):
        raise StrictJsonError("a token is not 64 lowercase hex digits")
    return Withdrawal(fields.text("entry", max_chars=_MAX_ENTRY_CHARS), tokens, fields.number("at"))


class Withdrawn:
    """Everything that the lists in force took back."""

    def __init__(self, lists: Mapping[ListRef, Sequence[Withdrawal]], ring: KeyRing) -> None:
        self._ring = ring
        self._rows = {ref: tuple(rows) for ref, rows in lists.items()}
        self._entries = {(ref.id, one.entry): one for ref, rows in lists.items() for one in rows}
        self._tokens = {(ref, each): one for ref, rows in lists.items() for one in rows for each in one.tokens}

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[tuple[ListRef, Withdrawal]]:
        return ((ref, one) for ref, rows in self._rows.items() for one in rows)

    def entry(self, list_id: str, entry: str) -> Withdrawal | None:
        """The withdrawal of an entry, where it was withdrawn."""
        return self._entries.get((list_id, entry))

    def covers(self, list_id: str, digests: Mapping[Algorithm, str]) -> Withdrawal | None:
        """The withdrawal of the entry that a file with these digests (lowercase hex) was, by the tokens of the list in force.

        An agreeing MD5 alone counts only for an entry that has nothing stronger: otherwise a collision with a withdrawn file
        would free a known one. For a file that no entry in force holds: an entry may have come back under another name.
        """
        for ref in self._rows:
            if ref.id != list_id:
                continue
            key = self._ring.filter_key(ref.id, ref.epoch)
            for algorithm, digest in digests.items():
                found = self._tokens.get((ref, token(key, algorithm, bytes.fromhex(digest))))
                if found and (algorithm.collision_resistant or len(found.tokens) == 1):
                    return found
        return None
