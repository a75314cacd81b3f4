"""Filters go out: opened as an agent opens them, versions that only grow, old files that go."""

from __future__ import annotations

import fcntl
import hashlib
from pathlib import Path

import pytest

from hashscan.errors import FilterError, LockedError, UsageError
from hashscan.known import bloom, delta, selftest, withdrawn
from hashscan.known.container import FilterHeader
from hashscan.known.keys import token
from hashscan.model import Algorithm, ListRef
from hashscan.service import admin, building
from hashscan.service.batches import Terms
from hashscan.service.building import Order
from hashscan.service.in_force import KEPT_DELTAS
from hashscan.service.planning import Wanted
from hashscan.service.store import open_store
from hashscan.service.tables import Phase
from tests.support.databases import both
from tests.support.service import LIST, Agent, Clock, asking, digest, dispute, enrol, load, make, md5, reinstate, sha1, withdraw

ANEW = Terms(anew=True)


def filter_of(data: Path, agent: Agent, version: int = 1, list_id: str = LIST) -> bloom.Bloom:
    path = data / "published" / agent.name / f"{list_id}-{version}-1.filter"
    return bloom.open_filter(path, ListRef(list_id, version, 1), agent.key.filter_key(list_id, 1))


def holds(data: Path, agent: Agent, algorithm: Algorithm, value: str, version: int = 1) -> bool:
    key = agent.key.filter_key(LIST, 1)
    return token(key, algorithm, bytes.fromhex(value)) in filter_of(data, agent, version)


def test_a_filter_holds_a_digest_of_every_entry_in_force(tmp_path: Path) -> None:
    data = make(tmp_path)
    agent = enrol(data)
    names = [str(number) for number in range(500)]
    load(data, "md5,sha1\n" + "\n".join(f"{md5(name)},{sha1(name)}" for name in names))
    (one,) = admin.publish(data)
    assert (one.provider, one.list, one.entries, one.tokens) == ("acme", ListRef(LIST, 1, 1), 501, 501 + bloom.CANARIES)
    opened = filter_of(data, agent)
    assert (opened.header.algorithms, opened.header.also) == ((Algorithm.SHA1,), (Algorithm.MD5,))
    assert (opened.header.entries, opened.header.tokens, opened.header.provider) == (501, one.tokens, "acme")
    for name in names:
        assert holds(data, agent, Algorithm.SHA1, sha1(name))
        assert not holds(data, agent, Algorithm.MD5, md5(name)), "agents would have to make an MD5 of every file"
    assert holds(data, agent, Algorithm.SHA1, selftest.digests()[Algorithm.SHA1])
    assert not holds(data, agent, Algorithm.SHA1, sha1("not on the list"))


def test_where_some_entries_have_nothing_else_both_digests_are_in(tmp_path: Path) -> None:
    data = make(tmp_path)
    agent = enrol(data)
    load(data, f"md5,sha1\n{md5('a')},{sha1('a')}\n{md5('b')},\n,{sha1('c')}\n")
    (one,) = admin.publish(data)
    opened = filter_of(data, agent)
    assert (opened.header.algorithms, opened.header.also) == ((Algorithm.MD5, Algorithm.SHA1), ())
    assert (one.entries, one.tokens) == (4, 4 + 2 + bloom.CANARIES)
    for name, has_md5, has_sha1 in (("a", True, True), ("b", True, False), ("c", False, True)):
        assert holds(data, agent, Algorithm.MD5, md5(name)) is has_md5
        assert holds(data, agent, Algorithm.SHA1, sha1(name)) is has_sha1


@both
def test_withdrawn_entries_leave_with_the_next_version_and_disputed_ones_stay(tmp_path: Path) -> None:
    data = make(tmp_path)
    agent = enrol(data)
    load(data, "\n".join(sha1(name) for name in "abc"))
    admin.publish(data)
    withdraw(data, LIST, sha1("a"), "a stock image")
    dispute(data, LIST, sha1("b"), "somebody objects")
    (one,) = admin.publish(data)
    assert one.list.version == 2
    assert one.entries == 3
    assert [holds(data, agent, Algorithm.SHA1, sha1(name)) for name in "abc"] == [True, True, True]
    assert [holds(data, agent, Algorithm.SHA1, sha1(name), version=2) for name in "abc"] == [False, True, True]


def test_an_empty_list_still_carries_the_self_test(tmp_path: Path) -> None:
    data = make(tmp_path)
    agent = enrol(data)
    load(data, sha1("a"))
    withdraw(data, LIST, sha1("a"), "the only one")
    (one,) = admin.publish(data)
    assert (one.entries, one.tokens) == (1, 1 + bloom.CANARIES)
    assert filter_of(data, agent).header.algorithms == (Algorithm.SHA256,)


