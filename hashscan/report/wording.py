"""What each event says to people: pure functions from its data to styled lines. Names enter as `Text`, never as markup."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from rich.text import Text

from hashscan.model import Action, Json
from hashscan.report.fields import duration, entry_name, list_name, list_names, number, rows, size, table, text
from hashscan.report.flat import pairs
from hashscan.report.meaning import meaning
from hashscan.units import counted

Data = Mapping[str, Json]
LABEL_WIDTH = 12  # columns: the longest label is "quarantined"
ACTION_STYLE: Mapping[str, str] = {
    Action.FAILED: "bold red",
    Action.HELD: "bold yellow",
    Action.QUARANTINED: "green",
    Action.REPORTED: "cyan",
}


def lines(kind: str, data: Data) -> list[Text]:
    """The lines for an event of type ``kind``; a kind from a later version is named and nothing more."""
    speak = _WORDS.get(kind)
    return [Text(f"({kind})", style="dim")] if speak is None else speak(data)


def _line(label: str, style: str, body: str, detail: str = "") -> list[Text]:
    first = Text.assemble((f"{label:<{LABEL_WIDTH}}", style), body)
    return [first, Text(" " * LABEL_WIDTH + detail, style="dim")] if detail else [first]


def _sentence(label: str, style: str, body: str) -> list[Text]:
    """Words, and no name that somebody copies: they may be folded, which `overflow` says."""
    return [Text.assemble((f"{label:<{LABEL_WIDTH}}", style), body, overflow="fold")]


def _scan_start(data: Data) -> list[Text]:
    roots = ", ".join(text(root, "path") for root in rows(data, "roots"))
    if not roots and table(data, "settings").get("recheck") is True:
        roots = "everything that is remembered"
    mode = text(data, "mode")
    against = "a plain list, nothing is moved" if mode == "audit" else list_names(data)
    return _line("scan", "bold", roots, f"{against}; mode: {mode}")


def _finding(data: Data) -> list[Text]:
    said = ", ".join(text(data, key) for key in ("grade", "standing", "category") if text(data, key))
    reason = text(data, "reason")
    listed = table(data, "list")
    detail = f"entry {entry_name(data, listed)} of {list_name(listed)}: {said}; act: {text(data, 'act')}"
    return _line("FINDING", "bold red", text(data, "path"), f"{detail} ({reason})" if reason else detail)


def _pending(data: Data) -> list[Text]:
    return _line("pending", "yellow", text(data, "path"), f"{list_names(data)}: {text(data, 'reason')}")


def _action(data: Data) -> list[Text]:
    done = text(data, "action")
    case = text(data, "case_id")
    detail = "; ".join(part for part in (f"case {case}" if case else "", text(data, "reason")) if part)
    return _line(done, ACTION_STYLE.get(done, ""), text(data, "path"), detail)


def _skipped(data: Data) -> list[Text]:
    why = " ".join(part for part in (text(data, "reason").replace("_", " "), text(data, "detail")) if part)
    return _line("skipped", "yellow", f"{text(data, 'path')} ({why})")


def _error(data: Data) -> list[Text]:
    why = " ".join(part for part in (text(data, "errno"), text(data, "detail")) if part)
    return _line("unreadable", "red", f"{text(data, 'path')} ({why})")


def _progress(data: Data) -> list[Text]:
    seen = number(table(data, "paths"), "seen")
    said = text(data, "resting") or text(data, "path")
    return _line("progress", "dim", f"{seen:,} paths, {size(number(data, 'bytes_hashed'))} hashed  {said}")


def _exit_error(data: Data) -> list[Text]:
    hint = text(data, "hint")
    first = _sentence("error", "bold red", text(data, "message"))
    return [*first, Text(f"{' ' * LABEL_WIDTH}hint: {hint}", style="dim")] if hint else first


def _sync(data: Data) -> list[Text]:
    said = text(data, "change")
    if data.get("previous") is not None:
        said += f" from v{number(data, 'previous')}"
    if data.get("size") is not None:
        said += f", {size(number(data, 'size'))}"
    if text(data, "how") in ("delta", "full"):
        said += f", {size(number(data, 'fetched'))} fetched ({text(data, 'how')})"
    fallback = text(data, "fallback")
    return _line("list", "bold", f"{list_name(table(data, 'list'))}: {said}", f"no delta: {fallback}" if fallback else "")


def _withdrawn(data: Data) -> list[Text]:
    entries, new = number(data, "entries"), number(data, "new")
    said = f"{list_name(table(data, 'list'))}: {counted(entries, 'entry', 'entries')} taken back, {new:,} of them now"
    cases = number(data, "cases")
    here = f"{counted(cases, 'case')} on this host {'rests' if cases == 1 else 'rest'} on"
    detail = f"{here} what was taken back: 'hashscan quarantine restore --withdrawn' undoes that" if cases else ""
    return _line("withdrawn", "bold yellow", said, detail)


def _sync_wait(data: Data) -> list[Text]:
    seconds = number(data, "seconds")
    said = {
        "minimum": f"not yet: the service asks for {duration(seconds)} more between two syncs",
        "jitter": f"in {duration(seconds)}, so that not all hosts come at once",
        "another": "another one waits for its turn already",
    }
    return _line("sync", "dim", said.get(text(data, "reason"), text(data, "reason")))


def _check(data: Data) -> list[Text]:
    if data.get("candidate"):
        return _line("candidate", "bold yellow", text(data, "path"), list_names(data))
    return _line("not known", "green", text(data, "path"))


def _case(data: Data) -> list[Text]:
    # The name is left out: names of quarantined files are shown only when asked for (`case_with_name`).
    told = f"{text(data, 'case_id')}  {text(data, 'opened')}  {size(number(data, 'size'))}"
    return _line(text(data, "state"), "bold", told, f"entry {text(data, 'entry')} of {text(data, 'list_id')}")


def case_with_name(data: Data) -> list[Text]:
    """A case with the name that the file had and what was last said of it, for those who asked for it."""
    said = text(data, "reason")
    named = [*_case(data), Text(" " * LABEL_WIDTH + text(data, "path"))]
    return [*named, Text(" " * LABEL_WIDTH + said, style="dim")] if said and said != text(data, "state") else named


def _recovered(data: Data) -> list[Text]:
    style = "bold red" if text(data, "outcome") in ("waiting", "damaged", "orphan") else "bold"
    detail = text(data, "detail")
    body = f"case {text(data, 'case_id')} of an earlier run: {text(data, 'outcome').replace('_', ' ')}"
    return _line("recovered", style, body, detail)


def _warning(data: Data) -> list[Text]:
    said, path = text(data, "message"), text(data, "path")
    return _line("warning", "bold yellow", path, said) if path else _sentence("warning", "bold yellow", said)


def _status(data: Data) -> list[Text]:
    told = pairs(table(data, "status"))
    width = max((len(name) for name, _ in told), default=0)
    return [Text.assemble((f"{name:<{width}}  ", "bold"), value) for name, value in told]


_HEADLINES: Mapping[int, str] = {0: "bold green", 3: "bold yellow", 4: "bold yellow", 11: "bold yellow"}


def headline(data: Data) -> Text:
    """One line for a summary: what the exit code means, in words, and how long it took."""
    seconds = data.get("seconds")
    took = f" ({duration(seconds)})" if isinstance(seconds, (int, float)) else ""
    return Text.assemble((meaning(data), _HEADLINES.get(number(data, "exit_code"), "bold red")), took)


_STOPPED_BY = {
    "signal": "a signal ended it",
    "asked": "'hashscan stop' ended it",
    "window": "its window ended",
    "max_duration": "its time was over",
}


def rests(data: Data) -> Iterator[str]:
    """What ended a run early, and how long it rested for whom."""
    if text(data, "stopped_by"):
        yield _STOPPED_BY.get(text(data, "stopped_by"), text(data, "stopped_by"))
    for cause, seconds in table(data, "rested").items():
        if isinstance(seconds, (int, float)) and seconds >= 1:
            yield f"rested for {duration(seconds)} ({cause})"


def _test(_data: Data) -> list[Text]:
    return _line("test", "bold", "this is a test of the alerts")


_WORDS: Mapping[str, Callable[[Data], list[Text]]] = {
    "scan_start": _scan_start,
    "finding": _finding,
    "pending": _pending,
    "action": _action,
    "skipped": _skipped,
    "error": _error,
    "progress": _progress,
    "exit_error": _exit_error,
    "sync": _sync,
    "sync_wait": _sync_wait,
    "withdrawn": _withdrawn,
    "check": _check,
    "case": _case,
    "recovered": _recovered,
    "status": _status,
    "warning": _warning,
    "test": _test,
}
