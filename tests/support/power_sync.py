"""A sync while the power goes: new lists come into force wholly or not at all, and the next sync goes through."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from hashscan.errors import HashscanError
from hashscan.jobs.sync import SyncTools, sync
from tests.hostile.test_sync_kills import AFTER, BEFORE, Place
from tests.support.power_scenes import Found, Search, explore_any
from tests.support.powerloss import Stage
from tests.support.recording import mark


class Host:
    """A host on a disk of its own, with version 1 of a list and version 2 published."""

    split = False

    def __init__(self, top: Path) -> None:
        self.top, self.volumes = top, [top]
        self.place: Place | None = None

    def build(self, stage: Stage) -> None:
        """The host as it is before the sync."""
        stage.mount(self.top)
        self.place = Place(self.top)

    def the_place(self) -> Place:
        assert self.place is not None
        return self.place


def explore_sync(search: Search, sync_with: Callable[[SyncTools], object] = sync) -> Found:
    """The power goes while new lists are fetched and brought into force."""

    def body(host: Host) -> None:
        place = host.the_place()
        sync_with(place.tools(place.start))
        mark("synced")

    return explore_any(Host, body, search, wrong_lists)


def wrong_lists(host: Host, told: tuple[str, ...]) -> Iterator[str]:
    """What is wrong with the lists of a host after the power went."""
    place = host.the_place()
    try:
        found = place.in_force(place.start)
        if found not in ((AFTER,) if told else (BEFORE, AFTER)):
            yield f"{found} are in force"
        sync(place.tools(place.start))
        if place.in_force(place.start) != AFTER:
            yield "the next sync did not bring the new lists"
    except (HashscanError, OSError, ValueError) as error:
        yield repr(error)