@both
def test_a_digest_of_two_entries_is_one_token(tmp_path: Path) -> None:
    data = make(tmp_path)
    enrol(data)
    load(data, f"md5,sha1\n{md5('a')},{sha1('a')}\n{md5('a')},{sha1('b')}\n{md5('c')},\n,{sha1('d')}\n")
    (one,) = admin.publish(data)
    assert one.entries == 5
    assert one.tokens == 2 + 1 + 2 + 2 + bloom.CANARIES, "self-test twice, an MD5 that two share, two SHA-1, one each alone"


@both
def test_all_four_algorithms(tmp_path: Path) -> None:
    data = make(tmp_path)
    agent = enrol(data)
    load(data, "md5,sha1,sha256,blake3\n" + ",".join(digest(algorithm, "a") for algorithm in Algorithm))
    admin.publish(data)
    header = filter_of(data, agent).header
    assert (header.algorithms, header.also) == ((Algorithm.BLAKE3,), (Algorithm.MD5, Algorithm.SHA1, Algorithm.SHA256))
    for algorithm in Algorithm:
        load(data, f"{algorithm}\n{digest(algorithm, f'only {algorithm}')}\n")
    admin.publish(data)
    header = filter_of(data, agent, version=2).header
    assert (header.algorithms, header.also) == (tuple(Algorithm), ())
    assert all(holds(data, agent, algorithm, digest(algorithm, "a"), version=2) for algorithm in Algorithm)


@both
def test_each_provider_gets_its_own_and_the_suspended_none(tmp_path: Path) -> None:
    data = make(tmp_path)
    acme, other, _ = enrol(data, "acme"), enrol(data, "other", Phase.TRIAL), enrol(data, "bad", Phase.SUSPENDED)
    load(data, sha1("a"))
    load(data, sha1("b"), list_id="second")
    done = admin.publish(data)
    assert [(one.provider, one.list.id) for one in done] == [
        ("acme", LIST),
        ("other", LIST),
        ("acme", "second"),
        ("other", "second"),
    ]
    assert not (data / "published" / "bad").exists()
    path = data / "published" / "acme" / "police-1-1.filter"
    with pytest.raises(FilterError, match="canaries"):
        bloom.open_filter(path, ListRef(LIST, 1, 1), other.key.filter_key(LIST, 1))
    assert holds(data, acme, Algorithm.SHA1, sha1("a"))


@both
def test_versions_grow_and_the_newest_two_files_stay(tmp_path: Path) -> None:
    data = make(tmp_path)
    enrol(data)
    load(data, sha1("a"))
    load(data, sha1("a"), list_id="quiet")
    admin.publish(data)
    for version in (2, 3, 4):
        (one,) = admin.publish(data, list_id=LIST, terms=ANEW)
        assert one.list.version == version
    names = sorted(path.name for path in (data / "published" / "acme").glob("*.filter"))
    assert names == ["police-3-1.filter", "police-4-1.filter", "quiet-1-1.filter"]
    with open_store(data) as store, store.reading() as session:
        rows = session.connection().exec_driver_sql("SELECT file_name, length, sha256 FROM publication").all()
    assert len(rows) == 5
    content = (data / "published" / "acme" / "police-4-1.filter").read_bytes()
    assert ("police-4-1.filter", len(content), hashlib.sha256(content).hexdigest()) in [tuple(row) for row in rows]


def test_a_torn_file_of_an_earlier_attempt_is_replaced(tmp_path: Path) -> None:
    data = make(tmp_path)
    agent = enrol(data)
    load(data, sha1("a"))
    folder = data / "published" / "acme"
    folder.mkdir(parents=True)
    (folder / "police-1-1.filter").write_bytes(b"torn")
    admin.publish(data)
    assert holds(data, agent, Algorithm.SHA1, sha1("a"))


def test_what_cannot_be_published_is_said(tmp_path: Path) -> None:
    data = make(tmp_path)
    with pytest.raises(UsageError, match="no hash list"):
        admin.publish(data)
    load(data, sha1("a"))
    with pytest.raises(UsageError, match="no provider"):
        admin.publish(data)
    enrol(data)
    with pytest.raises(UsageError, match="no list 'other'"):
        admin.publish(data, list_id="other")
    for error_rate in (0.0, 1.0, 0.01):
        with pytest.raises(UsageError, match="error rate"):
            admin.publish(data, terms=Terms(error_rate=error_rate))
    with (data / "publish.lock").open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(LockedError):
            admin.publish(data)
    assert admin.stats(data).lists[0].version == 0


