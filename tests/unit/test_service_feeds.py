"""Entries that a source can take back: tombstones, changes, votes; and fetching them page by page."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from hashscan.central.feed import FeedLine
from hashscan.central.link import Clock as LinkClock
from hashscan.central.link import Link
from hashscan.central.retry import Backoff
from hashscan.errors import LockedError, RefusedError, ServiceUnavailable, UsageError
from hashscan.service import fetching
from hashscan.service.fetching import FetchReport, FetchRequest
from hashscan.service.importers.port import Shape
from hashscan.service.importing import ImportReport, ImportRequest
from hashscan.service.spool import Spool
from hashscan.service.store import open_store
from hashscan.service.tables import Entry, History
from hashscan.service.tables_exchange import FeedCheckpoint, FeedRef
from tests.support.list_files import entry, page, tombstone
from tests.support.ncmec import LOGIN, Source, serving
from tests.support.service import LIST, load, make, md5, reinstate, sha1

A1 = Shape(categories=frozenset({"A1"}))
FEB, MARCH = "2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z"


def take(data: Path, *entries: str, **more: Any) -> ImportReport:
    return load(data, page(*entries), shape=more.pop("shape", A1), **more)


def standings(data: Path) -> dict[str, str]:
    """By a digest's name."""
    names = {bytes.fromhex(md5(name)): name for name in "abcdefgh"} | {bytes.fromhex(sha1(name)): name for name in "abcdefgh"}
    with open_store(data) as store, store.reading() as session:
        rows = session.scalars(select(Entry).where(Entry.standing != "test")).all()
        return {names[one.md5 or one.sha1 or b""]: one.standing for one in rows}


def history(data: Path) -> list[tuple[str, str]]:
    with open_store(data) as store, store.reading() as session:
        return [(one.what, one.reason) for one in session.scalars(select(History).order_by(History.id))]


def test_a_tombstone_withdraws_with_history(tmp_path: Path) -> None:
    data = make(tmp_path)
    assert take(data, entry("a"), entry("b")).added == 2
    report = take(data, tombstone("a"), tombstone("x"))
    assert (report.withdrawn, report.released, dict(report.refused)) == (1, 0, {"unknown_deletion": 1})
    assert standings(data) == {"a": "withdrawn", "b": "active"}
    assert history(data) == [("withdrawn", "deleted by its source nl")]
    again = take(data, tombstone("a"))
    assert (again.withdrawn, dict(again.refused)) == (0, {"unknown_deletion": 1})


def test_a_withdrawn_entry_comes_back_by_hand_only(tmp_path: Path) -> None:
    data = make(tmp_path)
    take(data, entry("a"))
    take(data, tombstone("a"))
    report = take(data, entry("a", at=MARCH))
    assert dict(report.refused) == {"withdrawn": 1}
    reinstate(data, LIST, sha1("a"), "asked them")
    assert take(data, entry("a", at=MARCH)).unchanged == 1
    assert standings(data) == {"a": "active"}
    assert take(data, tombstone("a", at="2026-04-01T00:00:00Z")).withdrawn == 1, "the name means the entry again"


def test_what_another_source_states_stays(tmp_path: Path) -> None:
    data = make(tmp_path)
    take(data, entry("a"), source_name="ncmec")
    load(data, sha1("a"), source_name="police")
    report = take(data, tombstone("a"), source_name="ncmec")
    assert (report.withdrawn, report.released) == (0, 1)
    assert standings(data) == {"a": "active"}
    assert history(data)[-1] == ("source_gone", "deleted by its source ncmec")
    with open_store(data) as store, store.reading() as session:
        assert session.scalar(select(Entry.sources).where(Entry.standing == "active")) == '["police"]'


def test_an_entry_has_as_many_names_as_members_gave_it(tmp_path: Path) -> None:
    data = make(tmp_path)
    take(data, entry("a"), entry("a", member=7, id="other"))
    assert take(data, tombstone("a")).withdrawn == 0
    assert standings(data) == {"a": "active"}
    assert take(data, tombstone("other", member=7)).withdrawn == 1
    assert standings(data) == {"a": "withdrawn"}


@pytest.mark.parametrize(
    "changed",
    [
        entry("b", id="a", at=FEB),
        entry("a", classification="B2", at=FEB),
        entry("a", digests="", at=FEB),
        entry("a", digests="<md5>" + md5("") + "</md5>", at=FEB),
    ],
    ids=["other digests", "other class", "no digest", "a trivial digest"],
)
def test_a_change_takes_the_name_from_the_entry(tmp_path: Path, changed: str) -> None:
    data = make(tmp_path)
    take(data, entry("a"))
    assert take(data, changed).withdrawn == 1
    assert standings(data)["a"] == "withdrawn"


