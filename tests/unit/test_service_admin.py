"""Making a service, admitting providers, second thoughts, numbers; and what lies on the disk afterwards."""

from __future__ import annotations

import os
import stat
import tomllib
from pathlib import Path

import pytest
from sqlalchemy import select

from hashscan.errors import HashscanError, UsageError
from hashscan.known import selftest
from hashscan.model import Algorithm, Standing
from hashscan.service import admin
from hashscan.service.store import open_store
from hashscan.service.tables import Entry, History, Phase, Provider, Role
from tests.support.databases import both
from tests.support.service import LIST, Clock, asking, dispute, enrol, load, make, md5, question, reinstate, sha1, withdraw


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_service_is_made_once_and_privately(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        data = make(tmp_path)
        agent = enrol(data)
        load(data, sha1("a"))
        admin.publish(data)
        with asking(data, agent) as client:  # while the log files of the database are there
            client.get("/v1/files/timestamp.json")
            paths = [data, *data.rglob("*"), *agent.folder.iterdir(), agent.folder]
            assert any(path.name.endswith("-wal") for path in paths)
            for path in paths:
                assert mode(path) == (0o700 if path.is_dir() else 0o600), path
    finally:
        os.umask(before)
    assert len(paths) >= 12
    with pytest.raises(UsageError, match="not empty"):
        admin.init(data, name="again")


def test_an_empty_folder_that_others_could_read_is_closed(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    info = admin.init(data, name="Hotline")
    assert mode(data) == 0o700
    assert (info.data, info.root_version) == (data, 0)
    assert admin.stats(data).name == "Hotline"


def test_what_is_no_service_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no service"):
        admin.stats(tmp_path)
    data = make(tmp_path)
    (data / "service.sqlite3").write_bytes(b"this is no database, " * 500)
    with pytest.raises(HashscanError, match="the database in"):
        admin.stats(data)


def test_a_database_of_another_schema_is_refused(tmp_path: Path) -> None:
    data = make(tmp_path)
    with open_store(data) as store, store.writing() as session:
        session.connection().exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(UsageError, match="has schema 9999, this program knows schemas up to"):
        admin.stats(data)


def test_a_database_that_others_can_read_is_refused(tmp_path: Path) -> None:
    data = make(tmp_path)
    (data / "service.sqlite3").chmod(0o644)
    with pytest.raises(UsageError, match="others may read"):
        enrol(data)


@pytest.mark.parametrize("role", list(Role))
def test_a_key_that_is_missing_damaged_or_readable_stops_the_publisher_or_the_door(tmp_path: Path, role: Role) -> None:
    data = make(tmp_path)
    agent = enrol(data)
    load(data, sha1("a"))
    (path,) = (data / "keys").glob(f"{role}-*.pem")
    pem = path.read_bytes()

    def use() -> None:
        admin.publish(data)
        with asking(data, agent):
            pass

    for change, word in (
        (lambda: path.chmod(0o640), "others may read"),
        (lambda: path.write_bytes(b"-----BEGIN NONSENSE-----\n"), "not an Ed25519"),
        (path.unlink, "cannot read"),
    ):
        path.write_bytes(pem)
        path.chmod(0o600)
        change()
        with pytest.raises(UsageError, match=word):
            use()
    path.write_bytes(pem)
    path.chmod(0o600)
    use()


@both
def test_without_a_root_nothing_is_published_and_nobody_gets_files(tmp_path: Path) -> None:
    data = tmp_path / "data"
    admin.init(data, name="Hotline")
    load(data, sha1("a"))
    admin.add_provider(data, "acme", phase=Phase.TRIAL)
    with pytest.raises(UsageError, match="no root yet") as caught:
        admin.publish(data)
    assert "keys init" in caught.value.hint
    assert not list((data / "published").rglob("*.filter"))
    with pytest.raises(UsageError, match="no root yet"):
        enrol(data, "other")


def test_a_service_that_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    data = tmp_path / "data"
    with pytest.raises((UsageError, HashscanError)):
        admin.init(data, name="Hotline", root_keys=tmp_path / "file" / "keys")
    assert not data.exists()


def test_an_enrolment_can_be_used_by_an_agent(tmp_path: Path) -> None:
    data = make(tmp_path)
    agent = enrol(data, "acme")
    config = tomllib.loads((agent.folder / "config.toml").read_text())["service"]
    assert config == {
        "url": "https://hashes.example.org",
        "provider": "acme",
        "api_key_file": "api-key",
        "provider_key_file": "provider-key",
        "root_file": "root.json",
    }
    assert len(agent.api_key) == 47
    assert agent.api_key.startswith("hsk_")
    assert agent.root == (data / "roots" / "1.root.json").read_bytes()
    assert agent.key.has(1)


def test_the_api_key_is_not_in_the_data_folder(tmp_path: Path) -> None:
    """Nor in the log of the database; the provider key must be there, and finding it shows that the search can find."""
    data = make(tmp_path)
    agent = enrol(data)
    load(data, sha1("a"))
    admin.publish(data)
    with asking(data, agent) as client:
        assert client.get("/v1/files/timestamp.json").status_code == 200
        everything = b"".join(path.read_bytes() for path in data.rglob("*") if path.is_file())
    assert agent.key.at(1).raw in everything
    assert agent.api_key.encode() not in everything
    assert agent.api_key.removeprefix("hsk_").encode() not in everything


def test_filters_hold_no_digest(tmp_path: Path) -> None:
    data = make(tmp_path)
    enrol(data)
    load(data, sha1("a"))
    (published,) = admin.publish(data)
    content = (data / "published" / "acme" / "police-1-1.filter").read_bytes()
    assert len(content) == published.length
    assert bytes.fromhex(sha1("a")) not in content
    assert sha1("a").encode() not in content


@pytest.mark.parametrize("name", ["", "Acme", "a/../b", "a b", "-a", "a" * 65])
def test_provider_names_are_checked(tmp_path: Path, name: str) -> None:
    data = make(tmp_path)
    with pytest.raises(UsageError, match="provider name"):
        admin.add_provider(data, name, phase=Phase.TRIAL, url="https://h.example", out=tmp_path / "out")


@pytest.mark.parametrize(
    "url", ["", "hashes.example.org", "ftp://h", "https://u:p@h", "https://h?x=1", "https://h\n", "https://"]
)
def test_urls_are_checked(tmp_path: Path, url: str) -> None:
    data = make(tmp_path)
    with pytest.raises(UsageError):
        admin.add_provider(data, "acme", phase=Phase.TRIAL, url=url, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@both
def test_a_provider_is_admitted_once_and_into_a_folder_of_its_own(tmp_path: Path) -> None:
    data = make(tmp_path)
    agent = enrol(data)
    before = {path.name: path.read_bytes() for path in agent.folder.iterdir()}
    with pytest.raises(UsageError, match="holds an enrolment"):
        admin.add_provider(data, "other", phase=Phase.TRIAL, url="https://h", out=agent.folder)
    with pytest.raises(UsageError, match="already"):
        admin.add_provider(data, "acme", phase=Phase.TRIAL, url="https://h", out=tmp_path / "elsewhere")
    assert {path.name: path.read_bytes() for path in agent.folder.iterdir()} == before
    assert not (tmp_path / "elsewhere").exists()


@both
def test_an_enrolment_that_cannot_be_written_admits_nobody(tmp_path: Path) -> None:
    data = make(tmp_path)
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(UsageError, match="cannot write"):
        admin.add_provider(data, "acme", phase=Phase.TRIAL, url="https://h", out=tmp_path / "file" / "out")
    with open_store(data) as store, store.reading() as session:
        assert session.scalars(select(Provider)).all() == []


@both
def test_phases(tmp_path: Path) -> None:
    data = make(tmp_path)
    enrol(data, phase=Phase.TRIAL)
    admin.set_phase(data, "acme", Phase.SUSPENDED)
    assert admin.stats(data).providers[0].phase == "suspended"
    with pytest.raises(UsageError, match="no provider"):
        admin.set_phase(data, "nobody", Phase.REGULAR)


@both
def test_an_entry_is_withdrawn_by_digest_or_id_and_history_says_why(tmp_path: Path) -> None:
    data = make(tmp_path)
    load(data, f"md5,sha1\n{md5('a')},{sha1('a')}\n{md5('a')},{sha1('b')}\n{md5('c')},\n")
    first = withdraw(data, LIST, sha1("a").upper(), "a stock image")
    assert (len(first.entries), len(first.sharing), first.standing) == (1, 1, Standing.WITHDRAWN)
    second = withdraw(data, LIST, first.sharing[0], "the same")
    assert (second.entries, second.sharing) == (first.sharing, ())
    assert withdraw(data, LIST, first.entries[0], "again").entries == ()
    both = reinstate(data, LIST, md5("a"), "a mistake")
    assert set(both.entries) == {*first.entries, *second.entries}
    dispute(data, LIST, md5("c"), "a company objects")
    with open_store(data) as store, store.reading() as session:
        lines = session.scalars(select(History).where(History.what.in_(list(Standing))).order_by(History.id))
        told = [(one.what, one.reason, one.by) for one in lines]
        assert sorted(session.scalars(select(Entry.standing))) == ["active", "active", "disputed", "test"]
    assert told == [
        ("withdrawn", "alone: a stock image", "anna (hotline)"),
        ("withdrawn", "alone: the same", "anna (hotline)"),
        ("active", "decided: a mistake", "anna (hotline) and bea (hotline)"),
        ("active", "decided: a mistake", "anna (hotline) and bea (hotline)"),
        ("disputed", "a company objects", "anna (hotline)"),
    ]


@pytest.mark.parametrize(
    ("named", "reason", "word"),
    [
        ("e_nosuchentry", "x", "no such entry"),
        (sha1("nowhere"), "x", "no such entry"),
        ("junk", "x", "named by its id"),
        ("", "x", "named by its id"),
        (sha1("a"), "", "reason"),
        (sha1("a"), "two\nlines", "reason"),
        (selftest.digests()[Algorithm.MD5], "x", "self-test"),
    ],
)
def test_what_cannot_be_withdrawn_is_said(tmp_path: Path, named: str, reason: str, word: str) -> None:
    data = make(tmp_path)
    load(data, sha1("a"))
    with pytest.raises(UsageError, match=word):
        withdraw(data, LIST, named, reason)
    with pytest.raises(UsageError, match="no such entry"):
        withdraw(data, "other", sha1("a"), "x")


@both
def test_numbers(tmp_path: Path) -> None:
    data = make(tmp_path)
    agent = enrol(data)
    load(data, f"{sha1('a')}\n{sha1('b')}\n")
    withdraw(data, LIST, sha1("b"), "wrong")
    admin.publish(data)
    clock = Clock()
    with asking(data, agent, clock) as client:
        assert client.post("/v1/confirm", question({"sha1": sha1("a")})).status_code == 200
        outcome = {"entry": "e_x", "list": LIST, "verdict": "0" * 64, "first_seen": 100, "acted_at": 160.5}
        outcomes = [{**outcome, "id": "o_1", "action": "quarantined"}, {**outcome, "id": "o_2", "action": "held"}]
        assert client.post("/v1/outcomes", {"outcomes": outcomes}).status_code == 200
    counted = admin.stats(data)
    (one,) = counted.lists
    assert (one.id, one.version, dict(one.entries)) == (LIST, 1, {"active": 1, "withdrawn": 1, "test": 1})
    assert dict(one.outcomes) == {"quarantined": 1, "held": 1}
    (provider,) = counted.providers
    assert dict(provider.outcomes) == {"quarantined": 1, "held": 1}
    assert provider.slowest_act == 60.5
    assert provider.published is not None
    assert provider.last_outcome == clock.now