def test_the_error_rate_is_kept(tmp_path: Path) -> None:
    data = make(tmp_path)
    agent = enrol(data)
    load(data, "\n".join(sha1(str(number)) for number in range(2000)))
    sizes = [admin.publish(data, terms=Terms(error_rate=rate))[0].length for rate in (1e-3, 1e-9)]
    assert sizes[1] > 2 * sizes[0]
    assert filter_of(data, agent, version=2).header.error_rate == 1e-9


class _Unlucky:
    """A builder whose first filters contain the empty file, as happens by chance about once in 30,000."""

    def __init__(self, key: bytes, ref: ListRef, unlucky: int) -> None:
        self.capacities: list[int] = []
        self._key, self._ref, self._unlucky = key, ref, unlucky

    def __call__(self, capacity: int) -> bytes:
        self.capacities.append(capacity)
        contents = [selftest.CONTENT] + ([b""] if len(self.capacities) <= self._unlucky else [])
        tokens = [token(self._key, Algorithm.SHA1, selftest.digest(Algorithm.SHA1, one)) for one in contents]

        def header(count: int, length: int, checksum: str) -> FilterHeader:
            return FilterHeader(self._ref, "acme", (Algorithm.SHA1,), 1.0, 1, count, 1e-6, length, checksum)

        return bloom.build(header, self._key, tokens, capacity=capacity, error_rate=1e-6)


def test_an_unlucky_filter_is_built_anew_and_a_wrong_one_is_not_published(tmp_path: Path) -> None:
    key, ref = b"k" * 32, ListRef(LIST, 1, 1)
    builder = _Unlucky(key, ref, unlucky=2)
    order = Order(ref, "acme", tmp_path, None, Wanted(1, 1e-6, "", "", 17, 0.0), key)
    path = order.path
    data, count = building.write_checked(order, builder, 200)
    assert builder.capacities == [200, 203, 206]
    assert path.read_bytes() == data
    assert count == 1 + bloom.CANARIES
    with pytest.raises(FilterError, match="trivial"):
        building.write_checked(order, _Unlucky(key, ref, unlucky=99), 200)
    assert not path.exists()


@both
def test_sizes_are_published_where_every_entry_in_force_has_one(tmp_path: Path) -> None:
    data = make(tmp_path)
    agent = enrol(data)
    load(data, f"sha1,size\n{sha1('a')},10\n{sha1('b')},20")
    admin.publish(data)
    sizes = filter_of(data, agent).sizes
    assert sizes is not None
    assert [size in sizes for size in (10, 20, 30, len(selftest.CONTENT))] == [True, True, False, True]

    load(data, sha1("c"))
    admin.publish(data)
    assert filter_of(data, agent, version=2).sizes is None, "one entry of unknown size, and files of every size must be read"
    withdraw(data, LIST, sha1("c"), "not known any more")
    admin.publish(data)
    assert filter_of(data, agent, version=3).sizes is not None


# Deltas and withdrawn tokens.


def published(data: Path, name: str) -> bytes:
    return (data / "published" / "acme" / name).read_bytes()


def test_a_delta_leads_from_each_version_to_the_next(tmp_path: Path) -> None:
    data = make(tmp_path)
    enrol(data)
    load(data, "\n".join(sha1(str(number)) for number in range(3000)))
    (first,) = admin.publish(data)
    assert first.delta is None
    here = published(data, "police-1-1.filter")
    for version in (2, 3):
        load(data, sha1(f"new {version}"))
        withdraw(data, LIST, sha1(str(version)), "a mistake")
        (one,) = admin.publish(data)
        change = published(data, f"police-{version - 1}-{version}-1.delta")
        assert one.delta == len(change)
        assert len(change) < len(here) / 10
        here = delta.apply(here, change)
        assert here == published(data, f"police-{version}-1.filter")


def test_deltas_are_kept_as_long_as_they_are_worth_it(tmp_path: Path) -> None:
    data = make(tmp_path)
    agent = enrol(data)
    clock = Clock()
    load(data, "\n".join(sha1(str(number)) for number in range(5000)))
    for _ in range(KEPT_DELTAS + 4):
        admin.publish(data, terms=ANEW)
    with asking(data, agent, clock) as client:
        (target,) = client.lists(agent.trust(clock)).targets
        last = KEPT_DELTAS + 4
        assert [(one.old, one.new) for one in target.deltas] == [(n - 1, n) for n in range(last - KEPT_DELTAS + 1, last + 1)]
        for one in target.deltas:
            response = client.get(f"/v1/files/{one.file.name}")
            assert hashlib.sha256(response.content).hexdigest() == one.file.sha256
        assert client.get("/v1/files/police-1-2-1.delta").status_code == 404
        load(data, "\n".join(sha1(f"more {number}") for number in range(150)))
        for _ in range(2):
            load(data, "\n".join(sha1(f"again {number}") for number in range(100)))
            admin.publish(data)
        (target,) = client.lists(agent.trust(clock)).targets
        assert 0 < sum(one.file.length for one in target.deltas) < target.filter.length
    names = {path.name for path in (data / "published" / "acme").glob("*.delta")}
    assert len(names) <= KEPT_DELTAS + 1


