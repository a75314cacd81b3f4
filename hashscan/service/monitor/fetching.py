"""The rows behind the figures: SQL fetches, `figures` counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from hashscan.errors import UsageError
from hashscan.model import Standing
from hashscan.service.disputing.rules import DUE, DisputeState
from hashscan.service.monitor.figures import Sighting
from hashscan.service.monitor.findings import FindingState
from hashscan.service.names import is_name
from hashscan.service.tables import ApiKey, Entry, Provider
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


def sightings(session: Session, selection: Selection, shown: Mapping[str, str], *, sites: bool) -> Iterator[Sighting]:
    """The findings that are selected, in no order; the self-test's are none.

    ``shown`` is what each provider is called; without ``sites`` they are left out.
    """
    paused = _paused(session)
    for row in session.execute(_findings(selection).execution_options(yield_per=10_000)):
        (provider_id, name, country, site, list_name, entry, entry_id, standing, state, *times) = row
        yield Sighting(
            shown[name],
            country,
            site or "" if sites else "",
            list_name,
            entry,
            FindingState(state),
            standing == Standing.WITHDRAWN,
            standing == Standing.DISPUTED or (provider_id, entry_id) in paused,
            *times,
        )


def _findings(selection: Selection) -> Any:
    query: Any = (  # its type has no name: more columns than SQLAlchemy has types for
        select(
            FindingRow.provider_id, Provider.name, _country, ApiKey.site, FindingRow.list_name, FindingRow.entry,
            FindingRow.entry_id, Entry.standing, FindingRow.state, FindingRow.first_seen, FindingRow.opened,
            FindingRow.removed, FindingRow.removed_told, FindingRow.doubt,
        )
        .join(Provider, Provider.id == FindingRow.provider_id)
        .outerjoin(ApiKey, ApiKey.id == FindingRow.api_key_id)
        .outerjoin(Entry, Entry.id == FindingRow.entry_id)
        .where(func.coalesce(Entry.standing, "") != Standing.TEST)
    )  # fmt: skip
    if selection.since is not None:
        query = query.where(FindingRow.opened >= selection.since)
    if selection.until is not None:
        query = query.where(FindingRow.opened < selection.until)
    if selection.list is not None:
        query = query.where(FindingRow.list_name == selection.list)
    if selection.provider is not None:
        query = query.where(Provider.name == selection.provider)
    if selection.country is not None:
        query = query.where(_country == selection.country)
    return query


def _paused(session: Session) -> frozenset[tuple[int, int]]:
    """Which provider's own complaint pauses which entry: (provider, entry) ids."""
    query = (
        select(ComplaintRow.provider_id, DisputeRow.entry_id)
        .join(DisputeRow, DisputeRow.id == ComplaintRow.dispute_id)
        .where(ComplaintRow.pauses, DisputeRow.state == DisputeState.OPEN)
    )
    return frozenset((one, other) for one, other in session.execute(query) if one is not None)


def contacts(session: Session, selection: Selection, shown: Mapping[str, str], now: float) -> tuple[Contact, ...]:
    """Every provider that is selected by name or country, who was not heard of for the longest time first."""
    query = select(Provider)
    if selection.provider is not None:
        query = query.where(Provider.name == selection.provider)
    if selection.country is not None:
        query = query.where(Provider.country == selection.country)
    last = select(FindingRow.provider_id, func.max(FindingRow.told)).group_by(FindingRow.provider_id)
    told = dict(session.execute(last).all())
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
