"""The repository of a provider as its agents see it: they follow, versions only grow, and what is due is signed."""

from __future__ import annotations

import hashlib
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hashscan.errors import FilterError, HashscanError, NotPublishedError
from hashscan.known import envelopes
from hashscan.known.trust import FolderFetcher, may_replace
from hashscan.model import ListRef
from hashscan.service import admin, ceremony, keys, repository, root_keys
from hashscan.service.access import authenticate
from hashscan.service.batches import Terms
from hashscan.service.keys import ROOT_ROLES, OnlineKeys
from hashscan.service.repository import KEPT_METADATA, RENEW_AFTER, SERVED_WHILE_BUSY, SIGN_AGAIN_AFTER, Due, Wanted, due
from hashscan.service.store import open_store
from hashscan.service.tables import Phase, Repository
from tests.support.databases import both
from tests.support.service import LIST, Agent, Client, Clock, asking, enrol, load, make, question, sha1, withdraw


def ready(tmp_path: Path) -> tuple[Path, Agent]:
    data = make(tmp_path)
    agent = enrol(data)
    load(data, sha1("a"))
    admin.publish(data)
    return data, agent


def signed(client: Client, name: str) -> dict[str, Any]:
    response = client.get(f"/v1/files/{name}")
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    document = json.loads(response.content)["signed"]
    assert isinstance(document, dict)
    return document


def versions(client: Client) -> tuple[int, int, int]:
    """Of timestamp, snapshot and targets, found as an agent finds them."""
    timestamp = signed(client, "timestamp.json")
    number = timestamp["meta"]["snapshot.json"]["version"]
    snapshot = signed(client, f"{number}.snapshot.json")
    targets = signed(client, f"{snapshot['meta']['targets.json']['version']}.targets.json")
    assert (snapshot["version"], timestamp["meta"]["snapshot.json"]["length"] > 0) == (number, True)
    return timestamp["version"], number, targets["version"]


@both
def test_an_agent_follows_from_its_pinned_root_to_the_filter(tmp_path: Path) -> None:
    data, agent = ready(tmp_path)
    clock = Clock()
    with asking(data, agent, clock) as client:
        lists = client.lists(agent.trust(clock))
        (target,) = lists.targets
        assert (lists.provider, lists.sequence, lists.wait, lists.jitter) == ("acme", 1, 3600.0, 1800.0)
        assert lists.expires - lists.issued == 48 * 3600
        assert (target.list, target.deltas, target.withdrawn) == (ListRef(LIST, 1, 1), (), None)
        response = client.get(f"/v1/files/{target.filter.name}")
        assert response.headers["content-type"] == "application/octet-stream"
        assert len(response.content) == target.filter.length
        assert hashlib.sha256(response.content).hexdigest() == target.filter.sha256
        assert client.get("/v1/files/1.root.json").content == agent.root
        assert client.get("/v1/files/2.root.json").status_code == 404
        (key,) = lists.verdict_keys
        envelope = client.post("/v1/confirm", question({"sha1": sha1("a")})).content
        assert envelopes.open_envelope(envelope, envelopes.VERDICT, [key]).signers == (key,)


def test_before_the_first_publication_there_is_nothing(tmp_path: Path) -> None:
    data = make(tmp_path)
    agent = enrol(data)
    clock = Clock()
    with asking(data, agent, clock) as client:
        response = client.get("/v1/files/timestamp.json")
        assert (response.status_code, response.json()["error"]["code"]) == (404, "not_published")
        with pytest.raises(NotPublishedError):
            client.lists(agent.trust(clock))


@both
def test_the_timestamp_is_signed_again_after_an_hour_and_the_rest_after_half_a_month(tmp_path: Path) -> None:
    data, agent = ready(tmp_path)
    clock = Clock()
    with asking(data, agent, clock) as client:
        assert [versions(client), versions(client)] == [(1, 1, 1), (1, 1, 1)]
        clock.now += SIGN_AGAIN_AFTER
        assert [versions(client), versions(client)] == [(2, 1, 1), (2, 1, 1)]
        clock.now += RENEW_AFTER - SIGN_AGAIN_AFTER
        before = clock.now
        assert versions(client) == (3, 2, 2)
        assert signed(client, "2.targets.json")["expires"] > signed(client, "1.targets.json")["expires"]
        clock.now = before - 7200
        assert versions(client) == (4, 3, 3), "a clock that went back"
    with asking(data, agent, clock) as client:  # another process
        assert versions(client) == (4, 3, 3)


