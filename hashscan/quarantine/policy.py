"""May this finding be moved? Pure rules, and the only place that issues a `Removal`."""

from __future__ import annotations

from dataclasses import dataclass

from hashscan.model import Act, Action, Finding, Grade, Removal, Source, Standing


@dataclass(frozen=True, slots=True)
class Limits:
    """What one run may do: ``per_run`` files at most, beyond that everything is held for a person.

    ``allow_hard_links``: also move a file that has other names, which may lie in another customer's tree; they stay.
    """

    per_run: int = 100
    allow_hard_links: bool = False


@dataclass(frozen=True, slots=True)
class Withheld:
    """Why a finding is not moved: `Action.REPORTED` by its nature, `Action.HELD` by a limit of this run."""

    action: Action
    reason: str


def permit(finding: Finding, limits: Limits, used: int) -> Removal | Withheld:
    """The permit to move the file, or why there is none. ``used`` is the number of files this run has moved already."""
    reason = _unfit(finding) or _other_names(finding, limits)
    if reason:
        return Withheld(Action.REPORTED, reason)
    if used >= limits.per_run:
        return Withheld(Action.HELD, f"the limit of {limits.per_run} removals in one run is reached; a person must look")
    return Removal(finding)


def _unfit(finding: Finding) -> str:
    digests = finding.candidate.hashed.digests
    rules = (
        (finding.source is Source.SERVICE, "only a verdict of the service may move a file"),
        (finding.grade is Grade.MATCH, f"the match is {finding.grade}"),
        (finding.standing is Standing.ACTIVE, f"the entry is {finding.standing}"),
        (finding.act is Act.QUARANTINE, "the list asks for a report only"),
        (bool(finding.envelope), "the signed verdict is missing"),
        (bool(digests), "no digest of it is known"),  # whether MD5 alone is enough was decided with the grade
    )
    return next((reason for holds, reason in rules if not holds), "")


def _other_names(finding: Finding, limits: Limits) -> str:
    links = finding.candidate.hashed.entry.links
    if links <= 1 or limits.allow_hard_links:
        return ""
    return f"the file has {links} names (hard links), moving one would leave the others"
