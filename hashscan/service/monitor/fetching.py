"""The rows behind the figures: SQL fetches, `figures` counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, null, select
from sqlalchemy.orm import Session

from hashscan.errors import UsageError
from hashscan.service.disputing.rules import DUE, DisputeState
from hashscan.service.monitor import adding
from hashscan.service.monitor.figures import MAX_OPEN_SHOWN, Sighting
from hashscan.service.monitor.findings import FindingState
from hashscan.service.names import is_name
from hashscan.service.tables import ApiKey, Provider
from hashscan.service.tables_back import ComplaintRow, DisputeRow, FindingRow

_country = func.coalesce(ApiKey.country, Provider.country, "")
QUIET_DAYS = 3  # without a request of any agent, and the provider counts as not heard of


@dataclass(frozen=True, slots=True)
class Selection:
    """What the figures are about: findings whose first outcome came in within ``since`` (included) to ``until`` (not).

    Times in seconds since 1970; ``country`` is ISO 3166 alpha-2. None means no bound.
    """

    since: float | None = None
    until: float | None = None
    list: str | None = None
    provider: str | None = None
    country: str | None = None

    def of(self, provider: str | None) -> Selection:
        """The same of that provider; None: of all."""
        return Selection(self.since, self.until, self.list, provider, self.country)

    def check(self) -> None:
        """Raises `UsageError` for a selection that can hold nothing."""
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise UsageError("the period ends before it begins")
        for name in (self.list, self.provider):
            if name is not None and not is_name(name):
                raise UsageError(f"{name!r} is no name of a list or provider")
        if self.country is not None:
            check_country(self.country)


def check_country(code: str) -> str:
    """``code`` if it has the form of an ISO 3166 alpha-2 code, else `UsageError`."""
    if len(code) != 2 or not (code.isascii() and code.isalpha() and code.isupper()):
        raise UsageError(f"{code!r} is no country", hint="two capital letters as in ISO 3166: NL")
    return code


@dataclass(frozen=True, slots=True)
class Contact:
    """When a provider was heard of. ``last_seen`` is a day (days since 1970) or None, ``agents`` those with a key that works.

    ``silent`` agents were not heard of for `QUIET_DAYS`; ``pending`` candidates wait for an answer, the oldest since
    ``pending_since`` (seconds since 1970), as agents last told.
    """

    provider: str
    country: str
    phase: str
    agents: int
    silent: int
    last_seen: int | None
    quiet: bool
    last_outcome: float | None
    pending: int
    pending_since: float | None


@dataclass(frozen=True, slots=True)
class DisputeFigures:
    """Disputes as numbers; ages in seconds. ``alone``: open ones in which one person withdrew the entry."""

    open: int
    overdue: int
    alone: int
    oldest: float | None
    confirmed: int
    withdrawn: int


@dataclass(frozen=True, slots=True)
class Whose:
    """What the agents that told findings are called: of `adding.Agent` the provider, its country and site ("": not known)."""

    agents: Mapping[adding.Agent, tuple[str, str, str]]

    def provider(self, agent: adding.Agent) -> str:
        """As it is shown."""
        return self.agents[agent][0]

    def country(self, agent: adding.Agent) -> str:
        """Of the agent, else of the provider."""
        return self.agents[agent][1] or "unknown"

    def site(self, agent: adding.Agent) -> str:
        """With the provider, for others may have one of the same name."""
        return f"{self.agents[agent][0]}/{self.agents[agent][2] or 'unknown'}"


def whose(session: Session, selection: Selection, shown: Mapping[str, str]) -> Whose:
    """The agents that are selected by provider and country; ``shown`` is what each provider is called."""
    keys = select(Provider.id, Provider.name, ApiKey.id, _country, ApiKey.site).join(ApiKey, ApiKey.provider_id == Provider.id)
    nobody = select(Provider.id, Provider.name, null(), func.coalesce(Provider.country, ""), null())
    found = {}
    for provider_id, name, key, country, site in [*session.execute(keys), *session.execute(nobody)]:
        if selection.provider in (None, name) and selection.country in (None, country):
            found[provider_id, key] = (shown[name], country, site or "")
    return Whose(found)


def condition(selection: Selection, agents: Whose) -> Any:
    """The findings that are selected, for `adding`."""
    some = selection.provider is not None or selection.country is not None
    return adding.meant(
        since=selection.since,
        until=selection.until,
        list_name=selection.list,
        agents=adding.of_agents(agents.agents) if some else None,
    )


def longest_open(session: Session, meant: Any, agents: Whose, now: float, *, sites: bool) -> Iterator[Sighting]:
    """The findings that are in their place for longest, at most `MAX_OPEN_SHOWN`; without ``sites`` they are left out."""
    for provider_id, key, state, *row, disputed in session.execute(_open(meant, now)):
        list_name, entry, *times = row
        name, country, site = agents.agents[provider_id, key]
        where = (name, country, site if sites else "", list_name, entry)
        yield Sighting(*where, FindingState(state), False, bool(disputed), *times)  # noqa: FBT003 - in the order of the tuple


def _open(meant: Any, now: float) -> Any:
    one = FindingRow
    columns: Any = (one.provider_id, one.api_key_id, one.state, one.list_name, one.entry, one.first_seen, one.opened)
    more: Any = (one.removed, one.removed_told, one.doubt, adding.is_disputed())
    return select(*columns, *more).where(one.id.in_(adding.longest_open(meant, now, MAX_OPEN_SHOWN)))


def contacts(session: Session, selection: Selection, shown: Mapping[str, str], now: float) -> tuple[Contact, ...]:
    """Every provider that is selected by name or country, who was not heard of for the longest time first."""
    query = select(Provider)
    if selection.provider is not None:
        query = query.where(Provider.name == selection.provider)
    if selection.country is not None:
        query = query.where(Provider.country == selection.country)
    last = select(func.max(FindingRow.told)).where(FindingRow.provider_id == Provider.id).scalar_subquery()
    told: dict[int, float | None] = dict(session.execute(select(Provider.id, last)).all())  # of each one look into an index
    keys: dict[int, list[ApiKey]] = {}
    for key in session.scalars(select(ApiKey).where(ApiKey.revoked.is_(None))):
        keys.setdefault(key.provider_id, []).append(key)
    found = [_contact(one, shown[one.name], keys.get(one.id, []), told.get(one.id), now) for one in session.scalars(query)]
    return tuple(sorted(found, key=lambda one: (one.last_seen if one.last_seen is not None else -1, one.provider)))


def _contact(provider: Provider, name: str, keys: list[ApiKey], last_outcome: float | None, now: float) -> Contact:
    today = int(now // 86_400)
    days = [key.used_day for key in keys if key.used_day is not None]
    since = [key.pending_since for key in keys if key.pending and key.pending_since is not None]
    last_seen = max(days, default=None)
    return Contact(
        provider=name,
        country=provider.country or "",
        phase=provider.phase,
        agents=len(keys),
        silent=sum(key.used_day is None or today - key.used_day >= QUIET_DAYS for key in keys),
        last_seen=last_seen,
        quiet=last_seen is None or today - last_seen >= QUIET_DAYS,
        last_outcome=last_outcome,
        pending=sum(key.pending or 0 for key in keys),
        pending_since=min(since, default=None),
    )


def dispute_figures(session: Session, provider: str | None, now: float) -> DisputeFigures:
    """All disputes, or those that a provider takes part in."""
    query = select(DisputeRow)
    if provider is not None:
        mine = select(ComplaintRow.dispute_id).join(Provider, Provider.id == ComplaintRow.provider_id)
        query = query.where(DisputeRow.id.in_(mine.where(Provider.name == provider)))
    rows = session.scalars(query).all()
    still_open = [row for row in rows if row.state == DisputeState.OPEN]
    ages = [now - row.opened for row in still_open]
    return DisputeFigures(
        open=len(still_open),
        overdue=sum(age > DUE for age in ages),
        alone=sum(row.alone is not None for row in still_open),
        oldest=max(ages, default=None),
        confirmed=sum(row.state == DisputeState.CONFIRMED for row in rows),
        withdrawn=sum(row.state == DisputeState.WITHDRAWN for row in rows),
    )
