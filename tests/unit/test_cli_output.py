"""What people see: help that fits 80 columns, details that are wrapped by words, a picture that shows what the program says."""

from __future__ import annotations

import dataclasses
import errno
import io
import os
import re
import secrets
import subprocess
import sys
from contextlib import redirect_stdout

import click
import pytest
from rich.color import ColorSystem

from hashscan.cli.folding import columns, folded, say, speak, wrapped
from hashscan.cli.lines import styled
from hashscan.cli.talking import Talk
from hashscan.errors import IncompleteError
from hashscan.model import Event, ListRef, Source
from hashscan.report import events
from hashscan.report.console import open_console
from hashscan.report.flat import pairs
from hashscan.report.palette import PALETTE
from hashscan.report.paper import as_text, show_runs
from hashscan.report.progress import ProgressReporter
from hashscan.report.text import TextReporter
from hashscan.units import counted
from tests.house.source import REPOSITORY
from tests.house.test_docs import commands
from tests.support import nouns
from tests.support.world import clean_environment


def help_problems(name: str, command: click.Command) -> list[str]:
    context = click.Context(command, info_name=name, terminal_width=80)
    return [f"{name}: {line}" for line in command.get_help(context).splitlines() if len(line) > 80]


def test_help_fits_80_columns() -> None:
    problems = [problem for name, command in commands().items() for problem in help_problems(name, command)]
    assert not problems, "\n".join(["", *problems])


def test_help_cuts_no_sentence() -> None:
    groups = [(name, command) for name, command in commands().items() if isinstance(command, click.Group)]
    assert len(groups) > 8
    for name, group in groups:
        told = group.get_help(click.Context(group, info_name=name, terminal_width=80))
        assert "..." not in told.split("Commands:")[1].replace("OLD.pub NEW.pub]...", ""), name
    (plain,) = (click.Group("x", commands=[click.Command("y", help="word " * 40)]),)
    assert "..." in plain.get_help(click.Context(plain, info_name="x", terminal_width=80)), "a control: click cuts"


def test_control_a_line_that_is_too_long_is_noticed() -> None:
    assert len(help_problems("x", click.Command("x", help="\b\n" + "word " * 30))) == 1


def shown(event: Event, *, terminal: bool, width: int = 80) -> list[str]:
    out = io.StringIO()
    console = open_console(out, color=True if terminal else None)
    console.width = width
    console.no_color = True
    TextReporter(console).tell(event)
    return out.getvalue().splitlines()


LONG = b"www/a folder with a long name/another folder with a long name/and a third one/a.jpg"


