"""The monitor as somebody may see it: a provider sees itself only, and names are for the roles that need them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from hashscan.errors import UsageError
from hashscan.service.actors import Actor, Deed, PersonRole, may, require, sees_name, sees_provider
from hashscan.service.monitor import adding, fetching, figures
from hashscan.service.monitor.fetching import Contact, DisputeFigures, Selection
from hashscan.service.monitor.figures import Group, OpenFinding, Span
from hashscan.service.monitor.pseudonyms import pseudonyms
from hashscan.service.monitor.spread import Spread, spread
from hashscan.service.tables import ServiceRow


@dataclass(frozen=True, slots=True)
class Monitor:
    """Everything at one moment. ``named``: providers are shown by name, and sites at all; else by pseudonym.

    ``sites`` have the key "PROVIDER/SITE". Times in seconds since 1970.
    """

    service: str
    as_of: float
    selection: Selection
    named: bool
    total: Group
    providers: tuple[Group, ...]
    countries: tuple[Group, ...]
    sites: tuple[Group, ...]
    days: tuple[Span, ...]
    weeks: tuple[Span, ...]
    spread: Spread
    open: tuple[OpenFinding, ...]
    contacts: tuple[Contact, ...]
    disputes: DisputeFigures


def monitor(session: Session, actor: Actor, selection: Selection, now: float, *, names: bool = True) -> Monitor:
    """The figures that ``actor`` may see of ``selection``; ``names`` False hides names from those too who may see them.

    Raises `NotAllowedError`, `UsageError` (a selection that can hold nothing, a provider that is not there).
    """
    require(actor, Deed.SEE_OWN_FIGURES)
    opaque = pseudonyms(session)
    selection = _narrowed(actor, selection, opaque)
    selection.check()
    shown = {name: name if names and sees_name(actor, name) else other for name, other in opaque.items()}
    named = names and (actor.role is PersonRole.PROVIDER or may(actor, Deed.SEE_NAMES))
    agents = fetching.whose(session, selection, shown)
    meant = fetching.condition(selection, agents)
    sums = adding.sums(session, meant, now)
    days = adding.by_day(session, meant)
    return Monitor(
        service=session.scalars(select(ServiceRow.name)).one(),
        as_of=now,
        selection=selection.of(shown[selection.provider] if selection.provider else None),
        named=named,
        total=figures.total(sums.values(), now),
        providers=figures.groups(((agents.provider(one), its) for one, its in sums.items()), now),
        countries=figures.groups(((agents.country(one), its) for one, its in sums.items()), now),
        sites=figures.groups(((agents.site(one), its) for one, its in sums.items()), now) if named else (),
        days=figures.spans(days.came, days.went),
        weeks=figures.spans(days.came, days.went, 7),
        spread=spread([one for its in sums.values() for one in its.times]),
        open=figures.open_findings(fetching.longest_open(session, meant, agents, now, sites=named), now),
        contacts=fetching.contacts(session, selection, shown, now),
        disputes=fetching.dispute_figures(session, actor.provider, now),
    )


def _narrowed(actor: Actor, selection: Selection, opaque: Mapping[str, str]) -> Selection:
    """What of a selection the actor may see. A pseudonym selects a provider too. Raises `UsageError`."""
    wanted = selection.provider
    if wanted is not None:
        wanted = next((name for name, other in opaque.items() if other == wanted), wanted)
    elif actor.role is PersonRole.PROVIDER:
        wanted = actor.provider
    if wanted is not None and (wanted not in opaque or not sees_provider(actor, wanted)):
        raise UsageError(f"there is no provider {selection.provider or wanted!r}")
    return selection.of(wanted)