def _stored(**other: Any) -> Repository:
    values = {"content": WANTED.content, "root_version": 1, "issued": 1000.0, "targets_issued": 1000.0, **other}
    return Repository(**values)


WANTED = Wanted((), b"{}", 1, 3600, 1800)


@pytest.mark.parametrize(
    ("stored", "now", "expected"),
    [
        (None, 1000.0, Due(targets=True, timestamp=True)),
        (_stored(), 1000.0, Due(targets=False, timestamp=False)),
        (_stored(), 1000.0 + SIGN_AGAIN_AFTER - 0.1, Due(targets=False, timestamp=False)),
        (_stored(), 1000.0 + SIGN_AGAIN_AFTER, Due(targets=False, timestamp=True)),
        (_stored(issued=900_000.0), 900_001.0, Due(targets=False, timestamp=False)),
        (_stored(issued=1000.0 + RENEW_AFTER), 1000.0 + RENEW_AFTER, Due(targets=True, timestamp=True)),
        (_stored(), 999.9, Due(targets=True, timestamp=True)),
        (_stored(issued=1001.0), 1000.5, Due(targets=False, timestamp=True)),
        (_stored(content="other"), 1000.0, Due(targets=True, timestamp=True)),
        (_stored(root_version=2), 1000.0, Due(targets=True, timestamp=True)),
    ],
)
def test_what_is_due(stored: Repository | None, now: float, expected: Due) -> None:
    assert due(stored, WANTED, now) == expected


def test_every_part_of_the_content_counts() -> None:
    others = [Wanted((), b"{ }", 1, 3600, 1800), Wanted((), b"{}", 1, 1, 1800), Wanted((), b"{}", 1, 3600, 1)]
    assert len({WANTED.content, *(one.content for one in others)}) == 4
    assert Wanted((), b"{}", 2, 3600, 1800).content == WANTED.content, "the root is judged by its version"


def test_the_pace_is_signed(tmp_path: Path) -> None:
    data, agent = ready(tmp_path)
    clock = Clock()
    with asking(data, agent, clock) as client:
        trust = agent.trust(clock)
        client.lists(trust)
        admin.set_pace(data, wait=60, jitter=5)
        lists = client.lists(trust)
        assert (lists.wait, lists.jitter, lists.sequence) == (60.0, 5.0, 2)
    for wait, jitter in ((-1, 0), (0, 86_401)):
        with pytest.raises(HashscanError, match="is from 0 to"):
            admin.set_pace(data, wait=wait, jitter=jitter)


@both
def test_while_an_import_holds_the_database_what_is_true_is_said_again(tmp_path: Path) -> None:
    data, agent = ready(tmp_path)
    clock = Clock()
    with asking(data, agent, clock) as client, open_store(data) as other:
        first = client.get("/v1/files/timestamp.json").content
        clock.now += 7200
        with other.writing():
            assert client.get("/v1/files/timestamp.json").content == first
        assert client.get("/v1/files/timestamp.json").content != first
        clock.now += SERVED_WHILE_BUSY
        with other.writing():
            response = client.get("/v1/files/timestamp.json")
            assert (response.status_code, response.headers["retry-after"]) == (503, "10")


@both
def test_a_rotated_verdict_key_reaches_agents_and_both_sign(tmp_path: Path) -> None:
    data, agent = ready(tmp_path)
    clock = Clock()
    with asking(data, agent, clock) as client:
        trust = agent.trust(clock)
        (old,) = client.lists(trust).verdict_keys
        with open_store(data) as store:
            new = keys.rotate_verdict_key(store, now=clock.now)
        lists = client.lists(trust)
        assert [one.public for one in lists.verdict_keys] == [old.public, new.public]
        for path, document, kind in (
            ("/v1/confirm", question({"sha1": sha1("a")}), envelopes.VERDICT),
            ("/v1/outcomes", {"outcomes": [OUTCOME]}, envelopes.RECEIPTS),
        ):
            envelope = client.post(path, document).content
            opened = envelopes.open_envelope(envelope, kind, lists.verdict_keys)
            assert [one.public for one in opened.signers] == [old.public, new.public]
            assert envelopes.open_envelope(envelope, kind, [old]).signers == (old,), "an agent that has not synced"
        with open_store(data) as store:
            keys.retire_verdict_keys(store, now=clock.now + 1)
        clock.now += 2
        envelope = client.post("/v1/confirm", question({"sha1": sha1("a")})).content
        assert [one.public for one in envelopes.open_envelope(envelope, envelopes.VERDICT, lists.verdict_keys).signers] == [
            new.public
        ]


