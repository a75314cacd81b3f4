"""Lists that somebody wrote to harm: refused with the place named and exit code 2, the list in force untouched to the byte."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hashscan.cli.main import run
from hashscan.errors import ExitCode
from hashscan.service.importers.reading import CHUNK_ROWS
from hashscan.service.store import Folder, open_store
from hashscan.service.tables import Base
from tests.house.source import REPOSITORY
from tests.support import list_files
from tests.support.list_files import entry, page, record, tombstone
from tests.support.service import LIST, enrol, load, make, md5, sha1

BEFORE = 30
LAUGHS = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
DTD = f'<?xml version="1.0"?><!DOCTYPE queryResult [<!ENTITY a0 "ha">{LAUGHS}]>'
GOOD = list_files.vics([record(str(n)) for n in range(50)])
HEAD = GOOD[: GOOD.index("[") + 1]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A service with a list in force and a provider."""
    made = make(tmp_path)
    load(made, "\n".join(sha1(f"before {n}") for n in range(BEFORE)))
    enrol(made)
    assert run(["service", "--data", str(made), "publish"]) == ExitCode.OK
    return made


def everything(data: Path) -> dict[str, Any]:
    """Every row of every table, and a digest of the database file and of what is published."""
    with open_store(data) as store, store.reading() as session:
        tables = Base.metadata.sorted_tables
        rows = {table.name: sorted(map(repr, session.execute(table.select()))) for table in tables}
    assert len(rows["entry"]) > BEFORE
    files = [path for path in (data / "published").rglob("*") if path.is_file()]
    if Folder(data).database.is_file():
        files.append(Folder(data).database)
    return {**rows, **{str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}}


def sparse(head: bytes) -> Callable[[Path], None]:
    """A file of 4 GB that is one line, or one value, behind ``head``; it takes no room on the disk."""

    def write(path: Path) -> None:
        with path.open("wb") as stream:
            stream.write(head)
            stream.truncate(4 << 30)

    return write


