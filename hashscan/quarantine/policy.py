"""May this finding be moved? Pure rules, and the only place that issues a `Removal`."""

from __future__ import annotations

from dataclasses import dataclass

from hashscan.model import Act, Action, Finding, Grade, Removal, Source, Standing
from hashscan.quarantine.limits import Limits

__all__ = ["Limits", "Withheld", "permit"]


@dataclass(frozen=True, slots=True)
class Withheld:
    """Why a finding is not moved: `Action.REPORTED` by its nature, `Action.HELD` by a limit of this run."""

    action: Action
    reason: str


def permit(finding: Finding, limits: Limits, reached: str = "") -> Removal | Withheld:
    """The permit to move the file, or why there is none. ``reached`` says which limit stops it (`limits.Counts`), if any."""
    reason = _unfit(finding) or _other_names(finding, limits)
    if reason:
        return Withheld(Action.REPORTED, reason)
    if reached:
        return Withheld(Action.HELD, f"{reached}; a person must look")
    return Removal(finding)


def _unfit(finding: Finding) -> str:
    digests = finding.candidate.hashed.digests
    rules = (
        (finding.source is Source.SERVICE, "only a verdict of the service may move a file"),
        (finding.grade is Grade.MATCH, f"the match is {finding.grade}"),
        (finding.standing is Standing.ACTIVE, f"the entry is {finding.standing}"),
        (finding.act is Act.QUARANTINE, f"report only: {finding.reason}"),  # a report list, a withdrawn entry
        (bool(finding.envelope), "the signed verdict is missing"),
        (bool(digests), "no digest of it is known"),  # whether MD5 alone is enough was decided with the grade
    )
    return next((reason for holds, reason in rules if not holds), "")


def _other_names(finding: Finding, limits: Limits) -> str:
    links = finding.candidate.hashed.entry.links
    if links <= 1 or limits.allow_hard_links:
        return ""
    return f"the file has {links} names (hard links), moving one would leave the others"
