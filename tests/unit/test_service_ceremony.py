"""The root: drafts, signatures, installing; and what is told to the person who signs."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hashscan.errors import HashscanError, UsageError
from hashscan.known import metadata
from hashscan.known.envelopes import SigningKey, key_id
from hashscan.known.metadata import draft_root, read_root
from hashscan.service import ceremony, keys, root_keys
from hashscan.service.root_keys import Draft
from hashscan.service.store import Store
from hashscan.service.tables import Role
from tests.support.ceremony import DAY, NOW, Holders, keyed_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with keyed_store(tmp_path / "data") as made:
        yield made


@pytest.fixture
def holders(tmp_path: Path) -> Holders:
    return Holders(tmp_path / "home", "abcd")


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(UsageError) as caught:
        call()
    return str(caught.value)


def test_a_root_key_is_private_and_made_once(tmp_path: Path) -> None:
    made = root_keys.make_root_key(tmp_path / "root.pem")
    assert stat.S_IMODE(made.private.stat().st_mode) == 0o600
    assert made.public_file.read_text(encoding="ascii") == made.public + "\n"
    assert made.id == key_id(made.public)
    before = made.private.read_bytes()
    assert "there already" in refused(lambda: root_keys.make_root_key(tmp_path / "root.pem"))
    made.private.unlink()
    made.public_file.rename(tmp_path / "kept")
    made.private.symlink_to(tmp_path / "nowhere")
    assert "there already" in refused(lambda: root_keys.make_root_key(tmp_path / "root.pem"))
    assert before.startswith(b"-----BEGIN PRIVATE KEY-----")


def test_a_public_key_is_read_from_a_file_or_the_digits(tmp_path: Path) -> None:
    made = root_keys.make_root_key(tmp_path / "root.pem")
    assert root_keys.read_public(str(made.public_file)) == root_keys.read_public(made.public.upper()) == made.public
    assert "is a private key" in refused(lambda: root_keys.read_public(str(made.private)))
    assert "neither a file" in refused(lambda: root_keys.read_public("root.pub"))
    (tmp_path / "x").write_bytes(bytes(range(256)))
    assert "neither a file" in refused(lambda: root_keys.read_public(str(tmp_path / "x")))


def test_two_of_three_put_a_root_into_force(store: Store, holders: Holders) -> None:
    draft = ceremony.draft_init(store, holders.publics("abc"), 2, now=NOW)
    assert root_keys.missing(draft) == ["2 more of the 3 keys of the new root"]
    path = holders.signed(draft, "b")
    assert "1 of the 2 signatures" in refused(lambda: ceremony.install(store, path, now=NOW))
    assert keys.root_files(store) == []
    root_keys.sign_draft(path, holders.files["a"].private)
    assert root_keys.missing(root_keys.read_draft(path)) == []
    plan = ceremony.install(store, path, now=NOW)
    assert plan == read_root(keys.latest_root(store))
    assert (plan.version, plan.threshold, plan.expires) == (1, 2, NOW + 365 * DAY)
    assert list(plan.root_keys) == holders.publics("abc")
    assert "a root already" in refused(lambda: ceremony.draft_init(store, holders.publics("ab"), 1))


def test_the_same_key_signing_twice_is_one_signature(store: Store, holders: Holders) -> None:
    path = holders.signed(ceremony.draft_init(store, holders.publics("abc"), 2, now=NOW), "aaa")
    assert "1 of the 2" in refused(lambda: ceremony.install(store, path, now=NOW))


def test_each_change_changes_that_and_the_expiry(store: Store, holders: Holders) -> None:
    first = holders.begin(store, "abc", 2)
    a, b, c, d = holders.publics("abcd")
    later = NOW + 100 * DAY
    expected = replace(first, version=2, expires=later + 365 * DAY)
    assert ceremony.draft_renewal(store, now=later).plan == expected
    assert ceremony.draft_add(store, d, now=later).plan == replace(expected, root_keys=(a, b, c, d))
    assert ceremony.draft_revoke(store, b, now=later).plan == replace(expected, root_keys=(a, c))
    assert ceremony.draft_revoke(store, key_id(b), now=later).plan == replace(expected, root_keys=(a, c))
    assert ceremony.draft_rotate(store, b, d, now=later).plan == replace(expected, root_keys=(a, d, c))
    assert ceremony.draft_threshold(store, 3, now=later).plan == replace(expected, threshold=3)
    online = ceremony.draft_rotate_online(store, [Role.TARGETS, Role.SNAPSHOT], now=later).plan
    assert replace(online, online=first.online) == expected
    assert [online.online[role] != first.online[role] for role in metadata.ONLINE_ROLES] == [True, True, False]
    assert read_root(keys.latest_root(store)) == first, "drafts change nothing"


def test_changes_that_make_no_sense_are_not_drafted(store: Store, holders: Holders) -> None:
    assert "no root yet" in refused(lambda: ceremony.draft_renewal(store))
    first = holders.begin(store, "abc", 3)
    a, d = holders.publics("ad")
    assert "there are 2 root keys, and 3 must sign" in refused(lambda: ceremony.draft_revoke(store, a))
    assert "no root key" in refused(lambda: ceremony.draft_revoke(store, d))
    assert "a root key already" in refused(lambda: ceremony.draft_add(store, a))
    assert "a root key already" in refused(lambda: ceremony.draft_rotate(store, a, holders.publics("b")[0]))
    assert "threshold of 4" in refused(lambda: ceremony.draft_threshold(store, 4))
    assert "an online key" in refused(lambda: ceremony.draft_add(store, first.online["targets"]))
    assert "targets, snapshot and timestamp" in refused(lambda: ceremony.draft_rotate_online(store, [Role.VERDICT]))


def test_several_changes_go_into_one_draft_until_it_is_signed(store: Store, holders: Holders) -> None:
    holders.begin(store, "abc", 3)
    draft = ceremony.draft_threshold(store, 2, now=NOW)
    draft = ceremony.draft_revoke(store, holders.publics("a")[0], onto=draft, now=NOW)
    draft = ceremony.draft_rotate_online(store, [Role.TARGETS], onto=draft, now=NOW)
    path = holders.signed(draft, "a")
    signed = root_keys.read_draft(path)
    assert "signed already" in refused(lambda: ceremony.draft_renewal(store, onto=signed))
    plan = holders.put_into_force(store, draft, "abc")
    assert (plan.version, plan.threshold, list(plan.root_keys)) == (2, 2, holders.publics("bc"))
    assert "does not follow" in refused(lambda: ceremony.draft_renewal(store, onto=draft))


def test_keys_are_not_made_for_a_draft_that_cannot_be(store: Store, holders: Holders) -> None:
    holders.begin(store, "abc", 2)
    signed = root_keys.read_draft(holders.signed(ceremony.draft_renewal(store), "a"))
    before = sorted(store.folder.keys.iterdir())
    refused(lambda: ceremony.draft_rotate_online(store, [Role.TARGETS], onto=signed))
    assert sorted(store.folder.keys.iterdir()) == before


def test_a_new_root_needs_the_old_keys_and_the_new(store: Store, holders: Holders) -> None:
    """Whoever takes the server and has one root key, or brings keys of his own, gets nothing into force."""
    first = holders.begin(store, "abc", 2)
    draft = ceremony.draft_rotate(store, holders.publics("a")[0], holders.publics("d")[0], now=NOW)
    assert root_keys.missing(draft) == ["2 more of the 3 keys of the old root", "2 more of the 3 keys of the new root"]
    assert "1 of the 2 signatures that the root in force" in refused(lambda: holders.put_into_force(store, draft, "bd"))
    assert "1 of the 2 signatures that the new root" in refused(lambda: holders.put_into_force(store, draft, "ab"))
    thief = Holders(holders.home / "thief", "xyz")
    own = Draft(draft.old, draft_root(replace(draft.plan, root_keys=tuple(thief.publics("xyz")), threshold=1)))
    assert "0 of the 2 signatures that the root in force" in refused(lambda: thief.put_into_force(store, own, "xyz"))
    assert read_root(keys.latest_root(store)) == first
    assert holders.put_into_force(store, draft, "abd").version == 2


def test_the_drafts_word_for_the_old_root_counts_nothing_at_the_server(store: Store, holders: Holders) -> None:
    holders.begin(store, "abc", 2)
    thief = Holders(holders.home / "thief", "x")
    mine = replace(ceremony.draft_renewal(store).plan, root_keys=tuple(thief.publics("x")), threshold=1)
    forged = Draft(draft_root(replace(mine, version=1)), draft_root(mine))
    assert root_keys.missing(forged) == ["1 more of the 1 keys of the old root", "1 more of the 1 keys of the new root"]
    assert "0 of the 2" in refused(lambda: thief.put_into_force(store, forged, "x"))


def test_versions_follow_one_another(store: Store, holders: Holders) -> None:
    holders.begin(store, "abc", 2)
    path = holders.signed(ceremony.draft_renewal(store, now=NOW), "ab")
    ceremony.install(store, path, now=NOW)
    assert "version 3 comes next" in refused(lambda: ceremony.install(store, path, now=NOW)), "a second time"
    draft = ceremony.draft_renewal(store, now=NOW)
    ahead = Draft(draft.old, draft_root(replace(draft.plan, version=4)))
    assert "version 3 comes next" in refused(lambda: holders.put_into_force(store, ahead, "abc"))


def test_an_expired_root_is_not_installed_and_an_expired_one_in_force_is_replaced(store: Store, holders: Holders) -> None:
    holders.begin(store, "abc", 2)
    draft = ceremony.draft_renewal(store, now=NOW)
    late = NOW + 365 * DAY
    assert "expired" in refused(lambda: holders.put_into_force(store, draft, "ab", now=late))
    assert holders.put_into_force(store, ceremony.draft_renewal(store, now=late), "ab", now=late).version == 2


def test_online_keys_are_those_that_this_service_has(store: Store, holders: Holders) -> None:
    holders.begin(store, "abc", 2)
    draft = ceremony.draft_renewal(store, now=NOW)
    other = {**draft.plan.online, "targets": SigningKey.generate().public_hex()}
    foreign = Draft(draft.old, draft_root(replace(draft.plan, online=other)))
    assert "cannot read" in refused(lambda: holders.put_into_force(store, foreign, "abc"))
    swapped = {**draft.plan.online, "targets": draft.plan.online["snapshot"], "snapshot": draft.plan.online["targets"]}
    assert "cannot read" in refused(
        lambda: holders.put_into_force(store, Draft(draft.old, draft_root(replace(draft.plan, online=swapped))), "abc")
    )


def test_a_root_that_cannot_be_written_leaves_the_old_one(store: Store, holders: Holders) -> None:
    draft = ceremony.draft_init(store, holders.publics("a"), 1, now=NOW)
    store.folder.roots.write_bytes(b"no folder")
    with pytest.raises(HashscanError):
        holders.put_into_force(store, draft, "a")
    store.folder.roots.unlink()
    assert keys.root_files(store) == []
    assert holders.put_into_force(store, draft, "a").version == 1


def test_only_keys_that_are_asked_for_sign(store: Store, holders: Holders) -> None:
    draft = ceremony.draft_init(store, holders.publics("abc"), 2, now=NOW)
    assert "asked for neither" in refused(lambda: holders.signed(draft, "d"))
    holders.files["a"].private.chmod(0o644)
    assert "others may read it" in refused(lambda: holders.signed(draft, "a"))


def test_signing_takes_no_database_library(tmp_path: Path, store: Store, holders: Holders) -> None:
    path = tmp_path / "draft"
    root_keys.write_draft(path, ceremony.draft_init(store, holders.publics("abc"), 2, now=NOW))
    words = "import sys; sys.modules['sqlalchemy'] = None; from hashscan.cli import service_keys as k; k.group(obj=None)"
    line = [sys.executable, "-c", words, "sign", path, "--key", holders.files["a"].private, "--yes"]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert metadata.signed_by(root_keys.read_draft(path).new, holders.publics("abc")) == tuple(holders.publics("a"))


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{}", b'{"kind": "x"}', b'{"kind": "hashscan root draft", "format": 1, "new": {}}', b"[" * 9, b"x" * 200_000],
)
def test_what_is_no_draft_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "draft").write_bytes(data)
    refused(lambda: root_keys.read_draft(tmp_path / "draft"))
    refused(lambda: root_keys.read_draft(tmp_path / "missing"))


def test_a_draft_is_what_was_written(tmp_path: Path, store: Store, holders: Holders) -> None:
    holders.begin(store, "abc", 2)
    draft = ceremony.draft_renewal(store)
    root_keys.write_draft(tmp_path / "draft", draft)
    assert root_keys.read_draft(tmp_path / "draft") == draft
    document = json.loads((tmp_path / "draft").read_bytes())
    document["format"] = 2
    (tmp_path / "draft").write_text(json.dumps(document), encoding="ascii")
    assert "no draft that this program knows" in refused(lambda: root_keys.read_draft(tmp_path / "draft"))


def test_the_signer_is_told_what_changes_in_words(store: Store, holders: Holders) -> None:
    first = holders.begin(store, "abc", 2)
    a, b, d = holders.publics("abd")
    draft = ceremony.draft_rotate(store, b, d, now=NOW + DAY)
    draft = ceremony.draft_threshold(store, 3, onto=draft, now=NOW + DAY)
    draft = ceremony.draft_rotate_online(store, [Role.TIMESTAMP], onto=draft, now=NOW + DAY)
    assert root_keys.changes(draft.before, draft.plan) == [
        "This replaces root version 1 by version 2:",
        f"  root key added:   {key_id(d)}",
        f"  root key removed: {key_id(b)}",
        "  threshold:        2 of 3 -> 3 of 3",
        f"  timestamp key:    {key_id(first.online['timestamp'])} -> {key_id(draft.plan.online['timestamp'])}",
        "  expiry:           2027-09-21 -> 2027-09-22",
    ]
    assert root_keys.changes(None, first) == ["This makes root version 1, the first one."]
    told = "\n".join(root_keys.describe(draft, a))
    for public in draft.plan.root_keys:
        assert public in told


def test_a_signer_who_cannot_vouch_for_the_old_root_is_told(store: Store, holders: Holders) -> None:
    """A taken server can invent an old root that has the thief's key already, so that nothing seems to be added."""
    path = holders.signed(ceremony.draft_init(store, holders.publics("abc"), 2, now=NOW), "ab")
    ceremony.install(store, path, now=NOW)
    a, c = holders.publics("ac")
    draft = ceremony.draft_renewal(store)
    warning = "compare the key ids"
    assert warning not in "\n".join(root_keys.describe(draft, a))
    assert warning in "\n".join(root_keys.describe(draft, c)), "it has not signed version 1"
    forged = Draft(draft_root(replace(draft.plan, version=1)), draft.new)
    assert warning in "\n".join(root_keys.describe(forged, a))


