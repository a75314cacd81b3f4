"""hashscan service import, known-good, fetch, export-list, exports: what is typed, what is said, which exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hashscan.cli import service_exports, service_lists
from hashscan.cli.main import run
from hashscan.errors import ExitCode
from hashscan.service import known_good
from hashscan.service.exporters.listing import FORMS
from hashscan.service.importers import formats
from tests.support import list_files
from tests.support.list_files import entry, page, record, tombstone
from tests.support.ncmec import LOGIN, Source, serving
from tests.support.service import LIST, load, make, md5, sha1


class Shell:
    """A service, and commands on it."""

    def __init__(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.home = home
        self.data = make(home)
        self._capsys = capsys

    def type(self, *words: str | Path, code: int = ExitCode.OK) -> tuple[str, str]:
        """What was said on stdout and stderr."""
        done = run(["service", "--data", str(self.data), *map(str, words)])
        out, err = self._capsys.readouterr()
        assert done == code, (out, err)
        return out, err

    def file(self, name: str, content: str | bytes, *, mode: int = 0o644) -> Path:
        path = self.home / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        path.chmod(mode)
        return path


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(tmp_path, capsys)


def test_the_choices_are_those_of_the_formats() -> None:
    assert ("auto", *formats.LISTS, "nsrl") == service_lists._LISTS
    assert ("auto", *formats.KNOWN_GOOD, known_good.NSRL3) == service_lists._KNOWN_GOOD
    assert tuple(FORMS) == service_exports._FORMS


def test_a_vics_file(shell: Shell) -> None:
    records = [record("a"), record("b", 2), record("c", 0), record("d", 3), record("e", None), record("f", MD5=None, SHA1=None)]
    source = shell.file("national.json", list_files.vics(records))
    _, err = shell.type("import", source, "--list", LIST, code=ExitCode.USAGE)
    assert "needs the categories" in err
    assert "--category" in err
    report = shell.home / "report"
    words = ("import", source, "--list", LIST, "--category", "1", "--category", "2", "--report", report)
    out, err = shell.type(*words, "--dry-run")
    assert out == "dry run, nothing was changed: list police: 2 entries added, 0 merged, 0 unchanged, 0 conflicts\n"
    assert err.splitlines() == [
        "refused 1: category_0",
        "refused 1: no_category",
        "refused 1: no_digest",
        "refused 1: other_category",
        "  record 3: category 0 is never imported",
        "  record 4: category 3 was not asked for",
        "  record 5: it has no category",
        "  record 6: it has no digest that hashscan knows",
    ]
    assert shell.type(*words)[0] == "list police: 2 entries added, 0 merged, 0 unchanged, 0 conflicts\n"
    lines = [json.loads(line) for line in report.read_text().splitlines()]
    assert lines[0] == {"place": "record 3", "reason": "category_0", "text": "category 0 is never imported"}
    assert lines[-1]["summary"]["refused"] == {"category_0": 1, "no_category": 1, "no_digest": 1, "other_category": 1}
    assert lines[-1]["summary"]["imported"] is True
    assert not any(sha1(name) in report.read_text().lower() for name in "abcdef")
    assert shell.type(*words)[0].startswith("list police: 0 entries added, 0 merged, 2 unchanged")


def test_several_files_are_one_import(shell: Shell) -> None:
    good, bad = shell.file("one.txt", sha1("a")), shell.file("two.txt", f"{sha1('b')}\njunk\n")
    _, err = shell.type("import", good, bad, "--list", LIST, code=ExitCode.USAGE)
    assert "two.txt line 2: it does not begin with a digest" in err
    out, _ = shell.type("import", good, bad, "--list", LIST, "--skip-bad")
    assert out.startswith("list police: 2 entries added")


def test_with_a_report_every_bad_line_is_named(shell: Shell) -> None:
    source = shell.file("bad.txt", "\n".join(f"junk {n}" for n in range(50)))
    report = shell.home / "report"
    shell.type("import", source, "--list", LIST, "--report", report, code=ExitCode.USAGE)
    assert len(report.read_text().splitlines()) == 51
    shell.type("import", source, "--list", LIST, "--report", shell.home / "no" / "r", code=ExitCode.CRASH)


def test_known_good_lists(shell: Shell) -> None:
    rds = list_files.nsrl3(shell.home / "rds.db", "ab")
    text = shell.file("NSRLFile.txt", list_files.nsrl("cd"))
    assert "would have 6" in shell.type("known-good", "import", rds, "--dry-run")[0]
    assert shell.type("known-good", "import", rds)[0] == "6 digests read; the known-good list has 6 now\n"
    assert shell.type("known-good", "import", text, "--format", "nsrl")[0] == "4 digests read; the known-good list has 10 now\n"
    table = shell.file("good.csv", f"hash\n{sha1('e')}\nx\n")
    words = ("known-good", "import", table, "--column", "sha1=hash", "--report", shell.home / "r")
    assert "line 3: its sha1" in shell.type(*words, code=ExitCode.USAGE)[1]
    assert "has 11 now" in shell.type(*words, "--skip-bad")[0]
    source = shell.file("list.txt", "\n".join(map(sha1, "abcdef")))
    out, err = shell.type("import", source, "--list", LIST)
    assert out.startswith("list police: 1 entry added")
    assert "refused 5: known_good" in err
    assert "NSRL" in shell.type("import", rds, "--list", LIST, code=ExitCode.USAGE)[1]


def test_fetching(shell: Shell) -> None:
    login = shell.file("login", LOGIN, mode=0o600)
    with serving(Source([entry(name) for name in "abc"])) as source:
        words = ("fetch", source.url, "--list", LIST, "--category", "A1", "--login", login)
        out, _ = shell.type(*words, "--dry-run")
        assert "dry run, nothing was changed: list police: 3 entries added" in out
        out, _ = shell.type(*words)
        assert out.startswith("2 pages, 2 of them from a fetch that was stopped, what has changed until 20")
        source.entries = [tombstone("a"), tombstone("b")]
        _, err = shell.type(*words, "--max-withdrawn", "1", code=ExitCode.USAGE)
        assert "--max-withdrawn" in err
        out, _ = shell.type(*words, "--since", "2026-01-01", "--deadline", "1h")
        assert "2 withdrawn" in out
        shell.type(*words, "--since", "yesterday", code=ExitCode.USAGE)
        login.write_text("hotline:wrong")
        assert "refused us (401)" in shell.type(*words, "--since", "2026-01-02", code=ExitCode.REFUSED)[1]
        login.chmod(0o644)
        assert "chmod" in shell.type(*words, code=ExitCode.USAGE)[1]
    login.chmod(0o600)
    assert "no answer" in shell.type(*words, code=ExitCode.PENDING)[1]
    shell.type("fetch", "http://h.example/", "--list", LIST, "--category", "A1", code=ExitCode.USAGE)


def test_lists_out_and_who_had_them_written(shell: Shell) -> None:
    load(shell.data, f"md5,sha1,size\n{md5('a')},{sha1('a')},7\n{md5('b')},{sha1('b')},\n")
    out = shell.home / "list"
    said, warning = shell.type("export-list", LIST, out, "--format", "hashdeep")
    assert said.startswith(f"list police: 2 entries, 4 digests in {out}, sha256 ")
    assert "left out 1: without such a digest, or without a size" in warning
    assert "whoever reads this file" in warning
    assert "already" in shell.type("export-list", LIST, out, "--format", "hsb", code=ExitCode.USAGE)[1]
    shell.type("export-list", LIST, out, "--format", "hsb", "--replace", "--algorithm", "md5")
    key = shell.file("key", "0123456789abcdef\n", mode=0o600)
    shell.type(
        "export-list", LIST, shell.home / "set", "--format", "pss", "--key", key, "--key-id", "k1", "--error-rate", "1e-9"
    )
    shell.type("export-list", "none", shell.home / "x", "--format", "hsb", code=ExitCode.USAGE)
    lines = shell.type("exports")[0].splitlines()
    assert [line.split()[3] for line in lines] == ["hashdeep,", "hsb,", "pss,"]
    assert all("service export-list (" in line for line in lines)


def test_a_page_from_a_file(shell: Shell) -> None:
    source = shell.file("page.xml", page(entry("a"), entry("b", classification="B2")))
    _, err = shell.type("import", source, "--list", LIST, "--category", "A1", code=ExitCode.USAGE)
    assert "--source-name" in err
    out, err = shell.type("import", source, "--list", LIST, "--category", "A1", "--source-name", "ncmec")
    assert out.startswith("list police: 1 entry added")
    assert "entry 2: its category is none of those that were asked for" in err
    source.write_text(page(tombstone("a")))
    out, _ = shell.type("import", source, "--list", LIST, "--category", "A1", "--source-name", "ncmec")
    assert out == "list police: 0 entries added, 0 merged, 0 unchanged, 0 conflicts, 1 withdrawn\n"