def test_there_is_no_delta_where_the_file_before_is_gone_or_another_shape(tmp_path: Path) -> None:
    data = make(tmp_path)
    enrol(data)
    load(data, "\n".join(sha1(str(number)) for number in range(2000)))
    admin.publish(data)
    (data / "published" / "acme" / "police-1-1.filter").unlink()
    (one,) = admin.publish(data)
    assert one.delta is None
    (one,) = admin.publish(data, terms=Terms(error_rate=1e-9))
    assert one.delta is None
    (one,) = admin.publish(data, terms=Terms(error_rate=1e-9, anew=True))
    assert one.delta is not None


def test_a_provider_that_was_away_gets_a_delta_over_the_gap(tmp_path: Path) -> None:
    data = make(tmp_path)
    agent = enrol(data)
    enrol(data, "other")
    clock = Clock()
    load(data, "\n".join(sha1(str(number)) for number in range(2000)))
    admin.publish(data)
    admin.set_phase(data, "acme", Phase.SUSPENDED)
    load(data, sha1("new"))
    admin.publish(data)
    admin.set_phase(data, "acme", Phase.REGULAR)
    load(data, sha1("newer"))
    admin.publish(data)
    with asking(data, agent, clock) as client:
        (target,) = client.lists(agent.trust(clock)).targets
    assert [(one.old, one.new, one.file.name) for one in target.deltas] == [(1, 3, "police-1-3-1.delta")]
    assert delta.apply(published(data, "police-1-1.filter"), published(data, "police-1-3-1.delta")) == published(
        data, "police-3-1.filter"
    )


@both
def test_withdrawn_tokens_are_told_until_the_entry_is_back(tmp_path: Path) -> None:
    data = make(tmp_path)
    agent = enrol(data)
    clock = Clock()
    load(data, f"md5,sha1\n{md5('a')},{sha1('a')}\n{md5('b')},{sha1('b')}\n")
    (one,) = admin.publish(data)
    assert one.withdrawn == 0
    entry = withdraw(data, LIST, sha1("a"), "a stock image").entries[0]
    (one,) = admin.publish(data)
    assert one.withdrawn == 1
    (told,) = withdrawn.decode(published(data, "police-2-1.withdrawn"), ListRef(LIST, 2, 1))
    key = agent.key.filter_key(LIST, 1)
    digests = ((Algorithm.MD5, md5("a")), (Algorithm.SHA1, sha1("a")))
    assert (told.entry, told.tokens) == (entry, tuple(token(key, kind, bytes.fromhex(value)) for kind, value in digests))
    with asking(data, agent, clock) as client:
        trust = agent.trust(clock)
        (target,) = client.lists(trust).targets
        assert target.withdrawn is not None
        assert target.withdrawn.name == "police-2-1.withdrawn"
        response = client.get("/v1/files/police-2-1.withdrawn")
        assert hashlib.sha256(response.content).hexdigest() == target.withdrawn.sha256
        reinstate(data, LIST, entry, "it was right")
        admin.publish(data)
        assert client.lists(trust).targets[0].withdrawn is None
        assert client.get("/v1/files/police-2-1.withdrawn").status_code == 200, "an agent may be mid-way"
        admin.publish(data, terms=ANEW)
        assert client.get("/v1/files/police-2-1.withdrawn").status_code == 404


def test_more_withdrawals_than_agents_take_are_the_newest(tmp_path: Path) -> None:
    data = make(tmp_path)
    agent = enrol(data)
    lines = "".join(f"{','.join(digest(kind, str(number)) for kind in Algorithm)}\n" for number in range(60_000))
    load(data, f"{','.join(Algorithm)}\n{lines}")
    with open_store(data) as store, store.writing() as session:
        session.connection().exec_driver_sql("UPDATE entry SET standing='withdrawn', changed=id WHERE standing='active'")
    (one,) = admin.publish(data)
    assert 45_000 < one.withdrawn < 60_000
    told = withdrawn.decode(published(data, "police-1-1.withdrawn"), ListRef(LIST, 1, 1))
    assert len(told) == one.withdrawn
    assert [row.at for row in told] == sorted((row.at for row in told), reverse=True)
    key = agent.key.filter_key(LIST, 1)
    assert token(key, Algorithm.MD5, bytes.fromhex(md5("59999"))) in told[0].tokens
