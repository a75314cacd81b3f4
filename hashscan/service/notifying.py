"""Series of entries, and the notifications that are made of their counts (docs/decisions/0036)."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import ColumnElement, case, func, select, update
from sqlalchemy.orm import Session

from hashscan.atomic import write_bytes
from hashscan.errors import HashscanError, UsageError
from hashscan.known import notifications
from hashscan.known.envelopes import NOTIFICATION, seal
from hashscan.known.hash_list import BadLine, read_lines
from hashscan.known.notifications import Count, Notification
from hashscan.model import Standing
from hashscan.service.disputing.entries import find
from hashscan.service.keys import OnlineKeys
from hashscan.service.monitor.findings import FindingState
from hashscan.service.store import Store
from hashscan.service.tables import Entry, Role, ServiceRow
from hashscan.service.tables_back import FindingRow, NotificationRow

DAY = 86_400.0  # seconds: at most one a day, so that steps of a count cannot be told to the hour
MAX_LINES = 5_000_000
MAX_LINE_BYTES = 256
_SERIES = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class SeriesReport:
    """How many entries now belong to another series than before, and how many lines named entries."""

    lines: int
    changed: int


def set_series(store: Store, list_name: str, source: Path) -> SeriesReport:
    """Put entries of a list into series: each line of ``source`` is ``ENTRY,SERIES``, an id or a digest, and an opaque name.

    An empty SERIES takes the entry out of its series. All of the file or nothing. Raises `UsageError` naming the line.
    """
    lines = changed = 0
    with store.writing() as session, source.open("rb") as stream:
        for number, (named, series) in _rows(stream, source):
            try:
                entries = find(session, list_name, named)
            except UsageError as error:
                raise UsageError(f"{source} line {number}: {error}") from None
            wrong = [one.id for one in entries if one.series != series and one.standing != Standing.TEST]
            if wrong:
                session.execute(update(Entry).where(Entry.id.in_(wrong)).values(series=series))
            lines, changed = lines + 1, changed + len(wrong)
            session.expunge_all()  # else a million entries stay in memory
    return SeriesReport(lines, changed)


def _rows(stream: object, source: Path) -> Iterator[tuple[int, tuple[str, str | None]]]:
    for number, line in read_lines(stream, max_line_bytes=MAX_LINE_BYTES):  # type: ignore[arg-type]
        if number > MAX_LINES:
            raise UsageError(f"{source} has more than {MAX_LINES} lines")
        if isinstance(line, BadLine):
            raise UsageError(f"{source} line {number}: {line}")
        text = line.decode("ascii", "replace").strip()
        if not text or text.startswith("#"):
            continue
        named, comma, series = (part.strip() for part in text.partition(","))
        if not comma or (series and not _SERIES.fullmatch(series)):
            raise UsageError(f"{source} line {number} is not ENTRY,SERIES", hint="a series: 1 to 64 of A-Z a-z 0-9 . _ -")
        yield number, (named, series or None)


@dataclass(frozen=True, slots=True)
class Notified:
    """The newest notification: its number, up to when it counts (seconds since 1970), and the files that were written."""

    seq: int
    until: float
    files: tuple[Path, ...]


def notify(store: Store, out: Path, *, now: Callable[[], float] = time.time) -> Notified:
    """Sign the notification of today (UTC), where there is none yet, and write all that are not in ``out``.

    Counted is what came in before today: the same day gives the same notification. Raises `UsageError` (no key),
    `HashscanError` (cannot be written).
    """
    keys = OnlineKeys.open(store, now=now)
    signing, listed = keys.signing(Role.VERDICT), keys.verdict_keys()
    at = now()
    until = at - at % DAY
    with store.writing() as session:
        last = session.scalars(select(NotificationRow).order_by(NotificationRow.seq.desc())).first()
        if last is None or last.until < until:
            seq, previous = (last.seq + 1, last.sha256) if last is not None else (1, None)
            name = session.scalars(select(ServiceRow.name)).one()
            payload = notifications.encode(Notification(name, seq, at, until, previous, _told(session, until), listed))
            envelope, digest = seal(payload, NOTIFICATION, signing), notifications.digest_of(payload)
            session.add(NotificationRow(seq=seq, issued=at, until=until, sha256=digest, envelope=envelope))
    return _write(store, out)


def _told(session: Session, until: float) -> tuple[Count, ...]:
    counts = notifications.told(_counts(session, until))
    if len(counts) > notifications.MAX_SERIES:
        raise UsageError(f"a notification has at most {notifications.MAX_SERIES} series")
    return counts


def _counts(session: Session, until: float) -> dict[str, tuple[int, int]]:
    """Of each series how many findings there were and how many of them were removed, entries that were withdrawn left out."""
    gone: ColumnElement[int] = case((FindingRow.state == FindingState.REMOVED, 1), else_=0)
    query = (
        select(Entry.series, func.count(), func.sum(gone))
        .join(FindingRow, FindingRow.entry_id == Entry.id)
        .where(Entry.series.is_not(None), FindingRow.opened < until)
        .where(Entry.standing.in_((Standing.ACTIVE, Standing.DISPUTED)))
        .group_by(Entry.series)
    )
    return {str(series): (found, int(removed)) for series, found, removed in session.execute(query)}


def _write(store: Store, out: Path) -> Notified:
    query = select(NotificationRow.seq, NotificationRow.until, NotificationRow.envelope).order_by(NotificationRow.seq)
    written = []
    with store.reading() as session:
        rows = session.execute(query).all()
    try:
        out.mkdir(parents=True, exist_ok=True)
        for seq, _, envelope in rows:
            path = out / f"notification-{seq:06}.json"
            if not path.exists():
                write_bytes(path, envelope, mode=0o644)
                written.append(path)
    except OSError as error:
        raise HashscanError(f"cannot write notifications into {out}: {error.strerror}") from None
    return Notified(rows[-1].seq, rows[-1].until, tuple(written))
