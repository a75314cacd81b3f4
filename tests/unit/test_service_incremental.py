"""A publication costs the change: what is added is what building from nothing makes, what left lingers within bounds."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from hashscan.errors import HashscanError
from hashscan.jobs.selftest import require_self_test
from hashscan.jobs.sync import SyncTools, sync
from hashscan.known import bloom, delta
from hashscan.known.container import FilterHeader, split
from hashscan.known.keys import KeyRing, token
from hashscan.known.shelf import Shelf
from hashscan.model import Algorithm, HashedFile, ListRef
from hashscan.service import admin
from hashscan.service.batches import Published, Terms
from hashscan.service.planning import Limits
from hashscan.service.store import open_store
from hashscan.service.tables import Phase
from hashscan.service.tables_out import Lingering
from tests.support.acting import Told
from tests.support.budget import attempts
from tests.support.hotline import hashed
from tests.support.service import LIST, Agent, Clock, asking, enrol, load, make, md5, reinstate, sha1, withdraw

ADDING = Limits(quick=0, share=2)
TERMS = Terms(limits=ADDING)
ANEW = Terms(limits=ADDING, anew=True)


@dataclass
class Hotline:
    """A service whose filters are added to, however small they are, and its providers by name."""

    data: Path
    agents: dict[str, Agent] = field(default_factory=dict)

    def admit(self, *names: str) -> None:
        for name in names:
            self.agents[name] = enrol(self.data, name)

    def add(self, *names: object) -> None:
        load(self.data, "md5,sha1\n" + "".join(f"{md5(str(name))},{sha1(str(name))}\n" for name in names))

    def withdraw(self, name: object) -> None:
        withdraw(self.data, LIST, sha1(str(name)), "a mistake")

    def publish(self, terms: Terms = TERMS) -> dict[str, Published]:
        return {one.provider: one for one in admin.publish(self.data, terms=terms)}

    def path(self, one: Published) -> Path:
        return self.data / "published" / one.provider / f"{one.list.id}-{one.list.version}-{one.list.epoch}.filter"

    def holds(self, one: Published, name: object) -> bool:
        key = self.ring(one.provider).filter_key(one.list.id, one.list.epoch)
        opened = bloom.open_filter(self.path(one), one.list, key)
        return token(key, Algorithm.SHA1, bytes.fromhex(sha1(str(name)))) in opened

    def ring(self, provider: str) -> KeyRing:
        return KeyRing.from_text((self.agents[provider].folder / "provider-key").read_text())

    def lingering(self) -> int:
        with open_store(self.data) as store, store.reading() as session:
            return session.query(Lingering).count()


@pytest.fixture
def hotline(tmp_path: Path) -> Hotline:
    made = Hotline(make(tmp_path))
    made.admit("acme")
    made.add(*range(800))
    return made


def parts(path: Path | bytes) -> tuple[FilterHeader, bytes, bytes]:
    data = path if isinstance(path, bytes) else path.read_bytes()
    header, body, sizes = split(memoryview(data), "a filter")
    return replace(header, created=0.0, list=ListRef(LIST, 1, 1)), bytes(body), bytes(sizes)


def test_what_is_added_is_what_building_from_nothing_makes(hotline: Hotline) -> None:
    first = hotline.publish()["acme"]
    assert first.why == "the first of this provider"
    before = hotline.path(first).read_bytes()
    hotline.add(*range(795, 810))
    added = hotline.publish()["acme"]
    assert (added.why, added.entries, added.tokens) == ("", 811, 811 + bloom.CANARIES)
    built = hotline.publish(ANEW)["acme"]
    assert built.why == "asked for"
    assert parts(hotline.path(added)) == parts(hotline.path(built))
    assert parts(before) != parts(hotline.path(added)), "control"
    change = (hotline.path(added).parent / "police-1-2-1.delta").read_bytes()
    assert added.delta == len(change)
    assert delta.apply(before, change) == hotline.path(added).read_bytes()


def test_sizes_are_added_too(tmp_path: Path) -> None:
    hotline = Hotline(make(tmp_path))
    hotline.admit("acme")
    load(hotline.data, "sha1,size\n" + "".join(f"{sha1(str(n))},{n + 1}\n" for n in range(300)))
    hotline.publish()
    load(hotline.data, f"sha1,size\n{sha1('x')},5\n{sha1('y')},70000\n")
    added = hotline.publish()["acme"]
    built = parts(hotline.path(hotline.publish(ANEW)["acme"]))
    assert added.why == ""
    assert parts(hotline.path(added)) == built
    load(hotline.data, sha1("of unknown size"))
    without = hotline.publish()["acme"]
    assert (without.why, parts(hotline.path(without))[2]) == ("", b"")
    hotline.withdraw("of unknown size")
    again = hotline.publish()["acme"]
    assert (again.why, again.lingering) == ("", 1)
    assert parts(hotline.path(again))[2] == built[2]


def test_where_nothing_has_changed_nothing_is_published(hotline: Hotline) -> None:
    hotline.admit("other")
    hotline.publish()
    assert hotline.publish() == {}
    assert admin.stats(hotline.data).lists[0].version == 1
    admin.rotate_provider_key(hotline.data, "other")
    (one,) = hotline.publish().values()
    assert (one.provider, one.list, one.why) == ("other", ListRef(LIST, 2, 2), "a new provider key")
    hotline.add("new")
    found = hotline.publish()
    assert {name: (one.list.version, one.why, one.delta is not None) for name, one in found.items()} == {
        "acme": (3, "", True),
        "other": (3, "", True),
    }
    assert (hotline.path(found["acme"]).parent / "police-1-3-1.delta").exists()
    hotline.path(found["acme"]).unlink()
    (one,) = hotline.publish().values()
    assert (one.provider, one.why) == ("acme", "the file before is gone or damaged")


def test_what_left_lingers_until_it_is_too_much(hotline: Hotline) -> None:
    hotline.publish()
    hotline.withdraw(1)
    one = hotline.publish()["acme"]
    assert (one.why, one.lingering, one.withdrawn, one.entries) == ("", 1, 1, 800)
    assert hotline.holds(one, 1)
    assert hotline.lingering() == 1
    built = hotline.publish(replace(TERMS, limits=Limits(quick=0, share=1000)))["acme"]
    assert (built.why, built.lingering) == ("many entries left the list", 0)
    assert not hotline.holds(built, 1)
    assert hotline.lingering() == 0
    hotline.withdraw(2)
    assert hotline.publish()["acme"].lingering == 1
    old = hotline.publish(replace(TERMS, limits=Limits(quick=0, share=2, seconds=0.0)))["acme"]
    assert (old.why, old.lingering) == ("entries left the list some time ago", 0)
    hotline.withdraw(3)
    small = hotline.publish(Terms())["acme"]
    assert (small.why, small.lingering) == ("entries left a small list", 0)


def test_what_comes_back_while_it_lingers_is_counted_once(hotline: Hotline) -> None:
    hotline.publish()
    hotline.withdraw(1)
    hotline.withdraw(2)
    hotline.publish()
    hotline.admit("late")  # whose filter never held them
    hotline.add("new")
    found = hotline.publish()
    assert {name: one.lingering for name, one in found.items()} == {"acme": 2, "late": 0}
    reinstate(hotline.data, LIST, sha1("1"), "it was right")
    found = hotline.publish()
    assert {name: (one.why, one.lingering) for name, one in found.items()} == {"acme": ("", 1), "late": ("", 0)}
    assert all(hotline.holds(one, 1) for one in found.values())
    assert hotline.lingering() == 1
    same = parts(hotline.path(found["late"])), parts(hotline.path(hotline.publish(ANEW)["late"]))
    assert same[0] == same[1]


def test_a_list_that_went_back_and_forth_behind_a_suspended_provider(hotline: Hotline) -> None:
    """It holds the content of today and missed what was there in between: taking it for lingering would be a silent miss."""
    hotline.admit("away")
    hotline.publish()
    admin.set_phase(hotline.data, "away", Phase.SUSPENDED)
    hotline.add("comes and goes")
    assert set(hotline.publish()) == {"acme"}
    hotline.withdraw("comes and goes")
    assert hotline.publish()["acme"].lingering == 1
    admin.set_phase(hotline.data, "away", Phase.REGULAR)
    reinstate(hotline.data, LIST, sha1("comes and goes"), "it was right")
    found = hotline.publish()
    assert all(hotline.holds(one, "comes and goes") for one in found.values())
    assert {one.tokens - one.lingering for one in found.values()} == {802 + bloom.CANARIES}


@pytest.mark.parametrize("damage", [b"", b"no filter", None])
def test_what_is_damaged_is_built_anew(hotline: Hotline, damage: bytes | None) -> None:
    first = hotline.publish()["acme"]
    path = hotline.path(first)
    path.write_bytes(path.read_bytes()[:-1] + b"?" if damage is None else damage)
    hotline.add("new")
    assert hotline.publish()["acme"].why == "the file before is gone or damaged"
    (content,) = (hotline.data / "contents").iterdir()
    content.write_bytes(content.read_bytes()[:-1] + b"?" if damage is None else damage)
    hotline.add("newer")
    assert hotline.publish()["acme"].why == "much has changed, or nothing is known of the one before"
    hotline.add("newest")
    assert hotline.publish()["acme"].why == ""


def test_a_publication_that_was_broken_off_goes_on_where_it_was(hotline: Hotline) -> None:
    hotline.admit("beta", "zeta")
    blocked = hotline.data / "published" / "zeta"
    blocked.parent.mkdir(exist_ok=True)
    blocked.write_bytes(b"a file in the place of a folder")
    with pytest.raises(HashscanError, match="cannot write"):
        hotline.publish()
    assert admin.stats(hotline.data).lists[0].version == 0
    blocked.unlink()
    made = {one: (hotline.data / "published" / one / "police-1-1.filter").stat().st_mtime_ns for one in ("acme", "beta")}
    (hotline.data / "published" / "beta" / "police-1-1.filter").write_bytes(b"damaged meanwhile")
    found = hotline.publish()
    assert set(found) == {"acme", "beta", "zeta"}
    assert hotline.path(found["acme"]).stat().st_mtime_ns == made["acme"], "taken over"
    assert all(hotline.holds(one, 5) for one in found.values())
    assert not list((hotline.data / "published").glob("*/*.draft"))


def test_a_note_of_other_things_is_not_taken_over(hotline: Hotline) -> None:
    hotline.admit("zeta")
    blocked = hotline.data / "published" / "zeta"
    blocked.parent.mkdir(exist_ok=True)
    blocked.write_bytes(b"")
    with pytest.raises(HashscanError):
        hotline.publish()
    blocked.unlink()
    hotline.add("meanwhile")
    assert all(hotline.holds(one, "meanwhile") for one in hotline.publish().values())


def test_several_processes_make_what_one_makes(hotline: Hotline) -> None:
    names = ["b", "c", "d", "e"]
    hotline.admit(*names)
    found = hotline.publish(replace(TERMS, jobs=2))
    assert list(found) == ["acme", *names]
    several = {name: parts(hotline.path(one)) for name, one in found.items()}
    alone = {name: parts(hotline.path(one)) for name, one in hotline.publish(replace(ANEW, jobs=1)).items()}
    assert several == alone
    blocked = hotline.data / "published" / "c" / "police-3-1.filter"
    blocked.mkdir()
    with pytest.raises(HashscanError, match="cannot write"):
        hotline.publish(replace(ANEW, jobs=2))


def test_a_filter_that_was_added_to_is_traced_to_its_provider(hotline: Hotline) -> None:
    hotline.admit("other")
    hotline.publish()
    hotline.add("new")
    for name, one in hotline.publish().items():
        assert one.why == ""
        found = admin.trace(hotline.data, hotline.path(one))
        assert [(match.provider, match.list, match.epoch) for match in found.matches] == [(name, LIST, 1)]
        assert found.same is not None
        assert (found.same.provider, found.same.version) == (name, 2)


# Whatever happens to a list, agents follow.


@dataclass
class Host:
    """A real agent's sync against the app: trust, deltas, shelf."""

    agent: Agent
    shelf: Shelf
    clock: Clock

    @classmethod
    def of(cls, hotline: Hotline, name: str, clock: Clock) -> Host:
        agent = hotline.agents[name]
        trust = agent.trust(clock)
        return cls(agent, Shelf(agent.folder / "lists", trust, agent.key), clock)

    def sync(self, hotline: Hotline) -> None:
        with asking(hotline.data, self.agent, self.clock) as client:
            tools = SyncTools(self.agent.trust(self.clock), client, self.shelf, Told(), self.clock, None, list)
            sync(tools)

    def misses(self, names: Iterable[str]) -> list[str]:
        """The names that a scan of this host would not notice."""
        lists = self.shelf.view(self.clock(), max_age=1e9).lists
        require_self_test(self.shelf.sieve(lists))
        sieve, entry = self.shelf.sieve(lists), hashed(b"a file").entry
        files = {one: HashedFile(entry, {Algorithm.MD5: md5(one), Algorithm.SHA1: sha1(one)}) for one in names}
        return [name for name, one in files.items() if not sieve.candidates([one])]


