"""Power loss in every act of the vault: the disks that may be found afterwards, each made real, recovered and judged.

The model of a disk is in `tests.support.powerloss`, what must hold in `tests.support.power_scenes.found_wrong`. The controls
are movers that forget to sync, and our own recordings with their fsyncs left out: the same judge must find losses there.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.budget import attempts
from tests.support.mounts import with_own_mounts
from tests.support.power_scenes import (
    ACTS,
    CAREFUL,
    NAIVE,
    Found,
    Play,
    Search,
    Yard,
    explore,
    explore_again,
    explore_killed,
    lost_by_naive,
)
from tests.support.power_sync import explore_sync

pytestmark = [pytest.mark.slow, pytest.mark.optional("strace")]
KILLED = ("take", "take, other filesystem", "take, sealed", "hold", "release", "restore", "purge", "legal hold")


def searching(most: int) -> Search:
    """How many ways of losing what is pending are tried at one moment."""
    return Search(most=attempts(most))


def reported(capsys: pytest.CaptureFixture[str], title: str, names: tuple[str, ...], look: Callable[[Play], Found]) -> None:
    """Explore, print the counts, and fail with the first problem."""

    def body() -> None:
        states = judged = 0
        for name in names:
            found = look(ACTS[name])
            states, judged = states + len(found.states), judged + found.judged
            with capsys.disabled():
                print(
                    f"\n  {title}{name}: {found.calls} calls, {found.fsyncs} fsyncs, {len(found.states)} states,"
                    f" {found.judged} judged, {len(found.bad)} bad",
                    end="",
                    flush=True,
                )
            assert found.bad == [], name
        assert states > 100
        with capsys.disabled():
            print(f"\n  {title}{states} distinct states, {judged} judged, 0 bad", flush=True)

    with_own_mounts(body)


def test_power_loss_in_every_act(capsys: pytest.CaptureFixture[str]) -> None:
    reported(capsys, "", tuple(ACTS), lambda play: explore(play, searching(1)))


def test_killed_and_then_the_power_goes_in_recovery(capsys: pytest.CaptureFixture[str]) -> None:
    every = max(1, 30 // attempts(1))
    reported(capsys, "killed, ", KILLED, lambda play: explore_killed(play, searching(1), every=every))


def test_killed_and_then_the_power_goes_in_the_next_take(capsys: pytest.CaptureFixture[str]) -> None:
    every = max(1, 80 // attempts(1))
    names = ("take", "take, other filesystem", "take, sealed")
    reported(
        capsys, "killed before taking, ", names, lambda play: explore_killed(play, searching(1), every=every, then=Yard.take)
    )


def test_the_power_goes_again_in_recovery(capsys: pytest.CaptureFixture[str]) -> None:
    reported(capsys, "again, ", KILLED, lambda play: explore_again(play, searching(1), attempts(2)))


def test_power_loss_in_a_sync(capsys: pytest.CaptureFixture[str]) -> None:
    def body() -> None:
        found = explore_sync(Search(most=attempts(1), share=min(1.0, attempts(100) / 2000)))
        with capsys.disabled():
            print(f"\n  sync: {found.calls} calls, {found.fsyncs} fsyncs, {len(found.states)} states, {len(found.bad)} bad")
        assert found.bad == []
        assert explore_sync(Search(skip=lambda _: True, share=0.01)).bad, "without its fsyncs nothing was noticed"

    with_own_mounts(body)


@pytest.mark.parametrize("play", [NAIVE, CAREFUL], ids=lambda play: play.name)
def test_a_naive_mover_loses_files(play: Play) -> None:
    def body() -> None:
        assert "lost" in explore(play, Search(), lost_by_naive).bad[0]

    with_own_mounts(body)


@pytest.mark.parametrize("name", ["take", "restore", "purge", "hold", "release"])
def test_without_its_fsyncs_each_act_is_found_out(name: str) -> None:
    def body() -> None:
        assert explore(ACTS[name], Search(skip=lambda _: True)).bad

    with_own_mounts(body)


def test_which_fsyncs_of_a_take_are_needed(capsys: pytest.CaptureFixture[str]) -> None:
    """Each fsync left out alone: the judge notices those that the customer's file, or a promise, hangs on."""
    noticed: list[int] = []
    stride = max(1, 6 // attempts(1))

    def body() -> None:
        total = explore(ACTS["take, large"], Search(most=1, share=0)).fsyncs
        for number in range(1, total + 1, stride):
            found = explore(ACTS["take, large"], Search(most=2, skip=lambda one, number=number: one == number))  # type: ignore[misc]
            noticed.extend([number] if found.bad else [])
        with capsys.disabled():
            print(f"\n  a take, each {stride}. of {total} fsyncs left out alone: {len(noticed)} are noticed: {noticed}")
        assert noticed

    with_own_mounts(body)
