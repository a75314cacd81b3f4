"""Filters that were checked are remembered for whoever asks every minute: what has changed since is read and checked again."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from hashscan.errors import FilterError
from hashscan.known.keys import KeyRing, ProviderKey
from hashscan.known.memo import CHECKED
from hashscan.known.shelf import Shelf
from hashscan.model import ListRef, Lists, Target
from tests.support.hotline import LIST, NOW, Hotline, Known
from tests.support.syncing import Host

OTHER = ListRef("other", 3, 1)


class Looking(Shelf):
    """A shelf that counts the filters that it reads."""

    def look_again(self, lists: Lists) -> list[str]:
        self.read: list[str] = []
        self.check_all(lists)
        return sorted(self.read)

    def _open_verified(self, target: Target):  # type: ignore[no-untyped-def]
        self.read.append(target.list.id)
        return super()._open_verified(target)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    hotline = Hotline(lists={LIST: [Known(b"x")], OTHER: [Known(b"z")]})
    hotline.withdrawn = {"police": [Known(b"y")]}
    hotline.publish()
    made = Host(tmp_path / "lists", hotline)
    made.sync(now=NOW + 60)
    return made


@pytest.fixture
def memo(tmp_path: Path) -> Path:
    (tmp_path / "cache").mkdir(mode=0o700)
    return tmp_path / "cache"


def looking(host: Host, memo: Path | None, ring: KeyRing | None = None) -> tuple[Looking, Lists]:
    lists = host.shelf.lists()
    assert lists is not None
    return Looking(host.folder, host.hotline.trust(host.folder / "tuf"), ring or host.hotline.key, memo), lists


def the_filter(host: Host) -> Path:
    (path,) = host.folder.glob("police*.filter")
    return path


def test_what_has_not_changed_is_not_read_again(host: Host, memo: Path) -> None:
    shelf, lists = looking(host, memo)
    assert shelf.look_again(lists) == ["other", "police"]
    assert shelf.look_again(lists) == []
    assert (memo / CHECKED).stat().st_mode & 0o777 == 0o600
    assert len(json.loads((memo / CHECKED).read_text())["checked"]) == 2


def test_without_a_memo_everything_is_read(host: Host, tmp_path: Path) -> None:
    for folder in (None, tmp_path / "missing"):
        shelf, lists = looking(host, folder)
        assert [len(shelf.look_again(lists)) for _ in range(2)] == [2, 2]
    assert not (tmp_path / "missing").exists()


def written_again(path: Path) -> None:
    path.write_bytes(path.read_bytes())


def replaced(path: Path) -> None:
    """By a copy with the very times of the old one."""
    status, copy = path.stat(), path.with_name("copy")
    copy.write_bytes(path.read_bytes())
    os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))
    os.rename(copy, path)


@pytest.mark.parametrize("change", [written_again, replaced])
def test_what_has_changed_is_read(change: Callable[[Path], None], host: Host, memo: Path) -> None:
    shelf, lists = looking(host, memo)
    shelf.look_again(lists)
    change(the_filter(host))
    assert shelf.look_again(lists) == ["police"]
    assert shelf.look_again(lists) == []


def flipped(path: Path) -> None:
    """In place, and with the time of the last change that it had."""
    status, data = path.stat(), bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize("damage", [flipped, Path.unlink, lambda path: os.truncate(path, 10)])
def test_damage_is_told_each_time(damage: Callable[[Path], None], host: Host, memo: Path) -> None:
    shelf, lists = looking(host, memo)
    shelf.look_again(lists)
    whole = the_filter(host).read_bytes()
    path = the_filter(host)
    damage(path)
    for _ in range(2):
        with pytest.raises(FilterError, match="filter"):
            shelf.look_again(lists)
    path.write_bytes(whole)
    assert shelf.look_again(lists) == ["police"]


def test_damage_is_told_where_nothing_was_remembered(host: Host, memo: Path) -> None:
    shelf, lists = looking(host, memo)
    flipped(the_filter(host))
    for _ in range(2):
        with pytest.raises(FilterError, match="not the one that the signed metadata describes"):
            shelf.look_again(lists)


def test_the_withdrawn_entries_are_read_each_time(host: Host, memo: Path) -> None:
    shelf, lists = looking(host, memo)
    shelf.look_again(lists)
    (path,) = host.folder.glob("police*.withdrawn")
    flipped(path)
    with pytest.raises(FilterError, match="withdrawn"):
        shelf.look_again(lists)


def test_with_another_key_a_filter_is_checked_again_and_refused(host: Host, memo: Path) -> None:
    shelf, lists = looking(host, memo)
    shelf.look_again(lists)
    other, _ = looking(host, memo, KeyRing({1: ProviderKey(bytes(32))}))
    with pytest.raises(FilterError, match="canaries"):
        other.look_again(lists)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"checked": 7}', b'{"checked": [7]}', b'{"checked": ["x"]}', b"\xff" * 99]
)
def test_a_damaged_memo_is_a_memo_of_nothing(content: bytes, host: Host, memo: Path) -> None:
    shelf, lists = looking(host, memo)
    shelf.look_again(lists)
    (memo / CHECKED).write_bytes(content)
    assert shelf.look_again(lists) == ["other", "police"]
    assert shelf.look_again(lists) == []


def test_a_memo_that_others_can_write_or_that_is_a_link_is_not_believed(host: Host, memo: Path, tmp_path: Path) -> None:
    shelf, lists = looking(host, memo)
    shelf.look_again(lists)
    (memo / CHECKED).chmod(0o620)
    assert shelf.look_again(lists) == ["other", "police"], "and it is made anew"
    (memo / CHECKED).rename(tmp_path / "elsewhere")
    (memo / CHECKED).symlink_to(tmp_path / "elsewhere")
    assert shelf.look_again(lists) == ["other", "police"]


def test_only_what_is_in_force_is_remembered(host: Host, memo: Path) -> None:
    shelf, lists = looking(host, memo)
    shelf.look_again(lists)
    del host.hotline.lists[OTHER]
    host.hotline.publish()
    host.sync(now=NOW + 120)
    shelf, fewer = looking(host, memo)
    shelf.look_again(fewer)
    assert len(json.loads((memo / CHECKED).read_text())["checked"]) == 1
