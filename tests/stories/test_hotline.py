"""A hotline from an empty machine to a file that is given back: two companies, real HTTP over TLS, on both databases.

The list is a VICS file of some thousand records; ``HASHSCAN_BUDGET=700`` makes it 1.4 million.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hashscan.service.embedded import start_embedded
from tests.support.budget import attempts
from tests.support.databases import both, url_file
from tests.support.host import Host
from tests.support.list_files import MODEL_2, record
from tests.support.tls import Certificates
from tests.support.world import content, digest, hashscan, marks

RIGHT, WRONG, OTHER_CATEGORY = "known", "a logo that everybody has", "of another category"
COMPANIES = {"acme": "NL", "umbra": "DE"}


@dataclass
class Desk:
    """The machine of the hotline."""

    data: Path

    def type(self, *words: str | Path, code: int = 0) -> str:
        told = hashscan("service", "--data", self.data, *words)
        assert told.code == code, (words, told.code, told.out, told.err)
        return told.out.decode()

    def code(self, company: str) -> str:
        return self.type("provider", "code", company).strip()

    def json(self, *words: str | Path, code: int = 0) -> Any:
        return json.loads(self.type(*words, "--json", code=code))


def listed(name: str, category: int = 1) -> dict[str, Any]:
    """What a list says of a file with the contents of that name."""
    digests = {"MD5": digest(name, "md5").upper(), "SHA1": digest(name).upper()}
    return record(name, category, MediaSize=str(len(content(name))), **digests)


def vics_lines(count: int) -> Iterator[str]:
    """A VICS file, piece by piece: ``count`` records of made-up digests, and those that the story is about."""
    yield f'{{"@odata.context": "{MODEL_2}#Media", "value": ['
    for number in range(count):
        seed = hashlib.sha512(b"a record of a story %d" % number).hexdigest()
        fields = {"MediaID": number, "Category": 1, "MD5": seed[:32], "SHA1": seed[32:72], "MediaSize": 1000 + number}
        yield json.dumps(fields) + ",\n"
    yield ",\n".join(json.dumps(one) for one in (listed(RIGHT), listed(WRONG), listed(OTHER_CATEGORY, 3)))
    yield "]}"


def found(desk: Desk, count: int) -> None:
    """Founded, with a list and two companies."""
    desk.data.parent.mkdir()
    database = url_file(desk.data.parent)
    where = ("--database", database) if database else ()
    desk.type("init", "--name", "Example hotline", "--root-keys", desk.data.parent / "root-keys", *where)
    source = desk.data.parent / "national.json"
    with source.open("w") as stream:
        stream.writelines(vics_lines(count))
    told = desk.type("import", source, "--list", "police", "--format", "vics", "--category", "1", "--source-name", "police")
    assert f"{count + 2} entries added" in told.replace(",", ""), told
    source.unlink()
    for name, country in COMPANIES.items():
        desk.type("provider", "add", name, "--phase", "regular")
        desk.type("provider", "place", name, "--country", country)
    desk.type("publish")


@pytest.mark.slow
@both
def test_a_wrong_entry_is_found_disputed_withdrawn_and_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = attempts(2000)
    monkeypatch.setattr("tests.support.world.TIMEOUT", 60.0 + count / 1000)
    desk = Desk(tmp_path / "hotline" / "service")
    found(desk, count)
    certificates = Certificates(tmp_path)
    with start_embedded(desk.data, tls=certificates.server().files) as service:
        assert service.url.startswith("https://")
        hosts = {name: Host(tmp_path / f"web-of-{name}") for name in COMPANIES}
        for name, host in hosts.items():
            told = host.enroll(service.url, desk.code(name), "--ca-file", certificates.ca_file)
            assert told.code == 0, told.err
            host.plant(RIGHT, WRONG, OTHER_CATEGORY, "holiday", customer="alice")
            host.plant(WRONG, "invoice", customer="bob")
        before = {name: marks(host.tree) for name, host in hosts.items()}

        # Both companies find what is listed, and take it.
        for host in hosts.values():
            told = host.must("scan", "--quarantine", "--json", host.tree, code=10)
            assert sorted(Path(one["path"]).name for one in told.of("finding")) == [WRONG, WRONG, RIGHT]
            assert {one["grade"] for one in told.of("finding")} == {"match"}
            assert {tuple(sorted(one["digests"])) for one in told.of("finding")} == {("md5", "sha1")}
            assert (told.summary["paths"]["seen"], told.summary["candidates"]["pending"]) == (6, 0)
            left = {path.name for path in host.tree.rglob("*") if path.is_file()}
            assert left == {OTHER_CATEGORY, "holiday", "invoice"}
        figures = desk.json("monitor", "--names")
        assert (figures["total"]["findings"], figures["total"]["open"]) == (6, 0)

        # One company says that an entry is wrong; two people of the hotline look, and withdraw it.
        cases = [json.loads(line) for line in hosts["acme"].must("quarantine", "list", "--json").out.splitlines()]
        entries = {entry: sum(case["entry"] == entry for case in cases) for entry in {case["entry"] for case in cases}}
        (wrong,) = (entry for entry, times in entries.items() if times == 2)
        case = next(case["case_id"] for case in cases if case["entry"] == wrong)
        hosts["acme"].must("dispute", case, "--reason", "our customers have bought this logo", code=10)
        assert "1 complaint" in desk.type("disputes", code=10)
        reason = ("--list", "police", "--reason", "a stock logo", "--by")
        assert "is disputed" in desk.type("withdraw", wrong, *reason, "anna")
        hosts["umbra"].plant(WRONG, customer="carol")
        told = hosts["umbra"].must("scan", "--quarantine", "--json", hosts["umbra"].tree, code=10)
        (finding,) = told.of("finding")
        assert (finding["standing"], finding["act"]) == ("disputed", "report"), "answers say so at once"
        assert desk.type("withdraw", wrong, *reason, "bea").startswith("withdrawn")
        desk.type("publish")

        # Both hear of it with the next sync, and one command gives everything back.
        for name, host in hosts.items():
            host.must("sync")
            host.must("quarantine", "restore", "--withdrawn", "--yes")
            after, restored = marks(host.tree), 0
            for path, mark in before[name].items():
                if path.endswith(RIGHT.encode()) and not path.endswith(WRONG.encode()):
                    assert path not in after, "what is rightly listed stays where it is"
                elif path.endswith(WRONG.encode()):
                    assert after[path].restored() == mark.restored()
                    restored += 1
            assert restored == 2
            told = host.must("scan", "--quarantine", "--json", host.tree)
            assert told.of("finding") == []
            host.must("confirm")
            assert "holds" in host.must("audit", "verify").out.decode()
        disputes = desk.json("disputes", "--all")["disputes"]
        assert [one["state"] for one in disputes] == ["withdrawn"]
        acted = desk.type("disputes", disputes[0]["id"])
        assert all(f"{name}" in acted for name in COMPANIES), acted
        hosts["acme"].must("dispute", case, "--reason", "our customers have bought this logo")
    print(f"{count + 2} entries")
