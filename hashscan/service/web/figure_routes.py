"""The monitor's pages: everything at a glance, one provider, and the figures to take away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.responses import Response

from hashscan.errors import UsageError
from hashscan.service import agents
from hashscan.service.actors import Actor, Deed, PersonRole, may, sees_provider
from hashscan.service.monitor.exporting import TABLES
from hashscan.service.monitor.figures import Group
from hashscan.service.monitor.pseudonyms import pseudonyms
from hashscan.service.monitor.views import monitor
from hashscan.service.tables import ApiKey, HashList, Provider
from hashscan.service.web import drawing
from hashscan.service.web.choosing import DAY_SECONDS, PERIODS, Choice, chosen
from hashscan.service.web.entrance import Entered, Visit, refuse
from hashscan.service.web.plotting import over_time, share_bars, until_removal
from hashscan.service.web.rendering import page

router = APIRouter()
SHOWN_OPEN = 12  # open findings before somebody asks for all of them
_QUIET_SHOWN = 30


@router.get("/overview")
def overview(visit: Entered) -> Response:
    """What is overdue, what is open, how it goes."""
    actor = visit.who.actor
    choice = chosen(visit.request.query_params, may_see_names=may(actor, Deed.SEE_NAMES))
    with visit.service.store.reading() as session:
        values = _figures(session, actor, choice, visit.now)
        lists = session.scalars(select(HashList.name).order_by(HashList.name)).all()
        providers, countries = _providers(session, choice), _countries(session)
    quiet = [one for one in values["current"].contacts if one.quiet and one.phase != "suspended"]
    return page(
        visit,
        "overview.html",
        **values,
        lists=lists,
        provider_choices=providers,
        country_choices=countries,
        periods=PERIODS,
        quiet=quiet[:_QUIET_SHOWN],
        quiet_more=max(0, len(quiet) - _QUIET_SHOWN),
        day_seconds=DAY_SECONDS,
        tables=tuple(TABLES),
    )


@router.get("/own")
def own(visit: Entered) -> Response:
    """A provider's own page."""
    assert visit.who.actor.provider is not None  # noqa: S101 - Actor promises it for this role
    return _provider_page(visit, visit.who.actor.provider)


@router.get("/providers/{name}")
def provider(visit: Entered, name: str) -> Response:
    """One provider, for those who may see it; for others there is none."""
    return _provider_page(visit, name)


def _provider_page(visit: Visit, name: str) -> Response:
    actor = visit.who.actor
    if not sees_provider(actor, name):
        refuse(404)
    choice = chosen({**visit.request.query_params, "provider": name, "names": "yes"}, may_see_names=True)
    try:
        with visit.service.store.reading() as session:
            values = _figures(session, actor, choice, visit.now)
        keys = [one for one in agents.agents(visit.service.store, name) if one.revoked is None]
    except UsageError:
        refuse(404)
    contact = next(iter(values["current"].contacts), None)
    own_page = actor.role is PersonRole.PROVIDER
    return page(
        visit,
        "provider.html",
        **values,
        name=name,
        own=own_page,
        here="/web/own" if own_page else f"/web/providers/{name}",
        contact=contact,
        agents=keys,
        periods=PERIODS,
        day_seconds=DAY_SECONDS,
    )


def _figures(session: Session, actor: Actor, choice: Choice, now: float) -> Mapping[str, Any]:
    """What the pages with figures have in common: what is open now, and what was in the period."""
    current = monitor(session, actor, choice.selection(now, always=True), now, names=choice.names)
    of_period = current
    if PERIODS[choice.period][1] is not None:
        of_period = monitor(session, actor, choice.selection(now), now, names=choice.names)
    return {
        "choice": choice,
        "current": current,
        "of_period": of_period,
        "open_shown": current.open if choice.all_open else current.open[:SHOWN_OPEN],
        "time_plot": over_time(of_period),
        "removal_plot": until_removal(of_period),
        "provider_rows": _rows(of_period.providers, current.providers),
        "country_rows": _rows(of_period.countries, current.countries),
        "site_rows": _rows(of_period.sites, current.sites),
    }


def _rows(period: Sequence[Group], current: Sequence[Group]) -> list[tuple[Group, Group, list[drawing.Rect]]]:
    """(in the period, as it is now, bar) of each group that was met in the period or has something open."""
    now_by_key = {one.key: one for one in current}
    met = {one.key for one in period}
    groups = [*period, *(one for one in current if one.key not in met and one.open)]
    ordered = sorted(groups, key=lambda one: _urgency(now_by_key[one.key]))
    return [(one, now_by_key[one.key], bar) for one, bar in zip(ordered, share_bars(ordered), strict=True)]


def _urgency(group: Group) -> tuple[int, int, int, str]:
    return -group.overdue, -group.open, -group.findings, group.key


def _providers(session: Session, choice: Choice) -> list[tuple[str, str]]:
    """(value, words) of the providers that can be chosen, under the names that are shown."""
    opaque = pseudonyms(session)
    shown = {other: name if choice.names else other for name, other in opaque.items()}
    return sorted(shown.items(), key=lambda pair: pair[1])


def _countries(session: Session) -> list[str]:
    columns = (ApiKey.country, Provider.country)
    return sorted({one for column in columns for one in session.scalars(select(column).distinct()) if one})
