"""June 2021 again: the digest of a stock image that thousands of customers have stands on a list.

A few of them are moved, then a limit holds the rest and says why; the alert fires. The list takes the entry back, and one
command undoes everything, for customers who have put something else in its place too.
"""

from __future__ import annotations

import hashlib
import os
import random
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.support.budget import attempts
from tests.support.world import Hotline, Mark, World, marks

STOCK = b"a stock image of a popular program; as harmless as anything\n" * 500
CUSTOMERS = 5_000
PER_ENTRY = 20


def _plant(world: World, count: int) -> dict[bytes, Mark]:
    for number in range(count):
        home = world.tree / f"customer{number:04}" / "wp-content"
        home.mkdir(parents=True)
        (home / "screenshot.png").write_bytes(STOCK)
        (home / "index.php").write_bytes(b"nothing here\n")
        os.chmod(home / "screenshot.png", random.Random(number).choice([0o600, 0o640, 0o644]))
        if os.geteuid() == 0:
            os.chown(home / "screenshot.png", 10_000 + number, 10_000 + number)
        os.utime(home / "screenshot.png", ns=(10**18 + number, 10**18 + 7 * number))
    return marks(world.tree)


def _same(before: dict[bytes, Mark], after: dict[bytes, Mark], *, beside: frozenset[bytes]) -> None:
    """Every file as it was: bytes, owner, mode and modification time."""
    for path, mark in before.items():
        if b".png" not in path:
            continue
        found = (
            after[path]
            if path not in beside
            else next(mark for other, mark in after.items() if other.startswith(path + b".restored-"))
        )
        assert found.restored() == mark.restored(), path


@pytest.mark.slow
def test_a_wrong_entry_moves_a_few_files_and_all_come_back(
    own_hotline: Callable[[], AbstractContextManager[Hotline]], tmp_path: Path
) -> None:
    count = min(CUSTOMERS, attempts(100))
    with own_hotline() as hotline:
        world = hotline.admit(tmp_path / "acme")
        world.configure(quarantine={"enabled": True}, tenants={"rules": [f"{world.tree}/{{tenant}}/"]})
        before = _plant(world, count)
        wrong = tmp_path / "wrong.txt"
        wrong.write_text(hashlib.sha1(STOCK, usedforsecurity=False).hexdigest() + "\n")
        world.service("import", wrong, "--list", "police")
        world.service("publish")
        assert world.run("sync", "-q").code == 0

        told = world.scan()
        assert told.code == 12
        actions = Counter(event["action"] for event in told.of("action"))
        assert actions == {"quarantined": PER_ENTRY, "held": count - PER_ENTRY}
        reason = next(event["reason"] for event in told.of("action") if event["action"] == "held")
        assert f"{PER_ENTRY} owners of one entry" in reason
        assert len({event["tenant"] for event in told.of("action")}) == count

        night = world.scan()
        assert (night.code, Counter(event["action"] for event in night.of("action"))) == (12, {"held": count - PER_ENTRY})

        gone = [path for path in before if path.endswith(b".png") and not os.path.lexists(path)]
        assert len(gone) == PER_ENTRY
        taken = frozenset(gone[:5])
        for path in taken:  # these customers have noticed, and helped themselves
            Path(os.fsdecode(path)).write_bytes(b"another image\n")

        world.service(
            "withdraw",
            "--list",
            "police",
            hashlib.sha1(STOCK, usedforsecurity=False).hexdigest(),
            "--reason",
            "stock image",
            "--by",
            "anna",
            "--alone",
        )
        world.service("publish")
        synced = world.run("sync", "--json")
        assert synced.code == 0
        (event,) = synced.of("withdrawn")
        assert event["cases"] == count

        proposed = world.run("quarantine", "restore", "--withdrawn")
        assert proposed.code == 10
        assert len(gone) == sum(not os.path.lexists(path) for path in gone) + len(taken)
        done = world.run("quarantine", "restore", "--withdrawn", "--yes")
        assert done.code == 0, done.err
        assert f"{PER_ENTRY} restored, {count - PER_ENTRY} dismissed, 0 not restored" in done.err
        _same(before, marks(world.tree), beside=taken)
        assert all(Path(os.fsdecode(path)).read_bytes() == b"another image\n" for path in taken)

        assert world.run("quarantine", "restore", "--withdrawn").code == 0
        after = world.scan()
        assert (after.code, after.of("action"), after.of("finding")) == (0, [], [])
        print(f"\nwrong list: {count} customers, {PER_ENTRY} moved, {count - PER_ENTRY} held, all as before after one command")
