"""What people see: which events at which loudness, names without power over the terminal, and a table that adds up."""

from __future__ import annotations

import io
import re
import sys

import pytest
from rich.console import Console

from hashscan.errors import IncompleteError, UsageError
from hashscan.model import Event, Json, Reason, Sifted
from hashscan.report import events, fields
from hashscan.report.console import open_console
from hashscan.report.progress import ProgressReporter
from hashscan.report.table import Row, summary_rows
from hashscan.report.tally import Tally
from hashscan.report.text import PROBLEM_LINES, TextReporter
from tests.support import nouns
from tests.support.telling import every_event, tally


def shown(*told: Event, quiet: bool = False, verbose: bool = False) -> str:
    out = io.StringIO()
    reporter = TextReporter(open_console(out), quiet=quiet, verbose=verbose)
    for event in told:
        reporter.tell(event)
    return out.getvalue()


def test_a_clean_quiet_run_prints_nothing() -> None:
    clean = Tally()
    clean.add(Sifted(seen=1, scanned=1))
    start = events.scan_start([b"/srv"], "report", [nouns.LIST], {})
    sync = events.sync(nouns.LIST, "unchanged")
    end = events.summary(clean, complete=True, seconds=1)
    assert shown(start, sync, events.progress(clean), events.skipped(nouns.skip()), end, quiet=True) == ""
    assert "complete, nothing found (1.0 s)" in shown(start, end)


def test_a_quiet_run_that_is_not_complete_speaks() -> None:
    assert "not everything" in shown(events.summary(Tally(), complete=False, seconds=1), quiet=True)
    failed = Tally()
    failed.add(Sifted(seen=1, errors={"EIO": 1}))
    assert "EIO" in shown(events.summary(failed, complete=True, seconds=1), quiet=True)


@pytest.mark.parametrize(
    ("kind", "quiet", "normal", "verbose"),
    [
        ("scan_start", False, True, True),
        ("progress", False, False, False),
        ("finding", True, True, True),
        ("pending", True, True, True),
        ("action", True, True, True),
        ("skipped", False, True, True),
        ("error", False, True, True),
        ("sync", False, True, True),
        ("sync_wait", False, True, True),
        ("withdrawn", True, True, True),
        ("check", True, True, True),
        ("case", True, True, True),
        ("status", True, True, True),
        ("exit_error", True, True, True),
    ],
)
def test_loudness(kind: str, quiet: bool, normal: bool, verbose: bool) -> None:
    event = next(event for event in every_event() if event.type == kind)
    assert (bool(shown(event, quiet=True)), bool(shown(event)), bool(shown(event, verbose=True))) == (quiet, normal, verbose)


def test_skips_that_leave_nothing_unlooked_at_are_for_the_verbose() -> None:
    assert shown(events.skipped(nouns.skip(Reason.SPECIAL))) == ""
    assert "special" in shown(events.skipped(nouns.skip(Reason.SPECIAL)), verbose=True)


def test_a_flood_of_problems_does_not_bury_the_findings() -> None:
    flood = [events.error(nouns.skip(Reason.ERROR, b"n%d" % n, errno="EACCES")) for n in range(PROBLEM_LINES + 25)]
    said = shown(*flood, events.summary(Tally(), complete=True, seconds=1))
    assert said.count("unreadable  /srv/n") == PROBLEM_LINES
    assert "... and 25 more paths not looked at" in said
    assert shown(*flood, verbose=True).count("unreadable  /srv/n") == PROBLEM_LINES + 25


def test_a_finding_is_one_line_with_its_path_and_one_with_its_entry() -> None:
    assert shown(events.finding(nouns.finding())).splitlines() == [
        "FINDING     /srv/www/a.jpg",
        "            entry e-17 of police-nl v7: match, active, x; act: quarantine (sha1 agrees)",
    ]


def test_a_long_path_stays_one_line_in_a_mail() -> None:
    path = b"d/" * 400 + b"a.jpg"
    assert any(line.endswith("/a.jpg") and len(line) > 800 for line in shown(events.finding(nouns.finding(path))).splitlines())


