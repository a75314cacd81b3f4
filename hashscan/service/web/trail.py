"""Who looked at or did what: one row for each page that was served to somebody, each act, each login that failed."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from hashscan.service.web.tables import TrailRow

PAGE_ROWS = 100


@dataclass(frozen=True, slots=True)
class Step:
    """One row. ``at`` in seconds since 1970; ``what`` is a word, ``about`` the address of the page or empty."""

    id: int
    at: float
    name: str
    role: str
    what: str
    about: str
    address: str


@dataclass(frozen=True, slots=True)
class Who:
    """Of whom a row tells: name and role (empty for nobody in particular), and the address of the browser."""

    name: str
    role: str
    address: str


def note(session: Session, who: Who, what: str, about: str, now: float) -> None:
    """Add a row. What browsers sent is cut and made printable."""
    row = TrailRow(at=now, name=_clean(who.name, 64), role=who.role, what=what, about=_clean(about, 256))
    row.address = _clean(who.address, 64)
    session.add(row)


def steps(session: Session, *, before: int | None = None, name: str | None = None) -> tuple[Step, ...]:
    """The newest rows, at most `PAGE_ROWS`: those before the row ``before``, those of ``name``."""
    query = select(TrailRow).order_by(TrailRow.id.desc()).limit(PAGE_ROWS)
    if before is not None:
        query = query.where(TrailRow.id < before)
    if name:
        query = query.where(TrailRow.name == name)
    return tuple(Step(r.id, r.at, r.name, r.role, r.what, r.about, r.address) for r in session.scalars(query))


def _clean(text: str, most: int) -> str:
    return "".join(one if one.isprintable() else "?" for one in text[:most])
