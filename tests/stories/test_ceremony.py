"""The keys of a service over some years: a ceremony of two out of three, thefts, and what an updater makes of all that.

The updater is python-tuf's own, with no code of ours around its decisions.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tuf.api.exceptions import DownloadHTTPError, ExpiredMetadataError, RepositoryError, UnsignedMetadataError
from tuf.ngclient import FetcherInterface, Updater

from hashscan.known import metadata
from hashscan.known.metadata import RootPlan, draft_root
from hashscan.service import ceremony, keys, root_keys
from hashscan.service.keys import OnlineKeys
from hashscan.service.root_keys import Draft
from hashscan.service.store import Store
from hashscan.service.tables import Role
from tests.support.ceremony import DAY, Holders, keyed_store
from tests.support.world import TIMEOUT, clean_environment

NOW = float(int(datetime.now(UTC).timestamp()))


class Published(FetcherInterface):
    """Serves files from memory."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files

    def _fetch(self, url: str) -> Iterator[bytes]:
        name = url.rpartition("/")[2]
        if name not in self.files:
            raise DownloadHTTPError("not there", 404)
        return iter([self.files[name]])


def publish(store: Store) -> dict[str, bytes]:
    """A repository as the service would publish it now: all roots, and what the online keys sign."""
    online = OnlineKeys.open(store)
    expires = NOW + DAY
    terms = {"provider": "acme", "wait": 0.0, "jitter": 0.0}
    targets = metadata.make_targets(version=1, expires=expires, files=(), keys=online.signing(Role.TARGETS), **terms)
    snapshot = metadata.make_snapshot(
        version=1, expires=expires, targets_version=1, targets=targets, keys=online.signing(Role.SNAPSHOT)
    )
    timestamp = metadata.make_timestamp(
        version=1, expires=expires, issued=NOW, snapshot_version=1, snapshot=snapshot, keys=online.signing(Role.TIMESTAMP)
    )
    files = {path.name: path.read_bytes() for path in online.root_files()}
    return {**files, "timestamp.json": timestamp, "1.snapshot.json": snapshot, "1.targets.json": targets}


def agree(folder: Path, root: bytes, files: dict[str, bytes]) -> int:
    """The version of the root that an updater believes which was given ``root`` at its installation."""
    folder.mkdir()
    updater = Updater(str(folder), "https://service.invalid/", fetcher=Published(files), bootstrap=root)
    updater.refresh()
    return int(metadata.read_root((folder / "root.json").read_bytes()).version)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with keyed_store(tmp_path / "data", now=NOW) as made:
        yield made


@pytest.fixture
def holders(tmp_path: Path) -> Holders:
    return Holders(tmp_path / "homes", "abcde")


def grow(store: Store, holders: Holders) -> list[RootPlan]:
    """Seven roots: each kind of change once, each with just enough signatures."""
    a, b, _, d, e = holders.publics("abcde")
    steps = [
        (lambda: ceremony.draft_init(store, holders.publics("abc"), 2, now=NOW), "ab"),
        (lambda: ceremony.draft_add(store, d, now=NOW), "bc"),
        (lambda: ceremony.draft_threshold(store, 3, now=NOW), "acd"),
        (lambda: ceremony.draft_revoke(store, a, now=NOW), "bcd"),
        (lambda: ceremony.draft_rotate(store, b, e, now=NOW), "bcde"),
        (lambda: ceremony.draft_rotate_online(store, list(keys.ROOT_ROLES), now=NOW), "cde"),
        (lambda: ceremony.draft_renewal(store, now=NOW + DAY), "cde"),
    ]
    return [holders.put_into_force(store, draft(), names, now=NOW) for draft, names in steps]


def test_an_updater_follows_from_every_version_to_the_last(store: Store, holders: Holders, tmp_path: Path) -> None:
    plans = grow(store, holders)
    assert [plan.version for plan in plans] == [1, 2, 3, 4, 5, 6, 7]
    files = publish(store)
    for plan in plans:
        assert agree(tmp_path / f"from-{plan.version}", files[f"{plan.version}.root.json"], files) == 7


def test_an_agent_that_slept_through_the_end_of_a_root_wakes_up(store: Store, holders: Holders, tmp_path: Path) -> None:
    long_ago = NOW - 500 * DAY
    holders.begin(store, "abc", 2, now=long_ago)
    with pytest.raises(ExpiredMetadataError):
        agree(tmp_path / "before", keys.latest_root(store), publish(store))
    holders.put_into_force(store, ceremony.draft_renewal(store, now=NOW), "ac", now=NOW)
    files = publish(store)
    assert agree(tmp_path / "after", files["1.root.json"], files) == 2


