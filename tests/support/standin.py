"""A service in memory with real keys: what it published in several editions, and what it answers. Contents are harmless.

Unlike `tests.support.hotline` it speaks HTTP requests, and can sign everything that an honest service never would.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

from blake3 import blake3

from hashscan.known import bloom, delta, envelopes, metadata, selftest
from hashscan.known.codes import Code
from hashscan.known.container import FilterHeader
from hashscan.known.enrolment import Application, Handover, seal_handover, wrap_ring
from hashscan.known.envelopes import SigningKey
from hashscan.known.keys import KeyRing, ProviderKey, token
from hashscan.known.metadata import RootPlan, TargetFileSpec
from hashscan.known.withdrawn import Withdrawal, encode
from hashscan.model import Algorithm, ListRef
from tests.support.gateway import Reply, Request

LIST = "police"
API_KEY = "hsk_" + "a" * 43
BOTH = (Algorithm.MD5, Algorithm.SHA1)
ONE, TWO, THREE = b"harmless, listed: one\n", b"harmless, listed: two\n", b"harmless, was listed: three\n"
INNOCENT, CONFUSED = b"innocent\n", b"innocent, but the filter says perhaps\n"
CAPACITY = 1008  # with the canaries 1024, which takes any number of tokens
DAY = 86_400.0
LIFETIME = {"timestamp": 2 * DAY, "snapshot": 30 * DAY, "targets": 30 * DAY}
JSON = ("Content-Type: application/json",)


@dataclass
class Keys:
    """Three root keys of which two must sign, one online key a role, the verdict keys old and new, and one that was retired."""

    root: list[SigningKey] = field(default_factory=lambda: [SigningKey.generate() for _ in range(3)])
    online: dict[str, SigningKey] = field(
        default_factory=lambda: {role: SigningKey.generate() for role in metadata.ONLINE_ROLES}
    )
    verdict: list[SigningKey] = field(default_factory=lambda: [SigningKey.generate() for _ in range(2)])
    retired: SigningKey = field(default_factory=SigningKey.generate)

    def make_root(self, now: float, version: int = 1, signers: Sequence[SigningKey] | None = None, **changes: Any) -> bytes:
        """A root that appoints these keys, signed by ``signers`` (two of the root keys)."""
        online = {role: key.public_hex() for role, key in self.online.items()}
        plan = RootPlan(version, now + 365 * DAY, tuple(key.public_hex() for key in self.root), 2, online)
        data = metadata.draft_root(replace(plan, **changes))
        for key in self.root[:2] if signers is None else signers:
            data = metadata.sign(data, key)
        return data


def ids(content: bytes) -> str:
    """The entry of a content."""
    return "e_" + blake3(content).hexdigest()[:12]


def raw(algorithm: Algorithm, content: bytes) -> bytes:
    return selftest.digest(algorithm, content)


@dataclass
class Publisher:
    """Makes editions: all files of one state of the repository. Who has the keys can publish what he likes."""

    now: float
    provider: str = "acme"
    keys: Keys = field(default_factory=Keys)
    ring: KeyRing = field(default_factory=lambda: KeyRing({1: ProviderKey.generate(), 2: ProviderKey.generate()}))
    root: bytes = b""

    def __post_init__(self) -> None:
        self.root = self.root or self.keys.make_root(self.now)

    def filter(self, version: int, epoch: int, contents: Sequence[bytes]) -> bytes:
        """The filter file with the self-test, ``contents`` and a false positive."""
        key = self.ring.filter_key(LIST, epoch)
        tokens = sorted({token(key, one, raw(one, content)) for content in contents for one in BOTH})

        def header(count: int, length: int, checksum: str) -> FilterHeader:
            return FilterHeader(
                list=ListRef(LIST, version, epoch),
                provider=self.provider,
                algorithms=BOTH,
                created=self.now,
                entries=len(contents),
                tokens=count,
                error_rate=1e-6,
                body_length=length,
                body_blake3=checksum,
            )

        return bloom.build(header, key, tokens, capacity=CAPACITY, error_rate=1e-6)

    def verdict_keys(self, more: Sequence[SigningKey] = ()) -> bytes:
        since = self.now - 10 * DAY
        rows = [{"public": key.public_hex(), "since": since, "until": None} for key in (*self.keys.verdict, *more)]
        rows.append({"public": self.keys.retired.public_hex(), "since": since, "until": self.now - DAY})
        return json.dumps({"format": 1, "keys": rows}).encode()

    def targets(
        self, version: int, epoch: int, contents: Sequence[bytes], older: Mapping[str, bytes]
    ) -> dict[str, tuple[bytes, dict[str, Any]]]:
        """The target files of one version with their custom fields; a delta where ``older`` has the filter before."""
        common = {"list": LIST, "version": version, "epoch": epoch}
        everything = [selftest.CONTENT, CONFUSED, *contents]
        made = self.filter(version, epoch, everything)
        key = self.ring.filter_key(LIST, epoch)
        gone = Withdrawal(ids(THREE), tuple(token(key, one, raw(one, THREE)) for one in BOTH), float(int(self.now)))
        found: dict[str, tuple[bytes, dict[str, Any]]] = {
            f"{LIST}-{version}-{epoch}.filter": (made, {"kind": "filter", "created": float(int(self.now)), **common}),
            f"{LIST}-{version}-{epoch}.withdrawn": (
                encode(ListRef(LIST, version, epoch), [gone]),
                {"kind": "withdrawn", **common},
            ),
            "verdict-keys.json": (self.verdict_keys(), {"kind": "verdict-keys"}),
        }
        before = older.get(f"{LIST}-{version - 1}-{epoch}.filter")
        between = delta.make(before, made) if before else None
        if between:
            name = f"{LIST}-{version - 1}-{version}-{epoch}.delta"
            found[name] = (between, {"kind": "delta", "from": version - 1, **common})
        return found

    def edition(
        self,
        sequence: int,
        targets: Mapping[str, tuple[bytes, dict[str, Any]]],
        *,
        roots: Sequence[bytes] | None = None,
        age: Mapping[str, float] | None = None,
        **changes: Any,
    ) -> dict[str, bytes]:
        """Everything published. ``age`` (seconds by role) shifts when it was made, so that it may have expired.

        ``changes``: ``provider``, ``keys`` (a role's signing keys), ``specs`` (a function on the list of TargetFileSpec).
        """
        shifted = {role: self.now - (age or {}).get(role, 0.0) for role in LIFETIME}
        expires = {role: made + LIFETIME[role] for role, made in shifted.items()}
        signing = {role: [key] for role, key in self.keys.online.items()} | changes.get("keys", {})
        specs = [
            TargetFileSpec(name, len(data), hashlib.sha256(data).hexdigest(), custom)
            for name, (data, custom) in targets.items()
        ]
        specs = changes.get("specs", lambda given: given)(specs)
        terms: Any = {"provider": changes.get("provider", self.provider), "wait": 0.0, "jitter": 0.0}
        listed = metadata.make_targets(
            version=sequence, expires=expires["targets"], files=specs, keys=signing["targets"], **terms
        )
        snapshot = metadata.make_snapshot(
            version=sequence, expires=expires["snapshot"], targets_version=sequence, targets=listed, keys=signing["snapshot"]
        )
        timestamp = metadata.make_timestamp(
            version=sequence, expires=expires["timestamp"], issued=shifted["timestamp"], snapshot_version=sequence,
            snapshot=snapshot, keys=signing["timestamp"],
        )  # fmt: skip
        return {
            **{f"{number}.root.json": root for number, root in enumerate(roots or [self.root], 1)},
            f"{sequence}.targets.json": listed,
            f"{sequence}.snapshot.json": snapshot,
            "timestamp.json": timestamp,
            **{name: data for name, (data, _) in targets.items()},
        }


@dataclass
class Standin:
    """Answers requests about ``files``. ``verdicts`` are the payloads of the verdicts that it gave, ``told`` the outcomes.

    ``codes`` are the enrolment codes with the SHA-256 of the API key that came with each of them.
    """

    publisher: Publisher
    files: dict[str, bytes]
    listed: tuple[bytes, ...]
    refs: frozenset[tuple[int, int]] = frozenset()
    verdicts: list[bytes] = field(default_factory=list)
    told: dict[str, dict[str, Any]] = field(default_factory=dict)
    codes: dict[Code, str] = field(default_factory=dict)

    def __call__(self, request: Request) -> Reply:
        if request.path == "/v1/enrol":
            return self.enrol(request.body)
        if request.headers.get("authorization") != f"Bearer {API_KEY}":
            return Reply(b'{"error": {"code": "unknown", "message": "unknown key"}}', 401, JSON)
        if request.path.startswith("/v1/files/"):
            found = self.files.get(request.name)
            return Reply(b"", 404) if found is None else Reply(found)
        if request.path == "/v1/confirm":
            return self.confirm(json.loads(request.body))
        if request.path == "/v1/outcomes":
            return self.outcomes(json.loads(request.body))
        if request.path.startswith("/v1/provider-keys?"):
            asked = {name: values[0] for name, values in parse_qs(urlsplit(request.path).query).items()}
            return self.provider_keys(asked["nonce"], int(asked["have"]))
        return Reply(b"", 404)

    def confirm(self, asked: Mapping[str, Any]) -> Reply:
        reference = asked["list"]
        if (reference["version"], reference["epoch"]) not in self.refs:
            return Reply(b'{"error": {"code": "list", "message": "not published"}}', 409, JSON)
        payload = json.dumps(self.verdict(asked)).encode()
        self.verdicts.append(payload)
        return Reply(self.seal(payload, envelopes.VERDICT), headers=JSON)

    def verdict(self, asked: Mapping[str, Any], listed: Sequence[bytes] | None = None, **changes: Any) -> dict[str, Any]:
        """What is true about a question (or would be, were ``listed`` on the list)."""
        contents = [selftest.CONTENT, *self.listed] if listed is None else listed
        key = self.publisher.ring.confirm_key(LIST, asked["list"]["epoch"])
        items = []
        for item in asked["items"]:
            entries = [
                {
                    "entry": ids(content),
                    "tags": {one.value: token(key, one, raw(one, content)) for one in BOTH},
                    "size": len(content),
                    "standing": "test" if content == selftest.CONTENT else "active",
                    "category": "harmless",
                    "sources": 2,
                    "act": "report" if content == selftest.CONTENT else "quarantine",
                }
                for content in contents
                if any(raw(Algorithm(name), content).hex().startswith(prefix) for name, prefix in item["prefixes"].items())
            ]
            items.append({"i": item["i"], "entries": entries})
        return {
            "nonce": asked["nonce"],
            "issued": time.time(),
            "provider": self.publisher.provider,
            "list": asked["list"],
            "ttl": 3600,
            "items": items,
            **changes,
        }

    def outcomes(self, told: Mapping[str, Any]) -> Reply:
        self.told.update({one["id"]: one for one in told["outcomes"]})
        receipts = self.receipts([one["id"] for one in told["outcomes"]], log=told.get("log"))
        return Reply(self.seal(receipts, envelopes.RECEIPTS), headers=JSON)

    def receipts(self, names: Sequence[str], **changes: Any) -> bytes:
        now = time.time()
        rows = [{"id": name, "received": now} for name in names]
        return json.dumps({"provider": self.publisher.provider, "issued": now, "receipts": rows, **changes}).encode()

    def provider_keys(self, nonce: str, have: int) -> Reply:
        publisher = self.publisher
        wrapped = wrap_ring(publisher.ring, publisher.ring.at(have).raw, publisher.provider, nonce)
        told = {"provider": publisher.provider, "nonce": nonce, "issued": time.time(), "have": have, **wrapped}
        return Reply(self.seal(json.dumps(told).encode(), envelopes.PROVIDER_KEYS), headers=JSON)

    def enrol(self, body: bytes) -> Reply:
        application = Application.parse(body)
        code = next((one for one in self.codes if one.id.hex() == application.code_id), None)
        if code is None or not application.is_proven(code.secret):
            return Reply(b"", 401)
        if self.codes[code] not in {"", application.api_key_sha256}:
            return Reply(b'{"error": {"code": "used", "message": "the code is used"}}', 410, JSON)
        self.codes[code] = application.api_key_sha256
        return Reply(seal_handover(self.handover(), application, code.secret), headers=JSON)

    def handover(self) -> Handover:
        return Handover(self.publisher.provider, self.publisher.ring, self.publisher.root)

    def seal(self, payload: bytes, payload_type: str, keys: Sequence[SigningKey] | None = None) -> bytes:
        return envelopes.seal(payload, payload_type, self.publisher.keys.verdict if keys is None else keys)
