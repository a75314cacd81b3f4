"""Deltas in a sync: the same bytes as the full filter, or the full filter; withdrawn entries, keys of new epochs, and waits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from hashscan.errors import FilterError, RefusedError, ServiceUnavailable
from hashscan.jobs.selftest import require_self_test
from hashscan.jobs.sync import seconds_left, wait_for_turn
from hashscan.known import clock, delta
from hashscan.known.keys import KeyRing, ProviderKey
from hashscan.model import Case, CaseState, Delta, ListRef, Place, PublishedFile, Target, VerdictKey
from tests.support.hotline import BOTH, NOW, Hotline, Known, raw
from tests.support.syncing import A1, A2, OLD, Broken, Host, Roomy, raising


def big(number: int) -> list[Known]:
    return [Known(b"harmless %d" % one) for one in range(number)]


def ref(version: int) -> ListRef:
    return ListRef("a", version, 1)


class Growing:
    """A hotline whose list grows, with deltas from version to version; the host has version 1."""

    def __init__(self, folder: Path) -> None:
        self.hotline = Roomy(lists={A1: [OLD, *big(600)]})
        self.data = {1: self.hotline.filter(A1)}
        self.hotline.publish()
        self.host = Host(folder, self.hotline)
        self.host.sync()
        self.host.told.events.clear()
        self.asked()

    def grow(self, version: int, made: bytes | None = None) -> None:
        """Publish ``version`` with a delta from the one before (``made``, or a true one)."""
        self.hotline.lists = {ref(version): [OLD, *big(600 + version)]}
        self.data[version] = self.hotline.filter(ref(version))
        made = made or delta.make(self.data[version - 1], self.data[version])
        assert made is not None
        about = {"kind": "delta", "list": "a", "version": version, "epoch": 1, "from": version - 1}
        self.hotline.extra[f"a-{version - 1}-{version}-1.delta"] = (made, about)
        self.hotline.publish()

    def asked(self) -> list[str]:
        """The filters and deltas that were asked for since the last time."""
        names = [name for name in self.hotline.repository.asked if not name.endswith(".json")]
        self.hotline.repository.asked.clear()
        return names

    def way(self) -> tuple[Any, ...]:
        (told,) = [event.data for event in self.host.told.events if event.type == "sync"]
        self.host.told.events.clear()
        return told["how"], told["fetched"], told["fallback"]

    def holds(self, version: int) -> bool:
        lists = self.host.shelf.view(NOW, max_age=1e9).lists
        require_self_test(self.host.shelf.sieve(lists))
        same = (self.host.folder / f"a-{version}-1.filter").read_bytes() == self.data[version]
        return same and {one.list for one in lists.targets} == {ref(version)}


@pytest.fixture
def growing(tmp_path: Path) -> Growing:
    return Growing(tmp_path / "lists")


def test_one_delta(growing: Growing) -> None:
    growing.grow(2)
    growing.host.sync()
    made = growing.hotline.files["a-1-2-1.delta"]
    assert growing.way() == ("delta", len(made), "")
    assert growing.asked() == ["a-1-2-1.delta"]
    assert growing.holds(2)
    growing.host.sync()
    assert growing.way() == ("none", 0, "")


def test_a_chain_of_deltas_as_long_as_it_may_be(growing: Growing) -> None:
    for version in range(2, 2 + delta.MAX_CHAIN):
        growing.grow(version)
    lengths = [len(growing.hotline.files[name]) for name in growing.hotline.files if name.endswith(".delta")]
    growing.host.sync()
    assert growing.way() == ("delta", sum(lengths), "")
    assert growing.holds(1 + delta.MAX_CHAIN)


def test_away_for_longer_than_the_chain(growing: Growing) -> None:
    growing.grow(2)
    growing.grow(3)
    del growing.hotline.extra["a-1-2-1.delta"]
    growing.hotline.publish()
    growing.host.sync()
    assert growing.way()[0] == "full"
    assert growing.asked() == ["a-3-1.filter"]
    assert growing.holds(3)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda made: b"HSDELTA2" + made[8:],
        lambda made: made[:-1] + bytes([made[-1] ^ 1]),
        lambda made: made[:60],
        lambda made: b"x" * len(made),
    ],
)
def test_a_delta_that_the_publisher_spoiled_is_made_good_by_the_full_filter(growing: Growing, spoil: Any) -> None:
    true = growing.hotline.filter(ref(2), [OLD, *big(602)])
    made = delta.make(growing.data[1], true)
    assert made is not None
    growing.grow(2, spoil(made))
    growing.host.sync()
    how, fetched, fallback = growing.way()
    assert (how, bool(fallback)) == ("full", True)
    assert fetched == len(growing.data[2]) + len(spoil(made))
    assert growing.asked() == ["a-1-2-1.delta", "a-2-1.filter"]
    assert growing.holds(2)


@pytest.mark.parametrize("how", ["gone", "flipped", "longer", "cut"])
def test_a_delta_that_is_not_the_signed_one(growing: Growing, how: str) -> None:
    growing.grow(2)
    data = growing.hotline.files.pop("a-1-2-1.delta")
    bad = {"flipped": data[:-1] + b"\xff", "longer": data + b"x", "cut": data[:-1]}
    if how != "gone":
        growing.hotline.files["a-1-2-1.delta"] = bad[how]
    growing.host.sync()
    assert growing.way()[0] == "full"
    assert growing.holds(2)


def test_the_filter_in_force_was_damaged_on_the_disk(growing: Growing) -> None:
    growing.grow(2)
    path = growing.host.folder / "a-1-1.filter"
    path.write_bytes(path.read_bytes()[:-1] + b"\xaa")
    growing.host.sync()
    how, _, fallback = growing.way()
    assert how == "full"
    assert "not the one" in fallback
    assert growing.holds(2)


@pytest.mark.parametrize("error", [ServiceUnavailable("slow"), RefusedError("suspended"), KeyboardInterrupt()])
def test_no_answer_is_no_reason_to_ask_for_more(growing: Growing, error: BaseException) -> None:
    growing.grow(2)
    moment = -1
    for piece, name in enumerate(growing_pieces(growing)):
        if name.endswith(".delta"):
            moment = piece
    with pytest.raises(type(error)):
        growing.host.sync(Broken(growing.hotline, moment, raising(error)))
    assert growing.holds(1)
    assert "a-2-1.filter" not in growing.asked()


def growing_pieces(growing: Growing) -> list[str]:
    """The name of the file of each piece that a sync fetches."""
    names: list[str] = []

    class Noting:
        def fetch(self, name: str, *, max_bytes: int) -> Any:
            for piece in growing.hotline.fetch(name, max_bytes=max_bytes):
                names.append(name)
                yield piece

    other = Host(growing.host.folder.with_name("other"), growing.hotline)
    copy_of(growing.host.folder, other.folder)
    other.sync(Noting())
    growing.asked()
    return names


def copy_of(source: Path, target: Path) -> None:
    copytree(source, target, symlinks=True)


# Which deltas: a pure rule.


def target(version: int, *steps: tuple[int, int], full: int = 1000, each: int = 10, epoch: int = 1, name: str = "a") -> Target:
    deltas = tuple(Delta(PublishedFile(f"{old}-{new}", each, ""), old, new) for old, new in steps)
    return Target(ListRef(name, version, epoch), PublishedFile("full", full, ""), 0.0, deltas)


@pytest.mark.parametrize(
    ("held", "offered", "expected"),
    [
        (target(1), target(2, (1, 2)), ["1-2"]),
        (target(1), target(4, (1, 2), (2, 3), (3, 4)), ["1-2", "2-3", "3-4"]),
        (target(2), target(4, (1, 2), (2, 3), (3, 4)), ["2-3", "3-4"]),
        (target(1), target(4, (1, 2), (1, 3), (2, 4), (3, 4)), ["1-3", "3-4"]),
        (target(1), target(4, (1, 4), (1, 2), (2, 4)), ["1-4"]),
        (None, target(2, (1, 2)), []),
        (target(2), target(2, (1, 2)), []),
        (target(3), target(2, (1, 2), (3, 4)), []),
        (target(1), target(3, (1, 2)), []),
        (target(1), target(3, (2, 3)), []),
        (target(1), target(3, (1, 2), (2, 4)), []),
        (target(1), target(2, (1, 2), epoch=2), []),
        (target(1), target(2, (1, 2), name="b"), []),
        (target(1), target(2, (1, 2), each=1000), []),
        (target(1), target(2, (1, 2), each=999), ["1-2"]),
        (target(1), target(3, (1, 2), (2, 3), each=500), []),
        (target(1), target(3, (1, 1), (2, 2)), []),
        (target(1), target(17, *((n, n + 1) for n in range(1, 17))), [f"{n}-{n + 1}" for n in range(1, 17)]),
        (target(1), target(18, *((n, n + 1) for n in range(1, 18))), []),
    ],
)
def test_the_chain(held: Target | None, offered: Target, expected: list[str]) -> None:
    assert [one.file.name for one in delta.chain(held, offered)] == expected


# What was withdrawn.


def test_withdrawn_entries_arrive_and_are_told_once(tmp_path: Path) -> None:
    hotline = Hotline(lists={A1: [OLD]}, withdrawn={"a": [Known(b"harmless mistake")]})
    hotline.publish()
    host = Host(tmp_path / "lists", hotline)
    lists = host.sync()
    told = [event.data for event in host.told.events if event.type == "withdrawn"]
    assert told == [{"list": {"id": "a", "version": 1, "epoch": 1}, "entries": 1, "new": 1, "cases": 0}]
    withdrawn = host.shelf.withdrawn(lists)
    mistake = Known(b"harmless mistake")
    assert len(withdrawn) == 1
    assert withdrawn.entry("a", mistake.id) == withdrawn.covers("a", {one: raw(one, mistake.content).hex() for one in BOTH})
    assert withdrawn.entry("b", mistake.id) is None
    assert withdrawn.covers("a", {one: raw(one, b"other").hex() for one in BOTH}) is None
    host.told.events.clear()
    host.sync()
    assert host.told.types() == ["sync"]
    hotline.lists = {A2: [OLD]}
    hotline.withdrawn["a"].append(Known(b"harmless second mistake"))
    hotline.publish()
    host.told.events.clear()
    host.sync()
    told = [event.data for event in host.told.events if event.type == "withdrawn"]
    assert [(one["entries"], one["new"]) for one in told] == [(2, 1)]


def test_cases_of_withdrawn_entries_are_counted(tmp_path: Path) -> None:
    mistake = Known(b"harmless mistake")
    hotline = Hotline(lists={A1: [OLD]}, withdrawn={"a": [mistake]})
    hotline.publish()
    host = Host(tmp_path / "lists", hotline)

    def case(number: int, state: CaseState, entry: str = mistake.id, list_id: str = "a") -> Case:
        return Case(str(number), state, Place(b"/srv", b"x"), 1, entry, list_id, "", NOW)

    host.cases = [
        case(1, CaseState.DONE),
        case(2, CaseState.HELD),
        case(3, CaseState.RESTORED),
        case(4, CaseState.DONE, entry="e_other"),
        case(5, CaseState.DONE, list_id="b"),
    ]
    host.sync()
    host.sync()
    told = [event.data["cases"] for event in host.told.events if event.type == "withdrawn"]
    assert told == [2, 2], "as long as there is something to be restored, it is told"


def test_a_withdrawn_file_that_is_wrong_keeps_the_old_lists_in_force(tmp_path: Path) -> None:
    hotline = Hotline(lists={A1: [OLD]})
    hotline.publish()
    host = Host(tmp_path / "lists", hotline)
    host.sync()
    hotline.lists, hotline.withdrawn = {A2: [OLD]}, {"a": [OLD]}
    hotline.publish()
    true = hotline.files["a-2-1.withdrawn"]
    for bad in (true[:-1], true + b" ", true.replace(b"harmless", b"harmful_"), true.replace(b"e_", b"e-")):
        if bad != true:
            hotline.files["a-2-1.withdrawn"] = bad
            with pytest.raises(FilterError):
                host.sync()
            assert {one.list for one in host.shelf.view(NOW, max_age=1e9).lists.targets} == {A1}
    hotline.files["a-2-1.withdrawn"] = true
    host.sync()
    path = host.folder / "a-2-1.withdrawn"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(FilterError, match="not the file"):
        host.shelf.withdrawn(host.shelf.view(NOW, max_age=1e9).lists)
    host.sync()
    assert len(host.shelf.withdrawn(host.shelf.view(NOW, max_age=1e9).lists)) == 1


# Keys of a new epoch.


def test_the_key_of_a_new_epoch_is_fetched_on_the_word_of_the_offered_keys(tmp_path: Path) -> None:
    hotline = Hotline(lists={A1: [OLD]})
    old, new = hotline.key, KeyRing({**hotline.key.keys, 2: ProviderKey(bytes(range(1, 33)))})
    hotline.publish()
    host = Host(tmp_path / "lists", hotline, old)
    asked: list[tuple[Sequence[VerdictKey], int]] = []

    def keys_for(keys: Sequence[VerdictKey], epoch: int) -> KeyRing:
        asked.append((keys, epoch))
        return new

    host.keys_for = keys_for
    host.sync()
    assert asked == [], "not while the epoch is known"
    hotline.key, hotline.lists = new, {ListRef("a", 2, 2): [OLD]}
    hotline.publish()
    host.sync()
    assert asked == [(hotline.verdict_keys, 2)]
    lists = host.shelf.view(NOW, max_age=1e9).lists
    require_self_test(host.shelf.with_ring(new).sieve(lists))
    with pytest.raises(FilterError, match="canaries"):
        host.shelf.sieve(lists)


@pytest.mark.parametrize("error", [ServiceUnavailable("slow"), FilterError("not signed")])
def test_without_the_new_key_the_old_lists_stay(tmp_path: Path, error: Exception) -> None:
    hotline = Hotline(lists={A1: [OLD]})
    hotline.publish()
    host = Host(tmp_path / "lists", hotline, hotline.key)

    def keys_for(keys: Sequence[VerdictKey], epoch: int) -> KeyRing:
        raise error

    host.keys_for = keys_for
    host.sync()
    hotline.key = KeyRing({**hotline.key.keys, 2: ProviderKey(bytes(range(1, 33)))})
    hotline.lists = {ListRef("a", 2, 2): [OLD]}
    hotline.publish()
    with pytest.raises(type(error)):
        host.sync()
    host.keys_for = None
    with pytest.raises(FilterError, match="canaries"):
        host.sync()
    assert {one.list for one in host.shelf.view(NOW, max_age=1e9).lists.targets} == {A1}


# A sync by a timer.


def turn(host: Host, now: float, draw: float = 0.5) -> tuple[bool, list[float], list[Any]]:
    """Whether it went on, how long it slept, what it said."""
    host.told.events.clear()
    slept: list[float] = []
    went = wait_for_turn(host.tools(now=now), slept.append, lambda: draw)
    return went, slept, [(event.data["reason"], event.data["seconds"]) for event in host.told.events]


def test_a_timer_keeps_the_waits_that_the_service_asks_for(tmp_path: Path) -> None:
    hotline = Hotline(lists={A1: [OLD]})
    hotline.publish()
    host = Host(tmp_path / "lists", hotline)
    assert turn(host, NOW) == (True, [], []), "a fresh host goes at once"
    host.sync()
    assert turn(host, NOW + 60) == (False, [], [("minimum", 3540.0)])
    assert turn(host, NOW + 3599.5) == (False, [], [("minimum", 0.5)])
    assert turn(host, NOW + 3600) == (True, [900.0], [("jitter", 900.0)])
    assert turn(host, NOW + 3600, draw=0.0) == (True, [], [])
    assert turn(host, NOW + 3600, draw=1.0) == (True, [1800.0], [("jitter", 1800.0)])
    assert turn(host, NOW - 7200) == (True, [], []), "the clock jumped back: sync itself says so, at once"
    assert turn(host, NOW - 60) == (False, [], [("minimum", 3600.0)])


@pytest.mark.parametrize(
    ("last", "wait", "now", "left"),
    [(None, 3600, NOW, 0), (NOW, 3600, NOW, 3600), (NOW, 0, NOW, 0), (NOW, 1e9, NOW, 86_400), (NOW, 1e9, NOW + 86_400, 0)],
)
def test_no_wait_is_longer_than_a_day(tmp_path: Path, last: float | None, wait: float, now: float, left: float) -> None:
    hotline = Hotline(lists={A1: [OLD]})
    hotline.publish()
    lists = replace(Host(tmp_path / "lists", hotline).sync(), wait=wait, expires=NOW + 1e9)
    assert seconds_left(clock.seen(last, lists), lists, now) == left
