"""The shapes of the tools as the jobs see them. A port stands here only where two implementations are shipped.

======================  ====================================================================================
port                    implementations
======================  ====================================================================================
`Engine`                ``files.engine.LocalEngine`` (forked workers), ``files.engine.InProcessEngine``
`Sieve`                 ``known.sieve.FilterSieve`` (Bloom filters), ``known.exact.ExactSieve`` (plain list)
`Fetcher`               ``central.client.HttpFetcher``, ``known.trust.FolderFetcher`` (air-gapped import)
`Trust`                 ``known.trust.TufTrust`` (The Update Framework); one for each provider whose proofs an audit reopens
`Service`               ``central.client.HttpService``; the fake in ``tests/support`` is held to the same contract
`Confirmer`             ``jobs.confirm.ServiceConfirmer``, ``jobs.confirm.LocalConfirmer`` (plain list)
`Memory`                ``central.outbox.Outbox``, ``central.forgetful.Forgetful`` (audits without a service)
`Quarantine`            ``quarantine.vault.Vault``, ``quarantine.report_only.ReportOnly``
`Reporter`              ``report.ndjson.NdjsonReporter``, ``report.text.TextReporter``, ``report.fan.Reporters``
======================  ====================================================================================

Each port has one contract suite in ``tests/contracts`` that runs on all of its implementations.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from hashscan.errors import RefusedError
from hashscan.model import (
    Action,
    Algorithm,
    Candidate,
    Event,
    Finding,
    HashedFile,
    ListRef,
    Lists,
    Outcome,
    Receipt,
    Sifted,
)


class Sieve(Protocol):
    """The question "could this be known?", asked cheaply for many files at once. Must never answer no for a known file."""

    @property
    def algorithms(self) -> tuple[Algorithm, ...]:
        """The digests of every file that the lists in force need, in the order in which `survivors` takes them."""

    @property
    def confirming(self) -> tuple[Algorithm, ...]:
        """These and the digests that are needed of candidates only, in the order of `Algorithm`."""

    @property
    def admits_size(self) -> Callable[[int], bool] | None:
        """Whether a file of that many bytes can be known at all; None where the lists do not state the sizes of all entries."""

    @property
    def fingerprint(self) -> bytes:
        """Names the lists in force: another one where any answer may differ; b"" where asking again costs nothing."""

    def survivors(self, digests: Sequence[tuple[bytes, ...]]) -> Sequence[int]:
        """Rows (ascending indices into ``digests``) that may be known; a row holds raw digests in the order of `algorithms`."""

    def candidates(self, hashed: Sequence[HashedFile]) -> list[Candidate]:
        """Those of ``hashed`` that the filters themselves contain."""


class Engine(Protocol):
    """Walks roots, hashes what it meets and passes it through a sieve."""

    def sift(self, roots: Sequence[bytes], sieve: Sieve) -> Generator[Sifted, None, None]:
        """Every path below every root exactly once, whatever the number of workers.

        Roots are absolute and normalised. Yields at least about five times a second, if only an empty `Sifted`. Closing the
        iterator stops all workers. Raises `UsageError` where a root does not exist.
        """


class Fetcher(Protocol):
    """Brings the named published file of this provider, in pieces."""

    def fetch(self, name: str, *, max_bytes: int) -> Iterator[bytes]:
        """The bytes of ``name`` ("timestamp.json", "police-7-1.filter").

        Raises `ServiceUnavailable` (no usable answer, too slow), `RefusedError` (401, 403), `NotPublishedError` (404),
        `FilterError` (more than ``max_bytes``).
        """


class Trust(Protocol):
    """Decides what may be believed about lists. Network bytes go in, trusted objects come out."""

    def refresh(self, fetcher: Fetcher) -> Lists:
        """Fetch and verify the metadata. Raises `FilterError` where it cannot be trusted, and what the fetcher raises."""

    def reopen(self, proof: bytes) -> Lists:
        """Verify metadata that was stored earlier; its age is not judged here. Raises `FilterError`."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked about candidates of one list: prefixes and sizes, made by ``central.wire`` from candidates only."""

    list: ListRef
    nonce: str
    items: tuple[tuple[Mapping[Algorithm, str], int], ...]


