"""A list goes out: the entries in force without the disputed ones, one file, and a record of who had it written."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import Session

from hashscan.errors import HashscanError, UsageError
from hashscan.model import Algorithm, Standing
from hashscan.service import guard
from hashscan.service.exporters import dcso, private_set, text
from hashscan.service.exporters.port import MAX_ERROR_RATE, MIN_ERROR_RATE, Form, Sheet, Stock, Wish, Written
from hashscan.service.names import check_text
from hashscan.service.store import Store
from hashscan.service.tables import DIGEST_COLUMNS, Entry, HashList
from hashscan.service.tables_exchange import ExportRun

_MD5, _SHA1, _SHA256 = Algorithm.MD5, Algorithm.SHA1, Algorithm.SHA256
_PORTION = 10_000  # entries that are in memory
_ALL = (
    Form("hsb", text.write_clamav, (_MD5, _SHA1, _SHA256), (_MD5, _SHA1, _SHA256)),
    Form("hashdeep", text.write_hashdeep, (_MD5, _SHA1, _SHA256), (_MD5, _SHA1)),
    Form("dcso", dcso.write, tuple(Algorithm), (_SHA1,)),
    Form("pss", private_set.write, tuple(Algorithm), (_MD5, _SHA1, _SHA256), keyed=True),
)
FORMS = {one.name: one for one in _ALL}


@dataclass(frozen=True, slots=True)
class Exported:
    """What went out. ``skipped`` entries have none of the digests or, for hashdeep, no size; ``doubtful`` are disputed."""

    list_id: str
    written: Written
    skipped: int
    doubtful: int


def export_list(store: Store, list_id: str, out: Path, wish: Wish, *, who: str) -> Exported:
    """Write a list to ``out``, of mode 0600, and record it under the name ``who``. A file that is there is replaced.

    The record is written first: a file that was never recorded would be worse than a record without its file. Raises
    `UsageError` (no such list, nothing that this format can hold, a wrong wish), `HashscanError` (cannot be written).
    """
    wish = _checked(wish)
    check_text(who, "name of an operator", 128)
    with store.reading() as session:
        found = session.scalar(select(HashList).where(HashList.name == list_id))
        if found is None:
            raise UsageError(f"there is no list {list_id!r}")
        chosen = _chosen(session, found.id)
        has = or_(*(DIGEST_COLUMNS[one][0].is_not(None) for one in wish.algorithms))
        total, useful, doubtful = _counts(session, found.id, chosen, has)
        if useful == 0:
            raise UsageError(f"no entry of {list_id} has a digest that was asked for", hint="name others with --algorithm")
        run = _record(store, found.id, wish, who)
        stock = Stock(list_id, time.time(), _most(session, chosen, wish), lambda: _sheets(session, chosen & has, wish))
        try:
            written = FORMS[wish.form].write(out, stock, wish)
        except OSError as error:
            raise HashscanError(f"cannot write {out}: {error.strerror}") from None
    _complete(store, run, written)
    return Exported(list_id, written, total - useful + written.skipped, doubtful)


def _checked(wish: Wish) -> Wish:
    form = FORMS.get(wish.form)
    if form is None:
        raise UsageError(f"no export format {wish.form!r}", hint=", ".join(FORMS))
    algorithms = tuple(one for one in Algorithm if one in (wish.algorithms or form.default))
    if foreign := [one for one in algorithms if one not in form.takes]:
        raise UsageError(f"{wish.form} cannot hold {foreign[0]}", hint=f"it takes {', '.join(form.takes)}")
    if not MIN_ERROR_RATE <= wish.error_rate <= MAX_ERROR_RATE:
        raise UsageError(f"an error rate is from {MIN_ERROR_RATE:g} to {MAX_ERROR_RATE:g}")
    if form.keyed != bool(wish.key):
        raise UsageError(f"{wish.form} {'needs a key' if form.keyed else 'has no key'}", hint="--key FILE is for pss")
    if form.keyed and not private_set.MIN_KEY_BYTES <= len(wish.key) <= private_set.MAX_KEY_BYTES:
        raise UsageError(f"the key has {private_set.MIN_KEY_BYTES} to {private_set.MAX_KEY_BYTES} bytes")
    return replace(wish, algorithms=algorithms)


def _chosen(session: Session, list_id: int) -> ColumnElement[bool]:
    """What a tool that only knows yes and no may be told: active entries that are not known-good, and the self-test."""
    active = guard.in_force(list_id, guard.left_out(session, list_id).ids) & (Entry.standing == Standing.ACTIVE)
    return active | ((Entry.list_id == list_id) & (Entry.standing == Standing.TEST))


def _counts(session: Session, list_id: int, chosen: ColumnElement[bool], has: ColumnElement[bool]) -> tuple[int, int, int]:
    """Entries that may go out, those of them that have a digest, and those that are disputed."""

    def count(condition: ColumnElement[bool]) -> int:
        return session.scalars(select(func.count()).select_from(Entry).where(condition)).one()

    disputed = (Entry.list_id == list_id) & (Entry.standing == Standing.DISPUTED)
    return count(chosen), count(chosen & has), count(disputed)


def _most(session: Session, chosen: ColumnElement[bool], wish: Wish) -> int:
    columns = [func.count(DIGEST_COLUMNS[one][0]) for one in wish.algorithms]
    return sum(session.execute(select(*columns).where(chosen)).one())


def _sheets(session: Session, chosen: ColumnElement[bool], wish: Wish) -> Iterator[Sheet]:
    columns = [DIGEST_COLUMNS[one][0] for one in wish.algorithms]
    query = select(Entry.public_id, Entry.size, *columns).where(chosen).order_by(Entry.public_id)  # random: no order of import
    for row in session.execute(query.execution_options(yield_per=_PORTION)):
        digests = {one: digest for one, digest in zip(wish.algorithms, row[2:], strict=True) if digest is not None}
        yield Sheet(row[0], digests, row[1])


def _record(store: Store, list_id: int, wish: Wish, who: str) -> int:
    with store.writing() as session:
        run = ExportRun(list_id=list_id, at=time.time(), form=wish.form, who=who, entries=0, digests=0, sha256="")
        session.add(run)
        session.flush()
        return run.id


def _complete(store: Store, run_id: int, written: Written) -> None:
    with store.writing() as session:
        run = session.get_one(ExportRun, run_id)
        run.entries, run.digests, run.sha256 = written.entries, written.digests, written.sha256


@dataclass(frozen=True, slots=True)
class PastExport:
    """One export as it was recorded; ``sha256`` is empty where it was not brought to its end."""

    list_id: str
    at: float
    form: str
    who: str
    entries: int
    digests: int
    sha256: str


def past_exports(store: Store) -> tuple[PastExport, ...]:
    """Every export, the oldest first."""
    query = select(ExportRun, HashList.name).join(HashList, HashList.id == ExportRun.list_id).order_by(ExportRun.id)
    with store.reading() as session:
        return tuple(
            PastExport(name, run.at, run.form, run.who, run.entries, run.digests, run.sha256)
            for run, name in session.execute(query)
        )
