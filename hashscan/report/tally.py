"""The count of a run, and the exit code that follows from it.

Every path that the walk met ends in one of five ways, and every candidate in one of three; `Tally.adds_up` says whether all
did. What does not add up is never called clean: a path that went missing makes the run incomplete (3), a candidate that
went missing counts as pending (11).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from hashscan.errors import ExitCode
from hashscan.model import Act, Action, Finding, Grade, Reason, Sifted
from hashscan.ports import ActionResult

INCOMPLETE_REASONS = frozenset({Reason.ERROR, Reason.TIMEOUT, Reason.TOO_LARGE, Reason.CHANGED})
"""Skips after which a stored file may hold anything: it was there, it was asked for, and its bytes were not all read.

The others leave no file unlooked at that the operator asked for. SYMLINK: the target is met under its own name or lies outside
the roots. SPECIAL: devices, sockets and FIFOs store no bytes. VANISHED: nothing is stored any more. EXCLUDED, OWN: the
operator's word, and our own state. MOUNT, NETWORK: not a root; the operator names it as one to have it scanned.
"""


@dataclass(slots=True)
class Tally:
    """Counts of one run. Sizes in bytes. ``findings`` counts files: `found` is called once a file, with its gravest finding.

    ``stopped``: a person, a window or a time budget ended the run, it can be resumed. ``refused``: the service refused us.
    ``filter_problem``: a filter was missing, too old or not to be trusted, so that a list was not applied. ``stale``: the lists
    in force had expired when the run began, and it ran with them. ``stopped_by`` says what ended it ("signal", "asked",
    "window", "max_duration"); ``rested`` has seconds in which the workers rested, by cause ("paused", "pressure"), and
    ``resting`` why they do now. ``unsettled_cases``:
    cases of an earlier run that recovery could not bring to an end, so that a person must look.
    """

    directories: int = 0
    seen: int = 0
    scanned: int = 0
    cached: int = 0
    by_size: int = 0
    bytes_hashed: int = 0
    skipped: Counter[Reason] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    candidates: int = 0
    cleared: int = 0
    pending: int = 0
    findings: int = 0
    by_grade: Counter[Grade] = field(default_factory=Counter)
    by_act: Counter[Act] = field(default_factory=Counter)
    by_tenant: Counter[str] = field(default_factory=Counter)
    actions: Counter[Action] = field(default_factory=Counter)
    stopped: bool = False
    stopped_by: str = ""
    rested: dict[str, float] = field(default_factory=dict)
    resting: str = ""
    refused: bool = False
    filter_problem: bool = False
    stale: bool = False
    unsettled_cases: int = 0
    at: bytes = b""

    def add(self, sifted: Sifted) -> None:
        """Count one stretch of the walk; its candidates are in flight until `found`, ``cleared`` or ``pending`` count them."""
        self.directories += sifted.directories
        self.seen += sifted.seen
        self.scanned += sifted.scanned
        self.cached += sifted.cached
        self.by_size += sifted.by_size
        self.bytes_hashed += sifted.bytes_hashed
        self.skipped.update(sifted.skipped)
        self.errors.update(sifted.errors)
        self.candidates += len(sifted.candidates)
        self.at = sifted.at or self.at

    def found(self, finding: Finding, tenant: str = "") -> None:
        """Count a file that is a finding, and whose it is where that is known."""
        if tenant:
            self.by_tenant[tenant] += 1
        self.findings += 1
        self.by_grade[finding.grade] += 1
        self.by_act[finding.act] += 1

    def acted(self, result: ActionResult) -> None:
        """Count what became of a finding. Raises ValueError where the action is not one of `model.Action`."""
        self.actions[Action(result.action)] += 1

    @property
    def quarantined(self) -> int:
        """Findings that were taken."""
        return self.actions[Action.QUARANTINED]

    @property
    def reported(self) -> int:
        """Findings that were told and left where they are."""
        return self.actions[Action.REPORTED]

    @property
    def held(self) -> int:
        """Findings that wait for a person: the circuit breaker or the policy stopped the removal."""
        return self.actions[Action.HELD]

    @property
    def failed(self) -> int:
        """Findings on which the action failed."""
        return self.actions[Action.FAILED]

    @property
    def unaccounted(self) -> int:
        """Paths that were seen and ended in no way, or in two; 0 unless there is a bug."""
        return self.seen - self.scanned - self.cached - self.by_size - self.skipped.total() - self.errors.total()

    @property
    def in_flight(self) -> int:
        """Candidates without an end yet; 0 when a run is over."""
        return self.candidates - self.cleared - self.pending - self.findings

    def adds_up(self) -> bool:
        """Whether every path and every candidate ended in exactly one way; false while candidates are in flight."""
        return self.unaccounted == 0 and self.in_flight == 0

    @property
    def incomplete(self) -> bool:
        """Whether some file was not looked at that should have been (see `INCOMPLETE_REASONS`)."""
        missed = any(self.skipped[reason] for reason in INCOMPLETE_REASONS)
        return missed or self.errors.total() > 0 or self.unaccounted != 0

    @property
    def exit_code(self) -> ExitCode:
        """What the process says at its end, gravest first: 12 > 10 > 20 > 22 > 11 > 4 > 3 > 0."""
        ranked = (
            (self.held + self.failed + self.unsettled_cases > 0, ExitCode.ACTION_FAILED),
            (self.findings > 0, ExitCode.FINDINGS),
            (self.filter_problem, ExitCode.FILTER),
            (self.refused, ExitCode.REFUSED),
            (self.pending > 0 or self.in_flight != 0, ExitCode.PENDING),
            (self.stopped, ExitCode.STOPPED),
            (self.incomplete, ExitCode.INCOMPLETE),
        )
        return next((code for holds, code in ranked if holds), ExitCode.OK)
