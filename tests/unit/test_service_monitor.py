"""The monitor over a real database: what agents told becomes figures, and who sees what of them."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from sqlalchemy import select

from hashscan.errors import UsageError
from hashscan.model import Action, Outcome, Standing
from hashscan.service.access import authenticate
from hashscan.service.actors import Actor, PersonRole
from hashscan.service.disputing.entries import find
from hashscan.service.monitor.exporting import SCHEMA, TABLES, as_csv, as_json, safe
from hashscan.service.monitor.fetching import Selection
from hashscan.service.monitor.findings import FindingState
from hashscan.service.monitor.pseudonyms import pseudonyms
from hashscan.service.monitor.views import Monitor, monitor
from hashscan.service.parsing import Report
from hashscan.service.receiving import receive
from hashscan.service.store import open_store
from hashscan.service.tables import ApiKey, Entry, Provider
from hashscan.service.tables_back import FindingRow, OutcomeRow
from tests.support.service import LIST, Agent, enrol, load, make, reinstate, sha1, withdraw

NOW = 1_900_000_000.0
DAY = 86_400.0
HOTLINE = Actor("anna", PersonRole.HOTLINE)
REVIEWER = Actor("bea", PersonRole.REVIEWER)
AUTHORITY = Actor("wim", PersonRole.AUTHORITY)
ACME = Actor("it", PersonRole.PROVIDER, "acme")
EVERYTHING = Selection()


class Service:
    """Two providers in two countries; what their agents told."""

    def __init__(self, home: Path) -> None:
        self.data = make(home)
        load(self.data, "\n".join(sha1(one) for one in "abcd"))
        self.agents = {name: enrol(self.data, name) for name in ("acme", "other")}
        with open_store(self.data) as store, store.writing() as session:
            for row, country in zip(session.scalars(select(Provider).order_by(Provider.name)), ("NL", "DE"), strict=True):
                row.country, row.created = country, NOW - 90 * DAY
            for key in session.scalars(select(ApiKey)):
                key.site = "ams-1"

    def tell(self, agent: Agent, what: str, action: Action, first_seen: float, **more: object) -> None:
        """One outcome, told when it was done unless ``told`` says when."""
        acted = float(str(more.pop("acted", first_seen + 60)))
        told = float(str(more.pop("told", acted + 1)))
        with open_store(self.data) as store:
            caller = authenticate(store, f"Bearer {agent.api_key}")
            with store.writing() as session:
                entry = find(session, LIST, sha1(what))[0].public_id
                number = len(session.scalars(select(OutcomeRow.id)).all())
                made = Outcome(
                    f"o_{number}", entry, LIST, f"{number:064x}", action, first_seen, acted, str(more.pop("finding", ""))
                )
                receive(session, caller, Report((made,)), told)
        assert not more

    def see(self, actor: Actor = HOTLINE, selection: Selection = EVERYTHING, *, names: bool = True) -> Monitor:
        with open_store(self.data) as store, store.reading() as session:
            return monitor(session, actor, selection, NOW, names=names)

    def busy(self) -> Service:
        """acme: one removed fast, one reported long ago; other: one removed after three days, one held just now."""
        acme, other = self.agents["acme"], self.agents["other"]
        self.tell(acme, "a", Action.QUARANTINED, NOW - 10 * DAY)
        self.tell(acme, "b", Action.REPORTED, NOW - 5 * DAY)
        self.tell(other, "a", Action.QUARANTINED, NOW - 9 * DAY, acted=NOW - 6 * DAY)
        self.tell(other, "c", Action.HELD, NOW - 600)
        return self


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return Service(tmp_path)


def test_what_agents_told_becomes_figures(service: Service) -> None:
    shown = service.busy().see()
    total = shown.total
    assert (total.findings, total.open, total.overdue, total.removed, total.held) == (4, 2, 1, 2, 1)
    assert (total.removals.median, total.removals.p95, total.removals.within_norm) == (60, 3 * DAY, 0.5)
    assert [(one.key, one.findings, one.overdue) for one in shown.providers] == [("acme", 2, 1), ("other", 2, 0)]
    assert [one.key for one in shown.countries] == ["NL", "DE"]
    assert [one.key for one in shown.sites] == ["acme/ams-1", "other/ams-1"]
    assert [(one.provider, one.overdue, one.state) for one in shown.open] == [
        ("acme", True, "reported"),
        ("other", False, "held"),
    ]
    assert sum(one.findings for one in shown.days) == sum(one.findings for one in shown.weeks) == 4
    assert sum(one.removed for one in shown.days) == 2
    assert [(one.provider, one.agents, one.quiet) for one in shown.contacts] == [("acme", 1, True), ("other", 1, True)]


def test_who_sees_what(service: Service) -> None:
    service.busy()
    with open_store(service.data) as store, store.reading() as session:
        opaque = pseudonyms(session)
    assert len({*opaque.values()}) == 2
    for actor in (HOTLINE, AUTHORITY):
        assert {one.key for one in service.see(actor).providers} == {"acme", "other"}
    for shown in (service.see(REVIEWER), service.see(HOTLINE, names=False)):
        said = as_json(shown) + "".join(as_csv(shown, table) for table in TABLES)
        assert (shown.named, shown.sites) == (False, ())
        assert {one.key for one in shown.providers} == set(opaque.values())
        assert not any(name in said for name in ('"acme"', '"other"', ",acme,", ",other,", "ams-1"))
    mine = service.see(ACME)
    assert (mine.total.findings, {one.key for one in mine.providers}) == (2, {"acme"})
    assert {one.provider for one in (*mine.open, *mine.contacts)} == {"acme"}
    for stranger in ("other", opaque["other"]):
        with pytest.raises(UsageError, match="no provider"):
            service.see(ACME, Selection(provider=stranger))
    assert "other" not in as_json(mine)


def test_a_selection_narrows(service: Service) -> None:
    service.busy()
    with open_store(service.data) as store, store.reading() as session:
        opaque = pseudonyms(session)

    def count(**selected: object) -> int:
        return service.see(REVIEWER, Selection(**selected)).total.findings  # type: ignore[arg-type]

    assert count(provider="acme") == count(provider=opaque["acme"]) == count(country="NL") == 2
    assert (count(list=LIST), count(list="none"), count(country="FR")) == (4, 0, 0)
    assert (count(since=NOW - 7 * DAY), count(until=NOW - 7 * DAY), count(since=NOW - 7 * DAY, until=NOW - DAY)) == (3, 1, 2)
    for wrong in ({"country": "nl"}, {"country": "NLD"}, {"since": 5.0, "until": 5.0}, {"list": "a b"}, {"provider": "nobody"}):
        with pytest.raises(UsageError):
            count(**wrong)


def test_a_withdrawn_entry_leaves_nothing_to_do_and_a_disputed_one_is_not_overdue(service: Service) -> None:
    service.busy()
    withdraw(service.data, LIST, sha1("b"), "wrong")
    shown = service.see()
    assert (shown.total.open, shown.total.overdue, shown.total.void) == (1, 0, 1)
    assert (shown.disputes.open, shown.disputes.alone) == (1, 1)
    reinstate(service.data, LIST, sha1("b"), "right")
    assert (service.see().total.overdue, service.see().disputes.confirmed) == (1, 1)


def test_outcomes_of_one_finding_are_one(service: Service) -> None:
    acme = service.agents["acme"]
    for action, seen in (
        (Action.REPORTED, NOW - 5 * DAY),
        (Action.HELD, NOW - 4 * DAY),
        (Action.QUARANTINED, NOW - 3 * DAY),
        (Action.RESTORED, NOW - 5 * DAY),
    ):
        service.tell(acme, "a", action, seen, acted=NOW - 2 * DAY, finding="f_1")
    total = service.see().total
    assert (total.findings, total.restored, total.removals.median) == (1, 1, 3 * DAY)
    service.tell(acme, "a", Action.QUARANTINED, NOW - DAY, finding="f_1")  # it came back
    with open_store(service.data) as store, store.reading() as session:
        rows = session.execute(select(FindingRow.round, FindingRow.state).order_by(FindingRow.round)).all()
    assert [tuple(row) for row in rows] == [(1, FindingState.RESTORED), (2, FindingState.REMOVED)]


def test_an_agent_that_names_no_findings_restores_what_it_removed(service: Service) -> None:
    acme = service.agents["acme"]
    with open_store(service.data) as store:
        caller = authenticate(store, f"Bearer {acme.api_key}")
        with store.writing() as session:
            entry = find(session, LIST, sha1("a"))[0].public_id
            told = [
                Outcome(f"o_{number}", entry, LIST, "a" * 64, action, NOW - 90, NOW - 60)
                for number, action in enumerate([Action.QUARANTINED] * 3 + [Action.RESTORED] * 2)
            ]
            receive(session, caller, Report(tuple(told[:3])), NOW)
            receive(session, caller, Report(tuple(told[3:])), NOW)
            receive(session, caller, Report(tuple(told)), NOW)  # a reply was lost: nothing changes
    total = service.see().total
    assert (total.findings, total.removed, total.restored) == (3, 1, 2)


def test_a_lying_clock_is_flagged_and_improves_nothing(service: Service) -> None:
    acme = service.agents["acme"]
    service.tell(acme, "a", Action.QUARANTINED, NOW + 50 * DAY, told=NOW)
    service.tell(acme, "b", Action.QUARANTINED, 0.0, acted=1.0, told=NOW)
    service.tell(acme, "c", Action.QUARANTINED, NOW - 9 * DAY, acted=NOW - 9 * DAY + 5, told=NOW)
    removals = service.see().total.removals
    assert (removals.count, removals.doubtful, removals.within_norm) == (0, 3, None)
    with open_store(service.data) as store, store.reading() as session:
        assert list(session.scalars(select(OutcomeRow.doubt).order_by(OutcomeRow.id))) == ["future", "early,late", "late"]
        assert {row.api_key_id for row in session.scalars(select(OutcomeRow))} == {1}


def test_the_self_test_is_no_finding(service: Service) -> None:
    with open_store(service.data) as store:
        caller = authenticate(store, f"Bearer {service.agents['acme'].api_key}")
        with store.writing() as session:
            entry = session.scalars(select(Entry.public_id).where(Entry.standing == Standing.TEST)).one()
            receive(session, caller, Report((Outcome("o_1", entry, LIST, "a" * 64, Action.REPORTED, NOW - 90, NOW - 60),)), NOW)
    assert service.see().total.findings == 0


def test_an_entry_that_is_not_there_counts_still(service: Service) -> None:
    with open_store(service.data) as store:
        caller = authenticate(store, f"Bearer {service.agents['acme'].api_key}")
        with store.writing() as session:
            receive(
                session, caller, Report((Outcome("o_1", "e_gone", LIST, "a" * 64, Action.REPORTED, NOW - 90, NOW - 60),)), NOW
            )
    assert service.see().total.open == 1


# Exports

HEADS = {
    "total": "all", "providers": "provider", "countries": "country", "sites": "site", "days": "day", "weeks": "week",
    "open": "provider", "contacts": "provider", "disputes": "open",
}  # fmt: skip


def test_the_tables_are_as_documented(service: Service) -> None:
    shown = service.busy().see()
    text = (Path(__file__).parents[2] / "docs" / "formats.md").read_text()
    section = text[text.index("## Figures of the monitor") :]
    assert set(TABLES) == set(HEADS)
    for table in TABLES:
        rows = list(csv.reader(io.StringIO(as_csv(shown, table))))
        assert rows[0][:4] == ["schema", "table", "as_of", HEADS[table]]
        assert all(f"`{name}`" in section for name in rows[0][3:]), table
        assert all(row[:2] == [SCHEMA, table] and len(row) == len(rows[0]) for row in rows[1:])
        assert len(rows) >= 2, table


def test_the_json_has_all_tables_and_no_number_that_is_none(service: Service) -> None:
    document = json.loads(as_json(service.busy().see()))
    assert document["schema"] == SCHEMA
    assert set(TABLES) <= set(document)
    assert document["as_of"] == "2030-03-17T17:46:40Z"
    assert document["contacts"][0]["last_seen"] is None
    assert json.loads(as_json(Monitor(**{name: getattr(service.see(), name) for name in Monitor.__slots__})))["total"]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "\nx", "|x", "%x", "'x", "=cmd|' /C calc'!A0"])
def test_no_cell_is_a_formula(text: str) -> None:
    assert safe(text) == "'" + text


@pytest.mark.parametrize(
    ("cell", "want"), [(None, ""), (True, "true"), (3, "3"), (0.5, "0.5"), (3.0, "3"), (100.0, "100"), ("", ""), ("a=b", "a=b")]
)
def test_other_cells_are_as_they_are(cell: str | float | None, want: str) -> None:
    assert safe(cell) == want
