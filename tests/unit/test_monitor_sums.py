"""What the database adds up is what counting row by row gives: on both databases, for selections of every kind."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import random
import tracemalloc
from array import array
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest
from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from hashscan.model import Standing
from hashscan.service.actors import Actor, PersonRole
from hashscan.service.disputing.rules import DisputeState
from hashscan.service.monitor import adding, exporting, figures
from hashscan.service.monitor.fetching import Selection
from hashscan.service.monitor.figures import NORM, OpenFinding
from hashscan.service.monitor.findings import FindingState
from hashscan.service.monitor.pseudonyms import pseudonyms
from hashscan.service.monitor.spread import EDGES, spread
from hashscan.service.monitor.views import Monitor, monitor
from hashscan.service.store import open_store
from hashscan.service.tables import ApiKey, Entry, Provider
from hashscan.service.tables_back import ComplaintRow, DisputeRow, FindingRow
from tests.support import figures_by_hand as by_hand
from tests.support.databases import both
from tests.support.service import LIST, enrol, load, make, sha1

NOW = 1_900_000_000.0
DAY = 86_400.0
HOTLINE = Actor("anna", PersonRole.HOTLINE)


def fill(session: Session, pick: random.Random, count: int) -> None:
    """Findings of all kinds: agents that are not known, entries that are not known, withdrawn, disputed or the self-test's."""
    for one in session.scalars(select(Provider)).all():
        one.country = pick.choice(["NL", "DE", None])
        for _ in range(3):
            key = ApiKey(provider_id=one.id, sha256=pick.randbytes(32), label="x", created=0.0)
            key.site, key.country = pick.choice([None, "ams", "fra"]), pick.choice([None, None, "FR"])
            session.add(key)
    session.flush()
    entries = list(session.scalars(select(Entry).order_by(Entry.id)))
    for one, standing in zip(entries[1:], [Standing.WITHDRAWN, Standing.DISPUTED, *[Standing.ACTIVE] * 9], strict=False):
        one.standing = standing.value
    keys = [*session.execute(select(ApiKey.provider_id, ApiKey.id)), *((one, None) for one in (1, 2, 3))]
    for provider, entry, state, pauses in (
        (1, 3, "open", True),
        (2, 4, "open", False),
        (3, 4, "confirmed", True),
        (2, 5, "open", True),
    ):
        dispute = DisputeRow(
            public_id=f"d_{provider}{entry}", entry_id=entries[entry].id, opened=0.0, state=DisputeState(state).value
        )
        session.add(dispute)
        session.flush()
        session.add(
            ComplaintRow(
                dispute_id=dispute.id,
                provider_id=provider,
                key=f"k{provider}{entry}",
                by="x",
                at=0.0,
                reason="x",
                pauses=pauses,
            )
        )
    session.execute(insert(FindingRow), [row(pick, number, pick.choice(keys), entries) for number in range(count)])


def row(pick: random.Random, number: int, agent: tuple[int, int | None], entries: list[Entry]) -> dict[str, object]:
    seen = NOW - pick.choice([pick.random() * 20 * DAY, float(pick.randrange(20)) * DAY, NORM])
    state = pick.choice(list(FindingState))
    gone = state in {FindingState.REMOVED, FindingState.RESTORED} and pick.random() < 0.95
    removed = seen + pick.choice([0.0, 60.0, NORM, pick.random() * 3 * DAY]) if gone else None
    entry = pick.choice([None, *entries])
    return {
        "provider_id": agent[0],
        "api_key_id": agent[1],
        "ref": f"f_{number}",
        "round": 1,
        "list_name": pick.choice([LIST, "other"]),
        "entry": "e_gone" if entry is None else entry.public_id,
        "entry_id": None if entry is None else entry.id,
        "verdict": "0" * 64,
        "state": state.value,
        "first_seen": seen,
        "opened": seen + pick.choice([0.0, 5.0, pick.random() * DAY]),
        "told": seen + pick.random() * DAY,
        "removed": removed,
        "removed_told": None if removed is None else removed + pick.choice([0.0, 5.0, 2 * DAY]),
        "doubt": pick.choice(["", "", "", "late", "future,order"]),
    }


