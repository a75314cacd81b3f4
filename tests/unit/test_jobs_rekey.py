"""The provider's keys for a new epoch: signed, for us, just now, readable with what we hold, and never a key forgotten."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashscan.errors import FilterError, RefusedError, StateError, UsageError
from hashscan.jobs.rekey import MAX_AGE, MAX_AHEAD, Rekeying, fetch_ring, merged
from hashscan.known.enrolment import wrap_ring
from hashscan.known.envelopes import PROVIDER_KEYS, VERDICT, SigningKey
from hashscan.known.keys import KeyRing, ProviderKey
from hashscan.model import VerdictKey
from hashscan.service import admin
from hashscan.service.keys import OnlineKeys
from hashscan.service.tables import Phase
from tests.support.enrolling import NOW, Desk, found_service, opened

FIRST, SECOND, OTHER = (ProviderKey(bytes([number]) * 32) for number in (1, 2, 3))
SIGNING = SigningKey.generate()
KEYS = (VerdictKey(SIGNING.public_hex(), NOW - 1000, None),)


class Answering:
    """A service that answers with FIRST since 1 and SECOND since 2; ``change`` is done to the payload before it is signed."""

    def __init__(self, change: Callable[[dict[str, Any]], object] = lambda _: None, **more: Any) -> None:
        self.change = change
        self.key = more.get("key", SIGNING)
        self.kind = more.get("kind", PROVIDER_KEYS)
        self.held = more.get("held", FIRST)

    def provider_keys(self, nonce: str, have: int) -> bytes:
        ring = KeyRing({1: FIRST, 2: SECOND})
        document: dict[str, Any] = {"provider": "acme", "nonce": nonce, "issued": NOW, "have": have}
        document.update(wrap_ring(ring, self.held.raw, "acme", nonce))
        self.change(document)
        return bytes(self.key.seal(json.dumps(document).encode(), self.kind))


def fetch(source: Answering, keys: tuple[VerdictKey, ...] = KEYS, now: float = NOW) -> KeyRing:
    return fetch_ring(source, keys, "acme", KeyRing({1: FIRST}), lambda: now)


def test_the_ring_of_the_service_is_taken() -> None:
    assert fetch(Answering()) == KeyRing({1: FIRST, 2: SECOND})
    for now in (NOW + MAX_AGE, NOW - MAX_AHEAD):
        assert fetch(Answering(), now=now).has(2)


@pytest.mark.parametrize(
    "source",
    [
        Answering(lambda d: d.update(provider="other")),
        Answering(lambda d: d.update(nonce="n" * 43)),
        Answering(lambda d: d.update(have=2)),
        Answering(lambda d: d.update(issued=NOW - 1001)),
        Answering(lambda d: d.update(issued="now")),
        Answering(lambda d: d.update(keys=d["keys"][:-4])),
        Answering(lambda d: d.update(keys=d["keys"].swapcase())),
        Answering(lambda d: d.update(mac="0" * 64)),
        Answering(lambda d: d.pop("mac")),
        Answering(lambda d: d.update(wrap_ring(KeyRing({1: OTHER}), FIRST.raw, "other", d["nonce"]))),
        Answering(held=OTHER),
        Answering(key=SigningKey.generate()),
        Answering(kind=VERDICT),
    ],
)
def test_anything_else_is_refused(source: Answering) -> None:
    with pytest.raises(FilterError):
        fetch(source)


@pytest.mark.parametrize("now", [NOW + MAX_AGE + 1, NOW - MAX_AHEAD - 1])
def test_an_old_answer_is_refused(now: float) -> None:
    with pytest.raises(FilterError, match="just now"):
        fetch(Answering(), now=now)


def test_a_key_that_signed_outside_its_time_is_refused() -> None:
    with pytest.raises(FilterError, match="outside the time of its key"):
        fetch(Answering(), (VerdictKey(SIGNING.public_hex(), NOW - 1000, NOW - 1),))


def test_no_key_is_forgotten() -> None:
    assert merged(KeyRing({1: FIRST}), KeyRing({2: SECOND}), 2) == KeyRing({1: FIRST, 2: SECOND})
    assert merged(KeyRing({1: FIRST, 2: SECOND}), KeyRing({2: SECOND}), 1) == KeyRing({1: FIRST, 2: SECOND})


def test_an_epoch_with_the_key_of_an_older_one_gets_a_line() -> None:
    assert merged(KeyRing({1: FIRST}), KeyRing({1: FIRST}), 3) == KeyRing({1: FIRST, 3: FIRST})


def test_a_key_that_changed_afterwards_is_an_alarm() -> None:
    with pytest.raises(FilterError, match="another provider key since epoch 1"):
        merged(KeyRing({1: FIRST}), KeyRing({1: OTHER, 2: SECOND}), 2)


RINGS = st.dictionaries(st.integers(1, 40), st.just(FIRST), min_size=1, max_size=20).map(KeyRing)


@given(RINGS, RINGS, st.integers(1, 50))
def test_what_is_merged_holds_both(held: KeyRing, fetched: KeyRing, epoch: int) -> None:
    ring = merged(held, fetched, epoch)
    assert set(ring.keys) >= {*held.keys, *fetched.keys}
    if fetched.has(epoch):
        assert ring.has(epoch)
        if epoch > max(*held.keys, *fetched.keys):
            assert max(ring.keys) == epoch


@pytest.fixture
def enrolled(tmp_path: Path) -> tuple[Path, Path]:
    """A service and the folder of one of its agents."""
    data, folder = found_service(tmp_path, "nobody"), tmp_path / "etc"
    admin.add_provider(data, "acme", phase=Phase.REGULAR, url="https://hashes.example.org", out=folder)
    return data, folder


def verdict_keys(data: Path) -> tuple[VerdictKey, ...]:
    with opened(data) as store:
        return tuple(VerdictKey(key.public, 0.0, None) for key in OnlineKeys.open(store).verdict_keys())


@pytest.mark.parametrize("revoke_old", [False, True])
def test_an_agent_gets_the_keys_of_a_rotation(enrolled: tuple[Path, Path], *, revoke_old: bool) -> None:
    data, folder = enrolled
    path = folder / "provider-key"
    before = KeyRing.from_text(path.read_text())
    for _ in range(2):
        admin.rotate_provider_key(data, "acme", revoke_old=revoke_old)
    desk = Desk(data, (folder / "api-key").read_text().strip())
    ring = Rekeying(desk, "acme", path, lambda: NOW)(verdict_keys(data), 3)
    assert KeyRing.from_text(path.read_text()) == ring
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert set(ring.keys) == ({1, 3} if revoke_old else {1, 2, 3})
    assert ring.at(1) == before.at(1) != ring.at(3)


def test_an_api_key_alone_does_not_give_away_the_keys(enrolled: tuple[Path, Path]) -> None:
    """It gets into logs and backups sooner than the provider key: who has it, and no provider key, cannot read the answer."""
    data, folder = enrolled
    thief = Desk(data, (folder / "api-key").read_text().strip())
    key = KeyRing.from_text((folder / "provider-key").read_text()).at(1)
    answer = thief.provider_keys("n" * 43, 1)
    assert key.raw not in answer
    with pytest.raises(FilterError):
        fetch_ring(thief, verdict_keys(data), "acme", KeyRing({1: OTHER}), lambda: NOW)


def test_an_agent_with_a_key_that_never_was_is_refused(enrolled: tuple[Path, Path]) -> None:
    data, folder = enrolled
    (folder / "provider-key").write_text(KeyRing({7: OTHER}).text())
    desk = Desk(data, (folder / "api-key").read_text().strip())
    with pytest.raises(RefusedError, match="409"):
        Rekeying(desk, "acme", folder / "provider-key", lambda: NOW)(verdict_keys(data), 8)


def test_a_file_that_cannot_be_written_is_told(enrolled: tuple[Path, Path]) -> None:
    data, folder = enrolled
    before = (folder / "provider-key").read_text()
    admin.rotate_provider_key(data, "acme")
    desk = Desk(data, (folder / "api-key").read_text().strip())

    def moved(reply: bytes) -> bytes:  # while the answer is on its way, the folder of the file goes away
        folder.rename(folder.with_name("gone"))
        return reply

    desk.change = moved
    with pytest.raises(StateError, match="cannot be written"):
        Rekeying(desk, "acme", folder / "provider-key", lambda: NOW)(verdict_keys(data), 2)
    assert (folder.with_name("gone") / "provider-key").read_text() == before
    with pytest.raises(UsageError):
        Rekeying(desk, "acme", folder / "provider-key", lambda: NOW)(verdict_keys(data), 2)
