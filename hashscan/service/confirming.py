"""Prefixes come in, keyed tags go out (docs/wire.md, "Confirm"). Whether a file is an entry is for the agent to decide."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import bindparam, literal, select, union_all

from hashscan.known.keys import token
from hashscan.model import Act, Algorithm, Standing
from hashscan.service import guard
from hashscan.service.access import Caller, NotServed
from hashscan.service.asking import Asking, Statement
from hashscan.service.dialects import among, integers
from hashscan.service.disputing import complaints, rules
from hashscan.service.parsing import Asked, Item
from hashscan.service.tables import DIGEST_COLUMNS, Entry, HashList, Phase, Publication

TTL = 86_400  # seconds
MAX_ENTRIES = 64  # for one item; among 1.4 M entries two share a prefix once in 3,000 questions
MAX_PAYLOAD_BYTES = 3_000_000  # base64 makes four thirds of it, agents accept 4 MiB


class Listed(NamedTuple):
    """An entry as it is read here; see `tables.Entry`."""

    id: int
    public_id: str
    md5: bytes | None
    sha1: bytes | None
    sha256: bytes | None
    blake3: bytes | None
    size: int | None
    category: str
    standing: str
    act: str
    sources: str


Found = Mapping[tuple[Algorithm, int], Sequence[Listed]]
"""Entries by algorithm and prefix, oldest first."""

_LISTED = tuple(getattr(Entry, one) for one in Listed._fields)
_ENTRIES = Statement(
    union_all(
        *(
            select(literal(algorithm.code[0]), column, *_LISTED).where(
                Entry.list_id == bindparam("list"), among(column, integers(algorithm.value))
            )
            for algorithm, (_, column) in DIGEST_COLUMNS.items()
        )
    )
)
_BY_CODE = {one.code[0]: one for one in Algorithm}
_LIST = Statement(
    select(Publication.list_id)
    .join(HashList, HashList.id == Publication.list_id)
    .where(
        Publication.provider_id == bindparam("provider"),
        HashList.name == bindparam("name"),
        Publication.version == bindparam("version"),
        Publication.epoch == bindparam("epoch"),
    )
)


def answer(asking: Asking, caller: Caller, asked: Asked, issued: float, told: Counter[str] | None = None) -> bytes:
    """The payload of the verdict. Raises `NotServed`: 409 (not a list of this provider), 413 (more than an answer holds).

    Every epoch is answered whose key was not revoked: a host that has not synced since the last change still asks. ``told``
    counts the entries that are named, by standing.
    """
    list_id = _published_list(asking, caller, asked)
    if not caller.key.has(asked.list.epoch):  # revoking a key revokes all older ones
        raise NotServed(409, "epoch_revoked", "the provider key of this epoch was revoked; sync first")
    entries = _entries(asking, list_id, asked.items)
    key = caller.key.confirm_key(asked.list.id, asked.list.epoch)
    voice = Voice(caller.phase, complaints.paused(asking, caller.id) if entries else frozenset())
    payload: dict[str, Any] = {
        "nonce": asked.nonce,
        "issued": issued,
        "provider": caller.name,
        "list": {"id": asked.list.id, "version": asked.list.version, "epoch": asked.list.epoch},
        "ttl": TTL,
        "items": [{"i": item.i, "entries": [tagged(one, key, voice) for one in pick(item, entries)]} for item in asked.items],
    }
    if told is not None:
        told.update(one["standing"] for item in payload["items"] for one in item["entries"])
    data = json.dumps(payload, separators=(",", ":")).encode()
    if len(data) > MAX_PAYLOAD_BYTES:
        raise NotServed(413, "too_large", "the answer would be too long; ask about fewer items at once")
    return data


def _published_list(asking: Asking, caller: Caller, asked: Asked) -> int:
    ref = asked.list
    rows = asking.rows(_LIST, provider=caller.id, name=ref.id, version=ref.version, epoch=ref.epoch)
    if not rows:
        raise NotServed(409, "list_not_published", "this version of this list was not published to this provider; sync first")
    return int(rows[0][0])


def _entries(asking: Asking, list_id: int, items: Sequence[Item]) -> Found:
    """All entries of the list that any prefix of the question names, by one statement. The known-good are left out."""
    wanted: dict[str, set[int]] = {algorithm.value: set() for algorithm in Algorithm}
    for item in items:
        for algorithm, one in item.prefixes.items():
            wanted[algorithm.value].add(one)
    found: defaultdict[tuple[Algorithm, int], list[Listed]] = defaultdict(list)
    for code, p, *columns in asking.rows(_ENTRIES, list=list_id, **wanted):
        found[_BY_CODE[code], p].append(Listed(*columns))
    innocent = guard.innocent(asking, {one.id: one for some in found.values() for one in some}.values())
    return {key: sorted(one for one in some if one.id not in innocent) for key, some in found.items()}


def pick(item: Item, found: Found) -> list[Listed]:
    """The entries that share a prefix with ``item``, each once, at most `MAX_ENTRIES`; the strongest algorithm's first."""
    picked: dict[int, Listed] = {}
    for algorithm in reversed(Algorithm):
        if algorithm in item.prefixes:
            for entry in found.get((algorithm, item.prefixes[algorithm]), ()):
                picked.setdefault(entry.id, entry)
    return list(picked.values())[:MAX_ENTRIES]


@dataclass(frozen=True, slots=True)
class Voice:
    """How this provider is answered: its phase, and the entries (database ids) that its own complaints pause for it."""

    phase: Phase
    paused: frozenset[int]


def tagged(entry: Listed, key: bytes, voice: Voice) -> dict[str, Any]:
    """An entry as it goes out: tags under ``key`` instead of digests, and act `report` for a provider on trial."""
    digests = zip(Algorithm, (entry.md5, entry.sha1, entry.sha256, entry.blake3), strict=True)
    return {
        "entry": entry.public_id,
        "tags": {a.value: token(key, a, digest) for a, digest in digests if digest is not None},
        "size": entry.size,
        "standing": rules.answered(Standing(entry.standing), paused=entry.id in voice.paused).value,
        "category": entry.category,
        "sources": len(json.loads(entry.sources)),
        "act": Act.REPORT.value if voice.phase is Phase.TRIAL else entry.act,
    }