def test_names_have_no_power_over_the_terminal() -> None:
    calm = every_event(b"calm")
    wild = every_event(nouns.HOSTILE)
    for one, other in zip(calm, wild, strict=True):
        plain, said = shown(one, verbose=True), shown(other, verbose=True)
        assert said.count("\n") == plain.count("\n"), other.type
        assert all(char.isprintable() or char == "\n" for char in said), other.type
    assert "[bold]d[/bold]" in shown(*wild), "markup is text"


def test_the_name_of_a_case_is_shown_only_when_asked_for() -> None:
    assert "a.jpg" not in shown(events.case(nouns.case()))
    assert "a.jpg" in shown(events.case(nouns.case()), verbose=True)


def test_raw_strings_of_a_status_are_cleaned() -> None:
    said = shown(events.status({"a\x1b": "b\x1b[31m", "list": ["x", {"y": None}], "n": 3}))
    assert said.splitlines() == [r"a\x1b     b\x1b[31m", "list.0    x", "list.1.y  none", "n         3"]


def test_an_event_from_later_is_named() -> None:
    assert shown(Event("invented", {}), verbose=True) == "(invented)\n"


def test_an_error_comes_with_its_hint() -> None:
    said = shown(events.exit_error(UsageError("no such root", hint="name one")), quiet=True)
    assert said == "error       no such root\n            hint: name one\n"


def _parts_add_up(rows: list[Row]) -> bool:
    """Whether each total is the sum of the rows one step in, down to the next total (rows of depth 2: of the row above)."""
    for index, row in enumerate(rows):
        below = rows[index + 1 :]
        end = next((n for n, other in enumerate(below) if other.depth <= row.depth), len(below))
        parts = [other.count for other in below[:end] if other.depth == row.depth + 1]
        if parts and sum(parts) != row.count:
            return False
    return True


def test_the_table_adds_up() -> None:
    rows = summary_rows(events.summary(tally(), complete=True, seconds=1).data)
    assert [row.count for row in rows if row.depth == 0] == [100, 4]
    assert _parts_add_up(rows)
    broken = [Row(row.depth, row.label, row.count + (row.label == "hashed")) for row in rows]
    assert not _parts_add_up(broken), "the control"


def test_what_is_unaccounted_for_is_shown_so_that_the_table_still_adds_up() -> None:
    odd = tally()
    odd.seen += 5
    odd.candidates += 1
    rows = summary_rows(events.summary(odd, complete=True, seconds=1).data)
    assert [row.count for row in rows if "UNACCOUNTED" in row.label] == [5, 1]
    assert _parts_add_up(rows)


@pytest.mark.parametrize(
    ("code", "words"), [(0, "nothing found"), (3, "incomplete"), (4, "stopped before the end"), (20, "filter"), (22, "refused")]
)
def test_the_headline_says_what_the_exit_code_means(code: int, words: str) -> None:
    assert words in shown(Event("summary", {"exit_code": code, "complete": True, "seconds": 1.0}))


def test_the_headline_counts() -> None:
    data: dict[str, Json] = {
        "complete": True,
        "seconds": 1.0,
        "candidates": {"findings": 1, "pending": 2},
        "actions": {"held": 1, "failed": 2},
    }
    assert "1 confirmed file (1.0 s)" in shown(Event("summary", {**data, "exit_code": 10}))
    assert "2 candidate files without an answer" in shown(Event("summary", {**data, "exit_code": 11}))
    assert "3 of the actions failed or held" in shown(Event("summary", {**data, "exit_code": 12}))
    assert "ended with exit code 99" in shown(Event("summary", {**data, "exit_code": 99}))


def test_it_fits_80_columns() -> None:
    big = tally()
    big.add(Sifted(10**9, 10**12, 10**12, 0, 0, 10**18))
    for line in shown(events.summary(big, complete=False, seconds=1)).splitlines():
        assert len(line) <= 80


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1_500_000, "1.5 MB"), (999_960, "1.0 MB"), (2e15, "2000.0 TB")],
)
def test_sizes(count: float, words: str) -> None:
    assert fields.size(count) == words


