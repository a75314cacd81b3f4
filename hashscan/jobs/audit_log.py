"""Audit of the log: every line follows the one before it, and the end that the service has a receipt of is in it."""

from __future__ import annotations

from dataclasses import dataclass

from hashscan.model import Json
from hashscan.ports import LogHead
from hashscan.quarantine.cabinet import Cabinet
from hashscan.quarantine.checking import Flaw
from hashscan.quarantine.log import Checked


@dataclass(frozen=True, slots=True)
class LogAudit:
    """What was found: the check of the chain, and the head that the last receipt of the service repeats, if there is one.

    ``flaws`` are the other state files of the vault that do not hold.
    """

    checked: Checked
    acknowledged: LogHead | None
    flaws: tuple[Flaw, ...] = ()

    @property
    def cut(self) -> bool:
        """Whether lines that the service knows of are missing."""
        return self.acknowledged is not None and not self.checked.has[self.acknowledged] and not self.checked.broken

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong. A line that a crash left unfinished is not: the next act sets it aside and says so."""
        return not self.checked.broken and not self.cut and not self.flaws

    def lines(self) -> list[str]:
        """What people are told."""
        told = self.checked
        if told.broken:
            said = [f"THE LOG IS BROKEN: {told.problem}", f"the {told.head.lines} lines before it hold"]
        elif self.cut and self.acknowledged is not None:
            said = [
                f"THE END OF THE LOG IS MISSING: the service has a receipt for line {self.acknowledged.lines} as it was then"
            ]
        else:
            said = [f"the log holds: {told.head.lines} lines, head {told.head.hash}"]
        if self.acknowledged is None:
            said.append("no receipt of the service names a head yet: a missing end could not be noticed")
        if told.torn:
            said.append("the last line is unfinished, as a crash leaves it; the next act sets it aside")
        flaws = [f"DOES NOT HOLD: {flaw.file}: {flaw.problem}" for flaw in self.flaws]
        return [*said, *(flaws or ["every record, evidence, proof and certificate holds"])]

    def facts(self) -> dict[str, Json]:
        """What machines are told."""
        told = self.checked
        return {
            "audit": "log",
            "holds": self.holds,
            "lines": told.head.lines,
            "head": told.head.hash,
            "first_broken": told.broken,
            "problem": told.problem,
            "torn": told.torn,
            "cut": self.cut,
            "flaws": [{"file": flaw.file, "problem": flaw.problem} for flaw in self.flaws],
            "acknowledged_lines": self.acknowledged.lines if self.acknowledged else None,
        }


def audit_log(cabinet: Cabinet, acknowledged: LogHead | None) -> LogAudit:
    """Check the log of the vault against itself and the last receipt, and every state file against it.

    Raises `QuarantineError` where it cannot be read.
    """
    checked = cabinet.check_log((acknowledged,) if acknowledged else ())
    return LogAudit(checked, acknowledged, (*cabinet.check_records(), *cabinet.check_certificates()))