def test_a_root_below_the_threshold_is_believed_by_nobody(store: Store, holders: Holders, tmp_path: Path) -> None:
    """One stolen root key and the server: a root made with them is refused by agents, whatever our install says."""
    holders.begin(store, "abc", 2, now=NOW)
    files = publish(store)
    thief = Holders(tmp_path / "thief", "x")
    draft = ceremony.draft_renewal(store, now=NOW)
    for plan in (draft.plan, replace(draft.plan, root_keys=tuple(thief.publics("x")), threshold=1)):
        signed = root_keys.add_signature(Draft(draft.old, draft_root(plan)), root_keys.read_key(holders.files["a"].private))
        forged = metadata.sign(signed.new, root_keys.read_key(thief.files["x"].private))
        with pytest.raises(UnsignedMetadataError):
            agree(tmp_path / plan.root_keys[0][:8], files["1.root.json"], {**files, "2.root.json": forged})


def test_what_a_stolen_online_key_signs_is_worth_nothing_after_the_rotation(
    store: Store, holders: Holders, tmp_path: Path
) -> None:
    holders.begin(store, "abc", 2, now=NOW)
    stolen = publish(store)
    draft = ceremony.draft_rotate_online(store, [Role.TIMESTAMP], now=NOW)
    assert agree(tmp_path / "drafted", stolen["1.root.json"], publish(store)) == 1, "until the install the old key counts"
    holders.put_into_force(store, draft, "ab", now=NOW)
    new = publish(store)
    assert agree(tmp_path / "new", new["1.root.json"], new) == 2
    with pytest.raises(RepositoryError):
        agree(tmp_path / "old", new["1.root.json"], {**new, "timestamp.json": stolen["timestamp.json"]})


class Machine:
    """A computer with a folder and a shell; only the server has a service."""

    def __init__(self, home: Path, data: Path) -> None:
        home.mkdir()
        self.home, self.data = home, data

    def type(self, *words: str | Path, code: int = 0) -> str:
        line = [sys.executable, "-m", "hashscan", "service", "--data", self.data, "keys", *words]
        done = subprocess.run(
            line, cwd=self.home, env=clean_environment(), capture_output=True, text=True, timeout=TIMEOUT, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def bring(self, name: str, to: Machine) -> None:
        (to.home / name).write_bytes((self.home / name).read_bytes())


def test_a_ceremony_of_two_out_of_three_on_four_machines(tmp_path: Path) -> None:
    """The private halves never meet, and never meet the server; the machines that sign have no data folder."""
    data = tmp_path / "data"
    with keyed_store(data):
        pass
    server = Machine(tmp_path / "server", data)
    ann, ben, cem, dan = (Machine(tmp_path / name, tmp_path / "no-such-folder") for name in ("ann", "ben", "cem", "dan"))
    for machine in (ann, ben, cem, dan):
        machine.type("make", "mine")
        (machine.home / "mine.pub").rename(server.home / f"{machine.home.name}.pub")
    server.type("init", "--threshold", "2", "ann.pub", "ben.pub", "cem.pub")
    draft = "root-1.draft.json"
    server.bring(draft, ann)
    assert "This makes root version 1" in ann.type("sign", draft, "--key", "mine", "--yes")
    ann.bring(draft, server)
    assert "1 of the 2 signatures" in server.type("install", draft, code=2)
    ann.bring(draft, cem)
    assert "all signatures are there" in cem.type("sign", draft, "--key", "mine", "--yes")
    cem.bring(draft, server)
    server.type("install", draft)

    # A year later Ben's key is lost, and Dan takes his place.
    server.type("rotate", "ben.pub", "dan.pub", "--out", "two")
    server.bring("two", ann)
    told = ann.type("sign", "two", "--key", "mine", "--yes")
    assert "root key added" in told
    assert "root key removed" in told
    ann.bring("two", dan)
    told = dan.type("sign", "two", "--key", "mine", "--yes")
    assert "it still needs 1 more of the 3 keys of the old root" in told
    dan.bring("two", server)
    server.type("install", "two", code=2)
    dan.bring("two", cem)
    cem.type("sign", "two", "--key", "mine", "--yes")
    cem.bring("two", server)
    server.type("install", "two")
    assert "root version 2" in server.type("show")
    assert not (tmp_path / "no-such-folder").exists()
    assert {path.name for path in ann.home.iterdir()} == {"mine", draft, "two"}
