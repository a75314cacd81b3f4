"""A tenant who keeps swapping what has the name, while it is taken or restored.

Nothing but the very file is ever taken, nothing outside the tree is touched, nothing is lost. Everything of ours is real: the
vault with its records, log and fsyncs, in memory; the tenant is a C program on another core and without our rights. Each race
must show that the tenant came between our look and our act, and each runs against a naive implementation too, which must be
caught: otherwise he was too slow to prove anything.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import race_restore, race_take, racing
from tests.support.budget import attempts
from tests.support.mounts import tmpfs, with_own_mounts
from tests.support.race_scenes import CONTROL, CONTROLS, KINDS
from tests.support.race_take import Make
from tests.support.racing import Count
from tests.support.world import REPOSITORY

pytestmark = [pytest.mark.slow, pytest.mark.optional("cc")]
SECONDS = attempts(400) / 1000  # for each race, at least
CONTROL_SECONDS = 30.0  # seconds at most, until a naive one is caught
NO_OPENAT2 = [
    ("race_take", "directory and link"),
    ("race_take", "file and link"),
    ("race_take", "file and FIFO"),
    ("race_take", "parent moved away"),
    ("race_restore", "directory and link"),
]


@pytest.fixture(scope="module")
def racer() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield racing.build(Path(folder))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    with racing.place(tmp_path) as top:
        yield top


Tell = Callable[[str, Count], None]


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Tell:
    def tell(name: str, count: Count) -> None:
        with capsys.disabled():
            print(count.told(name))

    return tell


def take_race(kind: str, place: Path, make: Make, racer: Path, seconds: float) -> Count:
    """With a mount of its own for the tree where the kind asks for one, and thus in another process."""
    wanted = {**KINDS, **CONTROLS}[kind]
    if wanted.root and not racing.ROOT:
        pytest.skip("not run: without root the tenant has our rights")
    if not wanted.mounted:
        return race_take.race(kind, place, make, racer, seconds)

    def body() -> None:
        tmpfs(place / "srv", 1 << 18)
        (place / "count").write_text(race_take.race(kind, place, make, racer, seconds).to_json())

    with_own_mounts(body)
    return Count.from_json((place / "count").read_text())


@pytest.mark.parametrize("kind", KINDS)
def test_take_against_a_swapping_tenant(kind: str, place: Path, racer: Path, tell: Tell) -> None:
    count = take_race(kind, place, race_take.Real, racer, SECONDS)
    tell(f"take, {kind}", count)
    assert count.wrong == []
    assert race_take.shown(KINDS[kind].shown, count)


@pytest.mark.parametrize("kind", KINDS)
def test_the_attacker_catches_a_naive_taker(kind: str, place: Path, racer: Path, tell: Tell) -> None:
    count = take_race(kind, place, race_take.NAIVE.get(kind, race_take.Naive), racer, CONTROL_SECONDS)
    tell(f"take, {kind}, naive", count)
    assert count.wrong


def test_the_race_notices_what_a_tenant_could_do(place: Path, racer: Path, tell: Tell) -> None:
    count = take_race(CONTROL, place, race_take.Real, racer, CONTROL_SECONDS)
    tell(f"take, {CONTROL}", count)
    assert any("the tenant could do this" in wrong for wrong in count.wrong)


@pytest.mark.parametrize("kind", race_restore.KINDS)
def test_restore_against_a_swapping_tenant(kind: str, place: Path, racer: Path, tell: Tell) -> None:
    count = race_restore.race(kind, place, race_restore.really, racer, SECONDS)
    tell(f"restore, {kind}", count)
    assert count.wrong == []
    assert race_take.shown(race_restore.KINDS[kind].shown, count)


@pytest.mark.parametrize("kind", race_restore.KINDS)
def test_the_attacker_catches_a_naive_restore(kind: str, place: Path, racer: Path, tell: Tell) -> None:
    count = race_restore.race(kind, place, race_restore.naively, racer, CONTROL_SECONDS)
    tell(f"restore, {kind}, naive", count)
    assert count.wrong


@pytest.mark.parametrize(("program", "kind"), NO_OPENAT2)
def test_against_a_swapping_tenant_without_openat2(program: str, kind: str, racer: Path, tell: Tell) -> None:
    """The switch is read when hashscan is imported: thus in a process of its own."""
    command = [sys.executable, "-m", f"tests.support.{program}", kind, str(SECONDS), str(racer)]
    env = {**os.environ, "HASHSCAN_NO_OPENAT2": "1"}
    done = subprocess.run(command, cwd=REPOSITORY, env=env, capture_output=True, text=True, timeout=SECONDS + 120, check=False)
    assert done.returncode == 0, done.stderr
    count = Count.from_json(done.stdout)
    tell(f"{program}, {kind}, without openat2", count)
    assert count.wrong == []
    wanted = KINDS[kind].shown if program == "race_take" else race_restore.KINDS[kind].shown
    assert race_take.shown(wanted, count)