def steps(rng: random.Random, standing: Mapping[str, bool]) -> Iterator[tuple[str, str]]:
    """What an operator does before a publication."""
    for _ in range(rng.randrange(1, 4)):
        what = rng.choice(["add", "add", "withdraw", "withdraw", "reinstate", "phase", "nothing"])
        of = [name for name, there in standing.items() if there == (what == "withdraw")]
        if what == "phase":
            yield what, rng.choice(["acme", "beta"])
        elif what in ("withdraw", "reinstate"):
            if of:
                yield what, rng.choice(of)
        else:
            yield what, f"new {rng.random()}"


def act(hotline: Hotline, what: str, name: str, standing: dict[str, bool], suspended: set[str]) -> None:
    """Do it, and note what is in force and who is away."""
    if what == "phase":
        suspended ^= {name}
        admin.set_phase(hotline.data, name, Phase.SUSPENDED if name in suspended else Phase.REGULAR)
    elif what == "withdraw":
        hotline.withdraw(name)
    elif what == "reinstate":
        reinstate(hotline.data, LIST, sha1(name), "it was right")
    elif what == "add":
        hotline.add(name)
    if what in ("add", "withdraw", "reinstate"):
        standing[name] = what != "withdraw"


def test_whatever_happens_to_a_list_no_agent_misses_anything(tmp_path: Path) -> None:
    rounds, seed = attempts(8), 20260
    rng = random.Random(seed)
    hotline = Hotline(make(tmp_path))
    hotline.admit("acme", "beta")
    standing = {str(number): True for number in range(60)}
    hotline.add(*standing)
    hotline.publish()
    clock = Clock()
    hosts = {name: Host.of(hotline, name, clock) for name in ("acme", "beta")}
    suspended: set[str] = set()
    ways = set()
    for number in range(rounds):
        for what, name in steps(rng, standing):
            act(hotline, what, name, standing, suspended)
        if len(suspended) == 2:
            act(hotline, "phase", "acme", standing, suspended)
        for one in hotline.publish().values():
            ways.add(one.why)
            assert one.lingering >= 0
        clock.now += 3600.0
        expected = [name for name, there in standing.items() if there]
        for name, host in hosts.items():
            if name not in suspended and rng.random() < 0.7:
                host.sync(hotline)
                assert host.misses(expected) == [], f"seed {seed}, round {number}, {name}"
        assert hosts["acme"].misses(["never listed"]) == ["never listed"] if number and "acme" not in suspended else True
    print(f"{rounds} publications, seed {seed}: {sorted(ways)}")
    assert "" in ways