OUTCOME = {
    "id": "o_1", "entry": "e_x", "list": LIST, "verdict": "0" * 64, "action": "reported", "first_seen": 1, "acted_at": 2,
}  # fmt: skip


def test_new_online_keys_come_with_a_new_root_and_agents_follow(tmp_path: Path) -> None:
    data, agent = ready(tmp_path)
    clock = Clock()
    with asking(data, agent, clock) as client:
        trust = agent.trust(clock)
        first = client.lists(trust)
        with open_store(data) as store:
            draft = tmp_path / "draft.json"
            root_keys.write_draft(draft, ceremony.draft_rotate_online(store, ROOT_ROLES))
            root_keys.sign_draft(draft, tmp_path / "root-keys" / "root-1.pem")
            ceremony.install(store, draft)
        second = client.lists(trust)
        assert (second.sequence, second.targets) == (first.sequence + 1, first.targets)
        assert versions(client) == (2, 2, 2)
        assert client.get("/v1/files/2.root.json").status_code == 200
        assert client.get("/v1/files/3.root.json").status_code == 404


def test_a_service_from_an_old_backup_is_believed_again_after_a_ceremony(tmp_path: Path) -> None:
    data, agent = ready(tmp_path)
    clock = Clock()
    backup = tmp_path / "backup"
    shutil.copytree(data, backup)
    trust = agent.trust(clock)
    with asking(data, agent, clock) as client:
        held = client.lists(trust)
        while held.sequence < 4:
            clock.now += SIGN_AGAIN_AFTER
            held = client.lists(trust)
    restored = replace(agent, data=backup)
    with asking(backup, restored, clock) as client:
        with pytest.raises(FilterError):
            may_replace(held, client.lists(trust), clock.now)
        with open_store(backup) as store:
            draft = tmp_path / "draft.json"
            root_keys.write_draft(draft, ceremony.draft_rotate_online(store, ROOT_ROLES))
            root_keys.sign_draft(draft, tmp_path / "root-keys" / "root-1.pem")
            ceremony.install(store, draft)
        offered = client.lists(trust)
        may_replace(held, offered, clock.now)
        assert offered.sequence < held.sequence


@both
def test_many_at_once_are_told_the_same_version(tmp_path: Path) -> None:
    data, agent = ready(tmp_path)
    with open_store(data) as store, ThreadPoolExecutor(8) as pool:
        caller = authenticate(store, f"Bearer {agent.api_key}")
        online = OnlineKeys.open(store)
        clock = Clock()
        for step in range(2, 6):
            clock.now += SIGN_AGAIN_AFTER
            told = list(pool.map(lambda _: repository.timestamp(store, online, caller, clock), range(24)))
            assert len(set(told)) == 1
            assert json.loads(told[0])["signed"]["version"] == step


def test_old_metadata_is_kept_a_while(tmp_path: Path) -> None:
    data, agent = ready(tmp_path)
    folder = data / "published" / "acme"
    newest = 0
    for wait in range(1, KEPT_METADATA + 4):
        admin.set_pace(data, wait=wait, jitter=0)
        with asking(data, agent) as client:
            newest = versions(client)[2]
    assert newest == KEPT_METADATA + 4
    kept = {f"{number}.{kind}.json" for number in range(5, newest + 1) for kind in ("targets", "snapshot")}
    assert {path.name for path in folder.glob("*.json")} == kept


def test_what_an_interrupted_signing_left_is_replaced(tmp_path: Path) -> None:
    data, agent = ready(tmp_path)
    folder = data / "published" / "acme"
    (folder / "2.targets.json").write_bytes(b"torn")
    (folder / "2.snapshot.json").write_bytes(b"torn")
    clock = Clock()
    with asking(data, agent, clock) as client:
        trust = agent.trust(clock)
        assert client.lists(trust).sequence == 1
        admin.publish(data, terms=Terms(anew=True))
        lists = client.lists(trust)
        assert (lists.sequence, lists.targets[0].list.version) == (2, 2)