def test_the_newest_state_counts_whatever_the_order(tmp_path: Path) -> None:
    data = make(tmp_path)
    take(data, tombstone("a", at=FEB), entry("a"), entry("b"), tombstone("b", at=FEB))
    assert standings(data) == {}, "deleted before they were seen"
    take(data, entry("c", at=FEB))
    assert take(data, tombstone("c", at="2026-01-15T00:00:00Z")).unchanged == 1
    assert standings(data) == {"c": "active"}


def test_votes_decide_the_act_and_are_remembered(tmp_path: Path) -> None:
    data = make(tmp_path)
    take(data, entry("a", up=3, down=1), entry("b", down=2))
    take(data, entry("b", up=3, down=2, at=FEB), entry("a", up=3, down=3, at=FEB))
    with open_store(data) as store, store.reading() as session:
        acts = {one.act for one in session.scalars(select(Entry).where(Entry.md5 == bytes.fromhex(md5("a"))))}
        votes = {one.ref: (one.up, one.down) for one in session.scalars(select(FeedRef))}
    assert acts == {"report"}
    assert votes == {"42/a": (3, 3), "42/b": (3, 2)}


def test_a_source_that_takes_back_too_much_is_stopped(tmp_path: Path) -> None:
    data = make(tmp_path)
    take(data, *(entry(name) for name in "abc"))
    with pytest.raises(UsageError, match="takes back more than 1 entries, nothing was imported"):
        take(data, *(tombstone(name) for name in "abc"), entry("d"), max_withdrawn=1)
    assert standings(data) == dict.fromkeys("abc", "active")
    assert take(data, *(tombstone(name) for name in "abc"), max_withdrawn=3).withdrawn == 3


def test_sources_do_not_know_each_others_names(tmp_path: Path) -> None:
    data = make(tmp_path)
    take(data, entry("a"), source_name="one")
    assert dict(take(data, tombstone("a"), source_name="two").refused) == {"unknown_deletion": 1}
    assert standings(data) == {"a": "active"}


# Fetching


class Fetcher:
    """Fetches into a service from a stand-in."""

    def __init__(self, data: Path, source: Source) -> None:
        self.data, self.source = data, source
        self.now = 1_790_000_000.0
        self.waited: list[float] = []

    def __call__(self, *, login: str = LOGIN, since: float | None = None, url: str = "", **more: Any) -> FetchReport:
        link = Link(url or self.source.url, None, basic=login, deadline=20.0)
        shape = Shape("ncmec", categories=more.pop("categories", frozenset({"A1"})))
        request = FetchRequest(ImportRequest(LIST, Path(), "ncmec", shape=shape, **more), link, since)
        line = FeedLine(link, backoff=Backoff(first=0.0, most=0.0), clock=LinkClock(sleep=self.waited.append))
        try:
            with open_store(self.data) as store:
                return fetching.fetch(store, request, line, now=lambda: self.now, told=lambda number: None)
        finally:
            line.close()

    def checkpoint(self) -> float | None:
        with open_store(self.data) as store, store.reading() as session:
            return session.scalar(select(FeedCheckpoint.until))

    def pages(self) -> list[str]:
        return sorted(path.name for path in (self.data / "feeds").glob("*/*.page"))


@pytest.fixture
def fetcher(tmp_path: Path) -> Iterator[Fetcher]:
    with serving(Source([entry(name) for name in "abcde"])) as source:
        yield Fetcher(make(tmp_path), source)


def test_all_pages_are_fetched_then_imported_with_the_checkpoint(fetcher: Fetcher) -> None:
    report = fetcher()
    assert (report.pages, report.resumed, report.imported.added) == (3, 0, 5)
    assert standings(fetcher.data) == dict.fromkeys("abcde", "active")
    assert [one["from"] for one in fetcher.source.asked] == ["1970-01-01T00:00:00Z"] * 3
    assert fetcher.checkpoint() == fetcher.now
    assert fetcher.pages() == []
    fetcher.now += 86_400.0
    fetcher.source.entries = [tombstone("a"), entry("f")]
    report = fetcher()
    assert (report.imported.withdrawn, report.imported.added) == (1, 1)
    assert fetcher.source.asked[-1]["from"] == "2026-09-21T13:13:20Z", "an hour before the last time"
    fetcher.source.entries = []
    fetcher.now += 86_400.0
    assert fetcher().imported.added == 0, "nothing new is no mistake"
    assert fetcher.checkpoint() == fetcher.now