def text(content: str | bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(content.encode() if isinstance(content, str) else content) and None


DEEP = HEAD + '{"Category":1,"x":' + "[" * 200_000
DIGITS = HEAD + '{"Category":1,"MediaSize":' + "9" * 500_000 + f',"MD5":"{md5("a")}"}}]}}'
LATIN = list_files.vics([record("é")], ensure_ascii=False).encode("latin-1")
PACKED = gzip.compress(list_files.vics(map(record, "abcdefgh" * 99)).encode())
TWICE = GOOD.replace('"Category": 1', '"Category": 1, "Category": 2', 1)
TYPES = list_files.vics([record("a"), 5, [], None, "x", {"Category": {}}, {"Category": 1, "MD5": [], "SHA1": {}}])

HOSTILE: dict[str, tuple[Callable[[Path], None], str]] = {
    "a plain line of 4 GB": (sparse(sha1("a").encode() + b"\n"), r"before byte \d+: a line has more than 16777216 bytes"),
    "a VICS text of 4 GB": (sparse((HEAD + '{"Category": "').encode()), r"byte \d+: a value has more than 1048576 characters"),
    "an XML text of 4 GB": (sparse(page("@").partition("@")[0].encode()), "line 2, column|more than 262144 bytes"),
    "zeros where JSON should be": (sparse(b"{"), "JSON or XML, and none that hashscan knows"),
    "billion laughs": (text(page("&a9;", head=DTD)), "document type"),
    "an external entity": (text(page("&x;", head=DTD.replace('"ha"', 'SYSTEM "file:///etc/passwd"'))), "document type"),
    "quadratic blowup": (text(page("&a;" * 1000, head=DTD.replace('"ha"', f'"{"x" * 100_000}"'))), "document type"),
    "VICS in UTF-16 without its end": (text(GOOD.encode("utf-16")[:-7]), r"byte \d+: "),
    "VICS in Latin-1": (
        text(list_files.vics([record("é")], ensure_ascii=False).encode("latin-1")),
        r"byte \d+: it is not UTF-8",
    ),
    "VICS with NULs": (text(GOOD.replace("MediaID", "Media\0ID", 1)[:-5] + "\0" * 500), r"byte \d+: "),
    "a plain list in UTF-16": (text((sha1("a") + "\n").encode("utf-16")), "NUL bytes; is the file UTF-16"),
    "a CSV in Latin-1": (text(b"sha1,category\n" + f"{sha1('a')},é\n".encode("latin-1")), "line 2: it is not UTF-8"),
    "hashdeep in UTF-16": (text(list_files.hashdeep(["a"]).encode("utf-16")), "line 1: it does not begin with a digest|NUL"),
    "half a VICS file": (text(GOOD[: len(GOOD) // 2]), r"byte \d+: "),
    "half a page": (text(page(entry("a"), entry("b"))[:-200]), r"line 2, column \d+"),
    "half a gzip": (
        text(gzip.compress(list_files.vics(map(record, "abcdefgh" * 99)).encode())[:-200]),
        r"after byte \d+: the gzip data ends too early",
    ),
    "deep JSON": (text(DEEP), r"byte \d+: it is nested too deeply"),
    "half a million digits": (text(DIGITS), "record 1: its size is not a number"),
    "keys that occur twice": (
        text(GOOD.replace('"Category": 1', '"Category": 1, "Category": 2', 1)),
        "record 1: a key occurs twice",
    ),
    "wrong types everywhere": (text(TYPES), "record 2: it is not an object.*record 6: its category.*record 7: its md5"),
    "two documents": (text(GOOD + GOOD), r"byte \d+: something follows the end"),
    "an error page": (text("<html><body>502</body></html>"), "JSON or XML, and none that hashscan knows"),
    "a database": (lambda path: list_files.nsrl3(path, ["a"]) and None, "this is a database"),
    "NSRL": (text(list_files.nsrl(["before 1"])), "known-good files is never imported"),
    "nothing": (text(""), "holds no digest"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_it_is_refused_with_its_place_and_nothing_changes(data: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    write, said = HOSTILE[name]
    source, report = data.parent / "hostile", data.parent / "report.jsonl"
    write(source)
    before = everything(data)
    with source.open("rb") as stream:
        xml = b"queryResult" in stream.read(500_000)
    shown = ["--format", "ncmec", "--category", "A1"] if xml else ["--category", "1"]
    command = ["service", "--data", str(data), "import", str(source), "--list", LIST, "--source-name", "x", *shown]
    for more in ([], ["--dry-run"], ["--report", str(report)]):
        assert run([*command, *more]) == ExitCode.USAGE, more
        err = capsys.readouterr().err
        assert re.search(said, err, re.DOTALL), err
        assert len(err) < 4000
    assert everything(data) == before
    last = json.loads(report.read_text().splitlines()[-1])["summary"]
    assert last["imported"] is False
    assert last["failure"]
    assert report.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "good",
    [GOOD, page(entry("a"), tombstone("b")), list_files.hashdeep(["a"]), f"{md5('a')}:1:x\n", sha1("a")],
    ids=str.__len__,
)
def test_control_the_whole_file_is_taken(data: Path, good: str) -> None:
    source = data.parent / "good"
    source.write_text(good)
    before = everything(data)
    command = ["service", "--data", str(data), "import", str(source), "--list", LIST, "--source-name", "x"]
    categories = ["--category", "1"] if good is GOOD else ["--category", "A1"] if "queryResult" in good else []
    assert run([*command, *categories, "--dry-run"]) == ExitCode.OK
    assert everything(data) == before, "a dry run changes nothing"
    assert run([*command, *categories]) == ExitCode.OK
    after = everything(data)
    assert after["entry"] != before["entry"]
    assert {name for name in before if before[name] != after.get(name)} >= {"entry", "import_run"}


def test_a_known_good_list_that_is_hostile_changes_nothing(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = data.parent / "rds.db"
    before = everything(data)
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i AS md5 FROM n WHERE i < 0"
    list_files.nsrl3(source, [], view="DROP TABLE METADATA")
    list_files.run(source, f"CREATE VIEW FILE AS {endless}")
    command = ["service", "--data", str(data), "known-good", "import", str(source)]
    assert run(command) == ExitCode.USAGE
    assert "SQLite cannot read it" in capsys.readouterr().err
    assert everything(data) == before


def test_an_import_that_is_killed_leaves_nothing_and_runs_again(data: Path) -> None:
    """Pipe and buffers hold 600 of these lines, and the child has the others: a chunk of them was written when it dies."""
    before = everything(data)
    count = CHUNK_ROWS + 1000
    lines = b"".join(f"{sha1(str(n))}  {'x' * 950}\n".encode() for n in range(count))
    command = [sys.executable, "-m", "hashscan", "service", "--data", str(data), "import", "/dev/stdin", "--list", LIST]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=REPOSITORY) as child:
        assert child.stdin is not None
        written = 0
        while written < len(lines):
            written += os.write(child.stdin.fileno(), lines[written : written + 65_536])
        child.send_signal(signal.SIGKILL)
        child.stdin.close()
    assert child.returncode == -signal.SIGKILL
    after = everything(data)
    assert {name: rows for name, rows in after.items() if "/" not in name} == {
        name: rows for name, rows in before.items() if "/" not in name
    }
    source = data.parent / "again"
    source.write_bytes(lines)
    assert run(["service", "--data", str(data), "import", str(source), "--list", LIST]) == ExitCode.OK
    assert len(everything(data)["entry"]) == len(before["entry"]) + count
