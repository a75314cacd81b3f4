"""Who acts, and what each role may do: one table, no database.

People act through pages or at the machine, providers through their agents. Every rule about "who may" is a row of `MAY`; how
many must agree is a rule of `disputing.rules`.
"""

from __future__ import annotations

import enum
import unicodedata
from dataclasses import dataclass

from hashscan.errors import UsageError
from hashscan.service.names import check_text

MAX_NAME = 64  # characters


class PersonRole(enum.StrEnum):
    """What somebody is to the service. HOTLINE runs it, REVIEWER judges entries, AUTHORITY watches, PROVIDER sees itself."""

    HOTLINE = "hotline"
    REVIEWER = "reviewer"
    AUTHORITY = "authority"
    PROVIDER = "provider"


class Deed(enum.StrEnum):
    """What can be done or seen."""

    DISPUTE = "dispute an entry, for everybody"
    COMPLAIN = "dispute an entry that the provider met, for that provider"
    JUDGE = "give one of the two opinions that decide about an entry"
    WITHDRAW_ALONE = "withdraw an entry at once, alone, until a second person has looked"
    SEE_DISPUTES = "see all disputes, opinions and who disputed"
    SEE_FIGURES = "see the figures of all providers"
    SEE_OWN_FIGURES = "see the figures of the own provider"
    SEE_NAMES = "see providers by name and their sites"
    EXPORT = "take the figures of all providers away in files"


_P = PersonRole
MAY: dict[Deed, frozenset[PersonRole]] = {
    Deed.DISPUTE: frozenset({_P.HOTLINE, _P.REVIEWER}),
    Deed.COMPLAIN: frozenset({_P.PROVIDER}),
    Deed.JUDGE: frozenset({_P.HOTLINE, _P.REVIEWER}),
    Deed.WITHDRAW_ALONE: frozenset({_P.HOTLINE}),
    Deed.SEE_DISPUTES: frozenset({_P.HOTLINE, _P.REVIEWER}),
    Deed.SEE_FIGURES: frozenset({_P.HOTLINE, _P.REVIEWER, _P.AUTHORITY}),
    Deed.SEE_OWN_FIGURES: frozenset({_P.HOTLINE, _P.REVIEWER, _P.AUTHORITY, _P.PROVIDER}),
    Deed.SEE_NAMES: frozenset({_P.HOTLINE, _P.AUTHORITY}),
    Deed.EXPORT: frozenset({_P.HOTLINE, _P.AUTHORITY}),
}
"""Who may do what. A reviewer judges entries without knowing whose servers hold them."""


class NotAllowedError(UsageError):
    """This role may not do that."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: a person, or a company through its agent. ``provider`` is the company's name for role PROVIDER, else None."""

    name: str
    role: PersonRole
    provider: str | None = None

    def __post_init__(self) -> None:
        check_text(self.name, "name of a person", MAX_NAME)
        if not person(self.name):
            raise UsageError("a name of a person has at least one letter or digit")
        if (self.role is PersonRole.PROVIDER) != (self.provider is not None):
            raise UsageError("who acts for a provider belongs to one, and nobody else does")

    @property
    def person(self) -> str:
        """By which two people are told apart: see `person`."""
        return person(self.name)

    @property
    def label(self) -> str:
        """For the history: the name and in what role."""
        return f"{self.name} ({self.role.value})"


def person(name: str) -> str:
    """One person under one spelling: case, accents' encoding, punctuation and white space make nobody a second person."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    return "".join(one for one in unicodedata.normalize("NFKC", folded) if one.isalnum())


def may(actor: Actor, deed: Deed) -> bool:
    """Whether the role of ``actor`` may do ``deed``."""
    return actor.role in MAY[deed]


def require(actor: Actor, deed: Deed) -> None:
    """Raises `NotAllowedError` where `may` says no."""
    if not may(actor, deed):
        raise NotAllowedError(f"the role {actor.role.value} may not {deed.value}")


def sees_provider(actor: Actor, provider: str) -> bool:
    """Whether ``actor`` may see figures of that provider at all."""
    return actor.provider == provider if actor.role is PersonRole.PROVIDER else may(actor, Deed.SEE_FIGURES)


def sees_name(actor: Actor, provider: str) -> bool:
    """Whether ``actor`` may see that provider by its name."""
    return actor.provider == provider or may(actor, Deed.SEE_NAMES)
