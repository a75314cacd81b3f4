"""What people at the machine do about entries and what they look at, one function each; as in `admin`, which opens and closes.

Who has the machine runs the hotline: the role is HOTLINE, and the name is what they say it is (docs/threat-model.md).
"""

from __future__ import annotations

import time
from pathlib import Path

from hashscan.service import notifying, places, standings
from hashscan.service.actors import Actor, PersonRole
from hashscan.service.admin import BUSY_SECONDS
from hashscan.service.disputing import views
from hashscan.service.disputing.views import Detail, Line
from hashscan.service.monitor.fetching import Selection
from hashscan.service.monitor.views import Monitor, monitor
from hashscan.service.notifying import Notified, SeriesReport
from hashscan.service.places import Place
from hashscan.service.standings import StandingChange, Wish
from hashscan.service.store import open_store

MACHINE = Actor("machine", PersonRole.HOTLINE)
"""Who looks, where nobody says a name: looking changes nothing."""


def withdraw(data: Path, wish: Wish, *, alone: bool = False) -> StandingChange:
    """One of two opinions for withdrawing entries, or ``alone`` at once. Filters follow with the next publication."""
    with open_store(data, busy_seconds=BUSY_SECONDS) as store:
        return standings.withdraw(store, wish, alone=alone)


def dispute(data: Path, wish: Wish) -> StandingChange:
    """Mark entries as doubtful: files that match them are reported and not moved."""
    with open_store(data, busy_seconds=BUSY_SECONDS) as store:
        return standings.dispute(store, wish)


def reinstate(data: Path, wish: Wish) -> StandingChange:
    """One of two opinions for making disputed or withdrawn entries active again."""
    with open_store(data, busy_seconds=BUSY_SECONDS) as store:
        return standings.reinstate(store, wish)


def disputes(data: Path, *, every: bool = False) -> tuple[Line, ...]:
    """Open disputes, or with ``every`` the decided ones too. See `views.disputes`."""
    with open_store(data) as store, store.reading() as session:
        return views.disputes(session, MACHINE, time.time(), every=every)


def dispute_detail(data: Path, dispute_id: str) -> Detail:
    """One dispute with opinions, history and what providers did. Raises `UsageError`."""
    with open_store(data) as store, store.reading() as session:
        return views.detail(session, MACHINE, dispute_id, time.time())


def set_place(data: Path, name: str, key_id: int | None, place: Place) -> None:
    """Where a provider or one of its agents is. See `places.set_place`."""
    with open_store(data, busy_seconds=BUSY_SECONDS) as store:
        places.set_place(store, name, key_id, place)


def set_series(data: Path, list_id: str, source: Path) -> SeriesReport:
    """Put entries into series. See `notifying.set_series`."""
    with open_store(data, busy_seconds=BUSY_SECONDS) as store:
        return notifying.set_series(store, list_id, source)


def notify(data: Path, out: Path) -> Notified:
    """The notification of today, and all before it, as files in ``out``. See `notifying.notify`."""
    with open_store(data, busy_seconds=BUSY_SECONDS) as store:
        return notifying.notify(store, out)


def figures(data: Path, selection: Selection, *, names: bool = False) -> Monitor:
    """The monitor; providers by name only with ``names``. Raises `UsageError`."""
    with open_store(data) as store, store.reading() as session:
        return monitor(session, MACHINE, selection, time.time(), names=names)
