"""The page of a report: self-contained, harmless whatever the names are, complete, and the same numbers as everywhere."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import re
from collections.abc import Iterator
from html.parser import HTMLParser

import pytest

from hashscan.model import Event, Json
from hashscan.report import document, events, page, sheet
from hashscan.report.recorder import Recorder, RunHead
from tests.support import golden, nouns
from tests.support.telling import every_event, tally

VOID = {"meta", "br", "rect", "polyline", "polygon", "link", "img"}
EVIL = b"x<script>alert(1)</script>\"'><img src=http://evil.example/x onerror=alert(1)>&lt;"


class Tags(HTMLParser):
    """Every tag, whether they nest, and the text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.problems: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID and (not self.open or self.open.pop() != tag):
            self.problems.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        self.text += data


def parsed(text: str) -> Tags:
    tags = Tags()
    tags.feed(text)
    tags.close()
    return tags


def made(name: bytes = b"www/a.jpg", *, names: bool = True, earlier: list[dict[str, Json]] | None = None) -> str:
    told = document.disclosed(recorded(every_event(name)), names=names)
    return page.as_page(told, now=1_790_000_100.0, earlier=earlier or [])


def recorded(told: list[Event]) -> dict[str, Json]:
    recorder = Recorder(RunHead(golden.RUN, "host<b>", "scan", golden.STARTED), lambda: golden.STARTED + 3, lambda _: None)
    for event in told:
        if event.type != "exit_error":
            recorder.tell(event)
    return recorder.document()


PAGES = {"calm": made(), "hostile": made(nouns.HOSTILE), "evil": made(EVIL), "nameless": made(EVIL, names=False)}


@pytest.mark.parametrize("text", PAGES.values(), ids=PAGES)
def test_it_needs_nothing_and_does_nothing(text: str) -> None:
    tags = parsed(text)
    assert (tags.open, tags.problems) == ([], []), "well nested"
    assert {tag for tag, _ in tags.seen}.isdisjoint({"script", "img", "link", "iframe", "object", "embed", "form", "base"})
    attributes = {name for _, attrs in tags.seen for name in attrs}
    assert not {name for name in attributes if name.startswith("on")}
    assert attributes.isdisjoint({"style", "src", "srcset", "action", "xlink:href"})
    assert {attrs["href"] for _, attrs in tags.seen if "href" in attrs} == {"#result"}
    style = re.findall("<style>(.*?)</style>", text, re.DOTALL)
    assert len(style) == 1
    assert not re.search(r"url\(|@import|expression", style[0])


def test_control_what_is_evil_would_be_noticed() -> None:
    tags = parsed(PAGES["calm"].replace("/srv/www/a.jpg", EVIL.decode()))
    assert "script" in {tag for tag, _ in tags.seen}


def test_evil_names_are_text() -> None:
    assert "/srv/" + EVIL.decode() in parsed(PAGES["evil"]).text
    controls = {char for char in PAGES["hostile"] if not char.isprintable() and char != "\n"}
    assert controls == set()


def test_the_policy_allows_its_style_sheet_only() -> None:
    text = PAGES["calm"]
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', text)
    (style,) = re.findall("<style>(.*?)</style>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert text.index("Content-Security-Policy") < text.index("<style>")


def test_it_can_be_heard_and_printed() -> None:
    tags = parsed(PAGES["calm"])
    assert tags.seen[0] == ("html", {"lang": "en"})
    assert sum(tag == "h1" for tag, _ in tags.seen) == 1
    for tag, attrs in tags.seen:
        if tag == "svg":
            assert attrs.get("aria-hidden") == "true" or (attrs.get("role") == "img" and attrs.get("aria-label"))
        if tag == "th":
            assert attrs.get("scope") == "col"
    assert sum(tag == "table" for tag, _ in tags.seen) == sum(tag == "caption" for tag, _ in tags.seen)
    assert "@media print" in PAGES["calm"]
    assert "prefers-color-scheme: dark" in PAGES["calm"]


def numbers(text: str) -> Iterator[tuple[str, int]]:
    for label, count in re.findall(r'<span class="key k\d"></span>([^<]+)</span>.*?<span class="n">([\d,]+)', text):
        yield label, int(count.replace(",", ""))


def test_the_counts_are_those_of_the_summary() -> None:
    told = dict(numbers(PAGES["calm"]))
    looked = ["read and hashed", "unchanged, digest remembered", "ruled out by size", "skipped", "unreadable"]
    assert [told[label] for label in looked] == [70, 20, 1, 7, 2]
    assert sum(told[label] for label in looked) == 100
    assert told["quarantined"] == told["reported"] == 1
    assert "The parts add up to the whole." in PAGES["calm"]


def test_what_does_not_add_up_is_said() -> None:
    odd = tally()
    odd.seen += 3
    said = page.as_page(recorded([events.summary(odd, complete=True, seconds=1)]), now=1.0)
    assert "3 paths are UNACCOUNTED FOR" in said


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ([], "did not reach its end"),
        ([events.summary(tally(), complete=False, seconds=1)], "The walk did not reach its end"),
        ([events.summary(tally(), complete=True, seconds=1)], "3 files that should have been looked at"),
        ([events.scan_start([b"/srv"], "audit", [], {})], "a plain list on this host"),
    ],
)
def test_the_result_in_words(told: list[Event], words: str) -> None:
    assert words in page.as_page(recorded(told), now=1.0)


def test_a_clean_run_says_that_everything_was_looked_at() -> None:
    clean = tally()
    clean.skipped.clear()
    clean.errors.clear()
    clean.seen = 91
    clean.candidates = clean.findings = clean.pending = clean.cleared = 0
    clean.actions.clear()
    said = page.as_page(recorded([events.summary(clean, complete=True, seconds=1)]), now=1.0)
    assert "Every file that was asked for was looked at" in said
    assert 'class="result good"' in said
    assert "There is no confirmed finding" in said


def test_the_fingerprint_is_that_of_the_json() -> None:
    told = document.disclosed(recorded(every_event()), names=True)
    assert hashlib.sha256(document.as_json(told).encode()).hexdigest() in page.as_page(told, now=1.0)


def test_earlier_runs_are_compared() -> None:
    runs = [{**recorded(every_event()), "started": f"2026-11-{day:02}T01:00:00.000Z"} for day in range(1, 30)]
    text = made(earlier=runs)
    assert text.count('class="bar"') > 14
    assert "2026-11-29 01:00, 2 found" in text
    assert "2026-11-02" not in text, "bounded"


# The sheet


def test_a_name_is_no_formula() -> None:
    for start in ("=", "+", "-", "@", "\t", "\r", "\uff1d", " =", "\n="):
        assert sheet.harmless(f"{start}cmd|' /C calc'!A0").startswith("'")
    for calm in ("/srv/a", "a=b", "", "7"):
        assert sheet.harmless(calm) == calm


def test_the_sheet_has_all_rows() -> None:
    told = document.disclosed(golden.recorded(), names=True)
    rows = list(csv.DictReader(io.StringIO(sheet.as_csv(told), newline="")))
    assert [row["kind"] for row in rows] == ["finding", "pending", "skipped", "error", "error", "note", "note", "note"]
    assert rows[0]["path"] == "/srv/www/a.jpg"
    assert rows[0]["list"] == "police-nl v7"
    cut = {**told, "findings": {"total": 9, "cut": 8, "rows": []}}
    assert "8 more rows are not in this report" in sheet.as_csv(cut)