@pytest.mark.parametrize(("seconds", "words"), [(0, "0.0 s"), (59.96, "1 min 00 s"), (245, "4 min 05 s"), (7380, "2 h 03 min")])
def test_durations(seconds: float, words: str) -> None:
    assert fields.duration(seconds) == words


def test_no_colour_means_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    coloured, plain = io.StringIO(), io.StringIO()
    TextReporter(open_console(coloured)).tell(events.finding(nouns.finding()))
    TextReporter(open_console(plain, color=False)).tell(events.finding(nouns.finding()))
    assert "\x1b[1;31m" in coloured.getvalue()
    assert "\x1b[1;31m" not in plain.getvalue()


def test_a_latin_1_stream_shows_any_name() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="latin-1", errors="strict")
    TextReporter(open_console(stream)).tell(events.finding(nouns.finding("日本.jpg".encode())))
    assert rb"/srv/\u65e5\u672c.jpg" in raw.getvalue()


class _Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def _terminal(out: io.StringIO) -> Console:
    console = open_console(out, color=True)
    console.width = 80
    return console


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def test_progress_is_drawn_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    out, clock, done = io.StringIO(), _Clock(), Tally()
    with ProgressReporter(_terminal(out), clock) as reporter:
        reporter.tell(events.scan_start([b"/srv"], "report", [], {}))
        for second in range(3):
            done.add(Sifted(seen=100, scanned=100, bytes_hashed=2_000_000, at=b"/srv/" + b"long\x1b/" * 40))
            clock.now = float(second)
            reporter.tell(events.progress(done))
        drawn = len(out.getvalue())
        clock.now += 0.01
        reporter.tell(events.progress(done))
        assert len(out.getvalue()) == drawn, "not more often than ten times a second"
        reporter.tell(events.summary(done, complete=True, seconds=3))
    said = out.getvalue()
    assert "300 files, 6.0 MB, 100/s, 2.0 MB/s" in _plain(said)
    assert max(len(line) for line in re.split(r"[\r\n]", _plain(said))) <= 80
    assert said.count("\x1b[?25l") == said.count("\x1b[?25h") == 1, "the cursor comes back"


def test_the_cursor_comes_back_after_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    out = io.StringIO()
    reporter = ProgressReporter(_terminal(out), _Clock())
    with pytest.raises(UnicodeError), reporter:
        _crash(reporter)
    assert out.getvalue().count("\x1b[?25h") == 1


def _crash(reporter: ProgressReporter) -> None:
    reporter.tell(events.scan_start([b"/srv"], "report", [], {}))
    raise UnicodeError


@pytest.mark.parametrize("term", ["dumb", "xterm"])
def test_progress_is_silent_elsewhere(term: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", term)
    out = io.StringIO()
    with ProgressReporter(open_console(out, color=True if term == "dumb" else None), _Clock()) as reporter:
        for event in every_event():
            reporter.tell(event)
    assert out.getvalue() == ""


def test_progress_leaves_the_standard_streams_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    before = (sys.stdout, sys.stderr)
    with ProgressReporter(_terminal(io.StringIO()), _Clock()) as reporter:
        reporter.tell(events.scan_start([b"/srv"], "report", [], {}))
        assert (sys.stdout, sys.stderr) == before


def test_a_screen_that_fails_before_the_first_line_is_no_traceback() -> None:
    class Full(io.RawIOBase):
        full = True

        def writable(self) -> bool:
            return True

        def write(self, data: object) -> int:
            if self.full:
                raise OSError(28, "No space left on device")
            return len(bytes(data))  # type: ignore[call-overload]

    raw = Full()
    with io.TextIOWrapper(io.BufferedWriter(raw)) as stream:
        stream.write("what waits")
        with pytest.raises(IncompleteError, match="cannot be written: No space"):
            open_console(stream)
        raw.full = False
