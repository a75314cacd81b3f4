"""A copy of the whole service while it works, and a service made of such a copy (docs/service.md, "Backup").

::

    BACKUP/                0700, complete once manifest.json is there
      service.sqlite3      0600, all tables, whatever database the service has
      keys/ roots/ published/
      manifest.json        format, time, schema, SHA-256 of every file

The database is read in one transaction, so it is one moment; the files it names were durable before, and no publication takes
any away meanwhile. A PostgreSQL service is copied into the same form: a backup can be restored on either database.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table, func, insert, select, text
from sqlalchemy.orm import Session

from hashscan.atomic import fsync_directory, make_private_directory, write_bytes
from hashscan.errors import HashscanError, UsageError
from hashscan.known.envelopes import key_id
from hashscan.service import in_force, schema
from hashscan.service.private_files import read_key
from hashscan.service.publishing import only_publisher
from hashscan.service.store import IMPORT_CACHE_KIB, Folder, Store, connect
from hashscan.service.tables import OnlineKey, Provider
from hashscan.strict_json import Fields, StrictJsonError, parse_object

FORMAT = 1
MANIFEST = "manifest.json"
SECRETS = ("service.sqlite3", "keys")
FOLDERS = ("keys", "roots", "published")
_MAX_MANIFEST_BYTES = 1 << 26
_ROWS_AT_ONCE = 5_000
_COPY_BYTES = 1 << 20
_BUSY_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Backup:
    """A complete and verified backup: ``made`` in seconds since 1970, the number of its files and their bytes."""

    folder: Path
    made: float
    schema: str
    files: int
    length: int


def backup(store: Store, out: Path, *, now: float | None = None) -> Backup:
    """Copy the service into ``out``, a folder that is not there yet, and verify the copy.

    Raises `UsageError` (``out`` is there), `LockedError` (a publication is under way), `HashscanError` (a file that is
    named is missing, no space): then ``out`` is not there.
    """
    if os.path.lexists(out):
        raise UsageError(f"{out} is there already", hint="each backup gets a folder of its own")
    beside = out.with_name(f".{out.name}.partial")
    try:
        if beside.exists():
            shutil.rmtree(beside)
        make_private_directory(beside)
        with only_publisher(store.folder.publish_lock):
            _copy_database(store, beside)
            for name in FOLDERS:
                copy_tree(store.folder.data / name, beside / name)
        _check_whole(beside)
        _write_manifest(beside, time.time() if now is None else now)
        os.rename(beside, out)
        fsync_directory(out.parent)
    except OSError as error:
        raise HashscanError(f"cannot write the backup {out}: {error.strerror}", hint="is the disk full?") from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return verify(out)


def verify(folder: Path) -> Backup:
    """What the manifest of a backup says, every file of which has the digest that it names. Raises `UsageError`."""
    said = _manifest(folder)
    files = said.pop("files")
    found = {str(path.relative_to(folder)): path for path in _files(folder) if path.name != MANIFEST}
    if wrong := set(files) ^ set(found):
        raise UsageError(f"{folder} is damaged: {min(wrong)} is missing or not named in its manifest")
    for name, path in found.items():
        if _sha256(path) != files[name]:
            raise UsageError(f"{folder} is damaged: {name} is not what was backed up", hint="use another backup")
    length = sum(path.stat().st_size for path in found.values())
    return Backup(folder, said["made"], said["schema"], len(found), length)


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        with (folder / MANIFEST).open("rb") as stream:
            document = parse_object(stream.read(_MAX_MANIFEST_BYTES + 1), max_bytes=_MAX_MANIFEST_BYTES)
        fields = Fields(document, MANIFEST)
        if fields.integer("format") != FORMAT:
            raise StrictJsonError("a format that this program does not know")
        files = fields.object("files")
        named = {name: files.hex(name, digits=64) for name in files.names()}
        return {"made": fields.number("made"), "schema": fields.text("schema", max_chars=16), "files": named}
    except OSError as error:
        raise UsageError(f"{folder} is no complete backup: {MANIFEST}: {error.strerror}") from None
    except StrictJsonError as error:
        raise UsageError(f"{folder / MANIFEST}: {error}") from None


def _write_manifest(folder: Path, made: float) -> None:
    files = {str(path.relative_to(folder)): _sha256(path) for path in _files(folder)}
    document = {"format": FORMAT, "made": made, "schema": schema.head(), "files": files}
    write_bytes(folder / MANIFEST, json.dumps(document, indent=1).encode() + b"\n")


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.is_symlink():
            raise UsageError(f"{path} is a symbolic link: no backup holds one")
        if path.is_dir():
            yield from _files(path)
        else:
            yield path


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def copy_tree(source: Path, target: Path) -> None:
    """Files and folders of mode 0600 and 0700; what vanishes meanwhile (old metadata) is left out, `_check_whole` decides."""
    make_private_directory(target)
    for path in sorted(source.iterdir()) if source.is_dir() else ():
        if path.is_dir() and not path.is_symlink():
            copy_tree(path, target / path.name)
        elif path.is_file() and not path.name.startswith("."):
            try:
                data = path.read_bytes()
            except FileNotFoundError:
                continue
            write_bytes(target / path.name, data, mode=0o600)


def _copy_database(store: Store, folder: Path) -> None:
    made = connect(Folder(folder), cache_kib=IMPORT_CACHE_KIB, busy_seconds=_BUSY_SECONDS)
    try:
        made.database.make()
        made.upgrade()
        with store.reading() as source, made.writing() as target:
            copy_rows(source, target)
        made.compact_log()
    finally:
        made.close()
    for path in folder.glob("service.sqlite3-*"):  # the log is folded in; what is left of it is empty
        path.unlink()


def copy_rows(source: Session, target: Session) -> None:
    """All rows of all tables, in the order of their references, into empty tables of the same schema."""
    for table in schema.METADATA.sorted_tables:
        query = select(table).execution_options(yield_per=_ROWS_AT_ONCE)
        if own := [one.parent for one in table.foreign_keys if one.column.table is table]:
            query = query.order_by(
                own[0].is_not(None), *table.primary_key.columns
            )  # it refers to an older row of its own table
        for rows in source.connection().execute(query).mappings().partitions(_ROWS_AT_ONCE):
            target.connection().execute(insert(table), [dict(row) for row in rows])
        _go_on_counting(target.connection(), table)


def _go_on_counting(connection: Connection, table: Table) -> None:
    """PostgreSQL's sequences do not see rows that came with their ids."""
    column = table.autoincrement_column
    if connection.dialect.name != "postgresql" or column is None:
        return
    last = connection.execute(select(func.max(column))).scalar()
    if last is not None:
        statement = text("SELECT setval(pg_get_serial_sequence(:table, :column), :last)")
        connection.execute(statement, {"table": f'"{table.name}"', "column": column.name, "last": last})


def _check_whole(folder: Path) -> None:
    """Everything that the copied database names is there and right. Raises `HashscanError`."""
    copy = connect(Folder(folder), cache_kib=IMPORT_CACHE_KIB, busy_seconds=_BUSY_SECONDS)
    try:
        with copy.reading() as session:
            copy.database.check_migrated(session.connection())
            for provider in session.scalars(select(Provider)):
                for spec in in_force.targets(in_force.published(session, provider.id)):
                    path = folder / "published" / provider.name / spec.name
                    if not path.is_file() or _sha256(path) != spec.sha256:
                        what = f"{path.name} of {provider.name} is missing or damaged"
                        raise HashscanError(what, hint="run 'hashscan service publish', then back up")
            for key in session.scalars(select(OnlineKey).where(OnlineKey.until.is_(None))):
                read_key(folder / "keys" / f"{key.role}-{key_id(key.public)}.pem")
    finally:
        copy.close()
    for path in folder.glob("service.sqlite3-*"):
        path.unlink()
