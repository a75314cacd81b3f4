"""The client workflow of The Update Framework under attack: nothing is believed that was not signed, is old, or is mixed."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import signal
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hashscan.errors import FilterError, HashscanError, NotPublishedError, RefusedError, ServiceUnavailable, StateError
from hashscan.known import chain
from hashscan.known.chain import MAX_ROTATIONS
from hashscan.known.trust import ACCEPTED, METADATA
from hashscan.known.updater import ROOTS, refresh, seed
from hashscan.model import Lists
from tests.support.agents import Agent, Tampering, with_keys
from tests.support.children import run
from tests.support.hotline import LIST, NOW, PROVIDER, Hotline, Known
from tests.support.mounts import tmpfs, with_own_mounts
from tests.support.repository import DAY, Repository, make_keys

HUGE = 2**53


def make_hotline(**repository: Any) -> Hotline:
    return with_keys(Hotline(lists={LIST: [Known(b"harmless")]}, sequence=5), Repository(NOW, PROVIDER, **repository))


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    """It holds version 5 of everything; version 6 is published."""
    hotline = make_hotline()
    hotline.publish()
    agent = Agent(tmp_path / "tuf", hotline)
    assert agent.refresh().sequence == 5
    hotline.lists[LIST].append(Known(b"new"))
    hotline.publish()
    return agent


def served(agent: Agent) -> dict[str, bytes]:
    """The files that its next refresh will ask for."""
    names = ["timestamp.json", "6.snapshot.json", "6.targets.json", chain.VERDICT_KEYS]
    return {name: agent.hotline.files[name] for name in names}


def test_control_the_honest_way(agent: Agent) -> None:
    watched = Tampering(agent.hotline, lambda name, data: data)
    assert agent.refresh(watched).sequence == 6
    assert watched.names == ["2.root.json", "timestamp.json", "6.snapshot.json", "6.targets.json"], "the keys have not changed"
    watched.names.clear()
    assert agent.refresh(watched).sequence == 6
    assert watched.names == ["2.root.json", "timestamp.json"]


# Rollback, freeze, mix and match.


def test_rollback_of_the_timestamp(agent: Agent) -> None:
    old = agent.hotline.repository.sign_timestamp(4, 5)
    assert "version" in agent.refusal()
    agent.hotline.repository.sign_timestamp(7, 6)
    assert agent.refusal() == ""
    agent.hotline.files["timestamp.json"] = old
    assert "timestamp.json" in agent.refusal()


def test_rollback_of_the_snapshot(agent: Agent) -> None:
    agent.refresh()
    agent.hotline.repository.sign_timestamp(7, 5)
    assert "version" in agent.refusal()


@pytest.mark.parametrize("meta", [True, False], ids=["with digests", "versions only"])
def test_rollback_of_the_targets(agent: Agent, meta: bool) -> None:
    agent.refresh()
    repository = agent.hotline.repository
    repository.sign_snapshot(7, 5, **({} if meta else {"targets": None}))
    repository.sign_timestamp(7, 7, **({} if meta else {"snapshot": None}))
    assert "version" in agent.refusal()


def test_an_old_timestamp_whose_keys_were_replaced_is_refused_even_where_the_new_root_is_kept_back(agent: Agent) -> None:
    """Whoever stole the old online keys and sits in between: the root that ended them is remembered."""
    old = dict(agent.hotline.files)
    repository = agent.hotline.repository
    repository.rotate_online()
    agent.hotline.publish()
    assert agent.refresh().root == 2
    agent.hotline.files = old
    assert "signatures" in agent.refusal()
    for path in (agent.folder / METADATA / ROOTS).iterdir():
        path.unlink()  # and where the folder of the metadata was lost, the lists in force remember
    assert "older than 2" in agent.refusal()


@pytest.mark.parametrize(
    ("days", "expired", "changes"),
    [
        (2.0, "timestamp.json", {}),
        (3.0, "timestamp.json", {}),
        (30.0, "snapshot.json", {"timestamp": 40.0, "targets": 40.0}),
        (30.0, "targets.json", {"timestamp": 40.0, "snapshot": 40.0}),
        (365.0, "root.json", {"timestamp": 400.0, "snapshot": 400.0, "targets": 400.0}),
        (1.9, "", {}),
        (29.9, "", {"timestamp": 40.0}),
        (364.9, "", {"timestamp": 400.0, "snapshot": 400.0, "targets": 400.0}),
    ],
)
def test_expiry_of_each_role(tmp_path: Path, days: float, expired: str, changes: dict[str, float]) -> None:
    hotline = make_hotline()
    hotline.publish()
    repository, now = hotline.repository, NOW + days * DAY
    ends = {role: {"expires": NOW + after * DAY} for role, after in changes.items()}
    targets = json.loads(hotline.files["5.targets.json"])["signed"]["targets"]
    files = [hotline._offer(name, hotline.files[name], one["custom"]) for name, one in targets.items()]
    repository.sign_targets(6, files, **ends.get("targets", {}))
    repository.sign_snapshot(6, 6, **ends.get("snapshot", {}))
    repository.sign_timestamp(
        6, 6, **{"issued": max(NOW, NOW + changes.get("timestamp", 2.0) * DAY - 3 * DAY), **ends.get("timestamp", {})}
    )
    agent = Agent(tmp_path / "tuf", hotline, now)
    agent.held = None
    if not expired:
        assert agent.trust.refresh(hotline).sequence == 6
        return
    with pytest.raises(FilterError, match="expired") as caught:
        agent.trust.refresh(hotline)
    assert "clock" in caught.value.hint
    assert expired.removesuffix(".json") in str(caught.value)


def test_a_clock_that_was_set_back_makes_nothing_fresh_that_is_from_the_future(agent: Agent) -> None:
    agent.now = NOW - 2 * DAY
    assert "future" in agent.refusal()


@pytest.mark.parametrize("name", ["snapshot", "targets"])
@pytest.mark.parametrize("meta", [True, False], ids=["with digests", "versions only"])
def test_mix_and_match(agent: Agent, name: str, meta: bool) -> None:
    repository = agent.hotline.repository
    if not meta:
        repository.sign_snapshot(6, 6, targets=None)
        repository.sign_timestamp(6, 6, snapshot=None)
    agent.hotline.files[f"6.{name}.json"] = agent.hotline.files[f"5.{name}.json"]
    assert f"{name}.json" in agent.refusal()


def test_verdict_keys_of_another_time(agent: Agent) -> None:
    data = agent.hotline.files[chain.VERDICT_KEYS]
    agent.hotline.files[chain.VERDICT_KEYS] = data.replace(b"0.0", b"9e9")
    assert len(agent.hotline.files[chain.VERDICT_KEYS]) == len(data)
    assert agent.refusal() == "", "what is kept is the very file"
    (agent.folder / ACCEPTED).unlink()
    assert chain.VERDICT_KEYS in agent.refusal()


# Bytes.


def endless(inner: Hotline, victim: str) -> Any:
    class Endless:
        def fetch(self, name: str, *, max_bytes: int) -> Iterator[bytes]:
            return itertools.repeat(b" " * 1000) if name == victim else inner.fetch(name, max_bytes=max_bytes)

    return Endless()


@pytest.mark.parametrize("name", ["2.root.json", "timestamp.json", "6.snapshot.json", "6.targets.json", chain.VERDICT_KEYS])
def test_endless(agent: Agent, name: str) -> None:
    (agent.folder / ACCEPTED).unlink()
    said = agent.refusal(endless(agent.hotline, name))
    assert "longer" in said
    assert name in said
    assert agent.refusal() == ""


def test_truncated_longer_or_flipped_anywhere(agent: Agent) -> None:
    """Whatever happens to the bytes: refused, or the same is believed as without it (a hex digit in capitals)."""
    (agent.folder / ACCEPTED).unlink()
    good, tried, believed = agent.trust.refresh(agent.hotline), 0, 0

    def same(lists: Lists) -> bool:
        return (lists.targets, lists.verdict_keys, lists.sequence, lists.expires) == (
            good.targets, good.verdict_keys, good.sequence, good.expires,
        )  # fmt: skip

    for victim, data in served(agent).items():
        places = range(0, len(data), 3 if victim == "timestamp.json" else 11)
        changed = [data[:place] for place in places] + [data + b"}", data + b" ", data + data]
        changed += [data[:place] + bytes([data[place] ^ bit]) + data[place + 1 :] for place in places for bit in (1, 0x20)]
        for one in changed:
            (agent.folder / ACCEPTED).unlink(missing_ok=True)
            tried += 1
            try:
                lists = agent.trust.refresh(
                    Tampering(agent.hotline, lambda name, was, v=victim, o=one: o if name == v else was)
                )  # type: ignore[misc]
            except FilterError:
                continue
            believed += 1
            assert same(lists), (victim, one)
    print(f"{tried} changes, {believed} without consequence")
    assert tried > 800
    assert believed < tried / 20


DEEP = b"[" * 5000 + b"]" * 5000
VERSION = re.compile(rb'"version":[0-9]+')
HOSTILE: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda data: b"",
    "HTML": lambda data: b"<html>Welcome to the captive portal</html>",
    "no object": lambda data: b"[]",
    "empty object": lambda data: b"{}",
    "no UTF-8": lambda data: b"\xff" + data,
    "byte order mark": lambda data: b"\xef\xbb\xbf" + data,
    "deep": lambda data: b'{"signed":' + DEEP + b',"signatures":[]}',
    "deep beside": lambda data: data[:-1] + b',"x":' + DEEP + b"}",
    "a key twice": lambda data: data[:-1] + b',"signed":{}}',
    "a key twice inside": lambda data: data.replace(b'"version":', b'"version":1,"version":', 1),
    "NaN": lambda data: data[:-1] + b',"x":NaN}',
    "infinite": lambda data: data[:-1] + b',"x":1e999}',
    "long number": lambda data: data[:-1] + b',"x":' + b"9" * 5000 + b"}",
    "fraction": lambda data: VERSION.sub(rb'"version":6.5', data),
    "text for a number": lambda data: VERSION.sub(rb'"version":"6"', data),
    "true for a number": lambda data: VERSION.sub(rb'"version":true', data),
    "negative": lambda data: VERSION.sub(rb'"version":-6', data),
    "no signatures": lambda data: data[: data.index(b'"signatures":') + 13] + b"[]," + data[data.index(b'"signed":') :],
    "signatures as object": lambda data: data.replace(b'"signatures":[{', b'"signatures":{"a":{', 1).replace(b"}],", b"}},", 1),
    "surrogate": lambda data: data.replace(b'"spec_version":"1', b'"spec_version":"\\ud800', 1),
    "no date": lambda data: data.replace(b'"expires":"2', b'"expires":"x', 1),
    "another role": lambda data: data.replace(b'"_type":"', b'"_type":"root', 1),
}


@pytest.mark.parametrize("victim", ["2.root.json", "timestamp.json", "6.snapshot.json", "6.targets.json"])
@pytest.mark.parametrize("how", HOSTILE.values(), ids=HOSTILE)
def test_hostile_documents(agent: Agent, victim: str, how: Callable[[bytes], bytes]) -> None:
    repository = agent.hotline.repository
    repository.add_root()
    # No digests, or those would refuse before anything is read.
    repository.sign_snapshot(6, 6, targets=None)
    repository.sign_timestamp(6, 6, snapshot=None)
    data = how(agent.hotline.files[victim])
    assert data != agent.hotline.files[victim]
    said = agent.refusal(Tampering(agent.hotline, lambda name, was: data if name == victim else was))
    assert victim in said
    assert said.isprintable()
    assert agent.refusal() == "", "and it heals"


# Keys.


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
def test_signed_by_a_key_of_another_role(agent: Agent, role: str) -> None:
    repository = agent.hotline.repository
    wrong = {name: key for name, key in repository.online.items() if name != role} | {"root": repository.root_keys[0]}
    for number, key in enumerate([*wrong.values(), make_keys(1)[0]]):
        right, repository.online[role] = repository.online[role], key
        agent.hotline.publish()
        assert "signatures" in agent.refusal(), list(wrong)[number : number + 1]
        repository.online[role] = right
    agent.hotline.publish()
    assert agent.refusal() == ""


def test_another_repository(agent: Agent) -> None:
    other = make_hotline()
    other.publish()
    assert "signatures" in agent.refusal(other)


@pytest.mark.parametrize(
    ("old", "new", "good"),
    [
        (3, 3, True), (2, 2, True), (2, 3, True), (3, 2, True),
        (1, 3, False), (3, 1, False), (0, 3, False), (3, 0, False), (1, 1, False), (0, 0, False),
    ],
)  # fmt: skip
def test_a_root_needs_the_threshold_of_old_and_new_keys(tmp_path: Path, old: int, new: int, good: bool) -> None:
    hotline = make_hotline(root_keys=make_keys(3), threshold=2)
    hotline.publish()
    agent = Agent(tmp_path / "tuf", hotline)
    agent.refresh()
    before, after = hotline.repository.root_keys, make_keys(3)
    hotline.repository.root_keys = after
    hotline.repository.add_root([*before[:old], *after[:new]])
    hotline.publish()
    said = agent.refusal()
    assert ("2.root.json" in said and "signatures" in said) != good
    assert agent.held is not None
    assert agent.held.root == (2 if good else 1)


@pytest.mark.parametrize("version", [1, 3, HUGE])
def test_a_root_of_another_version_than_its_name(agent: Agent, version: int) -> None:
    repository = agent.hotline.repository
    repository.add_root(version=version)
    assert "2.root.json" in agent.refusal()


def test_new_online_keys(agent: Agent) -> None:
    for role in ("timestamp", "snapshot", "targets"):
        agent.hotline.repository.rotate_online(role)
        agent.hotline.publish()
        agent.refresh()
    assert agent.held is not None
    assert agent.held.root == 4


@pytest.mark.parametrize("roles", [(), ("timestamp", "snapshot")], ids=["all", "without targets"])
def test_recovery_from_a_fast_forward(agent: Agent, roles: tuple[str, ...]) -> None:
    """Stolen online keys signed the highest version; new keys begin to count anew (specification, 5.3.11)."""
    good = agent.hotline.lists
    agent.hotline.sequence = HUGE
    agent.hotline.publish()
    assert agent.refresh().sequence == HUGE
    agent.hotline.sequence, agent.hotline.lists = 7, good
    agent.hotline.publish()
    assert "version" in agent.refusal(), "not before the keys have changed"
    agent.hotline.repository.rotate_online(*roles)
    agent.hotline.publish()
    assert agent.refusal() == ""
    assert agent.held is not None
    assert agent.held.sequence == 8


def test_a_chain_of_roots_and_its_end(tmp_path: Path) -> None:
    hotline = make_hotline()
    for _ in range(MAX_ROTATIONS):
        hotline.repository.rotate_root_keys()
    hotline.publish()
    agent = Agent(tmp_path / "tuf", hotline)
    assert agent.refresh().root == 1 + MAX_ROTATIONS
    assert agent.held is not None
    assert agent.trust.reopen(agent.held.proof) == agent.held
    watched = Tampering(hotline, lambda name, data: data)
    agent.refresh(watched)
    assert watched.names == ["timestamp.json"], "roots are kept, and 33 are enough"
    hotline.repository.rotate_online()
    hotline.publish()
    assert "signatures" in agent.refusal(), "a host that slept through 33 roots is enrolled anew"


def test_a_root_keyed_rotation_while_the_agent_slept(agent: Agent) -> None:
    for number in (3, 1, 5):
        agent.hotline.repository.rotate_root_keys(number, threshold=(number + 1) // 2)
        agent.hotline.repository.rotate_online()
    agent.hotline.publish()
    assert agent.refresh().root == 7


# Another provider.


def test_metadata_of_another_provider_is_refused_and_leaves_nothing_behind(agent: Agent, tmp_path: Path) -> None:
    """One root for all providers: only the name in the targets tells them apart. Its higher versions must not lock us out."""
    mine = agent.hotline.repository
    theirs = Repository(NOW, "other", root_keys=mine.root_keys, online=mine.online, roots=list(mine.roots))
    theirs.files.update({f"{number}.root.json": data for number, data in enumerate(mine.roots, 1)})
    other = with_keys(Hotline(provider="other", sequence=HUGE), theirs)
    other.publish()
    assert Agent(tmp_path / "other", other).refresh().provider == "other", "good metadata, for others"
    assert "provider 'other'" in agent.refusal(other)
    assert agent.refresh().sequence == 6


def test_a_folder_that_served_another_enrolment(agent: Agent) -> None:
    """Another service with other keys and lower versions, the same folder: what is there counts for nothing."""
    agent.hotline.repository.rotate_root_keys()
    agent.hotline.sequence = HUGE
    agent.hotline.publish()
    agent.refresh()
    other = make_hotline()
    other.publish()
    again = Agent(agent.folder, other)
    assert again.refresh().sequence == 5
    assert again.held is not None
    assert again.held.root == 1


# The fetcher.


@pytest.mark.parametrize(
    "error", [RefusedError("suspended"), ServiceUnavailable("slow", retry_after=5), FilterError("redirect")]
)
@pytest.mark.parametrize("moment", range(5))
def test_what_the_fetcher_raises_comes_through(agent: Agent, error: HashscanError, moment: int) -> None:
    (agent.folder / ACCEPTED).unlink()
    watched = Tampering(agent.hotline, lambda name, data: fail() if len(watched.names) == moment + 1 else data)

    def fail() -> bytes:
        raise error

    if moment == 0:
        agent.hotline.repository.add_root()
    with pytest.raises(type(error)) as caught:
        agent.refresh(watched)
    assert caught.value is error


@pytest.mark.parametrize("name", ["timestamp.json", "6.snapshot.json", "6.targets.json", chain.VERDICT_KEYS])
def test_not_published(agent: Agent, name: str) -> None:
    (agent.folder / ACCEPTED).unlink()
    del agent.hotline.files[name]
    with pytest.raises(NotPublishedError, match=name):
        agent.refresh()


# The folder.


def everything(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() or path.is_symlink())


def test_private_and_tidy(agent: Agent) -> None:
    (agent.folder / METADATA / "tmpabcd").write_bytes(b"torn")
    (agent.folder / METADATA / ROOTS / "tmpabcd").write_bytes(b"torn")
    (agent.folder / METADATA).chmod(0o755)
    agent.refresh()
    for path in (agent.folder, agent.folder / METADATA, agent.folder / METADATA / ROOTS):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert {str(path.relative_to(agent.folder)) for path in everything(agent.folder)} == {
        "accepted.json", "metadata/root.json", "metadata/root_history/1.root.json",
        "metadata/timestamp.json", "metadata/snapshot.json", "metadata/targets.json",
    }  # fmt: skip


def replace(path: Path, make: Callable[[], object]) -> None:
    path.unlink()
    make()


DAMAGE: dict[str, Callable[[Path], object]] = {
    "gone": lambda path: path.unlink(),
    "empty": lambda path: replace(path, lambda: path.write_bytes(b"")),
    "torn": lambda path: replace(path, lambda: path.write_bytes(b'{"signed": {"version"')),
    "zeros": lambda path: replace(path, lambda: path.write_bytes(bytes(1000))),
    "deep": lambda path: replace(path, lambda: path.write_bytes(DEEP)),
    "empty object": lambda path: replace(path, lambda: path.write_bytes(b"{}")),
    "wrong types": lambda path: replace(path, lambda: path.write_bytes(b'{"signed": 3, "signatures": {"a": []}}')),
    "huge": lambda path: replace(path, lambda: os.truncate(path, 2**33) if path.write_bytes(b"") == 0 else None),
    "directory": lambda path: replace(path, lambda: (path / "x").mkdir(parents=True)),
    "FIFO": lambda path: replace(path, lambda: os.mkfifo(path)),
    "link to everything": lambda path: replace(path, lambda: path.symlink_to("/dev/zero")),
    "link to nowhere": lambda path: replace(path, lambda: path.symlink_to("nowhere")),
    "link to itself": lambda path: replace(path, lambda: path.symlink_to(path.name)),
}


@pytest.mark.parametrize("how", DAMAGE.values(), ids=DAMAGE)
def test_what_is_damaged_on_the_disk_is_fetched_again(agent: Agent, how: Callable[[Path], object]) -> None:
    agent.hotline.repository.rotate_root_keys()
    lists = agent.refresh()
    paths = everything(agent.folder)
    assert len(paths) == 7
    for path in paths:
        if path.name == ACCEPTED and how is DAMAGE["directory"]:
            continue  # a rename cannot replace it: the next test
        how(path)
        again = agent.refresh()
        assert again == lists
        assert everything(agent.folder) == paths
    for path in paths:
        if path.name != ACCEPTED:
            how(path)
    assert agent.refresh() == lists


@pytest.mark.parametrize("how", ["directory", "file in the way"])
def test_what_is_no_file_of_ours_is_told(agent: Agent, tmp_path: Path, how: str) -> None:
    if how == "directory":
        DAMAGE["directory"](agent.folder / ACCEPTED)
    else:
        agent.folder = tmp_path / "file"
        agent.folder.write_bytes(b"")
    with pytest.raises(StateError, match="stored") as caught:
        agent.refresh()
    assert "unchanged" in caught.value.hint


def test_files_of_an_older_state_do_not_come_back(agent: Agent) -> None:
    """An old folder restored from a backup makes no rollback: the lists in force remember."""
    old = {path: path.read_bytes() for path in everything(agent.folder) if not path.is_symlink()}
    old_service = dict(agent.hotline.files)
    agent.hotline.publish()
    agent.refresh()
    for path, data in old.items():
        path.write_bytes(data)
    agent.hotline.files = old_service
    assert "older" in agent.refusal()


@pytest.mark.parametrize("kib", [0, 4])  # with 8 all is well
def test_a_full_disk(tmp_path: Path, kib: int) -> None:
    def body() -> None:
        hotline = make_hotline()
        hotline.publish()
        tmpfs(tmp_path / "disk", 64)
        agent = Agent(tmp_path / "disk" / "tuf", hotline)
        agent.refresh()
        held = (agent.folder / ACCEPTED).read_bytes()
        hotline.lists = {LIST: [Known(b"harmless"), Known(b"new")]}
        hotline.publish()
        free = os.statvfs(tmp_path / "disk")
        (tmp_path / "disk" / "ballast").write_bytes(bytes(max(free.f_bavail * free.f_bsize - 1024 * kib, 0)))
        with pytest.raises(StateError, match="No space"):
            agent.refresh()
        assert (agent.folder / ACCEPTED).read_bytes() == held
        (tmp_path / "disk" / "ballast").unlink()
        assert agent.refresh().sequence == 6

    with_own_mounts(body)


def test_killed_between_any_two_pieces(agent: Agent) -> None:
    """Old or new is remembered, never a mixture; and the next refresh goes through and leaves no rest."""
    agent.hotline.repository.rotate_online()
    agent.hotline.repository.rotate_root_keys()
    agent.hotline.publish()
    held, before = agent.held, agent.folder.with_name("before")
    assert held is not None
    shutil.copytree(agent.folder, before, symlinks=True)
    for moment in range(5):  # two roots, timestamp, snapshot, targets

        def deadly(name: str, data: bytes, moment: int = moment, pieces: Iterator[int] = itertools.count()) -> bytes:  # noqa: B008
            if next(pieces) == moment:
                signal.raise_signal(signal.SIGKILL)
            return data

        assert run(lambda deadly=deadly: agent.refresh(Tampering(agent.hotline, deadly))) == -signal.SIGKILL  # type: ignore[misc]
        assert agent.trust.reopen((agent.folder / ACCEPTED).read_bytes()) == held
        lists = agent.trust.refresh(agent.hotline)
        assert (lists.sequence, lists.root) == (7, 3)
        assert not list(agent.folder.rglob("tmp*"))
        shutil.rmtree(agent.folder)
        shutil.copytree(before, agent.folder, symlinks=True)


# Any repository.


def test_without_our_fields(tmp_path: Path) -> None:
    hotline = make_hotline()
    hotline.publish()
    refreshed = refresh(hotline, tmp_path, hotline.root, clock=lambda: NOW)
    keys = refreshed.target(chain.VERDICT_KEYS, max_bytes=1000)
    assert keys == hotline.files[chain.VERDICT_KEYS]
    assert refreshed.target(chain.VERDICT_KEYS, max_bytes=1000, kept=keys) is keys
    assert refreshed.target(chain.VERDICT_KEYS, max_bytes=1000, kept=b"x") == keys
    with pytest.raises(FilterError, match="longer"):
        refreshed.target(chain.VERDICT_KEYS, max_bytes=10)
    with pytest.raises(FilterError, match="do not name it"):
        refreshed.target("../../etc/passwd", max_bytes=10)
    assert refreshed.chain(keys).roots == (hotline.root,)


@pytest.mark.parametrize("root", [b"", b"{}", b"[]", DEEP, b"x" * 600_000])
def test_a_pinned_root_that_is_none(tmp_path: Path, root: bytes) -> None:
    with pytest.raises(FilterError, match="pinned root"):
        refresh(make_hotline(), tmp_path, root)


def test_a_seed_of_nothing_forgets(agent: Agent) -> None:
    folder = agent.folder / METADATA
    seed(folder, None)
    assert {path.name for path in everything(folder)} == {"1.root.json"}