@pytest.mark.parametrize("width", [80, 120])
def test_on_a_terminal_what_explains_a_name_is_wrapped_by_words(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    event = events.finding(nouns.finding(LONG, category="a category of many words that goes on and on " * 3))
    path, *details = [_plain(line) for line in shown(event, terminal=True, width=width)]
    assert path.endswith("/a.jpg"), "the name itself stays whole, to be copied"
    assert len(details) > 1
    assert all(len(line) <= width and line.startswith(" " * 12) for line in details)
    assert " ".join(line.strip() for line in details) == shown(event, terminal=False)[1].strip().replace("  ", " ")


def _plain(line: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", line).rstrip()


def test_sentences_beside_a_label_are_wrapped_by_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    said = "the webhook does not answer (no connection); 12 messages wait on disk for the next run"
    for event in (Event("warning", {"message": said}), Event("exit_error", {"message": said})):
        told = [_plain(line) for line in shown(event, terminal=True)]
        assert len(told) == 2
        assert all(len(line) <= 80 for line in told)
        assert told[0].startswith(("warning     the", "error       the"))
        assert f"{told[0][12:]} {told[1].strip()}" == said
        assert told[1].startswith(" " * 12)
        assert len(shown(event, terminal=False)) == 1


@pytest.mark.parametrize("width", [80, 120])
def test_the_list_of_runs_fits(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    out = io.StringIO()
    console = open_console(out, color=False)
    console.width = width
    paths = {"scanned": 12_345_678}
    run = {
        "run_id": "dc6a0cc31601d6d7",
        "started": "2026-11-28T15:02:27Z",
        "command": "quarantine take",
        "seconds": 3700.0,
        "exit_code": 12,
        "summary": {"paths": paths, "candidates": {"findings": 1234}},
    }
    show_runs(console, [run])
    assert "exit" in out.getvalue().splitlines()[0]
    assert "…" not in out.getvalue()
    assert all(len(line) <= width for line in out.getvalue().splitlines())


def test_what_a_run_does_not_know_is_left_out() -> None:
    document = {"run_id": "dc6a0cc31601d6d7", "host": "vm", "started": "2026-11-28T15:02:27Z", "ended": "x", "summary": {}}
    told = as_text(document)
    assert "mode" not in told
    assert "folders" not in told
    assert "no list" not in told
    whole = as_text({**document, "mode": "report", "roots": [{"path": "/srv"}], "lists": [{"id": "police", "version": 3}]})
    assert "mode        report" in whole
    assert "folders     /srv" in whole
    assert "lists       police v3" in whole


def test_a_status_speaks_no_python() -> None:
    assert pairs({"stale": False, "clock_ok": True, "last_run": None, "pending": 0}) == [
        ("stale", "no"),
        ("clock_ok", "yes"),
        ("last_run", "none"),
        ("pending", "0"),
    ]


def test_in_a_pipe_every_event_keeps_its_lines() -> None:
    assert len(shown(events.finding(nouns.finding(LONG)), terminal=False)) == 2


def test_a_plain_list_has_no_version_and_its_entries_are_short() -> None:
    digest = "sha256:" + "ab" * 32
    local = dataclasses.replace(nouns.finding(), source=Source.LOCAL, entry=digest, list=ListRef("local:known.txt", 0, 0))
    said = shown(events.finding(local), terminal=False)[1]
    assert "entry sha256:abababababababab... of plain list known.txt: match" in said
    start = events.scan_start([b"/srv"], "audit", [], {})
    assert "a plain list, nothing is moved; mode: audit" in shown(start, terminal=False)[1]


def test_the_picture_shows_what_the_program_says() -> None:
    line = [sys.executable, str(REPOSITORY / "scripts" / "picture"), "--check"]
    done = subprocess.run(line, capture_output=True, text=True, check=False, env=clean_environment(), timeout=300)
    assert (done.returncode, done.stdout.strip()) == (0, "the picture is up to date"), done.stderr


def test_the_picture_is_small_and_asks_for_nothing() -> None:
    text = (REPOSITORY / "docs" / "pictures" / "scan.svg").read_text(encoding="utf-8")
    assert len(text.encode()) < 60_000
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_lines_that_stand_out_are_plain_where_that_is_wanted(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert styled("look", "cyan") == "\x1b[38;5;31mlook\x1b[0m"
    assert styled("look", "bold") == "\x1b[1mlook\x1b[0m"
    assert styled("look", "bold red") == "\x1b[31m\x1b[1mlook\x1b[0m"
    monkeypatch.setenv(name, value)
    assert {styled("look", style) for style in ("cyan", "bold", "bold red")} == {"look"}


def test_every_colour_goes_through_the_gate_that_knows_no_color() -> None:
    sources = {path: path.read_text(encoding="utf-8") for path in (REPOSITORY / "hashscan").rglob("*.py")}
    found = sorted(path.name for path, text in sources.items() if re.search(r"click\.(secho|style)\(", text))
    assert found == ["lines.py"]


def test_whoever_prints_says_whether_it_is_folded_or_whole() -> None:
    sources = {path: path.read_text(encoding="utf-8") for path in (REPOSITORY / "hashscan").rglob("*.py")}
    found = sorted(
        path.name for path, text in sources.items() if re.search(r"\b(click\.echo|print)\(", text.replace(".print(", ""))
    )
    assert found == ["folding.py", "main.py"], "`speak` folds sentences, `say` leaves what is copied and read by programs whole"


class Screen(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


LONG_LINE = "hashscan: " + "a sentence that explains what is wrong and what " * 4 + "/a/path/that/is/longer/than/a/line" * 3


@pytest.mark.parametrize("width", ["80", "120"])
def test_lines_are_folded_by_words_on_a_terminal_and_whole_in_a_pipe(width: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", width)
    lines = folded(LONG_LINE, Screen(), 10).splitlines()
    assert len(lines) > 2
    assert all(len(line) <= int(width) for line in lines[:-1])
    assert all(line.startswith(" " * 10) for line in lines[1:])
    assert lines[-1].strip() == "/a/path/that/is/longer/than/a/line" * 3, "whole, to be copied"
    assert " ".join(line.strip() for line in lines) == LONG_LINE
    assert folded(LONG_LINE, io.StringIO(), 10) == LONG_LINE
    assert folded("short", Screen(), 2, 4) == "    short"
    assert columns(None) > 10_000


def test_speaking_keeps_lines_and_their_indentation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    screen, pipe = Screen(), io.StringIO()
    text = "one:\n  " + "word " * 30 + "end"
    with redirect_stdout(screen):
        speak(text)
        say(text)
    with redirect_stdout(pipe):
        speak(text)
    whole = f"{text}\n"
    assert pipe.getvalue() == whole
    told = screen.getvalue()
    assert told.endswith(whole)
    folded_lines = told.removesuffix(whole).splitlines()
    assert folded_lines[0] == "one:"
    assert len(folded_lines) > 2
    assert [len(line) - len(line.lstrip()) for line in folded_lines] == [0, 2, *[4] * (len(folded_lines) - 2)]
    assert max(len(line) for line in folded_lines) <= 80


def test_a_number_stays_with_its_unit() -> None:
    assert wrapped("removed in 0 s (median), 24 h. 100 % of", 12) == ["removed in", "0 s", "(median),", "24 h. 100 %", "of"]
    assert wrapped("id  made 2026, 5 days", 9) == ["id  made", "2026,", "5 days"]
    assert wrapped("a 5 b", 3) == ["a 5", "b"]
    assert wrapped("", 9) == [""]


def test_numbers_have_the_right_plural() -> None:
    assert counted(1, "case") == "1 case"
    assert counted(0, "case") == "0 cases"
    assert counted(1_234_567, "entry", "entries") == "1,234,567 entries"


def test_the_line_of_the_progress_leaves_room_for_what_the_terminal_echoes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    out = io.StringIO()
    console = open_console(out, color=True)
    console.width = 80
    console.no_color = True
    with ProgressReporter(console, lambda: 1.0) as reporter:
        reporter.tell(Event("scan_start", {}))
        reporter.tell(Event("progress", {"paths": {"seen": 12}, "bytes_hashed": 5, "path": "/srv/" + "long/" * 60}))
    frames = (re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", one) for one in re.split("[\r\n]", out.getvalue()))
    drawn = [frame for frame in frames if "12 files" in frame]
    assert len(set(drawn)) == 1
    assert len(drawn[0]) <= 80 - len("^C"), "else ^C goes to the next row, and the line is never taken away"
    assert drawn[0].rstrip().endswith("…")


HEAR = """
import os, signal
from contextlib import ExitStack
from hashscan.cli.stopping import Stop
with ExitStack() as stack:
    stop = Stop(stack)
    os.kill(os.getpid(), signal.%s)
    assert stop()
"""


def heard(number: str, term: str) -> bytes:
    """What a terminal shows when a run is asked to stop."""
    ours, theirs = os.openpty()
    try:
        env = {**clean_environment(), "TERM": term}
        done = subprocess.run(
            [sys.executable, "-c", HEAR % number], stderr=theirs, stdout=theirs, env=env, timeout=60, check=False
        )
        os.write(theirs, b"end")
        shown = os.read(ours, 4096).removesuffix(b"end")
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == 0, shown
    return shown


def test_ctrl_c_is_acknowledged_on_a_terminal() -> None:
    words = b"stopping in good order; Ctrl-C once more ends it at once\r\n"
    assert heard("SIGINT", "xterm") == b"\r\x1b[2K" + words
    assert heard("SIGINT", "dumb") == b"\r\n" + words
    assert heard("SIGTERM", "xterm") == b"", "nobody pressed a key"
    piped = subprocess.run(
        [sys.executable, "-c", HEAR % "SIGINT"], capture_output=True, env=clean_environment(), timeout=60, check=True
    )
    assert piped.stderr == b""


def test_of_entries_that_were_taken_back_the_next_command_is_named() -> None:
    data = {"list": {"id": "police", "version": 3}, "entries": 1, "new": 1, "cases": 1}
    assert [line.strip() for line in shown(Event("withdrawn", data), terminal=False)] == [
        "withdrawn   police v3: 1 entry taken back, 1 of them now",
        "1 case on this host rests on what was taken back: 'hashscan quarantine restore --withdrawn' undoes that",
    ]


def luminance(number: int) -> float:
    """Of one of the 216 colours of xterm's cube. Source: WCAG 2.2, relative luminance."""
    steps = (0, 95, 135, 175, 215, 255)
    index = number - 16
    parts = [steps[index // 36] / 255, steps[index // 6 % 6] / 255, steps[index % 6] / 255]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_colours_can_be_read_on_white_and_on_black() -> None:
    for name, number in PALETTE.items():
        here = luminance(number)
        assert 1.05 / (here + 0.05) > 4, f"{name} on white"
        assert (here + 0.05) / 0.05 > 4, f"{name} on black"
    assert 1.05 / (luminance(226) + 0.05) < 2, "a control: plain yellow on white"


def test_the_screen_has_these_colours() -> None:
    out = io.StringIO()
    console = open_console(out, color=True)
    console._color_system = ColorSystem.EIGHT_BIT
    for name, number in PALETTE.items():
        for style in (name, f"bold {name}"):
            console.print("look", style=style, end="")
            assert f"38;5;{number}m" in out.getvalue(), style
            out.seek(0)
            out.truncate()


def test_a_kernel_without_random_numbers_is_said_and_is_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_count: int) -> str:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(secrets, "token_hex", refused)
    with pytest.raises(IncompleteError, match="no random numbers: Operation not permitted"):
        Talk()
