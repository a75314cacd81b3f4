"""The shapes of the tools as the jobs see them. A port stands here only where two implementations are shipped.

======================  ====================================================================================
port                    implementations
======================  ====================================================================================
`Engine`                ``files.engine.LocalEngine`` (forked workers), ``files.engine.InProcessEngine``
`Sieve`                 ``known.sieve.FilterSieve`` (Bloom filters), ``known.exact.ExactSieve`` (plain list)
`Fetcher`               ``central.client.HttpFetcher``, ``known.trust.FolderFetcher`` (air-gapped import)
`Trust`                 ``known.trust.PinnedTrust``; The Update Framework comes next
`Service`               ``central.client.HttpService``; the fake in ``tests/support`` is held to the same contract
`Confirmer`             ``jobs.confirm.ServiceConfirmer``, ``jobs.confirm.LocalConfirmer`` (plain list)
`Memory`                ``central.outbox.Outbox``, ``central.outbox.Forgetful`` (audits without a service)
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
from hashscan.model import Action, Algorithm, Candidate, Event, Finding, HashedFile, ListRef, Outcome, Receipt, Sifted


class Sieve(Protocol):
    """The question "could this be known?", asked cheaply for many files at once. Must never answer no for a known file."""

    @property
    def algorithms(self) -> tuple[Algorithm, ...]:
        """The digests that the lists in force need, in the order in which `survivors` takes them."""

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
        """The bytes of ``name`` ("manifest.json", "police-7.filter").

        Raises `ServiceUnavailable` (no usable answer, too slow), `RefusedError` (401, 403), `FilterError` (more than
        ``max_bytes``).
        """


@dataclass(frozen=True, slots=True)
class Target:
    """A published filter that trusted metadata vouches for: sizes in bytes, ``blake3`` hex, times in seconds since 1970."""

    list: ListRef
    name: str
    length: int
    blake3: str
    created: float


@dataclass(frozen=True, slots=True)
class Lists:
    """The lists in force for this provider as the signed metadata states them; ``envelope`` is what was signed."""

    provider: str
    issued: float
    expires: float
    sequence: int
    targets: tuple[Target, ...]
    envelope: bytes


class Trust(Protocol):
    """Decides what may be believed. Network bytes go in, trusted objects come out."""

    def refresh(self, fetcher: Fetcher) -> Lists:
        """Fetch and verify the list metadata. Raises `FilterError` where it cannot be trusted."""

    def reopen(self, envelope: bytes) -> Lists:
        """Verify metadata that was stored earlier; its age is not judged here. Raises `FilterError`."""

    def open_envelope(self, envelope: bytes, payload_type: str) -> bytes:
        """The payload of a DSSE envelope, after its type and signature were checked. Raises `FilterError`."""


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
    """A remembered candidate, when it was first seen (seconds since 1970), how often it was asked about, and why it waits."""

    candidate: Candidate
    first_seen: float
    asked: int
    reason: str


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


class Service(Protocol):
    """The central service. All methods raise `ServiceUnavailable` (try again later) or `RefusedError` (a person must act)."""

    def confirm(self, question: Question) -> bytes:
        """The signed envelope with the verdict, unchecked."""

    def report_outcomes(self, outcomes: Sequence[Outcome]) -> bytes:
        """The signed envelope with the receipts, unchecked."""


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
    "Confirmer",
    "Engine",
    "Fetcher",
    "Lists",
    "Memory",
    "Quarantine",
    "Question",
    "Receipt",
    "Reporter",
    "Ruling",
    "Service",
    "Sieve",
    "Target",
    "Trust",
    "Waiting",
]
