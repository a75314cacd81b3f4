"""A service full of made-up data, for looking at the pages: no file, no digest and no company in it exists.

Four months of eight providers are told through the same functions that real outcomes take, with the times that they would have
had. The numbers come from a fixed seed, so that two demonstrations look alike.
"""

from __future__ import annotations

import hashlib
import math
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from hashscan.errors import UsageError
from hashscan.model import Act, Action, Outcome, Standing
from hashscan.service import agents, enrolment
from hashscan.service.access import Caller, key_ring
from hashscan.service.actors import Actor, PersonRole
from hashscan.service.disputing import acts, complaints
from hashscan.service.disputing.complaints import Complainer, Complaint
from hashscan.service.disputing.rules import Opinion
from hashscan.service.entries import new_public_ids
from hashscan.service.parsing import Report
from hashscan.service.receiving import receive
from hashscan.service.store import Store
from hashscan.service.tables import ApiKey, Entry, HashList, Phase, Provider, prefix
from hashscan.service.web import people
from hashscan.service.web.passwords import COST, Cost

DAYS = 120
_DAY, _HOUR = 86_400.0, 3600.0
_LISTS = (("police", 60), ("partners", 24))
ANNA, BRAM = Actor("anna", PersonRole.HOTLINE), Actor("bram", PersonRole.REVIEWER)
PEOPLE = (
    ("anna", PersonRole.HOTLINE, None),
    ("bram", PersonRole.REVIEWER, None),
    ("chris", PersonRole.AUTHORITY, None),
    ("dora", PersonRole.PROVIDER, "alder-hosting"),
)


@dataclass(frozen=True, slots=True)
class Company:
    """A provider as it behaves: findings a day, median hours to removal and how they spread, the share that is never removed.

    ``silent`` days ago its agents were heard of last.
    """

    name: str
    country: str
    sites: tuple[str, ...]
    findings: float
    hours: float
    spread: float = 0.9
    left: float = 0.0
    silent: int = 0
    phase: Phase = Phase.REGULAR


COMPANIES = (
    Company("alder-hosting", "NL", ("ams-1", "ams-2", "rot-1"), 2.6, 2.5, left=0.01),
    Company("birch-cloud", "NL", ("ams-3", "gro-1"), 1.8, 0.6, spread=0.7),
    Company("cedar-servers", "DE", ("fra-1", "ber-1"), 1.1, 9.0, spread=1.0, left=0.015),
    Company("elm-data", "FR", ("par-1",), 0.5, 5.0),
    Company("hazel-vps", "NL", ("ams-4",), 0.9, 17.0, spread=0.9, left=0.04),
    Company("larch-networks", "NO", ("osl-1",), 0.3, 1.5, silent=11),
    Company("maple-racks", "DE", ("fra-2",), 0.35, 20.0, phase=Phase.TRIAL, left=0.1),
    Company("rowan-web", "BE", ("bru-1",), 0.2, 4.0, silent=5),
)


def fill(store: Store, now: float, *, password: str, cost: Cost = COST) -> None:
    """Put everything into a service that has no list and no provider yet, as if it had run for `DAYS`. Raises `UsageError`."""
    with store.reading() as session:
        if session.scalar(select(Provider.id).limit(1)) or session.scalar(select(HashList.id).limit(1)):
            raise UsageError("made-up data goes only into a service that is empty")
    for company in COMPANIES:
        enrolment.add_provider(store, company.name, phase=company.phase)
    dice = random.Random(20_190_613)  # noqa: S311 - numbers that look alike each time, no secrets
    with store.writing() as session:
        entries = _lists(session, now - (DAYS + 10) * _DAY)
        callers = [_admitted(session, one, now) for one in COMPANIES]
        for at, caller, outcome in sorted(_outcomes(dice, callers, entries, now), key=lambda one: one[0]):
            receive(session, caller, Report((outcome,)), at)
        for name, role, provider in PEOPLE:
            people.add(session, name, role, provider, now - 60 * _DAY)
            session.flush()
            people.set_password(session, name, password, now - 60 * _DAY, cost)
        _disputes(session, now)


def _lists(session: Session, at: float) -> list[tuple[str, str]]:
    """(list, entry) of all entries; the digests are of made-up texts."""
    found = []
    for name, count in _LISTS:
        one = HashList(name=name, version=1, created=at)
        session.add(one)
        session.flush()
        for number, public_id in enumerate(new_public_ids(count)):
            digest = hashlib.sha1(f"harmless {name} {number}".encode()).digest()  # noqa: S324 - an entry of SHA-1
            session.add(
                Entry(
                    public_id=public_id, list_id=one.id, sha1=digest, sha1_p=prefix(digest), category="ABC"[number % 3],
                    standing=Standing.ACTIVE.value, act=Act.QUARANTINE.value, sources='["made up"]', created=at, changed=at,
                )
            )  # fmt: skip
            found.append((name, public_id))
    session.flush()
    return found


