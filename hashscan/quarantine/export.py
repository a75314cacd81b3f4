"""A bundle about one case for the police or the hotline: a folder with the evidence, what is known of it, and how to check it.

The evidence leaves the vault sealed to the reader's public key, or as it was sealed when it was taken. Plain only where the
operator says so in words. ``SHA256SUMS`` is written last: a folder without it is not complete.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hashscan import atomic
from hashscan.errors import QuarantineError, UsageError
from hashscan.model import Algorithm
from hashscan.quarantine import evidence, log, opening, proofs
from hashscan.quarantine.log import What
from hashscan.quarantine.record import Form, Record
from hashscan.quarantine.seal import Recipients
from hashscan.quarantine.store import CONTENT, CaseStore
from hashscan.quarantine.survey import entry_of
from hashscan.strict_json import StrictJsonError

SUMS = "SHA256SUMS"


@dataclass(frozen=True, slots=True)
class Request:
    """Where to, and in which form: sealed to ``recipients``, or ``plain``; neither for evidence that is sealed already."""

    folder: Path
    recipients: Recipients | None = None
    plain: bool = False


def check_form(record: Record, request: Request) -> None:
    """Whether the evidence may leave in the wished form. Pure. Raises `QuarantineError`, `UsageError`."""
    form = record.stored.form
    if form is Form.NONE:
        raise QuarantineError(f"case {record.id} is {record.state}: there is no evidence to export")
    if form is Form.SEALED and (request.recipients or request.plain):
        raise UsageError(
            f"the evidence of case {record.id} is sealed and leaves as it is", hint="leave out --recipient and --plain"
        )
    if form is Form.PLAIN and not (request.recipients or request.plain):
        hint = "name the reader's public key with --recipient age1..., or say --plain"
        raise UsageError(f"the evidence of case {record.id} is not sealed", hint=hint)
    if request.recipients and request.plain:
        raise UsageError("--recipient and --plain exclude each other")


def export(store: CaseStore, record: Record, request: Request) -> list[Path]:
    """Write the bundle; the files in it. Raises `QuarantineError`, `UsageError`, OSError."""
    check_form(record, request)
    folder = _fresh_folder(request.folder)
    to = ", ".join(request.recipients.keys) if request.recipients else "plain" if request.plain else "sealed as it was"
    store.log.append(What.EXPORTED, record.id, f"{os.fsdecode(os.fspath(folder))} ({to})")
    files = [
        _put(folder, "record.json", json.dumps(store.document(record.id), indent=1).encode() + b"\n"),
        _put(folder, "verdict.json", record.envelope() + b"\n"),
        _put(folder, "log-excerpt.ndjson", b"".join(_lines_of(store, record.id))),
    ]
    if record.proof is not None and (proof := proofs.read(store.root, record.proof.sha256)):
        files.append(_put(folder, "proof.json", proof))
    files.append(_put_content(store, record, request, folder))
    files.append(_put(folder, "cover.txt", _cover(record, files[-1].name, store.clock()).encode()))
    sums = "".join(f"{_sha256(path)}  {path.name}\n" for path in sorted(files))
    return [*files, _put(folder, SUMS, sums.encode())]


def _fresh_folder(folder: Path) -> Path:
    if not folder.parent.is_dir():
        raise UsageError(f"there is no folder {folder.parent}")
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        status = os.lstat(folder)
        if status.st_uid != os.geteuid() or status.st_mode & 0o077 or not folder.is_dir() or any(folder.iterdir()):
            raise UsageError(
                f"{folder} is not an empty folder of yours alone", hint="name one that does not exist yet"
            ) from None
    atomic.fsync_directory(folder.parent)
    return folder


def _put(folder: Path, name: str, data: bytes) -> Path:
    atomic.write_bytes(folder / name, data)
    return folder / name


def _put_content(store: CaseStore, record: Record, request: Request, folder: Path) -> Path:
    sealed = record.stored.form is Form.SEALED
    path = folder / ("content.age" if sealed or request.recipients else "content")
    kept = {Algorithm.BLAKE3: record.stored.blake3} if sealed else record.digests
    digester = evidence.Digester(kept)
    source = os.open(store.path(record.id, CONTENT), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    with opening.closing(source) as fd, atomic.replace_file(path) as stream:
        chunks = _chunks(fd, record.stored.size, digester)
        if request.recipients:
            request.recipients.seal(chunks, lambda data: _all(stream.write(data), data))
        else:
            stream.writelines(chunks)
        if digester.size != record.stored.size or digester.digests() != dict(kept):
            raise QuarantineError(f"case {record.id} was not exported: its evidence is not what was kept")
    return path


def _all(written: int, data: bytes) -> None:
    assert written == len(data)  # noqa: S101 - a buffered stream takes everything or raises


def _chunks(fd: int, size: int, digester: evidence.Digester) -> Iterator[bytes]:
    for chunk in evidence.read_chunks(fd, size):
        digester.update(chunk)
        yield chunk


def _lines_of(store: CaseStore, case_id: str) -> Iterator[bytes]:
    for raw in log.raw_lines(store.log.path):
        try:
            if log.read_line(raw.removesuffix(b"\n")).case == case_id:
                yield raw
        except StrictJsonError:
            continue  # `audit verify` names a line that does not hold


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _cover(record: Record, content: str, now: float) -> str:
    """The page that a person reads first. No name of a file stands in it: that is in record.json."""
    digests = "\n".join(f"  {name.value:<8} {digest}" for name, digest in sorted(record.digests.items()))
    steps = "\n".join(f"  {_day(line.at)}  {line.state.value:<10} {line.note}" for line in record.history)
    holds = "\n".join(f"  {one.id}  {one.by}: {one.reason}" for one in record.holds) or "  none"
    how = (
        f"  age -d -i IDENTITY-FILE {content} > content      (any program that knows the age format)"
        if content.endswith(".age")
        else "  The evidence is NOT encrypted. Do not open it to look at it; compare its digests."
    )
    return f"""\
CASE {record.id}
Exported {_day(now)} by hashscan. Restricted: hand over only to the authority that asked for it.

What this is
  A file that agrees with entry {entry_of(record)} of a hash list, as a signed verdict says
  ({record.finding["verdict_id"]}). Nobody needs to look at it to check that.

The file
  size     {record.file.size} bytes
{digests}

Legal holds
{holds}

History
{steps}

How to check this bundle
  sha256sum -c {SUMS}
  The signed verdict is verdict.json (a DSSE envelope), what it rests on proof.json. On the host it came from:
  hashscan audit verdict {record.id}

How to open the evidence
{how}
"""


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))