def service(tmp_path: Path) -> Path:
    data = make(tmp_path)
    load(data, "\n".join(sha1(one) for one in "abcdef"))
    for name in ("acme", "other", "third"):
        enrol(data, name)
    return data


def as_told(one: OpenFinding) -> tuple[object, ...]:
    return dataclasses.astuple(one)


def agrees(session: Session, selection: Selection, shown: Mapping[str, str], *, names: bool = True) -> Monitor:
    seen = monitor(session, HOTLINE, selection, NOW, names=names)
    rows = list(by_hand.sightings(session, selection, shown, sites=seen.named))
    assert seen.total == by_hand.total(rows, NOW)
    assert seen.providers == by_hand.groups(rows, lambda one: one.provider, NOW)
    assert seen.countries == by_hand.groups(rows, lambda one: one.country or "unknown", NOW)
    if seen.named:
        assert seen.sites == by_hand.groups(rows, lambda one: f"{one.provider}/{one.site or 'unknown'}", NOW)
    assert (seen.days, seen.weeks) == (by_hand.spans(rows), by_hand.spans(rows, 7))
    assert seen.spread == by_hand.spread(rows)
    slow = figures.open_findings(rows, NOW)
    assert sorted(map(as_told, seen.open)) == sorted(map(as_told, slow))
    assert [(one.overdue, one.age) for one in seen.open] == [(one.overdue, one.age) for one in slow]
    return seen


SELECTIONS = [
    Selection(),
    Selection(since=NOW - 9 * DAY),
    Selection(since=NOW - 9 * DAY - 0.5, until=NOW - 3 * DAY),
    Selection(until=NOW - 15 * DAY),
    Selection(list="other"),
    Selection(provider="acme"),
    Selection(country="NL"),
    Selection(country="FR"),
    Selection(provider="other", country="DE", list=LIST, since=NOW - 15 * DAY),
    Selection(country="US"),
]