def _admitted(session: Session, company: Company, now: float) -> tuple[Company, list[Caller]]:
    """The company with its agents, one a site, as it was admitted before everything else."""
    row = session.scalars(select(Provider).where(Provider.name == company.name)).one()
    row.created, row.country = now - (DAYS + 5) * _DAY, company.country
    callers = []
    for site in company.sites:
        key = agents.add_key(session, row.id, os.urandom(32), f"web-{site}", row.created)
        key.site, key.country = site, company.country
        key.used_day = int((now - company.silent * _DAY) // _DAY)
        callers.append(Caller(row.id, row.name, company.phase, key.id, row.epoch, key_ring(session, row.id)))
    return company, callers


_Told = tuple[float, Caller, Outcome]


def _outcomes(
    dice: random.Random, callers: list[tuple[Company, list[Caller]]], entries: list[tuple[str, str]], now: float
) -> Iterator[_Told]:
    for company, of_company in callers:
        at = now - DAYS * _DAY
        while True:
            at += dice.expovariate(company.findings * _season((now - at) / _DAY)) * _DAY
            if at > now - company.silent * _DAY - 600:
                break
            list_name, entry = dice.choice(entries[:-6])  # those of the disputes are told of there
            yield from _finding(dice, company, dice.choice(of_company), (list_name, entry), at, now)


def _season(days_ago: float) -> float:
    """More in the beginning, when companies scan for the first time, and a wave after a new list."""
    return 0.55 + 1.3 * math.exp(-(((days_ago - DAYS) / 14) ** 2)) + 0.9 * math.exp(-(((days_ago - 38) / 8) ** 2))


def _finding(
    dice: random.Random, company: Company, caller: Caller, entry: tuple[str, str], at: float, now: float
) -> Iterator[_Told]:
    """What is told about one finding: that it is there, and that it is gone."""
    name = f"f_{dice.getrandbits(64):016x}"
    told = at + dice.uniform(5, 900)
    gone = at + company.hours * _HOUR * math.exp(dice.gauss(0, company.spread))
    stays = dice.random() < company.left
    held = stays and company.phase is Phase.REGULAR
    if gone > now or stays or gone - at > 2 * _HOUR:
        yield min(told, now), caller, _outcome(name, entry, Action.HELD if held else Action.REPORTED, at, at + 1)
    if gone < now and not stays:
        yield min(gone + dice.uniform(5, 600), now), caller, _outcome(name, entry, Action.QUARANTINED, at, gone)


def _outcome(finding: str, entry: tuple[str, str], action: Action, seen: float, acted: float) -> Outcome:
    verdict = hashlib.sha256(finding.encode()).hexdigest()
    return Outcome(f"o_{finding}_{action.value}", entry[1], entry[0], verdict, action, seen, acted, finding)


def _disputes(session: Session, now: float) -> None:
    """One that is decided, one that waits for a second person, one that is overdue, and one of a provider."""
    list_name = _LISTS[1][0]
    query = select(Entry).join(HashList, HashList.id == Entry.list_id).where(HashList.name == list_name)
    wrong, half, old, of_provider = session.scalars(query.order_by(Entry.id.desc()).limit(4)).all()
    for entry, days in ((wrong, 15.0), (of_provider, 2.5), (old, 9.0)):
        _met(session, entry, list_name, now - days * _DAY)
    done = acts.dispute(session, ANNA, wrong, "Belongs to a stock image of a content system.", now - 14 * _DAY)
    acts.judge(session, ANNA, done.dispute, Opinion.WITHDRAW, "Seen in three unrelated shops.", now - 14 * _DAY + 900)
    acts.judge(session, BRAM, done.dispute, Opinion.WITHDRAW, "I agree: a placeholder image.", now - 13.6 * _DAY)
    other = acts.dispute(session, BRAM, half, "The source lists two sizes for one digest.", now - 1.2 * _DAY)
    acts.judge(session, BRAM, other.dispute, Opinion.CONFIRM, "The source has corrected the size.", now - 0.9 * _DAY)
    acts.dispute(session, ANNA, old, "The source has withdrawn its series.", now - 6 * _DAY)
    provider = session.scalars(select(Provider).where(Provider.name == COMPANIES[0].name)).one()
    said = Complaint("page-1", list_name, of_provider.public_id, "Ships with a theme that many customers use.")
    complaints.complain(session, Complainer(provider.id, provider.name), said, now - 0.4 * _DAY)


def _met(session: Session, entry: Entry, list_name: str, at: float) -> None:
    """Two companies have found it, and the second has given it back a day later."""
    for number, company in enumerate(COMPANIES[:2]):
        key = session.scalars(select(ApiKey).join(Provider).where(Provider.name == company.name).order_by(ApiKey.id)).first()
        assert key is not None  # noqa: S101 - `_admitted` made it
        caller = Caller(key.provider_id, company.name, company.phase, key.id, 1, key_ring(session, key.provider_id))
        finding = f"f_{entry.public_id}_{number}"
        where = (list_name, entry.public_id)
        receive(session, caller, Report((_outcome(finding, where, Action.QUARANTINED, at, at + 40),)), at + 50)
        if number:
            receive(session, caller, Report((_outcome(finding, where, Action.RESTORED, at, at + _DAY),)), at + _DAY)
