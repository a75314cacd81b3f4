"""Nouns into events. What is in ``data`` is promised by ``schema/event.schema.json``: fields may be added, never changed.

A name is in ``path``, escaped (`escape`), and only where its bytes are not UTF-8 also in ``path_b64``. Free text is printable.
A digest is told of a finding only: a candidate that is merely pending is most likely an innocent file.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Literal, TypeAlias

from hashscan import __version__
from hashscan.errors import HashscanError
from hashscan.model import Event, Json, ListRef
from hashscan.report.escape import escape, printable
from hashscan.units import rfc3339

if TYPE_CHECKING:  # status is asked every minute, and names few nouns
    from hashscan.model import Candidate, Case, Finding, Skipped, Warned
    from hashscan.ports import ActionResult
    from hashscan.report.tally import Tally

Change: TypeAlias = Literal["new", "updated", "unchanged", "removed"]
"""What a sync did to one list on this host."""

TENANTS_TOLD = 10  # in a summary, those with most findings
How: TypeAlias = Literal["none", "delta", "full"]
Wait: TypeAlias = Literal["minimum", "jitter", "another"]


@dataclass(frozen=True, slots=True)
class Way:
    """How a list came here: ``fetched`` bytes; ``fallback`` is why the full filter came although deltas were offered."""

    how: How = "none"
    fetched: int = 0
    fallback: str = ""


NOTHING_FETCHED = Way()


def scan_start(
    roots: Sequence[bytes],
    mode: str,
    lists: Sequence[ListRef],
    settings: Mapping[str, Json],
    *,
    version: str = __version__,
) -> Event:
    """A run begins. ``mode`` says what may happen to findings ("report", "quarantine"), ``settings`` what the run was told."""
    data: dict[str, Json] = {
        "roots": [_named(root) for root in roots],
        "mode": mode,
        "lists": _lists(lists),
        "version": version,
        "settings": dict(settings),
    }
    return Event("scan_start", data)


def finding(found: Finding, tenant: str = "") -> Event:
    """A confirmed candidate: where, whose, which entry, how well it agrees, and its digests."""
    hashed = found.candidate.hashed
    data: dict[str, Json] = {
        **_named(hashed.entry.place.full),
        "size": hashed.entry.size,
        "uid": hashed.entry.uid,
        "tenant": printable(tenant),
        "digests": {algorithm.value: digest for algorithm, digest in sorted(hashed.digests.items())},
        "source": found.source.value,
        "list": _list(found.list),
        "entry": printable(found.entry),
        "grade": found.grade.value,
        "standing": found.standing.value,
        "category": printable(found.category),
        "act": found.act.value,
        "reason": printable(found.reason),
        "verdict_id": printable(found.verdict_id),
    }
    return Event("finding", data)


def pending(candidate: Candidate, reason: str) -> Event:
    """A candidate without an answer: it stays where it is and is asked about again. No digest."""
    place = candidate.hashed.entry.place
    return Event("pending", {**_named(place.full), "lists": _lists(candidate.lists), "reason": printable(reason)})


def action(result: ActionResult, tenant: str = "") -> Event:
    """What was done about a finding."""
    found = result.finding
    data: dict[str, Json] = {
        **_named(found.candidate.hashed.entry.place.full),
        "tenant": printable(tenant),
        "action": str(result.action),
        "case_id": result.case_id,
        "list": _list(found.list),
        "entry": printable(found.entry),
        "verdict_id": printable(found.verdict_id),
        "reason": printable(result.reason),
    }
    return Event("action", data)


def skipped(skip: Skipped) -> Event:
    """A path that was not hashed, and why."""
    data: dict[str, Json] = {**_named(skip.place.full), "reason": skip.reason.value, "detail": printable(skip.detail)}
    return Event("skipped", data)


def error(skip: Skipped) -> Event:
    """A path that could not be read, with the symbolic errno."""
    data: dict[str, Json] = {**_named(skip.place.full), "errno": skip.errno, "detail": printable(skip.detail)}
    return Event("error", data)


def progress(tally: Tally) -> Event:
    """How far the run is; ``path`` is the directory it is in, where known."""
    resting: dict[str, Json] = {"resting": printable(tally.resting)} if tally.resting else {}
    return Event("progress", {**_counts(tally), **resting, **(_named(tally.at) if tally.at else {})})


def summary(tally: Tally, *, complete: bool, seconds: float) -> Event:
    """The last event of a run. ``complete`` is whether every root was walked to its end; ``seconds`` is wall time.

    ``sink_failures`` is empty here: what sinks could not tell is filled in by `report.alerts`, which hears of it.
    """
    data: dict[str, Json] = {
        "complete": complete,
        "exit_code": int(tally.exit_code),
        "seconds": round(seconds, 3),
        "stopped": tally.stopped,
        "stopped_by": tally.stopped_by,
        "rested": {cause: round(seconds, 1) for cause, seconds in sorted(tally.rested.items())},
        "refused": tally.refused,
        "filter_problem": tally.filter_problem,
        "stale": tally.stale,
        "unsettled_cases": tally.unsettled_cases,
        "sink_failures": {},
        "tenants": [{"tenant": printable(name), "findings": n} for name, n in tally.by_tenant.most_common(TENANTS_TOLD)],
        **_counts(tally),
    }
    return Event("summary", data)


def exit_error(exc: HashscanError) -> Event:
    """The run ended early: no summary follows."""
    data: dict[str, Json] = {
        "error": type(exc).__name__,
        "message": printable(str(exc)),
        "hint": printable(exc.hint),
        "exit_code": int(exc.exit_code),
    }
    return Event("exit_error", data)


def sync(
    ref: ListRef, change: Change, *, previous: int | None = None, size: int | None = None, way: Way = NOTHING_FETCHED
) -> Event:
    """What a sync did to one list: the version before (None where there was none), the filter's size in bytes, and the way."""
    data: dict[str, Json] = {
        "list": _list(ref),
        "change": change,
        "previous": previous,
        "size": size,
        "how": way.how,
        "fetched": way.fetched,
        "fallback": printable(way.fallback),
    }
    return Event("sync", data)