@both
def test_a_signing_that_cannot_be_written_changes_nothing(tmp_path: Path) -> None:
    data, agent = ready(tmp_path)
    obstacle = data / "published" / "acme" / "2.targets.json"
    obstacle.mkdir()
    with pytest.raises(HashscanError, match="cannot write"):
        admin.publish(data, terms=Terms(anew=True))
    clock = Clock()
    with asking(data, agent, clock) as client:
        assert client.get("/v1/files/timestamp.json").status_code == 500
        with open_store(data) as store, store.reading() as session:
            assert session.get_one(Repository, 1).timestamp_version == 1
        obstacle.rmdir()
        assert client.lists(agent.trust(clock)).targets[0].list.version == 2, "the publication itself was known already"


def test_a_provider_is_told_of_its_own_repository_only(tmp_path: Path) -> None:
    """The root is shared: what one provider is served does not hold for another."""
    data, agent = ready(tmp_path)
    other = enrol(data, "other", Phase.TRIAL)
    clock = Clock()
    with asking(data, other, clock) as client:
        assert client.get("/v1/files/timestamp.json").status_code == 404
        admin.publish(data)
        assert client.lists(other.trust(clock)).provider == "other"
        with pytest.raises(FilterError, match="'other'"):
            client.lists(agent.trust(clock))


@both
def test_a_new_epoch_is_published_with_the_new_key_and_the_old_one_still_answered(tmp_path: Path) -> None:
    data, agent = ready(tmp_path)
    clock = Clock()
    with asking(data, agent, clock) as client:
        trust = agent.trust(clock)
        client.lists(trust)
        assert admin.rotate_provider_key(data, "acme").epoch == 2
        admin.publish(data)
        (target,) = client.lists(trust).targets
        assert (target.list, target.deltas) == (ListRef(LIST, 2, 2), ()), "no delta leads from one key to another"
        for version, epoch in ((1, 1), (2, 2)):
            assert client.post("/v1/confirm", question({"sha1": sha1("a")}, version=version, epoch=epoch)).status_code == 200
        admin.rotate_provider_key(data, "acme", revoke_old=True)
        response = client.post("/v1/confirm", question({"sha1": sha1("a")}, version=2, epoch=2))
        assert (response.status_code, response.json()["error"]["code"]) == (409, "epoch_revoked")
        admin.publish(data)
        assert client.post("/v1/confirm", question({"sha1": sha1("a")}, version=3, epoch=3)).status_code == 200
        response = client.post("/v1/confirm", question({"sha1": sha1("a")}, version=3, epoch=1))
        assert (response.status_code, response.json()["error"]["code"]) == (409, "list_not_published")


def test_an_exported_folder_serves_a_host_without_a_network(tmp_path: Path) -> None:
    data, agent = ready(tmp_path)
    load(data, "\n".join(sha1(str(number)) for number in range(2000)))
    admin.publish(data)
    withdraw(data, LIST, sha1("a"), "a mistake")
    admin.publish(data)
    stick = tmp_path / "stick"
    files = admin.export(data, "acme", stick)
    assert sorted(files) == sorted(stick.iterdir())
    lists = agent.trust(Clock()).refresh(FolderFetcher(stick))
    (target,) = lists.targets
    assert target.list.version == 3
    assert target.withdrawn is not None
    assert [(one.old, one.new) for one in target.deltas] == [(2, 3)]
    for one in (target.filter, target.withdrawn, *(delta.file for delta in target.deltas)):
        assert hashlib.sha256((stick / one.name).read_bytes()).hexdigest() == one.sha256
    admin.export(data, "acme", stick)
    for name, word in (("nobody", "no provider"), ("other", "nothing is published")):
        if name == "other":
            enrol(data, "other")
        with pytest.raises(HashscanError, match=word):
            admin.export(data, name, stick)
    (tmp_path / "file").touch()
    with pytest.raises(HashscanError, match="cannot write"):
        admin.export(data, "acme", tmp_path / "file")
