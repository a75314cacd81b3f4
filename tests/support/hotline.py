"""The other side of the wire, in memory: signs lists, verdicts and receipts as docs/wire.md says. Contents are harmless.

`Hotline` is a `ports.Service` (held to the same contract as ``central.client.HttpService``) and a `ports.Fetcher`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from blake3 import blake3

from hashscan.errors import FilterError
from hashscan.known import bloom, envelopes, selftest
from hashscan.known.container import FilterHeader
from hashscan.known.keys import ProviderKey, token
from hashscan.known.sizes import encode_sizes
from hashscan.known.trust import LISTS_NAME, PinnedTrust
from hashscan.model import Act, Algorithm, Candidate, FileEntry, HashedFile, ListRef, Outcome, Place, Standing
from hashscan.ports import Question

NOW = 1_790_000_000.0
PROVIDER = "acme"
LIST = ListRef("police", 7, 1)
PIECE = 100  # bytes of one piece of a fetched file
BOTH = (Algorithm.MD5, Algorithm.SHA1)


def raw(algorithm: Algorithm, content: bytes) -> bytes:
    return selftest.digest(algorithm, content)


def hashed(content: bytes, path: bytes = b"www/a.jpg", algorithms: Iterable[Algorithm] = BOTH, **stat: Any) -> HashedFile:
    """A file that was never on a disk. ``stat`` are fields of `FileEntry`."""
    known: dict[str, int] = {
        "device": 1,
        "inode": int.from_bytes(blake3(path).digest(4), "little"),
        "size": len(content),
        "mtime_ns": 5,
        "ctime_ns": 6,
        "mode": 0o100644,
        "uid": 1001,
        "gid": 1001,
        "links": 1,
        **stat,
    }
    entry = FileEntry(Place(b"/srv", path), **known)
    return HashedFile(entry, {algorithm: raw(algorithm, content).hex() for algorithm in algorithms})


def candidate(content: bytes, path: bytes = b"www/a.jpg", lists: tuple[ListRef, ...] = (LIST,), **stat: Any) -> Candidate:
    return Candidate(hashed(content, path, **stat), lists)


@dataclass(frozen=True)
class Known:
    """One entry of a list: the content stands for itself."""

    content: bytes
    standing: Standing = Standing.ACTIVE
    act: Act = Act.QUARANTINE
    algorithms: tuple[Algorithm, ...] = BOTH
    size: int | None = None

    @property
    def id(self) -> str:
        return "e_" + blake3(self.content).hexdigest()[:12]


SELF_TEST = Known(selftest.CONTENT, Standing.TEST, Act.REPORT, tuple(Algorithm))


@dataclass
class Hotline:
    """Its lists are ``lists``; ``failures`` are raised one a call before anything is answered; ``asked`` records questions."""

    provider: str = PROVIDER
    now: Callable[[], float] = lambda: NOW
    key: ProviderKey = field(default_factory=lambda: ProviderKey(bytes(range(32))))
    signing: envelopes.SigningKey = field(default_factory=envelopes.SigningKey.generate)
    lists: dict[ListRef, list[Known]] = field(default_factory=lambda: {LIST: [SELF_TEST]})
    sequence: int = 1
    ttl: float = 3600.0
    failures: list[Exception] = field(default_factory=list)
    asked: list[Question] = field(default_factory=list)
    told: list[Outcome] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    verdict_changes: dict[str, Any] = field(default_factory=dict)

    @property
    def trust(self) -> PinnedTrust:
        return PinnedTrust(self.signing.public_hex(), self.provider)

    def seal(self, document: Mapping[str, Any] | bytes, payload_type: str) -> bytes:
        payload = document if isinstance(document, bytes) else json.dumps(document).encode()
        return self.signing.seal(payload, payload_type)

    # What it publishes.

    def filter(self, reference: ListRef, known: Sequence[Known] | None = None, **changes: Any) -> bytes:
        """The filter file of one list, with the self-test file; ``changes`` are fields of the header."""
        entries = [*(self.lists.get(reference, []) if known is None else known)]
        if SELF_TEST not in entries:
            entries.append(SELF_TEST)
        own = {algorithm for one in entries if one is not SELF_TEST for algorithm in one.algorithms} or set(BOTH)
        algorithms = tuple(algorithm for algorithm in Algorithm if algorithm in own)
        return build_filter(self.key, reference, [one.content for one in entries], algorithms, **changes)

    def publish(self, *, issued: float | None = None, lifetime: float = 172_800.0, **changes: Any) -> bytes:
        """Make the files of all lists and sign the metadata; returns the envelope."""
        issued = self.now() if issued is None else issued
        rows = []
        for reference in self.lists:
            data = self.filter(reference)
            name = f"{reference.id}-{reference.version}-{reference.epoch}.filter"
            self.files[name] = data
            rows.append(target_row(reference, data, issued))
        document = {
            "provider": self.provider,
            "sequence": self.sequence,
            "issued": issued,
            "expires": issued + lifetime,
            "lists": rows,
            **changes,
        }
        envelope = self.seal(document, envelopes.LISTS)
        self.files[LISTS_NAME] = envelope
        return envelope

    def fetch(self, name: str, *, max_bytes: int) -> Iterator[bytes]:
        self._maybe_fail()
        if name not in self.files:
            raise FilterError(f"no {name}")
        data = self.files[name]
        if len(data) > max_bytes:
            raise FilterError("longer than allowed")
        yield from (data[start : start + PIECE] for start in range(0, len(data), PIECE))

    # What it answers.

    def verdict(self, question: Question, **changes: Any) -> dict[str, Any]:
        """The payload of the verdict; ``changes`` are top-level fields, None removes one."""
        items = [
            {"i": index, "entries": [self._tagged(one, question.list) for one in self._agreeing(question.list, prefixes)]}
            for index, (prefixes, _) in enumerate(question.items)
        ]
        reference = question.list
        document: dict[str, Any] = {
            "nonce": question.nonce,
            "issued": self.now(),
            "provider": self.provider,
            "list": {"id": reference.id, "version": reference.version, "epoch": reference.epoch},
            "ttl": self.ttl,
            "items": items,
            **changes,
        }
        return {key: value for key, value in document.items() if value is not None}

    def confirm(self, question: Question) -> bytes:
        self.asked.append(question)
        self._maybe_fail()
        return self.seal(self.verdict(question, **self.verdict_changes), envelopes.VERDICT)

    def report_outcomes(self, outcomes: Sequence[Outcome]) -> bytes:
        self._maybe_fail()
        self.told += outcomes
        receipts = [{"id": one.id, "received": self.now()} for one in outcomes]
        return self.seal({"provider": self.provider, "issued": self.now(), "receipts": receipts}, envelopes.RECEIPTS)

    def _maybe_fail(self) -> None:
        if self.failures:
            raise self.failures.pop(0)

    def _agreeing(self, reference: ListRef, prefixes: Mapping[Algorithm, str]) -> list[Known]:
        return [
            one
            for one in self.lists.get(reference, [])
            if any(raw(algorithm, one.content).hex().startswith(prefix) for algorithm, prefix in prefixes.items())
        ]

    def _tagged(self, one: Known, reference: ListRef) -> dict[str, Any]:
        key = self.key.confirm_key(reference.id, reference.epoch)
        return {
            "entry": one.id,
            "tags": {algorithm.value: token(key, algorithm, raw(algorithm, one.content)) for algorithm in one.algorithms},
            "size": one.size,
            "standing": one.standing.value,
            "category": "harmless",
            "sources": 2,
            "act": one.act.value,
        }


def build_filter(
    key: ProviderKey,
    reference: ListRef,
    contents: Iterable[bytes],
    algorithms: tuple[Algorithm, ...] = BOTH,
    *,
    error_rate: float = 1e-6,
    capacity: int | None = None,
    sizes: Iterable[int] = (),
    **changes: Any,
) -> bytes:
    filter_key = key.filter_key(reference.id, reference.epoch)
    tokens = {token(filter_key, algorithm, raw(algorithm, content)) for content in contents for algorithm in algorithms}

    def header(count: int, length: int, checksum: str) -> FilterHeader:
        fields: dict[str, Any] = {
            "list": reference,
            "provider": PROVIDER,
            "algorithms": algorithms,
            "created": NOW,
            "entries": len(tokens),
            "tokens": count,
            "error_rate": error_rate,
            "body_length": length,
            "body_blake3": checksum,
            **changes,
        }
        return FilterHeader(**fields)

    section = encode_sizes(filter_key, sizes) if (sizes := list(sizes)) else b""
    room = capacity or len(tokens)
    return bloom.build(header, filter_key, sorted(tokens), capacity=room, error_rate=error_rate, sizes=section)


def target_row(reference: ListRef, data: bytes, created: float = NOW) -> dict[str, Any]:
    return {
        "id": reference.id,
        "version": reference.version,
        "epoch": reference.epoch,
        "name": "whatever it says",
        "length": len(data),
        "blake3": blake3(data).hexdigest(),
        "created": created,
    }


def envelope_of(payload: bytes, payload_type: str, signatures: list[dict[str, str]]) -> bytes:
    """A DSSE envelope with any signatures."""
    body = base64.b64encode(payload).decode()
    return json.dumps({"payload": body, "payloadType": payload_type, "signatures": signatures}).encode()
