"""Agents with a part taken out: positive controls for the siege, which must notice each of them."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from hashscan.central.forgetful import Forgetful
from hashscan.cli.plans import Plan
from hashscan.cli.wiring import ServiceTools
from hashscan.jobs.confirm import ServiceConfirmer
from hashscan.known import envelopes
from hashscan.known.chain import Chain, Verified, pack, unpack
from hashscan.known.published import lists_of
from hashscan.known.shelf import Shelf
from hashscan.model import Lists, Outcome
from hashscan.ports import Backlog, Fetcher, LogHead, Question, Service
from tests.support.standin import Publisher


@dataclass
class BelievesEveryList:
    """A `ports.Trust` that checks no signature."""

    root: bytes
    provider: str

    def refresh(self, fetcher: Fetcher) -> Lists:
        def get(name: str) -> bytes:
            return b"".join(fetcher.fetch(name, max_bytes=1 << 20))

        timestamp = get("timestamp.json")
        snapshot = get(f"{_meta(timestamp, 'snapshot.json')}.snapshot.json")
        targets = get(f"{_meta(snapshot, 'targets.json')}.targets.json")
        return self.reopen(pack(Chain((self.root,), timestamp, snapshot, targets, get("verdict-keys.json"))))

    def reopen(self, proof: bytes) -> Lists:
        chain = unpack(proof)
        timestamp, targets = (json.loads(one)["signed"] for one in (chain.timestamp, chain.targets))
        expires = timestamp["x-hashscan"]["issued"] + 1000.0
        verified = Verified(1, "", timestamp["version"], expires, timestamp, targets, chain.verdict_keys)
        return lists_of(verified, proof, self.provider)


def _meta(data: bytes, name: str) -> int:
    return int(json.loads(data)["signed"]["meta"][name]["version"])


@dataclass
class BelievesEveryVerdict:
    """A service whose verdicts are sealed anew as the right answer to the question: no signature and no nonce counts."""

    inner: Service
    publisher: Publisher

    def confirm(self, question: Question) -> bytes:
        envelope = json.loads(self.inner.confirm(question))
        reference = question.list
        said = {
            **json.loads(base64.b64decode(envelope["payload"])),
            "nonce": question.nonce,
            "provider": self.publisher.provider,
            "list": {"id": reference.id, "version": reference.version, "epoch": reference.epoch},
        }
        return envelopes.seal(json.dumps(said).encode(), envelopes.VERDICT, self.publisher.keys.verdict)

    def report_outcomes(
        self, outcomes: Sequence[Outcome], head: LogHead | None = None, backlog: Backlog | None = None
    ) -> bytes:
        return self.inner.report_outcomes(outcomes, head, backlog)


def without_trust(tools: ServiceTools) -> ServiceTools:
    trust: Any = BelievesEveryList(tools.trust._root, tools.provider)
    return replace(tools, trust=trust, shelf=Shelf(tools.settings.state_dir / "lists", trust, tools.ring))


def without_proof(publisher: Publisher, plan: Plan) -> Plan:
    assert isinstance(plan.confirmer, ServiceConfirmer)
    court = plan.confirmer._court
    return replace(plan, confirmer=ServiceConfirmer(replace(court, service=BelievesEveryVerdict(court.service, publisher))))


def without_memory(plan: Plan) -> Plan:
    return replace(plan, memory=Forgetful(lambda: 0.0))


def without_a_net(plan: Plan) -> Plan:
    raise ValueError("a bug")
