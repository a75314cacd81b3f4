"""Shelf and sync: whatever breaks at whatever step, the old lists stay in force, whole; and the next sync goes through."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from shutil import copytree, rmtree

import pytest

from hashscan.errors import FilterError, HashscanError, RefusedError, ServiceUnavailable, StateError
from hashscan.known.keys import KeyRing, ProviderKey
from hashscan.known.shelf import Shelf
from tests.support.acting import Crash, Fuse
from tests.support.children import run
from tests.support.hotline import NOW, Hotline, Known
from tests.support.mounts import tmpfs, with_own_mounts
from tests.support.syncing import A1, A2, B1, NEW, OLD, Broken, Host, raising


def publish_new(hotline: Hotline) -> None:
    hotline.lists = {A2: [OLD, NEW], B1: [OLD]}
    hotline.sequence += 1
    hotline.publish()


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """Version 1 of list a is in force, version 2 and a list b are published."""
    hotline = Hotline(lists={A1: [OLD]})
    hotline.publish()
    host = Host(tmp_path / "state" / "lists", hotline)
    host.sync()
    assert host.in_force() == {A1}
    publish_new(hotline)
    return host


def as_it_was(host: Host) -> Host:
    """The same host, before anything came: of a sync that breaks, verified metadata and whole filters are kept for the next."""
    copy = host.folder.with_name("copy")
    rmtree(copy, ignore_errors=True)
    copytree(host.folder, copy, symlinks=True)
    return Host(copy, host.hotline)


def pieces(host: Host) -> int:
    """How many pieces a sync fetches that has everything to fetch."""
    counting = Broken(host.hotline, -1, bytes)
    as_it_was(host).sync(counting)
    assert counting.pieces > 12
    return counting.pieces


WAYS: dict[str, Callable[[bytes], bytes]] = {
    "crash": raising(Crash()),
    "unavailable": raising(ServiceUnavailable("too slow")),
    "refused": raising(RefusedError("suspended")),
    "interrupted": raising(KeyboardInterrupt()),
    "cut": lambda piece: piece[:-1],
    "nothing": lambda piece: b"",
    "longer": lambda piece: piece + b"x",
    "flipped": lambda piece: bytes([piece[0] ^ 1]) + piece[1:],
    "zeros": lambda piece: bytes(len(piece)),
}


@pytest.mark.parametrize("how", WAYS.values(), ids=WAYS)
def test_a_fetch_that_breaks_at_any_piece_leaves_the_old_lists_in_force(host: Host, how: Callable[[bytes], bytes]) -> None:
    before = {name: (host.folder / name).read_bytes() for name in host.names()}
    for moment in range(pieces(host)):
        broken = as_it_was(host)
        with pytest.raises((HashscanError, Crash, KeyboardInterrupt)) as caught:
            broken.sync(Broken(host.hotline, moment, how))
        assert not isinstance(caught.value, StateError) or "unchanged" in caught.value.hint
        assert broken.in_force() == {A1}
        for name, data in before.items():
            assert (broken.folder / name).read_bytes() == data
        assert not [name for name in broken.names() if name.endswith(".new")], "nothing half written is left"
        assert broken.told.types() == []
        if moment % 10 == 0:
            broken.sync()
            assert broken.in_force() == {A2, B1}
            assert broken.names() == {"in-force.json", "a-1-1.filter", "a-2-1.filter", "b-1-1.filter"}
            broken.sync()
            assert broken.names() == {"in-force.json", "a-2-1.filter", "b-1-1.filter"}


def test_killed_at_any_fetched_piece(host: Host) -> None:
    def kill(piece: bytes) -> bytes:
        signal.raise_signal(signal.SIGKILL)
        return piece

    for moment in range(pieces(host)):
        killed = as_it_was(host)
        ended = run(lambda killed=killed, moment=moment: killed.sync(Broken(host.hotline, moment, kill)))  # type: ignore[misc]
        assert ended == -signal.SIGKILL
        assert killed.in_force() == {A1}
        if moment % 5 == 0:
            killed.sync()
            assert killed.in_force() == {A2, B1}
            kept = {"in-force.json", "a-1-1.filter", "a-2-1.filter", "b-1-1.filter"}
            assert killed.names() == kept, "what a kill left is swept, the predecessor's filters stay for scans under way"


def test_a_crash_between_any_two_files_of_the_shelf(host: Host) -> None:
    """The filters may be there, and the metadata too: in force is what ``in-force.json`` says, nothing else."""
    offered = host.hotline.trust(host.folder / "tuf").refresh(host.hotline)
    for target in offered.targets:
        host.shelf.put(target, host.hotline.fetch(target.filter.name, max_bytes=target.filter.length))
        assert host.in_force() == {A1}
    (host.folder / "in-force.json").write_bytes(offered.proof)  # and then the power went: the old filter is still there
    assert host.in_force() == {A2, B1}
    assert "a-1-1.filter" in host.names()
    host.sync()
    assert "a-1-1.filter" not in host.names()


@pytest.mark.parametrize("kib", [0, 4, 8, 12, 16, 20])
def test_a_full_disk(tmp_path: Path, kib: int) -> None:
    def body() -> None:
        hotline = Hotline(lists={A1: [OLD]})
        hotline.publish()
        tmpfs(tmp_path / "disk", 64)
        host = Host(tmp_path / "disk" / "lists", hotline)
        host.sync()
        publish_new(hotline)
        hotline.lists[B1] = [OLD, *(Known(b"harmless %d" % number) for number in range(2_000))]
        hotline.publish()
        free = os.statvfs(tmp_path / "disk")
        (tmp_path / "disk" / "ballast").write_bytes(bytes(free.f_bavail * free.f_bsize - 1024 * kib))
        with pytest.raises(StateError, match="No space") as caught:
            host.sync()
        assert "unchanged" in caught.value.hint
        assert host.in_force() == {A1}
        assert not [name for name in host.names() if name.endswith(".new")]

    with_own_mounts(body)


def test_a_file_that_may_not_grow(host: Host) -> None:
    def body() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
        with pytest.raises(StateError, match="stored"):
            host.sync()
        assert host.in_force() == {A1}

    assert run(body) == 0


# What is on the disk.


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(path.read_bytes() + b"x"),
        lambda path: path.write_bytes(path.read_bytes()[:-1] + b"\xaa"),
        lambda path: path.write_bytes(b"x" * path.stat().st_size),
        lambda path: path.write_bytes(path.read_bytes().replace(b'"entries":', b'"entries" :')[: path.stat().st_size]),
    ],
)
def test_a_filter_damaged_on_the_disk_is_noticed_and_fetched_again(host: Host, damage: Callable[[Path], None]) -> None:
    host.sync()
    damage(host.folder / "a-2-1.filter")
    with pytest.raises(FilterError) as caught:
        host.in_force()
    assert "sync" in caught.value.hint
    host.sync()
    assert host.in_force() == {A2, B1}


def test_a_filter_of_the_same_version_that_the_metadata_does_not_describe(host: Host) -> None:
    """Same name, same length, same version, right key, right checksum inside: still not what was signed."""
    host.sync()
    path = host.folder / "a-2-1.filter"
    other = host.hotline.filter(A2, [OLD, Known(b"harmless NEW")])
    assert len(other) == path.stat().st_size
    path.write_bytes(other)
    with pytest.raises(FilterError):
        host.in_force()
    host.sync()
    assert host.in_force() == {A2, B1}


def test_a_directory_in_the_place_of_a_filter(host: Host) -> None:
    (host.folder / "a-2-1.filter").mkdir()
    with pytest.raises(StateError):
        host.sync()
    assert host.in_force() == {A1}


@pytest.mark.parametrize("data", [b"", b"x", b"{}", b"x" * 300_000])
def test_damaged_metadata_is_for_a_person_because_without_it_a_rollback_would_not_be_seen(host: Host, data: bytes) -> None:
    (host.folder / "in-force.json").write_bytes(data)
    for call in (host.in_force, host.sync):
        with pytest.raises(FilterError, match=r"in-force\.json"):
            call()


def test_metadata_of_another_service_or_provider(host: Host) -> None:
    other = Hotline(lists={A1: [OLD]})
    with pytest.raises(FilterError):
        Shelf(host.folder, other.trust(host.folder / "tuf"), host.hotline.key).lists()
    shelf = Shelf(host.folder, host.hotline.trust(host.folder / "tuf"), KeyRing({1: ProviderKey(bytes(32))}))
    lists = shelf.view(NOW, max_age=1e9).lists
    with pytest.raises(FilterError, match="canaries"):
        shelf.sieve(lists)


# What is offered.


def test_a_rollback_is_refused(host: Host) -> None:
    old = dict(host.hotline.files)
    host.sync()
    publish_new(host.hotline)
    host.sync()
    host.hotline.files = old
    with pytest.raises(FilterError, match="older"):
        host.sync()
    host.hotline.lists = {A1: [OLD]}
    host.hotline.sequence = 99
    host.hotline.publish()
    with pytest.raises(FilterError, match="older than 2"):
        host.sync()
    assert host.in_force() == {A2, B1}


def test_frozen_expired_and_from_the_future(host: Host) -> None:
    with pytest.raises(FilterError, match="expired"):
        host.sync(now=NOW + 172_801)
    with pytest.raises(FilterError, match="before a time that it has seen"):
        host.sync(now=NOW - 301)
    assert host.in_force() == {A1}
    host.hotline.publish(issued=NOW + 301)
    with pytest.raises(FilterError, match="future"):
        host.sync()
    assert host.in_force() == {A1}


# A clock that jumped back.


def test_a_clock_that_jumped_back_makes_no_new_trust_decision_and_heals(host: Host) -> None:
    day = 86_400.0
    host.sync(now=NOW + day)
    before = (host.folder / "clock").read_bytes()
    host.hotline.repository.asked.clear()
    with pytest.raises(FilterError, match=r"24\.0 hours before") as caught:
        host.sync(now=NOW)
    assert (caught.value.exit_code, host.hotline.repository.asked) == (20, []), "nobody was asked"
    assert "set the clock" in caught.value.hint
    assert str(host.folder / "clock") in caught.value.hint
    assert host.in_force() == {A2, B1}, "the lists stay in use"
    assert host.shelf.clock.doubt(NOW)
    assert (host.folder / "clock").read_bytes() == before
    assert not host.shelf.clock.doubt(NOW + day - 300)
    host.sync(now=NOW + day - 299)
    assert host.shelf.clock.last_sync == NOW + day - 299


def test_a_failed_sync_remembers_no_time(host: Host) -> None:
    with pytest.raises(ServiceUnavailable):
        host.sync(Broken(host.hotline, 0, raising(ServiceUnavailable("slow"))), now=NOW + 3600)
    with pytest.raises(FilterError, match="expired"):
        host.sync(now=NOW + 172_801)
    assert host.shelf.clock.last_sync == NOW


@pytest.mark.parametrize("data", [b"", b"x", b"[]", b'{"format":2,"last_sync":1}', b'{"format":1,"last_sync":1e308}'])
def test_a_damaged_clock_file_is_written_again(host: Host, data: bytes) -> None:
    (host.folder / "clock").write_bytes(data)
    assert host.shelf.clock.last_sync is None
    assert host.shelf.clock.latest == NOW, "the signed metadata is older than now in any case"
    host.sync(now=NOW + 60)
    assert host.shelf.clock.last_sync == NOW + 60


def test_a_filter_that_the_publisher_spoiled_is_not_put_in_force(host: Host) -> None:
    host.hotline.lists[B1] = [OLD, Known(b"")]
    host.hotline.publish()
    with pytest.raises(FilterError, match="trivial"):
        host.sync()
    assert host.in_force() == {A1}


def test_what_is_told(host: Host) -> None:
    host.told.events.clear()
    host.sync()
    host.sync()
    del host.hotline.lists[A2]
    host.hotline.sequence += 1
    host.hotline.publish()
    host.sync()
    told = [(event.data["list"]["id"], event.data["change"], event.data["previous"]) for event in host.told.events]  # type: ignore[index,call-overload]
    assert told == [
        ("a", "updated", 1), ("b", "new", None),
        ("a", "unchanged", 2), ("b", "unchanged", 1),
        ("b", "unchanged", 1), ("a", "removed", None),
    ]  # fmt: skip
    assert host.names() == {"in-force.json", "a-2-1.filter", "b-1-1.filter"}
    host.sync()
    assert host.names() == {"in-force.json", "b-1-1.filter"}


def test_a_second_sync_fetches_the_metadata_only(host: Host) -> None:
    host.sync()
    host.hotline.repository.asked.clear()
    host.sync()
    assert set(host.hotline.repository.asked) == {"2.root.json", "timestamp.json"}


# Age.


def test_ages(host: Host) -> None:
    day = 86_400.0
    fresh = host.shelf.view(NOW + 60, max_age=7 * day)
    assert (fresh.age, fresh.stale) == (60.0, False)
    assert host.shelf.view(NOW + 3 * day, max_age=7 * day).stale
    with pytest.raises(FilterError, match=r"7\.5 days old") as caught:
        host.shelf.view(NOW + 7.5 * day, max_age=7 * day)
    assert "max_age" in caught.value.hint


def test_a_fresh_shelf(tmp_path: Path) -> None:
    hotline = Hotline(lists={})
    host = Host(tmp_path / "lists", hotline)
    assert host.shelf.lists() is None
    with pytest.raises(FilterError, match="no hash list"):
        host.shelf.view(NOW, max_age=1e9)
    hotline.publish()
    host.sync()
    with pytest.raises(FilterError, match="no hash list"):
        host.shelf.view(NOW, max_age=1e9)


def test_control_the_fuse_burns() -> None:
    fuse = Fuse(1)
    fuse()
    with pytest.raises(Crash):
        fuse()