def test_a_fetch_that_was_stopped_goes_on_where_it_was(fetcher: Fetcher) -> None:
    fetcher.source.stop_at = 1
    with pytest.raises(ServiceUnavailable, match="503"):
        fetcher()
    assert fetcher.checkpoint() is None
    assert standings(fetcher.data) == {}
    assert fetcher.pages() == ["1.page"]
    (spooled,) = (fetcher.data / "feeds").glob("*/1.page")
    assert stat.S_IMODE(spooled.stat().st_mode) == 0o600
    assert stat.S_IMODE(spooled.parent.stat().st_mode) == 0o700
    fetcher.source.stop_at = None
    fetcher.source.asked.clear()
    fetcher.now += 3600.0
    report = fetcher()
    assert (report.pages, report.resumed) == (3, 1)
    assert [one["start"] for one in fetcher.source.asked] == ["2", "4"]
    assert fetcher.checkpoint() == fetcher.now - 3600.0, "what changed since the fetch began comes with the next"


@pytest.mark.parametrize("what", ["a day later", "another since", "a page is gone", "the state is damaged"])
def test_a_fetch_that_cannot_go_on_begins_anew(fetcher: Fetcher, what: str) -> None:
    fetcher.source.stop_at = 2
    with pytest.raises(ServiceUnavailable):
        fetcher()
    fetcher.source.stop_at, since = None, None
    if what == "a day later":
        fetcher.now += 86_400.0
    elif what == "another since":
        since = 1_000_000_000.0
    else:
        name = "1.page" if what == "a page is gone" else "fetch.json"
        (path,) = (fetcher.data / "feeds").glob(f"*/{name}")
        path.unlink() if name == "1.page" else path.write_text('{"url": 5}')
    report = fetcher(since=since)
    assert (report.pages, report.resumed, report.imported.added) == (3, 0, 5)


def test_a_dry_run_changes_nothing_and_keeps_the_pages(fetcher: Fetcher) -> None:
    report = fetcher(dry_run=True)
    assert report.imported.dry_run
    assert report.imported.added == 5
    assert standings(fetcher.data) == {}
    assert fetcher.checkpoint() is None
    fetcher.source.asked.clear()
    assert fetcher().resumed == 3
    assert fetcher.source.asked == []
    assert standings(fetcher.data) == dict.fromkeys("abcde", "active")


def test_an_import_that_fails_moves_no_checkpoint(fetcher: Fetcher) -> None:
    fetcher.source.entries = [entry("a"), entry("b"), entry("c", at="never")]
    with pytest.raises(UsageError, match=r"2\.page entry 1: its timestamp"):
        fetcher()
    assert (fetcher.checkpoint(), standings(fetcher.data)) == (None, {})
    assert fetcher(skip_bad=True).imported.refused == {"bad_line": 1}


def test_what_goes_wrong_on_the_way(fetcher: Fetcher) -> None:
    with pytest.raises(RefusedError, match="401") as refused:
        fetcher(login="hotline:wrong")
    assert "login" in refused.value.hint
    fetcher.source.fails = [500, 502]
    assert fetcher(dry_run=True).pages == 3, "asked again"
    assert len(fetcher.waited) == 2
    fetcher.now += 90_000.0
    fetcher.source.fails = [302] * 3
    with pytest.raises(ServiceUnavailable, match="302 elsewhere"):
        fetcher()
    for body, word in (
        (b"<html>maintenance</html>", "no queryResult"),
        (page(entry("a")).encode()[:-30], "not well-formed"),
        (page(next_path="//evil.example/v2/entries?x").encode(), "next page"),
    ):
        fetcher.source.bodies = {1: body}
        with pytest.raises(ServiceUnavailable, match=f"page 2 .*{word}"):
            fetcher()
    fetcher.source.bodies = {}
    fetcher.source.next_path = "/v2/entries?from=x&to=y&start=0"
    with pytest.raises(ServiceUnavailable, match="leads back"):
        fetcher()
    assert (fetcher.checkpoint(), standings(fetcher.data)) == (None, {})


def test_one_fetch_of_a_source_at_a_time(fetcher: Fetcher) -> None:
    with Spool(fetcher.data, LIST, "ncmec").held(), pytest.raises(LockedError, match="another fetch"):
        fetcher()


@pytest.mark.parametrize("url", ["http://hashes.example.org/npo", "ftp://127.0.0.1/", "https://user:pw@h.example/"])
def test_only_https_off_loopback(fetcher: Fetcher, url: str) -> None:
    with pytest.raises(UsageError):
        fetcher(url=url)
    with pytest.raises(UsageError, match="USER:PASSWORD"):
        fetcher(login="no-colon")
    with pytest.raises(UsageError, match="categories"):
        fetcher(categories=frozenset())
