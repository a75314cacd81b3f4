"""The other side of the wire, in memory: publishes lists, signs verdicts and receipts (docs/wire.md); contents are harmless.

`Hotline` is a `ports.Service` (held to the same contract as ``central.client.HttpService``) and a `ports.Fetcher`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from blake3 import blake3

from hashscan.known import bloom, envelopes, selftest
from hashscan.known.chain import VERDICT_KEYS
from hashscan.known.container import FilterHeader
from hashscan.known.keys import KeyRing, ProviderKey, token
from hashscan.known.metadata import TargetFileSpec
from hashscan.known.sizes import encode_sizes
from hashscan.known.trust import TufTrust
from hashscan.model import Act, Algorithm, Candidate, FileEntry, HashedFile, ListRef, Outcome, Place, Standing, VerdictKey
from hashscan.ports import Backlog, LogHead, Question
from tests.support.repository import PIECE as _PIECE
from tests.support.repository import Repository, file_spec

NOW = 1_790_000_000.0
PROVIDER = "acme"
LIST = ListRef("police", 7, 1)
PIECE = _PIECE
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
    """Its lists are ``lists``; ``failures`` are raised one a call before anything is answered; ``asked`` records questions.

    ``files`` are served, by name; ``withdrawn`` are entries taken back, by list id; ``extra`` are further targets: name to
    (bytes, custom). ``signing`` is the verdict key, ``also_signing`` sign beside it (a rotation), ``verdict_keys`` is what it
    publishes about them. ``repository`` is the signed metadata, with its keys.
    """

    provider: str = PROVIDER
    now: Callable[[], float] = lambda: NOW
    key: KeyRing = field(default_factory=lambda: KeyRing({1: ProviderKey(bytes(range(32)))}))
    signing: envelopes.SigningKey = field(default_factory=envelopes.SigningKey.generate)
    lists: dict[ListRef, list[Known]] = field(default_factory=lambda: {LIST: [SELF_TEST]})
    sequence: int = 1
    ttl: float = 3600.0
    failures: list[Exception] = field(default_factory=list)
    asked: list[Question] = field(default_factory=list)
    told: list[Outcome] = field(default_factory=list)
    backlogs: list[Backlog] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    withdrawn: dict[str, list[Known]] = field(default_factory=dict)
    extra: dict[str, tuple[bytes, Mapping[str, Any]]] = field(default_factory=dict)
    also_signing: list[envelopes.SigningKey] = field(default_factory=list)
    verdict_keys: tuple[VerdictKey, ...] = ()
    verdict_changes: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.repository = Repository(self.now(), self.provider, files=self.files)
        self.verdict_keys = self.verdict_keys or (VerdictKey(self.signing.public_hex(), 0.0),)
        self._published = 0

    @property
    def root(self) -> bytes:
        """What agents pin."""
        return self.repository.roots[0]

    def trust(self, folder: Path) -> TufTrust:
        """An agent's trust in this hotline, with this hotline's clock."""
        return TufTrust(self.root, self.provider, folder, clock=self.now)

    def seal(self, document: Mapping[str, Any] | bytes, payload_type: str) -> bytes:
        payload = document if isinstance(document, bytes) else json.dumps(document).encode()
        return envelopes.seal(payload, payload_type, [self.signing, *self.also_signing])

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
        """Make the files of all lists and sign the metadata; returns the proof that an agent keeps of it.

        All roles get the version ``sequence``, which counts up by itself where it was used already. ``changes`` are arguments
        of `Repository.sign_targets`.
        """
        self.repository.files = self.files
        if self.sequence == self._published:
            self.sequence += 1
        self._published = self.sequence
        issued = self.now() if issued is None else issued
        files = [self._offer(name, data, custom) for name, data, custom in self._targets(issued)]
        self.repository.sign_targets(self.sequence, files, **changes)
        self.repository.sign_snapshot(self.sequence, self.sequence)
        self.repository.sign_timestamp(self.sequence, self.sequence, issued=issued, expires=issued + lifetime)
        return self.repository.proof(self.sequence)

    def _offer(self, name: str, data: bytes, custom: Mapping[str, Any]) -> TargetFileSpec:
        self.files[name] = data
        return file_spec(name, data, custom)

    def _targets(self, created: float) -> Iterator[tuple[str, bytes, Mapping[str, Any]]]:
        for ref in self.lists:
            about = {"list": ref.id, "version": ref.version, "epoch": ref.epoch}
            stem = f"{ref.id}-{ref.version}-{ref.epoch}"
            yield f"{stem}.filter", self.filter(ref), {"kind": "filter", "created": created, **about}
            if known := self.withdrawn.get(ref.id):
                yield f"{stem}.withdrawn", self.withdrawn_file(ref, known), {"kind": "withdrawn", **about}
        keys = [{"public": one.public, "since": one.since, "until": one.until} for one in self.verdict_keys]
        yield VERDICT_KEYS, json.dumps({"format": 1, "keys": keys}).encode(), {"kind": "verdict-keys"}
        for name, (data, custom) in self.extra.items():
            yield name, data, custom

    def withdrawn_file(self, ref: ListRef, known: Iterable[Known]) -> bytes:
        key = self.key.filter_key(ref.id, ref.epoch)
        rows = [
            {"entry": one.id, "tokens": [token(key, each, raw(each, one.content)) for each in one.algorithms], "at": self.now()}
            for one in known
        ]
        document = {"format": 1, "list": ref.id, "version": ref.version, "epoch": ref.epoch, "withdrawn": rows}
        return json.dumps(document).encode()

    def fetch(self, name: str, *, max_bytes: int) -> Iterator[bytes]:
        self._maybe_fail()
        self.repository.files = self.files
        yield from self.repository.fetch(name, max_bytes=max_bytes)

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

    def report_outcomes(
        self, outcomes: Sequence[Outcome], head: LogHead | None = None, backlog: Backlog | None = None
    ) -> bytes:
        self._maybe_fail()
        if backlog is not None:
            self.backlogs.append(backlog)
        self.told += outcomes
        receipts = [{"id": one.id, "received": self.now()} for one in outcomes]
        log = {} if head is None else {"log": {"lines": head.lines, "hash": head.hash}}
        return self.seal({"provider": self.provider, "issued": self.now(), "receipts": receipts, **log}, envelopes.RECEIPTS)

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
    key: ProviderKey | KeyRing,
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


def envelope_of(payload: bytes, payload_type: str, signatures: list[dict[str, str]]) -> bytes:
    """A DSSE envelope with any signatures."""
    body = base64.b64encode(payload).decode()
    return json.dumps({"payload": body, "payloadType": payload_type, "signatures": signatures}).encode()
