"""The first thing on a report's page: what came of the run, in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TypeAlias

from hashscan.model import Json
from hashscan.report.fields import number, table, text
from hashscan.report.meaning import meaning
from hashscan.report.tally import INCOMPLETE_REASONS

Data: TypeAlias = Mapping[str, Json]
DONE = (("quarantined", 1), ("reported", 2), ("held", 4), ("failed", 5))
"""What was done about findings, and its colour in the style sheet."""


def result(document: Data) -> str:
    """What came of it, in one line and in plain words."""
    code = document.get("exit_code")
    if code is None:
        word, kind = "This run did not reach its end.", "bad"
        said = "It was killed, or it is still under way. Nothing can be concluded from it."
    else:
        word = _sentence(meaning({**table(document, "summary"), "exit_code": code}))
        kind = {0: "good", 3: "warn", 4: "warn", 11: "warn"}.get(number(document, "exit_code"), "bad")
        said = _conclusion(document)
    error = table(document, "error")
    more = f"<p>{escape(_sentence(text(error, 'message')))}</p>" if error else ""
    return (
        f'<section id="result" aria-label="Result"><div class="result {kind}"><p class="word">{escape(word)}</p>'
        f"{more}<p>{escape(said)}</p></div></section>"
    )


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}." if words else ""


def _conclusion(document: Data) -> str:
    if document.get("error") is not None:
        return "The run ended early: no conclusion about the files can be drawn from it."
    if document.get("complete") is not True:
        return "The walk did not reach its end: what it did not come to was not looked at."
    missed = _missed_files(document)
    looked = (
        f"{missed:,} files that should have been looked at could not be: see below."
        if missed
        else "Every file that was asked for was looked at, and the counts below add up."
    )
    return f"{_done_about(document)}{looked}"


def _done_about(document: Data) -> str:
    """ "8 were quarantined, 2 held. "; nothing where nothing was found."""
    actions = table(table(document, "summary"), "actions")
    done = [f"{number(actions, key):,} {key}" for key, _ in DONE if number(actions, key)]
    return f"Of the confirmed files, {', '.join(done)}. " if done else ""


def _missed_files(document: Data) -> int:
    paths = table(table(document, "summary"), "paths")
    skipped = table(paths, "skipped")
    errors = table(paths, "errors")
    return sum(number(skipped, key) for key in INCOMPLETE_REASONS) + sum(number(errors, key) for key in errors)
