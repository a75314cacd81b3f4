"""A backup is whole or is not there; what is restored goes on where agents are, on the same database or the other."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from hashscan.errors import HashscanError, LockedError, UsageError
from hashscan.known import envelopes
from hashscan.service import admin, backup, restoring, schema
from hashscan.service.backup import Backup
from hashscan.service.batches import Terms
from hashscan.service.publishing import only_publisher
from hashscan.service.store import Folder, open_store
from hashscan.service.tables import ApiKey, Entry
from tests.support import databases
from tests.support.databases import both
from tests.support.service import LIST, Agent, Clock, asking, enrol, load, make, question, sha1

DAY = 86_400.0


def ready(tmp_path: Path) -> tuple[Path, Agent]:
    data = make(tmp_path)
    agent = enrol(data)
    load(data, "\n".join(sha1(str(number)) for number in range(300)))
    admin.publish(data)
    return data, agent


def take(data: Path, out: Path) -> Backup:
    with open_store(data) as store:
        return backup.backup(store, out)


def counts(data: Path) -> dict[str, int]:
    with open_store(data) as store, store.reading() as session:
        return {table.name: len(session.execute(select(table)).all()) for table in schema.METADATA.sorted_tables}


@both
@pytest.mark.parametrize("target", ["sqlite", pytest.param("postgresql", marks=pytest.mark.optional("postgresql"))])
def test_agents_go_on_with_what_was_restored(tmp_path: Path, target: str) -> None:
    data, agent = ready(tmp_path)
    clock = Clock()
    made = take(data, tmp_path / "backup")
    before = counts(data)
    trust = agent.trust(clock)
    with asking(data, agent, clock) as client:  # the service goes on after the backup, and agents with it
        for _ in range(3):
            admin.publish(data, terms=Terms(anew=True))
            held = client.lists(trust)
    assert held.targets[0].list.version == 4
    with databases.choose(target):
        url = databases.url_file(tmp_path)
    again = tmp_path / "again"
    done = restoring.restore(tmp_path / "backup", again, database=url, now=made.made + DAY)
    assert (done.raised, done.backup.schema) == (1000 + 24 * 60, schema.head())
    assert counts(again) == before
    restored = replace(agent, data=again)
    with asking(again, restored, clock) as client:
        admin.publish(again)
        now = client.lists(trust)
        assert now.targets[0].list.version == 1 + done.raised + 1
        assert now.sequence > held.sequence
        asked = question({"sha1": sha1("7")}, version=now.targets[0].list.version)
        said = restored.open(client.post("/v1/confirm", asked).content, envelopes.VERDICT)
        assert len(said["items"][0]["entries"]) == 1
    enrol(again, "another")  # ids go on after those that came along
    load(again, sha1("new"))
    with open_store(again) as store, store.reading() as session:
        ids = list(session.scalars(select(Entry.id)))
        assert len(ids) == len(set(ids)) == 302
        assert len(set(session.scalars(select(ApiKey.id)))) == 2


def test_a_backup_is_private_and_holds_everything(tmp_path: Path) -> None:
    data, _ = ready(tmp_path)
    before = os.umask(0)
    try:
        made = take(data, tmp_path / "backup")
    finally:
        os.umask(before)
    names = {str(path.relative_to(made.folder)) for path in made.folder.rglob("*")}
    assert {"service.sqlite3", "manifest.json", "roots/1.root.json", "published/acme/1.targets.json"} <= names
    assert sum(name.startswith("keys/") for name in names) == 4
    for path in [made.folder, *made.folder.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    assert backup.verify(made.folder) == made
    with pytest.raises(UsageError, match="there already"):
        take(data, tmp_path / "backup")


def test_what_is_not_whole_is_not_there(tmp_path: Path) -> None:
    data, _ = ready(tmp_path)
    (filter_file,) = (data / "published" / "acme").glob("*.filter")
    content = filter_file.read_bytes()
    filter_file.write_bytes(content[:-1])
    with pytest.raises(HashscanError, match="missing or damaged"):
        take(data, tmp_path / "backup")
    filter_file.write_bytes(content)
    with only_publisher(Folder(data).publish_lock), pytest.raises(LockedError):
        take(data, tmp_path / "backup")
    assert not [path.name for path in tmp_path.iterdir() if "backup" in path.name]
    take(data, tmp_path / "backup")


@pytest.mark.parametrize("damage", ["changed", "missing", "added", "no manifest", "manifest"])
def test_a_damaged_backup_is_not_restored(tmp_path: Path, damage: str) -> None:
    data, _ = ready(tmp_path)
    folder = take(data, tmp_path / "backup").folder
    root = folder / "roots" / "1.root.json"
    match damage:
        case "changed":
            root.write_bytes(root.read_bytes() + b" ")
        case "missing":
            root.unlink()
        case "added":
            (folder / "keys" / "more.pem").write_bytes(b"")
        case "no manifest":
            (folder / "manifest.json").unlink()
        case "manifest":
            (folder / "manifest.json").write_bytes(b'{"format": 2}')
    with pytest.raises(UsageError, match=r"backup|manifest"):
        restoring.restore(folder, tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_a_service_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    data, _ = ready(tmp_path)
    folder = take(data, tmp_path / "backup").folder
    with pytest.raises(UsageError, match="not empty"):
        restoring.restore(folder, data)
    assert admin.stats(data).lists[0].id == LIST


def test_headroom_is_more_than_can_have_been_issued() -> None:
    assert restoring.headroom(1000.0, 1000.0) == 1000
    assert restoring.headroom(0.0, 366 * DAY) == 1000 + 366 * 24 * 60
    assert restoring.headroom(DAY, 0.0) == 1000 + 24 * 60, "a clock that is off does not make it less"
