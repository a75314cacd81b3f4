"""The sections of a report's page, in the order of a reader's questions. Each returns HTML, "" where it has nothing to say."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import TypeAlias

from hashscan.model import Json
from hashscan.report import plots
from hashscan.report.fields import directories, duration, list_name, list_names, number, rows, size, table, text
from hashscan.report.meaning import files
from hashscan.report.page_result import DONE
from hashscan.report.plots import Part
from hashscan.report.timeline import FIRST_STEP_S

Data: TypeAlias = Mapping[str, Json]
Earlier: TypeAlias = Sequence[Data]
Column: TypeAlias = tuple[str, Callable[[Data], str], str]

_MOST_REASONS = 12
_MOST_EARLIER = 14
_MODES = {
    "quarantine": "findings are moved into the vault, where they can be restored from",
    "report": "findings are reported and stay where they are",
    "dry-run": "a rehearsal: nothing is moved and nobody is told",
    "audit": "an audit against a list on this host: findings are reported and stay where they are",
}
_ACTIONS = {"quarantined": "good", "reported": "warn", "held": "warn", "failed": "bad", "restored": "warn"}
_REASONS = {
    "symlink": "links: their target is looked at under its own name",
    "special": "devices, sockets, pipes: they hold no files",
    "mount": "other filesystems that were not named as a folder to scan",
    "network": "network filesystems that were not named as a folder to scan",
    "too_large": "files above the size limit",
    "excluded": "left out by the operator",
    "own": "folders of hashscan itself",
    "changed": "files that changed while they were read",
    "vanished": "files that were removed before they could be read",
    "timeout": "files that could not be read in time",
}


def moment(rfc3339: str) -> str:
    """ "2026-11-28 01:30:00 UTC" from a time of a document; "unknown" where there is none."""
    date, _, clock = rfc3339.partition("T")
    return f"{date} {clock[:8]} UTC" if clock else "unknown"


def json_command(document: Data) -> str:
    """The command that prints the data of this page."""
    names = " --names" if document.get("names") is True else ""
    return f"hashscan report {text(document, 'run_id')} --format json{names}"


def facts(document: Data) -> str:
    """Who, where, when, with what."""
    mode = text(document, "mode")
    roots = [f'<li class="mono">{escape(text(root, "path"))}</li>' for root in rows(document, "roots")]
    seconds = document.get("seconds")
    took = duration(seconds) if isinstance(seconds, (int, float)) else "unknown"
    told = (
        ("Host", escape(text(document, "host"))),
        ("Began", escape(moment(text(document, "started")))),
        ("Ended", escape(f"{moment(text(document, 'ended'))} ({took})")),
        ("Folders", _list_of(roots) or "none: see the notes"),
        ("Hash lists", escape(_lists(document))),
        ("What it may do", escape(f"{mode}: {_MODES.get(mode, 'see the manual')}" if mode else "unknown")),
        ("Reached its end", "yes" if document.get("complete") is True else "no"),
        ("Program", escape(f"hashscan {text(document, 'version')}, command {text(document, 'command')}")),
        ("Exit code", escape(text(document, "exit_code") or "none")),
    )
    listed = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in told)
    return f'<dl class="facts">{listed}</dl>'


def _list_of(items: Sequence[str]) -> str:
    return '<ul class="plain">' + "".join(items) + "</ul>" if items else ""


def _lists(document: Data) -> str:
    named = list_names(document)
    stale = "; they had expired when the run began" if table(document, "summary").get("stale") is True else ""
    if named == "no list":
        return "a plain list on this host" if text(document, "mode") == "audit" else "none"
    return named + stale


def looked_at(document: Data) -> str:
    """The paths, by what became of them."""
    paths = table(table(document, "summary"), "paths")
    if not paths:
        return ""
    skipped, errors = table(paths, "skipped"), table(paths, "errors")
    seen = number(paths, "seen")
    shares = [
        Part("read and hashed", number(paths, "scanned"), 1),
        Part("unchanged, digest remembered", number(paths, "cached"), 2),
        Part("ruled out by size", number(paths, "by_size"), 3),
        Part("skipped", sum(number(skipped, key) for key in skipped), 4),
        Part("unreadable", sum(number(errors, key) for key in errors), 5),
    ]
    summary = table(document, "summary")
    more = f"{directories(summary)}; {size(number(summary, 'bytes_hashed'))} read and hashed."
    added = sum(part.count for part in shares)
    sums = "The parts add up to the whole." if added == seen else f"{seen - added:,} paths are UNACCOUNTED FOR (a bug)."
    return (
        f"<section><h2>What was looked at</h2><p>{seen:,} paths were seen in {more}</p><figure>"
        f"{plots.stack(shares, f'{seen:,} paths by what became of them')}{plots.bars(shares, whole=seen)}"
        f"<figcaption>Paths by what became of them. {sums} A file with a remembered digest was read by an earlier run "
        "and has not changed since (size, times and inode are the same).</figcaption></figure></section>"
    )


def findings(document: Data) -> str:
    """What was found, and what was done about it."""
    part, counts = table(document, "findings"), table(table(document, "summary"), "candidates")
    found = number(part, "total")
    if not found:
        cleared = number(counts, "cleared")
        said = f" {cleared:,} candidates were cleared by the answer." if cleared else ""
        return f"<section><h2>Findings</h2><p>There is no confirmed finding.{said}</p></section>"
    actions = table(table(document, "summary"), "actions")
    done = [Part(key, number(actions, key), color) for key, color in DONE]
    named = document.get("names") is True
    said = (
        "Names are in this report because they were asked for: treat it as confidential."
        if named
        else "Names and owners of files are not in this report; the case number leads to them on the host "
        "(<code>hashscan quarantine show CASE</code>)."
    )
    return (
        f"<section><h2>Findings</h2><p>{found:,} confirmed {files(found)}. {said}</p>"
        f"<figure>{plots.bars([one for one in done if one.count], whole=found)}<figcaption>Findings by what was done about "
        f"them.</figcaption></figure>{_table('Confirmed findings', _FINDING, part, below=_named if named else None)}</section>"
    )


def _chip(word: str, kind: str) -> str:
    return f'<span class="chip {kind}">{escape(word)}</span>' if word else "&ndash;"


def _code(key: str) -> Callable[[Data], str]:
    return lambda row: f'<span class="mono">{escape(text(row, key))}</span>'


def _plain(*keys: str) -> Callable[[Data], str]:
    return lambda row: escape(", ".join(said for key in keys if (said := text(row, key))))


_FINDING: tuple[Column, ...] = (
    ("Entry", _code("entry"), ""),
    ("List", lambda row: escape(list_name(table(row, "list"))), ""),
    ("Agreement", _plain("grade", "standing", "category"), ""),
    ("Done", lambda row: _chip(text(row, "action"), _ACTIONS.get(text(row, "action"), "warn")), ""),
    ("Case", _code("case_id"), ""),
    ("Size", lambda row: size(number(row, "size")), "n"),
)
_WAITING: tuple[Column, ...] = (
    ("List", lambda row: escape(list_names(row)), ""),
    ("Why", _plain("reason"), ""),
    ("Name", _code("path"), "name"),
)
_MISSED: tuple[Column, ...] = (
    ("Why", lambda row: escape(" ".join(part for part in (_why(row), text(row, "detail")) if part)), "why"),
    ("Name", _code("path"), "name"),
)


def _why(row: Data) -> str:
    return _errno(text(row, "reason")) if text(row, "kind") == "error" else text(row, "reason").replace("_", " ")


def _errno(name: str) -> str:
    """ "permission denied (EACCES)"."""
    code = getattr(errno, name, None) if name.startswith("E") else None
    return f"{os.strerror(code).lower()} ({name})" if isinstance(code, int) else f"unreadable ({name})"


def _table(title: str, columns: Sequence[Column], part: Data, *, below: Callable[[Data], str] | None = None) -> str:
    """The rows of ``part``; ``below`` makes a line of its own under each, over the whole width."""
    shown = rows(part, "rows")
    if not shown:
        return ""
    head = "".join(f'<th scope="col" class="{kind}">{name}</th>' for name, _, kind in columns)
    body = "".join(_tr(columns, row, below) for row in shown)
    cut = number(part, "cut")
    more = f". The first {len(shown):,}; {cut:,} more are not in this report" if cut else ""
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(title)}"><table><caption>{escape(title)}{more}'
        f"</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _tr(columns: Sequence[Column], row: Data, below: Callable[[Data], str] | None) -> str:
    cells = "".join(f'<td class="{kind}">{cell(row)}</td>' for _, cell, kind in columns)
    if below is None:
        return f"<tr>{cells}</tr>"
    return f'<tr class="first">{cells}</tr><tr><td class="name" colspan="{len(columns)}">{below(row)}</td></tr>'


def _named(row: Data) -> str:
    owner = ", ".join(said for said in (text(row, "tenant"), f"uid {text(row, 'uid')}" if text(row, "uid") else "") if said)
    return f'<span class="mono">{escape(text(row, "path"))}</span> <span class="note">{escape(owner)}</span>'


def pending(document: Data) -> str:
    """What waits."""
    part = table(document, "pending")
    count = number(part, "total")
    if not count:
        return ""
    said = f"{count:,} candidates have" if count > 1 else "1 candidate has"
    named = _table("Candidates without an answer", _WAITING, part) if document.get("names") is True else ""
    return (
        f"<section><h2>Waiting for an answer</h2><p>{said} no answer of the service yet. Nothing is done about such a file and "
        "nothing follows from its being a candidate: most are innocent files. The service is asked again.</p>"
        f"{named}</section>"
    )


def missed(document: Data) -> str:
    """What was not looked at, by reason and by name."""
    paths = table(table(document, "summary"), "paths")
    skipped, errors = table(paths, "skipped"), table(paths, "errors")
    why = [Part(_REASONS.get(key, key.replace("_", " ")), number(skipped, key), 4) for key in skipped]
    why += [Part(_errno(text({"k": key}, "k")), number(errors, key), 5) for key in errors]
    why = sorted((one for one in why if one.count), key=lambda one: -one.count)[:_MOST_REASONS]
    if not why:
        return ""
    note = "Links are counted and not named. Devices, mounts and what the operator left out hold nothing that was asked for."
    return (
        f"<section><h2>What was not looked at, and why</h2><figure>{plots.bars(why)}<figcaption>Paths by reason. {note}"
        f"</figcaption></figure>{_table('Paths that were not looked at', _MISSED, table(document, 'not_looked_at'))}</section>"
    )


def time(document: Data, earlier: Earlier) -> str:
    """How the run went, and how it compares with those before."""
    points = [(_float(one, "seconds"), _float(one, "seen")) for one in rows(document, "timeline")]
    shown = _course(points) if len(points) > 2 and points[-1][0] > 4 * FIRST_STEP_S else ""
    before = [_run(one) for one in earlier][-_MOST_EARLIER:]
    if len(before) > 1:
        shown += (
            f"<h3>This run and those before it</h3><figure>{plots.bars(before)}<figcaption>Files looked at (read, or unchanged "
            "since they were read), by the beginning of the run.</figcaption></figure>"
        )
    return f"<section><h2>Time</h2>{shown}</section>" if shown else ""


def _course(points: list[tuple[float, float]]) -> str:
    last, most = points[-1][0], max(value for _, value in points)
    drawn = plots.line(points, title=f"Paths seen over {duration(last)}", bottom=("0", duration(last)), top=f"{most:,.0f}")
    rate = most / last if last else 0.0
    return f"<figure>{drawn}<figcaption>Paths seen over time: {rate:,.0f} a second on average.</figcaption></figure>"


def _run(one: Data) -> Part:
    paths, counts = table(table(one, "summary"), "paths"), table(table(one, "summary"), "candidates")
    found = number(counts, "findings")
    label = moment(text(one, "started"))[:16] + (f", {found:,} found" if found else "")
    return Part(label, number(paths, "scanned") + number(paths, "cached") + number(paths, "by_size"), 5 if found else 1)


def _float(data: Data, key: str) -> float:
    value = data.get(key)
    return float(value) if isinstance(value, (int, float)) else 0.0


def notes(document: Data) -> str:
    """What else was said."""
    part = table(document, "notes")
    said = [": ".join(word for word in (text(row, "path"), text(row, "message")) if word) for row in rows(part, "rows")]
    if not said:
        return ""
    cut = f"<p>{number(part, 'cut'):,} more are not in this report.</p>" if number(part, "cut") else ""
    listed = "".join(f"<li>{escape(one)}</li>" for one in said)
    return f"<section><h2>Notes of the run</h2><ul>{listed}</ul>{cut}</section>"