@dataclass(frozen=True, slots=True)
class Ruling:
    """What is known about one candidate after asking: a finding, nothing (cleared), or ``pending`` with the reason why.

    ``ttl`` is for how many seconds a clearing answer lasts.
    """

    candidate: Candidate
    finding: Finding | None = None
    pending: str = ""
    ttl: float = 0.0


@dataclass(frozen=True, slots=True)
class Waiting:
    """A remembered candidate, when it was first seen (seconds since 1970), how often it was asked about, and why it waits.

    ``verdict`` is the signed envelope of the last finding about it that was not acted upon, or b"".
    """

    candidate: Candidate
    first_seen: float
    asked: int
    reason: str
    verdict: bytes = b""


class Confirmer(Protocol):
    """Turns candidates into findings, or says that it cannot yet."""

    @property
    def refusal(self) -> RefusedError | None:
        """Why the service will not answer until a person has looked, if it said so."""

    def confirm(self, candidates: Sequence[Candidate]) -> list[Ruling]:
        """One ruling for each candidate, in order. Silence is pending, never a match and never clean."""


class Memory(Protocol):
    """What must survive a crash between finding a candidate and having acted on the answer. Raises `StateError`."""

    def remember(self, candidates: Iterable[Candidate]) -> None:
        """Before anybody is asked about them."""

    def wait(self, candidates: Iterable[Candidate], reason: str) -> None:
        """They were asked about in vain."""

    def judged(self, findings: Iterable[Finding]) -> None:
        """Their verdicts are here, nothing was done yet: the envelopes are kept with the candidates until they are settled."""

    def settle(self, candidates: Iterable[Candidate]) -> None:
        """Everything that follows from their answers is done."""

    def waiting(self) -> Iterator[Waiting]:
        """All that are remembered and not settled, the oldest first."""

    def first_seen(self, candidate: Candidate) -> float:
        """Seconds since 1970."""

    def is_cleared(self, candidate: Candidate) -> bool:
        """Whether an earlier answer still clears these digests."""

    def clear(self, candidate: Candidate, ttl: float) -> None:
        """An answer cleared these digests for ``ttl`` seconds."""

    def add_outcome(self, finding: Finding, action: Action, first_seen: float) -> None:
        """To be told to the service; the same outcome twice is told once."""


@dataclass(frozen=True, slots=True)
class LogHead:
    """The end of the vault's log: how many lines, and the hash of the last one (64 hex digits; zeros for an empty log)."""

    lines: int
    hash: str


@dataclass(frozen=True, slots=True)
class Backlog:
    """How many candidates wait for an answer, and since when the oldest of them, in seconds since 1970; None for none."""

    pending: int
    since: float | None


class Service(Protocol):
    """The central service. All methods raise `ServiceUnavailable` (try again later) or `RefusedError` (a person must act)."""

    def confirm(self, question: Question) -> bytes:
        """The signed envelope with the verdict, unchecked."""

    def report_outcomes(
        self, outcomes: Sequence[Outcome], head: LogHead | None = None, backlog: Backlog | None = None
    ) -> bytes:
        """The signed envelope with the receipts, unchecked. ``head`` is that of the vault's log, which the receipts repeat.

        With a ``backlog`` there may be no outcomes at all.
        """


@dataclass(frozen=True, slots=True)
class ActionResult:
    """What became of one finding: the action, the case where there is one, and the reason in plain words."""

    finding: Finding
    action: str
    case_id: str = ""
    reason: str = ""


class Quarantine(Protocol):
    """What happens to a finding."""

    def handle(self, finding: Finding) -> ActionResult:
        """Move it if policy permits, else report or hold it. One file's failure is a result; the vault's, `QuarantineError`."""


class Reporter(Protocol):
    """A sink for events."""

    def tell(self, event: Event) -> None:
        """Write or show one event. Raises `IncompleteError` where the sink is gone (closed pipe, full disk)."""


__all__ = [
    "ActionResult",
    "Backlog",
    "Confirmer",
    "Engine",
    "Fetcher",
    "LogHead",
    "Memory",
    "Quarantine",
    "Question",
    "Receipt",
    "Reporter",
    "Ruling",
    "Service",
    "Sieve",
    "Trust",
    "Waiting",
]
