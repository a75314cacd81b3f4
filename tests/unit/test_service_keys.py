"""Online keys and verdict keys: which sign, which are listed, whose private half is gone."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashscan.errors import UsageError
from hashscan.known import envelopes
from hashscan.known.envelopes import SigningKey, key_id
from hashscan.known.metadata import read_root
from hashscan.model import VerdictKey
from hashscan.service import ceremony, keys
from hashscan.service.keys import LISTED_AFTER, MAX_IN_USE, MAX_LISTED, OVERLAP, OnlineKeys
from hashscan.service.store import Store
from hashscan.service.tables import Role
from tests.support.ceremony import DAY, NOW, Holders, keyed_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with keyed_store(tmp_path / "data") as made:
        yield made


@pytest.fixture
def holders(tmp_path: Path) -> Holders:
    return Holders(tmp_path / "home", "abc")


def at(store: Store, now: float) -> OnlineKeys:
    return OnlineKeys.open(store, now=lambda: now)


def publics(signing: list[SigningKey]) -> list[str]:
    return [one.public_hex() for one in signing]


def private_files(store: Store, role: Role) -> set[str]:
    return {path.name for path in store.folder.keys.iterdir() if path.name.startswith(role.value)}


def test_the_first_keys_are_private_and_one_a_role(store: Store) -> None:
    assert stat.S_IMODE(store.folder.keys.stat().st_mode) == 0o700
    for role in Role:
        (name,) = private_files(store, role)
        assert stat.S_IMODE((store.folder.keys / name).stat().st_mode) == 0o600
    with pytest.raises(UsageError, match="its keys already"):
        keys.make_online_keys(store)


def test_without_a_root_verdicts_can_be_signed_and_nothing_published(store: Store) -> None:
    opened = at(store, NOW)
    assert len(opened.signing(Role.VERDICT)) == 1
    assert opened.root_files() == []
    for call in (opened.latest_root, opened.bootstrap_root, lambda: opened.signing(Role.TIMESTAMP)):
        with pytest.raises(UsageError, match="no root yet") as caught:
            call()
        assert "keys init" in caught.value.hint


def test_the_root_says_which_keys_sign(store: Store, holders: Holders) -> None:
    plan = holders.begin(store, "abc", 2)
    opened = at(store, NOW)
    for role in (Role.TARGETS, Role.SNAPSHOT, Role.TIMESTAMP):
        assert publics(opened.signing(role)) == [plan.online[role.value]]
    assert len({*plan.online.values()}) == 3
    assert [path.name for path in opened.root_files()] == ["1.root.json"]
    assert read_root(opened.bootstrap_root()) == plan


@pytest.mark.parametrize("harm", ["readable", "missing", "damaged", "another key"])
def test_a_private_half_that_is_not_as_it_was_is_not_used(store: Store, harm: str) -> None:
    (name,) = private_files(store, Role.VERDICT)
    path = store.folder.keys / name
    if harm == "readable":
        path.chmod(0o640)
    elif harm == "missing":
        path.unlink()
    else:
        path.write_bytes(b"-" * 70_000 if harm == "damaged" else SigningKey.generate().to_pem())
    with pytest.raises(UsageError):
        at(store, NOW).signing(Role.VERDICT)


def test_a_rotated_verdict_key_signs_beside_the_old_one(store: Store) -> None:
    running = OnlineKeys.open(store, now=lambda: NOW + 2 * DAY)
    (old,) = at(store, NOW).verdict_keys()
    (first,) = running.signing(Role.VERDICT)
    made = keys.rotate_verdict_key(store, 7 * DAY, now=NOW + DAY)
    assert publics(running.signing(Role.VERDICT)) == [old.public, made.public], "the running service needs no restart"
    assert running.verdict_keys() == (VerdictKey(old.public, NOW, NOW + 8 * DAY), VerdictKey(made.public, NOW + DAY, None))
    sealed = envelopes.seal(b"{}", envelopes.VERDICT, running.signing(Role.VERDICT))
    for known in (old, made):
        assert envelopes.open_envelope(sealed, envelopes.VERDICT, [known]).signers == (known,)
    assert first.public_hex() == old.public


def test_the_old_verdict_key_ends_by_itself(store: Store) -> None:
    made = keys.rotate_verdict_key(store, 7 * DAY, now=NOW)
    assert len(at(store, NOW + 7 * DAY - 1).signing(Role.VERDICT)) == 2
    assert publics(at(store, NOW + 7 * DAY).signing(Role.VERDICT)) == [made.public]


def test_a_retired_key_is_listed_for_a_while_and_its_private_half_gone_at_once(store: Store) -> None:
    (old,) = at(store, NOW).verdict_keys()
    made = keys.rotate_verdict_key(store, OVERLAP, now=NOW + DAY)
    assert [one.public for one in keys.retire_verdict_keys(store, now=NOW + 2 * DAY)] == [old.public]
    assert private_files(store, Role.VERDICT) == {f"verdict-{key_id(made.public)}.pem"}
    assert publics(at(store, NOW + 2 * DAY).signing(Role.VERDICT)) == [made.public]
    assert VerdictKey(old.public, NOW, NOW + 2 * DAY) in at(store, NOW + 2 * DAY + LISTED_AFTER - 1).verdict_keys()
    assert [one.public for one in at(store, NOW + 2 * DAY + LISTED_AFTER).verdict_keys()] == [made.public]


def test_the_only_verdict_key_is_not_retired(store: Store) -> None:
    with pytest.raises(UsageError, match="only one"):
        keys.retire_verdict_keys(store, now=NOW)
    keys.rotate_verdict_key(store, now=NOW)
    assert len(keys.retire_verdict_keys(store, now=NOW)) == 1
    assert keys.retire_verdict_keys(store, now=NOW) == (), "once more changes nothing"
    assert len(at(store, NOW).signing(Role.VERDICT)) == 1


def test_the_private_half_of_a_key_that_has_ended_goes_with_the_next_change(store: Store) -> None:
    keys.rotate_verdict_key(store, DAY, now=NOW)
    assert len(private_files(store, Role.VERDICT)) == 2
    keys.rotate_verdict_key(store, DAY, now=NOW + 2 * DAY)
    assert len(private_files(store, Role.VERDICT)) == 2, "of three keys the first has ended"


def test_no_more_verdict_keys_at_a_time_than_agents_check(store: Store) -> None:
    for _ in range(MAX_IN_USE - 1):
        keys.rotate_verdict_key(store, OVERLAP, now=NOW)
    with pytest.raises(UsageError, match="4 verdict keys are in use"):
        keys.rotate_verdict_key(store, OVERLAP, now=NOW)
    assert len(private_files(store, Role.VERDICT)) == MAX_IN_USE


@pytest.mark.parametrize("overlap", [0.0, -1.0, float("nan"), float("inf"), 400 * DAY])
def test_an_overlap_has_a_length(store: Store, overlap: float) -> None:
    with pytest.raises(UsageError, match="overlap"):
        keys.rotate_verdict_key(store, overlap, now=NOW)
    assert len(at(store, NOW).verdict_keys()) == 1


@given(st.lists(st.tuples(st.floats(0, 100), st.none() | st.floats(0, 200)), max_size=20), st.floats(0, 300))
def test_what_is_listed(times: list[tuple[float, float | None]], now: float) -> None:
    """All in use first, then the last retired; never more than agents accept, in the order of ``since``."""
    now *= DAY
    every = [VerdictKey(f"{n:064x}", since * DAY, until and until * DAY) for n, (since, until) in enumerate(times)]
    found = keys.listed(every, now)
    assert len(found) <= MAX_LISTED
    assert list(found) == sorted(found, key=lambda one: one.since)
    active = [one for one in every if one.until is None or now < one.until]
    assert set(found) >= set(active) or len(active) > MAX_LISTED
    for one in found:
        assert one.until is None or now < one.until + LISTED_AFTER
    left_out = [
        one for one in every if one.until is not None and one.until <= now < one.until + LISTED_AFTER and one not in found
    ]
    kept = [one.until for one in found if one.until is not None and one.until <= now]
    assert all(one.until <= min(kept, default=now) for one in left_out if one.until is not None)


def test_keys_in_use_are_listed_before_retired_ones() -> None:
    retired = [VerdictKey(f"{n:064x}", NOW + n, NOW + DAY + n) for n in range(10)]
    active = [VerdictKey(f"{n:064x}", NOW + n, None) for n in (10, 11)]
    assert keys.listed([*retired, *active], NOW + 2 * DAY) == (*retired[-6:], *active)


def test_other_names_among_the_roots_are_not_roots(store: Store, holders: Holders) -> None:
    holders.begin(store, "abc", 2)
    for name in ("0.root.json", "01.root.json", "x.root.json", "2.root.json.new", ".2.root.json.abc.new", "99999999.root.json"):
        (store.folder.roots / name).write_bytes(b"{}")
    assert [path.name for path in at(store, NOW).root_files()] == ["1.root.json"]


def test_versions_are_counted_not_spelled(store: Store) -> None:
    os.mkdir(store.folder.roots)
    for version in (10, 9, 1):
        (store.folder.roots / f"{version}.root.json").write_bytes(b"%d" % version)
    assert [path.name.split(".")[0] for path in at(store, NOW).root_files()] == ["1", "9", "10"]
    assert at(store, NOW).latest_root() == b"10"


def test_a_new_online_key_is_used_from_the_install_on_and_the_old_one_is_gone(store: Store, holders: Holders) -> None:
    first = holders.begin(store, "abc", 2)
    running = OnlineKeys.open(store, now=lambda: NOW)
    draft = ceremony.draft_rotate_online(store, [Role.TIMESTAMP], now=NOW)
    assert publics(running.signing(Role.TIMESTAMP)) == [first.online["timestamp"]], "a draft changes nothing"
    assert len(private_files(store, Role.TIMESTAMP)) == 2
    second = holders.put_into_force(store, draft, "ab")
    assert second.online["timestamp"] != first.online["timestamp"]
    assert {**second.online, "timestamp": 0} == {**first.online, "timestamp": 0}
    assert publics(running.signing(Role.TIMESTAMP)) == [second.online["timestamp"]]
    assert private_files(store, Role.TIMESTAMP) == {f"timestamp-{key_id(second.online['timestamp'])}.pem"}


def test_a_key_of_another_draft_that_is_still_being_signed_stays(store: Store, holders: Holders) -> None:
    holders.begin(store, "abc", 2)
    early = ceremony.draft_rotate_online(store, [Role.TARGETS], now=NOW)
    late = ceremony.draft_rotate_online(store, [Role.TARGETS], now=NOW)
    holders.put_into_force(store, early, "ab")
    names = private_files(store, Role.TARGETS)
    assert names == {f"targets-{key_id(draft.plan.online['targets'])}.pem" for draft in (early, late)}


def test_keys_older_than_the_database_knows_still_sign(store: Store, holders: Holders) -> None:
    """A database that came back from a backup does not know the last rotation; root and key files do."""
    plan = holders.begin(store, "abc", 2)
    with store.writing() as session:
        session.connection().exec_driver_sql("DELETE FROM online_key WHERE role = 'targets'")
    keys.remove_retired(store, now=NOW)
    assert publics(at(store, NOW).signing(Role.TARGETS)) == [plan.online["targets"]]