def test_warnings_come_before_the_end(store: Store, holders: Holders) -> None:
    assert "no root yet" in ceremony.overview(store, now=NOW).warnings[0]
    plan = holders.begin(store, "abc", 2)
    assert ceremony.overview(store, now=NOW).warnings == ()
    assert ceremony.root_warnings(plan, plan.expires - 60 * DAY) == []
    (early,) = ceremony.root_warnings(plan, plan.expires - 59 * DAY)
    assert "in 59 days" in early
    assert "keys renew" in early
    assert "expired" in ceremony.root_warnings(plan, plan.expires)[0]
    keys.rotate_verdict_key(store, DAY, now=NOW)
    found = ceremony.overview(store, now=NOW + 2 * DAY)
    assert len(found.verdict) == 2
    assert "has ended" in found.warnings[0]


def test_a_service_for_a_demo_has_one_root_key(store: Store, tmp_path: Path) -> None:
    plan = ceremony.init_single(store, tmp_path / "offline")
    assert (plan.version, plan.threshold, len(plan.root_keys)) == (1, 1, 1)
    assert (tmp_path / "offline" / "root-1.pem").is_file()
    assert "a root already" in refused(lambda: ceremony.init_single(store, tmp_path / "more"))
    assert not (tmp_path / "more").exists()


def test_all_at_once_checks_before_it_makes(store: Store, tmp_path: Path) -> None:
    assert "cannot be met" in refused(lambda: ceremony.init_all(store, tmp_path / "offline", number=2, threshold=3))
    assert not (tmp_path / "offline").exists()
    plan = ceremony.init_all(store, tmp_path / "offline", number=3, threshold=2)
    assert (plan.threshold, len(plan.root_keys)) == (2, 3)
