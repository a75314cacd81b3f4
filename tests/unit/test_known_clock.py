"""The rule of the clock that jumped back, over all orders of the times that it compares."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from hashscan.errors import FilterError
from hashscan.known import clock
from hashscan.known.clock import Seen, read_last_sync, refuse_doubt, seen, write_last_sync
from hashscan.model import Lists

NOW = 1_790_000_000.0
HOUR = 3600.0


def lists(issued: float = NOW, expires: float = NOW + 48 * HOUR) -> Lists:
    return Lists("acme", issued, expires, 1, (), (), b"")


def test_without_lists_nothing_is_known() -> None:
    """A time remembered without signed words beside it could keep this host from its first sync for ever."""
    assert seen(NOW + 1e9, None) == Seen()
    assert seen(None, None) == Seen()
    assert not Seen().behind(0.0)
    assert Seen().doubt(0.0) == ""


@pytest.mark.parametrize(
    ("last", "latest"),
    [
        (None, NOW),
        (NOW - HOUR, NOW),
        (NOW, NOW),
        (NOW + HOUR, NOW + HOUR),
        (NOW + 48 * HOUR, NOW + 48 * HOUR),
        (NOW + 48 * HOUR + 1, NOW),
        (2e11, NOW),
    ],
)
def test_what_has_passed_follows_from_signed_words(last: float | None, latest: float) -> None:
    known = seen(last, lists())
    assert known.latest == latest
    assert known.last_sync == (last if latest == last or ((last or 0) < NOW and last is not None) else None)


@pytest.mark.parametrize(
    ("now", "behind"),
    [(NOW, 0), (NOW + 1, 0), (NOW - 299, 0), (NOW - 300, 0), (NOW - 301, 301), (NOW - HOUR, HOUR), (0.0, NOW)],
)
def test_five_minutes_are_nothing_and_more_is_told(now: float, behind: float) -> None:
    known = seen(None, lists())
    assert known.behind(now) == behind
    assert bool(known.doubt(now)) == bool(behind)


def test_the_rule_over_all_orders() -> None:
    """Never in doubt at or after all that has passed, always in doubt before any of it; at most 48 hours ahead of the truth."""
    times = [NOW + step * 6 * HOUR for step in range(-10, 11)]
    for issued, last, now in itertools.product(times, times, times):
        expires = issued + 48 * HOUR
        known = seen(last, lists(issued, expires))
        assert known.latest is not None
        assert known.latest <= expires, "what is remembered is bounded by what was signed: it heals"
        passed = [issued, *([last] if last <= expires else [])]
        assert bool(known.behind(now)) == any(now < one - clock.TOLERANCE for one in passed)


def test_words() -> None:
    known = seen(None, lists())
    assert known.doubt(NOW - 90 * 60) == "the clock of this host stands 1.5 hours before a time that it has seen"
    assert "10 minutes" in known.doubt(NOW - 600)
    refuse_doubt(known, NOW, Path("clock"))
    with pytest.raises(FilterError, match="lists in force are unchanged") as caught:
        refuse_doubt(known, NOW - HOUR, Path("clock"))
    assert caught.value.exit_code == 20


def test_the_file(tmp_path: Path) -> None:
    path = tmp_path / "state" / "clock"
    assert read_last_sync(path) is None
    write_last_sync(path, NOW + 0.25)
    assert read_last_sync(path) == NOW + 0.25
    assert path.stat().st_mode & 0o777 == 0o600
    for data in (b"", b"\xff", b"{}", b'{"format":1,"last_sync":"x"}', b'{"format":1,"last_sync":-1}', b"{" * 200, b" " * 300):
        path.write_bytes(data)
        assert read_last_sync(path) is None
    path.unlink()
    path.mkdir()
    with pytest.raises(FilterError, match="cannot read"):
        read_last_sync(path)
