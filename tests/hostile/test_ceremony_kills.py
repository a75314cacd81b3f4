"""kill -9 before every step on the disk of an install and of a rotation: the old keys are in force or the new, never none."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from hashscan.known.envelopes import SigningKey
from hashscan.known.metadata import ONLINE_ROLES, read_root
from hashscan.service import ceremony, keys
from hashscan.service.keys import OnlineKeys
from hashscan.service.store import open_store
from hashscan.service.tables import Role
from tests.support import children
from tests.support.ceremony import DAY, NOW, Holders, keyed_store

pytestmark = pytest.mark.slow

STEPS = {"open", "os.rename", "os.remove", "os.mkdir", "os.listdir", "sqlite3.connect"}
NEVER = 1_000_000


def killed_at(data: Path, moment: int, work: Callable[[], object]) -> int:
    """Run ``work`` in a child that dies before its ``moment``-th step in ``data``; the number of the signal, or 0."""

    def body() -> None:
        left = moment

        def hook(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal left
            if event in STEPS and str(data) in str(arguments[0]):
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                left -= 1

        sys.addaudithook(hook)  # cannot be taken away again: the child ends with it
        work()

    return -children.run(body)


def install(data: Path, draft: Path) -> int:
    with open_store(data) as store:
        return ceremony.install(store, draft, now=NOW + DAY).version


def rotate(data: Path) -> None:
    with open_store(data) as store:
        keys.rotate_verdict_key(store, DAY, now=NOW + 2 * DAY)


def signing(data: Path) -> tuple[int, list[SigningKey]]:
    """The version of the root in force, and the keys of all roles; raises where one is missing."""
    with open_store(data) as store:
        opened = OnlineKeys.open(store, now=lambda: NOW + 2 * DAY)
        plan = read_root(opened.latest_root())
        found = [key for role in Role for key in opened.signing(role)]
        assert {key.public_hex() for key in found} >= {plan.online[role] for role in ONLINE_ROLES}
        return plan.version, found


def world(tmp_path: Path) -> tuple[Path, Path]:
    """A service with a root, and a draft with new online keys that all signed."""
    data = tmp_path / "first"
    with keyed_store(data) as store:
        holders = Holders(tmp_path / "home", "abc")
        holders.begin(store, "abc", 2)
        draft = holders.signed(ceremony.draft_rotate_online(store, list(keys.ROOT_ROLES), now=NOW), "ab")
    return data, draft


def test_killed_at_every_step_of_an_install(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, draft = world(tmp_path)
    seen = Counter[int]()
    for moment in range(NEVER):
        data = tmp_path / f"copy-{moment}"
        shutil.copytree(first, data)
        ended = killed_at(data, moment, lambda data=data: install(data, draft))
        version, _ = signing(data)
        if not ended:
            break
        assert ended == signal.SIGKILL
        seen[version] += 1
        if version == 1:
            assert install(data, draft) == 2, "what was cut off can be done again"
        with open_store(data) as store:
            keys.remove_retired(store, now=NOW + DAY)
        assert signing(data)[0] == 2
        assert len(list((data / "keys").iterdir())) == 4, "the next change of keys removes what the cut left"
        shutil.rmtree(data)
    with capsys.disabled():
        print(f"\n  install: {seen.total()} kills, root in force afterwards {dict(sorted(seen.items()))}")
    assert set(seen) == {1, 2}, "kills fell on both sides of the point of no return"
    assert version == 2


def test_killed_at_every_step_of_a_rotation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, _ = world(tmp_path)
    seen = Counter[int]()
    for moment in range(NEVER):
        data = tmp_path / f"copy-{moment}"
        shutil.copytree(first, data)
        ended = killed_at(data, moment, lambda data=data: rotate(data))
        count = len(signing(data)[1]) - len(ONLINE_ROLES)
        if not ended:
            break
        assert ended == signal.SIGKILL
        seen[count] += 1
        rotate(data)
        assert len(signing(data)[1]) - len(ONLINE_ROLES) == count + 1
        shutil.rmtree(data)
    with capsys.disabled():
        print(f"\n  rotation: {seen.total()} kills, verdict keys in use afterwards {dict(sorted(seen.items()))}")
    assert set(seen) == {1, 2}
    assert count == 2