def withdrawn(ref: ListRef, entries: int, new: int, cases: int) -> Event:
    """A list took entries back: how many in all, how many since the last sync, and how many cases on this host are theirs."""
    return Event("withdrawn", {"list": _list(ref), "entries": entries, "new": new, "cases": cases})


def sync_wait(reason: Wait, seconds: float) -> Event:
    """A sync by a timer waits (jitter) or is left out (too early after the last one, or another waits already)."""
    return Event("sync_wait", {"reason": reason, "seconds": round(seconds, 1)})


def check(path: bytes, lists: Sequence[ListRef]) -> Event:
    """Whether one file would be a candidate: it is where at least one list is named."""
    return Event("check", {**_named(path), "candidate": bool(lists), "lists": _lists(lists)})


def case(one: Case) -> Event:
    """One case of the quarantine."""
    data: dict[str, Json] = {
        "case_id": one.id,
        "state": one.state.value,
        **_named(one.place.full),
        "size": one.size,
        "entry": printable(one.entry),
        "list_id": printable(one.list_id),
        "verdict_id": printable(one.verdict_id),
        "opened": rfc3339(one.opened),
        "reason": printable(one.reason),
        "tenant": printable(one.tenant),
        "sealed": one.sealed,
    }
    return Event("case", data)


def recovered(case_id: str, outcome: str, detail: str) -> Event:
    """What was done about a case that a killed run had left half done."""
    return Event("recovered", {"case_id": printable(case_id), "outcome": outcome, "detail": printable(detail)})


def warning(warned: Warned) -> Event:
    """Something that a person should know and that ended no path."""
    named = _named(warned.place.full) if warned.place is not None else {}
    return Event("warning", {**named, "message": printable(warned.message)})


def status(state: Mapping[str, Json]) -> Event:
    """How this host stands; the job decides what is in it. Names in it must be escaped already."""
    return Event("status", {"status": dict(state)})


def test() -> Event:
    """Somebody tries out who hears of runs (`hashscan alerts test`)."""
    return Event("test", {})


def shown_path(path: PurePath) -> str:
    """A path of ours as it may be shown."""
    return escape(os.fsencode(path))


def _named(path: bytes) -> dict[str, Json]:
    named: dict[str, Json] = {"path": escape(path)}
    try:
        path.decode("utf-8")
    except UnicodeDecodeError:
        named["path_b64"] = base64.b64encode(path).decode("ascii")
    return named


def _list(ref: ListRef) -> dict[str, Json]:
    return {"id": printable(ref.id), "version": ref.version, "epoch": ref.epoch}


def _lists(refs: Sequence[ListRef]) -> list[Json]:
    return [_list(ref) for ref in refs]


def _counts(tally: Tally) -> dict[str, Json]:
    paths: dict[str, Json] = {
        "seen": tally.seen,
        "scanned": tally.scanned,
        "cached": tally.cached,
        "by_size": tally.by_size,
        "skipped": {reason.value: n for reason, n in sorted(tally.skipped.items()) if n},
        "errors": {printable(name): n for name, n in sorted(tally.errors.items()) if n},
    }
    candidates: dict[str, Json] = {
        "seen": tally.candidates,
        "cleared": tally.cleared,
        "pending": tally.pending,
        "findings": tally.findings,
    }
    findings: dict[str, Json] = {
        "by_grade": {grade.value: n for grade, n in sorted(tally.by_grade.items()) if n},
        "by_act": {act.value: n for act, n in sorted(tally.by_act.items()) if n},
    }
    actions: dict[str, Json] = {
        "quarantined": tally.quarantined,
        "reported": tally.reported,
        "held": tally.held,
        "failed": tally.failed,
    }
    return {
        "directories": tally.directories,
        "bytes_hashed": tally.bytes_hashed,
        "paths": paths,
        "candidates": candidates,
        "findings": findings,
        "actions": actions,
    }
