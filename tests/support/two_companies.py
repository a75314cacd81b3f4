"""A service with two companies that must not see each other, and somebody of every role."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.orm import Session

from hashscan.model import Act, Action, Outcome, Standing
from hashscan.service import admin, agents
from hashscan.service.access import Caller, key_ring
from hashscan.service.actors import PersonRole
from hashscan.service.disputing import complaints
from hashscan.service.disputing.complaints import Complainer, Complaint
from hashscan.service.entries import new_public_ids
from hashscan.service.monitor.pseudonyms import pseudonyms
from hashscan.service.parsing import Report
from hashscan.service.receiving import receive
from hashscan.service.store import open_store
from hashscan.service.tables import Entry, HashList, Phase, Provider
from tests.support.browsing import person
from tests.support.service import make

PEOPLE = {
    "hotline": (PersonRole.HOTLINE, None),
    "reviewer": (PersonRole.REVIEWER, None),
    "authority": (PersonRole.AUTHORITY, None),
    "of-acme": (PersonRole.PROVIDER, "acme"),
    "of-globex": (PersonRole.PROVIDER, "globex"),
}


@dataclass(frozen=True)
class Company:
    """What is in the database of one company and nobody else's business."""

    name: str
    pseudonym: str
    agent: str
    site: str
    entry: str
    dispute: str

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not stand on a page of the other."""
        return (self.name, self.pseudonym, self.agent, self.site, self.entry, self.dispute)


@dataclass(frozen=True)
class World:
    """The data folder and both companies by name."""

    data: Path
    companies: dict[str, Company]


def world(folder: Path, now: float) -> World:
    """Each company has an agent, an overdue finding, a removed one, and a dispute."""
    data = make(folder)
    for name in ("acme", "globex"):
        admin.add_provider(data, name, phase=Phase.REGULAR)
    with open_store(data) as store, store.writing() as session:
        hash_list = HashList(name="police", version=1, created=now - 9e6)
        session.add(hash_list)
        session.flush()
        companies = {name: _company(session, name, hash_list.id, now) for name in ("acme", "globex")}
    for name, (role, provider) in PEOPLE.items():
        person(data, name, role, provider)
    return World(data, companies)


def _company(session: Session, name: str, list_id: int, now: float) -> Company:
    provider = session.query(Provider).filter_by(name=name).one()
    provider.created, provider.country = now - 9e6, "NL"
    key = agents.add_key(session, provider.id, hashlib.sha256(name.encode()).digest(), f"host-of-{name}", now - 9e6)
    key.site, key.country, key.used_day = f"cellar-{name}", "NL", int(now // 86_400)
    (entry,) = new_public_ids(1)
    digest = hashlib.sha1(name.encode()).digest()
    session.add(
        Entry(
            public_id=entry, list_id=list_id, sha1=digest, sha1_p=1, category="A", standing=Standing.ACTIVE.value,
            act=Act.QUARANTINE.value, sources="[]", created=now - 9e6, changed=now - 9e6,
        )
    )  # fmt: skip
    session.flush()
    caller = Caller(provider.id, name, Phase.REGULAR, key.id, 1, key_ring(session, provider.id))
    for number, action in enumerate((Action.REPORTED, Action.QUARANTINED)):
        seen = now - 3 * 86_400 + number
        told = Outcome(f"o-{name}-{number}", entry, "police", "0" * 64, action, seen, seen + 60, f"f-{name}-{number}")
        receive(session, caller, Report((told,)), seen + 90)
    who = Complainer(provider.id, name, key.id)
    told = complaints.complain(session, who, Complaint(f"k-{name}", "police", entry, f"doubts of {name}"), now - 3600)
    return Company(name, pseudonyms(session)[name], key.label, key.site, entry, told.dispute)
