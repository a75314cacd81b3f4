"""What becomes of a finding: cases, actions, and what the service is told about them."""

from __future__ import annotations

from dataclasses import dataclass

from hashscan.model.nouns import Place
from hashscan.model.words import Action, CaseState


@dataclass(frozen=True, slots=True)
class Case:
    """One case as people see it. ``state`` DONE means: the name is gone, the evidence is in the vault."""

    id: str
    state: CaseState
    place: Place
    size: int
    entry: str
    list_id: str
    verdict_id: str
    opened: float
    reason: str = ""
    tenant: str = ""
    sealed: bool = False


@dataclass(frozen=True, slots=True)
class Receipt:
    """The service's signed acknowledgement of an outcome; ``envelope`` is the signed original."""

    outcome_id: str
    received: float
    envelope: bytes


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the service is told about a finding: no path, no name, no customer. Times in seconds since 1970.

    ``finding`` is the same in all outcomes about one entry at one place, and says nothing about the place; "" from before there
    was such a thing.
    """

    id: str
    entry: str
    list_id: str
    verdict_id: str
    action: Action
    first_seen: float
    acted_at: float
    finding: str = ""


@dataclass(frozen=True, slots=True)
class Dispute:
    """What a provider says against an entry that it met. ``key`` is the same for the same words about the same entry."""

    key: str
    list_id: str
    entry: str
    reason: str