@both
def test_figures_are_what_counting_row_by_row_gives(tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    with open_store(service(tmp_path)) as store:
        with store.writing() as session:
            fill(session, random.Random(seed), 700)
        with store.reading() as session:
            names = {name: name for name in pseudonyms(session)}
            seen = [agrees(session, one, names) for one in SELECTIONS]
            agrees(session, Selection(), pseudonyms(session), names=False)
    whole = seen[0].total
    met = {name: getattr(whole, name) for name in ("open", "overdue", "disputed", "void", "removed", "restored")}
    assert all(met.values()), (seed, met)
    assert whole.removals.count and whole.removals.doubtful and 0 < (whole.removals.proved or 0) < 1  # noqa: PT018
    assert not seen[-1].total.findings
    assert len({one.total.findings for one in seen}) >= 8, (seed, "the selections must differ, or they show nothing")


@both
def test_more_open_findings_than_are_shown_are_cut_at_the_same_place(tmp_path: Path) -> None:
    with open_store(service(tmp_path)) as store:
        with store.writing() as session:
            fill(session, random.Random(5), 1)
            base = row(random.Random(6), 0, (1, None), list(session.scalars(select(Entry))))
            rows = [
                {
                    **base,
                    "ref": f"g_{number}",
                    "state": "held",
                    "entry_id": None,
                    "first_seen": NOW - 7 * number,
                    "removed": None,
                }
                for number in range(figures.MAX_OPEN_SHOWN + 500)
            ]
            session.execute(insert(FindingRow), rows)
        with store.reading() as session:
            seen = agrees(session, Selection(), {name: name for name in pseudonyms(session)})
    assert len(seen.open) == figures.MAX_OPEN_SHOWN


@both
def test_control_a_row_that_changes_is_noticed(tmp_path: Path) -> None:
    with open_store(service(tmp_path)) as store:
        with store.writing() as session:
            fill(session, random.Random(7), 200)
        with store.reading() as session:
            before = monitor(session, HOTLINE, Selection(), NOW)
        with store.writing() as session:
            session.execute(
                update(FindingRow).where(FindingRow.state == "held").values(state="removed", removed=NOW, removed_told=NOW)
            )
        with store.reading() as session:
            assert monitor(session, HOTLINE, Selection(), NOW) != before
            agrees(session, Selection(), {name: name for name in pseudonyms(session)})


def test_all_sums_read_an_index_and_no_row(tmp_path: Path) -> None:
    with open_store(service(tmp_path)) as store, store.reading() as session:
        meant = adding.meant(since=1.0, until=2.0, list_name="x", agents=None)
        query = select(*adding._BY).where(meant).group_by(*adding._BY)
        text = str(query.compile(session.connection().engine, compile_kwargs={"literal_binds": True}))
        plan = [one[3] for one in session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {text}")]
    assert "SCAN finding USING COVERING INDEX finding_figures" in plan
    assert "SEARCH entry USING COVERING INDEX entry_not_active (standing=?)" in plan
    assert not [one for one in plan if "TEMP B-TREE" in one]


# ---------------------------------------------------------------------------------------------------------- pure parts


@pytest.mark.parametrize("values", [1, 5, 1000])
def test_percentiles_over_several_sequences_are_those_of_all_together(values: int) -> None:
    pick = random.Random(values)
    for _ in range(400):
        several = [
            array("d", sorted(float(pick.randrange(values)) for _ in range(pick.randrange(30))))
            for _ in range(pick.randrange(6))
        ]
        together = sorted(one for some in several for one in some)
        for percent in (1, 50, 95, 100):
            assert figures.percentile(several, percent) == by_hand.percentile(together, percent)


def test_a_spread_over_several_sequences_is_that_of_all_together() -> None:
    several = [[0.0, 60.0, 61.0], [NORM, NORM + 1], [], [1e9]]
    assert spread(several).counts == spread([sorted(one for some in several for one in some)]).counts
    assert dict(zip([*EDGES, "beyond"], spread(several).counts, strict=True)) == {
        **dict.fromkeys(EDGES, 0), 60.0: 2, 600.0: 1, NORM: 1, 2 * NORM: 1, "beyond": 1,
    }  # fmt: skip


def test_days_go_into_weeks() -> None:
    assert figures.spans(Counter({20_000: 2}), Counter({20_005: 1}), 7)[1].removed == 1


# ------------------------------------------------------------------------------------------------------------- exports


def wide(tmp_path: Path, sites: int) -> Monitor:
    """A monitor with that many sites."""
    with open_store(service(tmp_path)) as store, store.reading() as session:
        seen = monitor(session, HOTLINE, Selection(), NOW)
    return dataclasses.replace(seen, sites=tuple(dataclasses.replace(seen.total, key=f"acme/{one}") for one in range(sites)))


def test_exports_go_out_in_pieces_and_are_never_whole_in_memory(tmp_path: Path) -> None:
    shown = wide(tmp_path, 20_000)
    whole = exporting.as_csv(shown, "sites")
    assert whole.count("\r\n") == 20_001
    assert list(csv.reader(io.StringIO(whole)))[-1][3] == "acme/19999"
    tracemalloc.start()
    try:
        sizes = [len(one) for one in exporting.csv_pieces(shown, "sites")]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sum(sizes) == len(whole) > 10 * exporting.PIECE
    assert max(sizes) < exporting.PIECE + 1000
    assert peak < len(whole) / 2, "half of it would be too much"
    pieces = list(exporting.json_pieces(shown))
    assert max(map(len, pieces)) < exporting.PIECE + 1000
    assert json.loads("".join(pieces))["sites"][-1]["key"] == "acme/19999"
