"""Audit: why was this file taken? Proved years later from what the vault keeps and the pinned root, without asking anybody."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hashscan.errors import ExitCode, FilterError, QuarantineError, UsageError
from hashscan.known import envelopes
from hashscan.known.envelopes import Opened
from hashscan.known.judge import grade
from hashscan.known.verdicts import Said, read_again, verdict_id
from hashscan.model import Act, CaseState, Grade, Lists, Source, Standing, Tagged
from hashscan.ports import Trust
from hashscan.quarantine.vault import Kept, Vault
from hashscan.strict_json import StrictJsonError
from hashscan.units import rfc3339

_NOT_TAKEN = (CaseState.HELD, CaseState.DISMISSED, CaseState.RELEASED)
DAMAGED, DISTRUSTED = ExitCode.ACTION_FAILED, ExitCode.FILTER


@dataclass(frozen=True, slots=True)
class Step:
    """One link of the proof: its name, whether it holds, what was seen, and the exit code where it does not hold."""

    name: str
    holds: bool
    seen: str
    code: ExitCode = DISTRUSTED


def audit_verdict(vault: Vault, case_id: str, trust: Callable[[str], Trust]) -> Iterator[Step]:
    """The steps of the proof; the last one is the first that does not hold, if any.

    ``trust`` makes the trust of a provider from the pinned root. Raises `UsageError` where there is no such case or root, or
    where the case took no file.
    """
    try:
        kept = vault.kept(case_id)
    except QuarantineError as error:
        yield Step("record", holds=False, seen=str(error), code=DAMAGED)
        return
    if kept.record.state in _NOT_TAKEN:
        said = f"case {kept.record.id} is {kept.record.state}: no file was taken, there is nothing to prove"
        raise UsageError(said, hint=kept.record.reason)
    yield Step("record", holds=True, seen=f"case {kept.record.id}, opened {rfc3339(kept.record.opened)}, as it was written")
    yield from _Proof(kept, trust).steps()


class _Broken(Exception):
    """A step that does not hold, and why."""

    def __init__(self, why: str, code: ExitCode = DISTRUSTED) -> None:
        super().__init__(why)
        self.code = code


def _require(holds: object, why: str, code: ExitCode = DISTRUSTED) -> None:
    if not holds:
        raise _Broken(why, code)


class _Proof:
    """The chain from the bytes in the vault to the pinned root. Each step may use what the steps before it found."""

    def __init__(self, kept: Kept, trust: Callable[[str], Trust]) -> None:
        self._kept = kept
        self._record = kept.record
        self._trust = trust
        self._finding: Mapping[str, Any] = kept.record.finding

    def steps(self) -> Iterator[Step]:
        """In the order in which one rests on another."""
        steps: tuple[tuple[str, Callable[[], str]], ...] = (
            ("content", self._content),
            ("verdict", self._verdict),
            ("signed lists", self._lists),
            ("root", self._root),
            ("signature", self._signature),
            ("time", self._time),
            ("provider", self._provider),
            ("list", self._list),
            ("entry", self._entry),
            ("digests", self._digests),
            ("permission", self._permission),
        )
        for name, step in steps:
            try:
                yield Step(name, holds=True, seen=step())
            except _Broken as broken:
                yield Step(name, holds=False, seen=str(broken), code=broken.code)
                return

    def _content(self) -> str:
        purged = f"the evidence was purged ({self._record.reason}): see certificates/{self._record.id}.json in the vault"
        _require(self._record.state is not CaseState.PURGED, purged, DAMAGED)
        _require(self._kept.content_holds, "the content in the vault is missing, or is not what the record describes", DAMAGED)
        return f"{self._record.file.size} bytes with the digests of the record ({', '.join(sorted(self._record.digests))})"

    def _verdict(self) -> str:
        _require(self._finding.get("source") == Source.SERVICE, "it was no verdict of the service that took the file", DAMAGED)
        try:
            self._envelope = base64.b64decode(str(self._finding.get("envelope_b64", "")), validate=True)
        except ValueError as error:
            raise _Broken(f"the record holds no verdict: {error}", DAMAGED) from None
        _require(self._finding["verdict_id"] == verdict_id(self._envelope), "the verdict has another id", DAMAGED)
        return f"verdict {self._finding['verdict_id'][:16]}..., {len(self._envelope)} bytes as they were received"

    def _lists(self) -> str:
        proof = self._record.proof
        if proof is None:
            raise _Broken("the case was made without keeping them", DAMAGED)
        _require(self._kept.proof, f"proofs/{proof.sha256}.json is missing in the vault, or damaged", DAMAGED)
        self._kept_proof = proof
        return f"proofs/{proof.sha256[:16]}... of the vault, unaltered"

    def _root(self) -> str:
        try:
            self._in_force: Lists = self._trust(self._kept_proof.provider).reopen(self._kept.proof)
        except FilterError as error:
            raise _Broken(f"the signed lists do not lead back to the pinned root: {error}") from None
        return f"the lists in force of {rfc3339(self._in_force.issued)} lead back to the pinned root"

    def _signature(self) -> str:
        try:
            self._opened: Opened = envelopes.open_envelope(self._envelope, envelopes.VERDICT, self._in_force.verdict_keys)
            self._said: Said = read_again(self._opened)
        except FilterError as error:
            raise _Broken(f"of the verdict: {error}") from None
        signers = ", ".join(envelopes.key_id(key.public)[:16] for key in self._opened.signers)
        return f"the verdict is signed by a verdict key of those lists ({signers}...)"

    def _time(self) -> str:
        try:
            self._opened.check_issued(self._said.issued)
        except StrictJsonError as error:
            raise _Broken(f"the verdict is of {rfc3339(self._said.issued)}: {error}") from None
        return f"issued {rfc3339(self._said.issued)}, while its key was in use"

    def _provider(self) -> str:
        said = self._said.provider
        _require(said == self._in_force.provider, f"the verdict is for {said!a}, the lists are for {self._in_force.provider!a}")
        return f"verdict and lists are for provider {said!a}"

    def _list(self) -> str:
        said = self._said.list
        told = {"id": said.id, "version": said.version, "epoch": said.epoch}
        _require(self._finding["list"] == told, "the verdict is about another list than the record says")
        in_force = any(target.list == said for target in self._in_force.targets)
        _require(in_force, f"{said.id} version {said.version} epoch {said.epoch} was not in force")
        return f"{said.id} version {said.version}, epoch {said.epoch}, was in force"

    def _entry(self) -> str:
        name = self._finding["entry"]
        self._tagged: list[Tagged] = [one for one in self._said.entries if one.entry == name]
        _require(self._tagged, f"the verdict does not name entry {name!a}")
        return f"the verdict names entry {name!a}"

    def _digests(self) -> str:
        key = bytes.fromhex(self._kept_proof.confirm_key)
        hashed = self._record.hashed()
        # MD5 alone was a match only where this host's configuration said so then; whether it did, nobody has signed.
        agreeing = [one for one in self._tagged if grade(hashed, one, key, md5_is_enough=True) is Grade.MATCH]
        _require(agreeing, "the tags of the entry are not those of the digests in the record")
        self._tagged = agreeing
        by = sorted(algorithm.value for algorithm in agreeing[0].tags if algorithm in hashed.digests)
        alone = ", which this host accepted alone" if by == ["md5"] else ""
        return f"the tags of the entry are those of the file's digests ({', '.join(by)}{alone})"

    def _permission(self) -> str:
        allowed = any(one.standing is Standing.ACTIVE and one.act is Act.QUARANTINE for one in self._tagged)
        one = self._tagged[0]
        _require(allowed, f"the entry was {one.standing} and the list asked for: {one.act}")
        return "the entry was active, and the list asked for quarantine"
