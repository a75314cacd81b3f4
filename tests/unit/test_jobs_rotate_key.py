"""A new API key without a gap: killed at any point, the key in the file works, and the same command finishes."""

from __future__ import annotations

import os
import stat
from contextlib import AbstractContextManager, closing
from pathlib import Path

import pytest

from hashscan.errors import LockedError, RefusedError, ServiceUnavailable, StateError, UsageError
from hashscan.jobs.rotate_key import Files, KeyDesk, rotate_key
from hashscan.jobs.settling import alone
from hashscan.known.enrolment import api_key_sha256, new_api_key
from hashscan.service import admin, agents
from hashscan.service.tables import Phase
from tests.support import children
from tests.support.enrolling import NOW, Desk, found_service, opened


class Host:
    """An agent with its key in a file."""

    def __init__(self, top: Path) -> None:
        self.data = found_service(top, "acme", "other")
        self.folder = top / "etc"
        admin.add_provider(self.data, "third", phase=Phase.REGULAR, url="https://hashes.example.org", out=self.folder)
        self.files = Files(self.folder / "api-key")
        self.lose = 0

    @property
    def key(self) -> str:
        return self.files.key.read_text().strip()

    def connect(self, api_key: str) -> AbstractContextManager[KeyDesk]:
        desk = Desk(self.data, api_key)
        desk.lose, self.lose = self.lose, 0
        return closing(desk)

    def rotate(self) -> str:
        return rotate_key(self.key, self.files, self.connect, "web1")

    def works(self) -> bool:
        return Desk(self.data, self.key).works()

    def left(self) -> set[str]:
        return {path.name for path in self.folder.iterdir()} - {"config.toml", "provider-key", "root.json"}

    def working(self) -> int:
        return sum(one.revoked is None for one in admin.agents(self.data, "third").keys)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_the_new_key_works_and_the_old_one_does_not(host: Host) -> None:
    old = host.key
    new = host.rotate()
    assert host.key == new != old
    assert host.works()
    assert not Desk(host.data, old).works()
    assert host.left() == {"api-key"}
    assert stat.S_IMODE(host.files.key.stat().st_mode) == 0o600
    assert [one.label for one in admin.agents(host.data, "third").keys] == ["folder", "web1"]


def test_again_and_again(host: Host) -> None:
    seen = {host.rotate() for _ in range(5)}
    assert len(seen) == 5
    assert host.working() == 1


def test_killed_at_every_step_and_every_change_of_the_disk(tmp_path: Path) -> None:
    """At each moment the key in the file works; then the same command finishes, and one key is left that works."""
    kills = 0
    host = Host(tmp_path)
    while True:

        def dying(moment: int = kills) -> None:
            death = children.Death(moment)
            for name in ("rename", "unlink", "fsync", "open"):
                _before(name, death)
            rotate_key(host.key, host.files, host.connect, "web1", death)

        ended = children.run(dying)
        assert host.works(), f"no key works after {kills} changes"
        if ended == 0:
            break
        kills += 1
        host.rotate()
        assert host.works()
        assert host.working() == 1
        assert host.left() - {one for one in host.left() if one.startswith(".")} == {"api-key"}
    assert kills > 20
    print(f"killed at {kills} moments")


def _before(name: str, death: children.Death) -> None:
    """In a child only: the system call waits for death."""
    real = getattr(os, name)

    def call(*args: object, **more: object) -> object:
        death(name)
        return real(*args, **more)

    setattr(os, name, call)


@pytest.mark.parametrize("reply", [1, 2, 3])
def test_a_lost_reply_is_asked_for_again(host: Host, reply: int) -> None:
    """The service has done it, and nobody knows: of adding the key, of trying it, of ending the old one."""
    asked = 0
    real = host.connect

    def connect(api_key: str) -> AbstractContextManager[KeyDesk]:
        nonlocal asked
        asked += 1
        host.lose = int(asked == reply)
        return real(api_key)

    with pytest.raises(ServiceUnavailable):
        rotate_key(host.key, host.files, connect, "web1")
    assert host.works()
    host.rotate()
    assert host.works()
    assert host.working() == 1
    assert host.left() == {"api-key"}


def test_a_revoked_agent_keeps_what_it_has(host: Host) -> None:
    before = host.key
    with opened(host.data) as store:
        agents.revoke(store, "third", str(admin.agents(host.data, "third").keys[0].id), now=NOW)
    with pytest.raises(RefusedError, match="401"):
        host.rotate()
    assert host.key == before
    assert host.left() == {"api-key"}


def test_a_leftover_of_another_enrolment_is_not_taken(host: Host) -> None:
    """A key that the service does not want is dropped; the next attempt makes a fresh one."""
    other = new_api_key()
    with opened(host.data) as store, store.writing() as session:
        agents.add_key(session, 1, bytes.fromhex(api_key_sha256(other)), "elsewhere", NOW)
    host.files.new.write_text(other)
    with pytest.raises(RefusedError, match="409"):
        host.rotate()
    assert host.works()
    assert host.rotate() != other


def test_a_note_of_a_key_that_is_not_ours_is_told(host: Host) -> None:
    host.files.retire.write_text("0" * 64)
    with pytest.raises(RefusedError) as caught:
        host.rotate()
    assert str(host.files.retire) in caught.value.hint
    assert host.works()


def test_what_cannot_be_written_changes_nothing(host: Host) -> None:
    before = host.key
    host.files.new.mkdir()
    with pytest.raises(StateError):
        host.rotate()
    assert host.key == before
    assert host.working() == 1


def test_one_at_a_time(host: Host) -> None:
    with alone(host.folder), pytest.raises(LockedError):
        host.rotate()
    with pytest.raises(UsageError, match="label"):
        rotate_key(host.key, host.files, host.connect, "no label")
