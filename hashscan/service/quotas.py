"""How much an agent may ask: a budget that fills by the day, held in the database, spent in the processes that answer.

What explains a question is a file that a filter contains: known files, and of the innocent ones the error rate (docs/service.md
"Quotas"). A thief of an API key has no such files and asks about made-up prefixes. Nothing that an agent could say of itself
would tell the two apart, so nothing is believed: who asks more than the budget is slowed, and the operator is told.

A question costs the distinct prefixes in it: a thousand copies of one file cost as much as one. A process takes a share of the
budget from the database and spends it in memory, so most questions write nothing; shares grow with the hurry. A process that
dies takes the rest of its share along: the agent has less, never more. Keys that an agent made itself spend what the first may.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from hashscan.errors import UsageError
from hashscan.service.access import Caller, NotServed
from hashscan.service.agents import provider_row
from hashscan.service.parsing import Asked
from hashscan.service.store import Store, is_busy
from hashscan.service.tables import PREFIXES_BURST, PREFIXES_PER_DAY, ApiKey, Provider, ServiceRow
from hashscan.service.tables_out import Budget

DAY = 86_400.0  # seconds
MIN_BURST = 400  # distinct prefixes that one question may have
MAX_PREFIXES = 10**9
SMALLEST_SHARE = 20  # a twentieth of the burst is taken at first,
LARGEST_SHARE = 4  # a quarter where it was spent within
HURRY = 60.0  # seconds
REMEMBERED = 10.0  # seconds: so long nobody looks again whether a budget was raised, or is none
MAX_RETRY = 3600.0  # seconds; agents wait no longer


@dataclass(frozen=True, slots=True)
class Allowance:
    """``per_day`` distinct prefixes, at most ``burst`` at once; ``per_day`` 0: no limit."""

    per_day: int
    burst: int

    def level(self, level: float, at: float, now: float) -> float:
        """What has become of ``level`` since ``at``; a clock that went back fills nothing."""
        return min(float(self.burst), level + max(0.0, now - at) * self.per_day / DAY)

    def wait(self, level: float, cost: float) -> float:
        """Seconds until there is enough."""
        return (cost - level) * DAY / self.per_day


@dataclass(slots=True)
class _Purse:
    """What this process may spend for one agent. Several threads use it: a race lets a few questions more pass."""

    left: float = 0.0
    debt: float = 0.0
    taken_at: float = -HURRY
    taken: float = 0.0
    free_until: float = 0.0
    empty_until: float = 0.0
    look_at: float = 0.0
    refused: int = 0
    told_at: float = -HURRY


def cost_of(asked: Asked) -> int:
    """How many distinct prefixes a question names."""
    return len({pair for item in asked.items for pair in item.prefixes.items()})


class Quotas:
    """The budgets as one process sees them. ``tell`` gets the provider and the id of the first API key of who was slowed."""

    def __init__(self, tell: Callable[[str, int], None]) -> None:
        self._tell = tell
        self._purses: dict[int, _Purse] = {}
        self._origins: dict[int, int] = {}

    def at_hand(self, caller: Caller, cost: int, now: float) -> bool:
        """Pay for a question with what this process holds already; False where `spend` has to look into the database."""
        purse = self._purses.get(self._origins.get(caller.api_key_id, 0))
        if purse is None:
            return False
        if now >= purse.free_until:
            if purse.left < cost:
                return False
            purse.left -= cost
        return True

    def spend(self, store: Store, caller: Caller, cost: int, now: float) -> None:
        """Pay for a question. Raises `NotServed`: 429 with the seconds until there is enough."""
        origin = self._origin(store, caller.api_key_id)
        purse = self._purses.setdefault(origin, _Purse())
        if now < purse.free_until:
            return
        if purse.left >= cost:
            purse.left -= cost
        elif now < min(purse.empty_until, purse.look_at) or not self._take(store, origin, purse, cost, now):
            self._refuse(store, caller, origin, purse, now)

    def _origin(self, store: Store, api_key_id: int) -> int:
        """The key that an agent came with: the first in the chain of those that added each other."""
        if (known := self._origins.get(api_key_id)) is not None:
            return known
        here: int | None = api_key_id
        found = api_key_id
        with store.reading() as session:
            while here is not None:
                found = here
                here = session.scalar(select(ApiKey.added_by).where(ApiKey.id == here))
        self._origins[api_key_id] = found
        return found

    def _take(self, store: Store, origin: int, purse: _Purse, cost: int, now: float) -> bool:
        """Pay with a share out of the database; whether that was enough. While another writes (an import, say) some is lent.

        What is left goes into the purse only after the question is paid: another thread could spend it before. Who has no
        limit needs nobody's leave to write.
        """
        with store.reading() as session:
            allowance = allowance_of(session, origin)
        if not allowance.per_day:
            purse.free_until = now + REMEMBERED
            return True
        try:
            with store.writing(wait=False) as session:
                return self._take_in(session, origin, purse, cost, now)
        except OperationalError as error:
            if not is_busy(error):
                raise
            if purse.debt + cost > max(purse.taken, float(MIN_BURST)):
                raise  # answered 503, with the seconds to wait
            purse.debt += cost
            return True

    def _take_in(self, session: Session, origin: int, purse: _Purse, cost: int, now: float) -> bool:
        allowance = allowance_of(session, origin)
        if not allowance.per_day:
            return True
        row = session.get(Budget, origin)
        if row is None:
            row = Budget(api_key_id=origin, level=float(allowance.burst), at=now, day=0, asked=0, refused=0, refused_at=None)
            session.add(row)
        level = allowance.level(row.level, row.at, now) - purse.debt
        need = cost - purse.left
        if now - purse.taken_at < HURRY:
            share = min(2 * purse.taken, allowance.burst / LARGEST_SHARE)
        else:
            share = allowance.burst / SMALLEST_SHARE
        taken = min(level, max(need, share)) if level >= need else 0.0
        row.level, row.at = level - taken, max(now, row.at)
        day = int(now // DAY)
        row.asked = int(taken + purse.debt) + (row.asked if row.day == day else 0)
        row.day = day
        purse.debt = 0.0
        if not taken:
            purse.empty_until, purse.look_at = now + allowance.wait(level, need), now + REMEMBERED
            return False
        purse.left += taken - cost
        purse.taken_at, purse.taken, purse.empty_until = now, taken, 0.0
        return True

    def _refuse(self, store: Store, caller: Caller, origin: int, purse: _Purse, now: float) -> None:
        purse.refused += 1
        if now - purse.told_at >= HURRY:
            purse.told_at = now
            self._tell(caller.name, origin)
            self._note(store, origin, purse, now)
        wait = min(max(purse.empty_until - now, 1.0), MAX_RETRY)
        message = "this agent has asked more than its budget; candidates wait until it has filled up again"
        raise NotServed(429, "quota", message, retry_after=wait)

    def _note(self, store: Store, origin: int, purse: _Purse, now: float) -> None:
        """Write down how often it was slowed: at most once a minute, and not while another writes."""
        try:
            with store.writing(wait=False) as session:
                row = session.get(Budget, origin)
                if row is not None:
                    row.refused, row.refused_at = row.refused + purse.refused, now
        except OperationalError as error:
            if not is_busy(error):
                raise
            return
        purse.refused = 0


def set_allowance(session: Session, name: str | None, per_day: int | None, burst: int | None) -> Allowance:
    """Change the numbers of a provider (None: of the service); returns what holds now. Raises `UsageError`.

    The budgets of a provider that is named are full again: who raises a quota wants those who wait for it to go on.
    """
    for number, least in ((per_day, 0), (burst, MIN_BURST)):
        if number is not None and not least <= number <= MAX_PREFIXES:
            raise UsageError(f"a quota is from {least} to {MAX_PREFIXES} prefixes")
    usual = session.scalars(select(ServiceRow)).one()
    if name is None:
        usual.prefixes_per_day = PREFIXES_PER_DAY if per_day is None else per_day
        usual.prefixes_burst = PREFIXES_BURST if burst is None else burst
        return Allowance(usual.prefixes_per_day, usual.prefixes_burst)
    provider = provider_row(session, name)
    provider.prefixes_per_day, provider.prefixes_burst = per_day, burst
    allowance = _allowance(per_day, burst, usual)
    keys = select(ApiKey.id).where(ApiKey.provider_id == provider.id)
    session.execute(update(Budget).where(Budget.api_key_id.in_(keys)).values(level=float(allowance.burst)))
    return allowance


def allowance_of(session: Session, api_key_id: int) -> Allowance:
    """What an agent may ask: the numbers of its provider, else those of the service."""
    query = (
        select(Provider.prefixes_per_day, Provider.prefixes_burst)
        .join(ApiKey, ApiKey.provider_id == Provider.id)
        .where(ApiKey.id == api_key_id)
    )
    per_day, burst = session.execute(query).one()
    return _allowance(per_day, burst, session.scalars(select(ServiceRow)).one())


def _allowance(per_day: int | None, burst: int | None, usual: ServiceRow) -> Allowance:
    return Allowance(usual.prefixes_per_day if per_day is None else per_day, usual.prefixes_burst if burst is None else burst)
