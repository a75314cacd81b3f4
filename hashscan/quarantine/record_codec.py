"""A record as a document: JSON with a schema version and a checksum over its canonical form (docs/formats.md)."""

from __future__ import annotations

import base64
import binascii
import enum
import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, TypeVar

from blake3 import blake3

from hashscan.model import Algorithm, CaseState, Json, Place
from hashscan.quarantine.record import (
    FileFacts,
    Form,
    HoldingPlace,
    LegalHold,
    Line,
    Proof,
    Record,
    Restoring,
    Retention,
    Stored,
)

_Word = TypeVar("_Word", bound=enum.StrEnum)
SCHEMA = "hashscan.case/2"
MAX_RECORD_BYTES = 4 << 20  # a path of 60 kB stands in it twice, the verdict and the extended attributes take 64 kB each


def encode(record: Record) -> bytes:
    """The document, ending in a newline."""
    body = _document(record)
    return json.dumps({**body, "checksum": _checksum(body)}, indent=1, sort_keys=True).encode() + b"\n"


def as_written(data: bytes) -> bool:
    """Whether these are the very bytes that `encode` writes for the document in them; the checksum does not see white space."""
    return json.dumps(json.loads(data), indent=1, sort_keys=True).encode() + b"\n" == data


def decode(data: bytes) -> Record:
    """The record in a document. Raises ValueError, which says what is wrong with it."""
    return from_document(check(data))


def from_document(document: Mapping[str, Any]) -> Record:
    """The record in a document that was checked. Raises ValueError."""
    return _record(_Fields(document))


def check(data: bytes) -> dict[str, Any]:
    """The document as `json` reads it, its schema and checksum verified. Raises ValueError."""
    if len(data) > MAX_RECORD_BYTES:
        raise ValueError(f"longer than {MAX_RECORD_BYTES} bytes")
    try:
        body = json.loads(data)
        if not isinstance(body, dict):
            raise ValueError("not a JSON object")  # noqa: TRY004 - one kind of error for a document that is wrong
        told, holds = body.pop("checksum", None), _checksum(body)
    except (ValueError, RecursionError) as error:  # what can be read just so may be too deep to be written
        raise ValueError("not JSON (truncated?)") from error
    if body.get("schema") != SCHEMA:
        raise ValueError(f"its schema is not {SCHEMA}")
    if told != holds:
        raise ValueError("its checksum does not hold")
    return body


def _checksum(body: Mapping[str, Json]) -> str:
    return blake3(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _place(place: Place) -> dict[str, Json]:
    # "path" is for people only; the bytes of the kernel are in the two others.
    printable = place.full.decode("utf-8", "backslashreplace")
    return {"path": printable, "root_b64": _b64(place.root), "path_b64": _b64(place.path)}


def _document(record: Record) -> dict[str, Json]:
    file, holding = record.file, record.holding
    return {
        "schema": SCHEMA,
        "id": record.id,
        "state": record.state.value,
        "opened": record.opened,
        "reason": record.reason,
        "trigger": record.trigger,
        "place": _place(record.place),
        "parent": record.parent,
        "file": {
            **{name: getattr(file, name) for name in _NUMBERS},
            "xattrs_b64": {_b64(name): _b64(value) for name, value in file.xattrs.items()},
            "xattrs_complete": file.xattrs_complete,
        },
        "digests": {algorithm.value: digest for algorithm, digest in record.digests.items()},
        "finding": record.finding,
        "holding": {
            "directory_b64": _b64(holding.directory),
            "device": holding.device,
            "inode": holding.inode,
            "mount": holding.mount,
        },
        "history": [{"state": line.state.value, "at": line.at, "note": line.note} for line in record.history],
        "restoring": None if record.restoring is None else _begun(record.restoring),
        "proof": None if record.proof is None else asdict(record.proof),
        "tenant": record.tenant,
        "stored": {**asdict(record.stored), "form": record.stored.form.value, "recipients": list(record.stored.recipients)},
        "holds": [asdict(hold) for hold in record.holds],
        "retention": asdict(record.retention),
        "released_to": record.released_to,
    }


def _begun(restoring: Restoring) -> dict[str, Json]:
    temporary = _b64(restoring.temporary)
    return {"place": _place(restoring.place), "inode": restoring.inode, "temporary_b64": temporary}


_HEX = re.compile("[0-9a-f]{64}")
_MOST = 1 << 64
_NUMBERS = ("device", "inode", "size", "mode", "uid", "gid", "links", "atime_ns", "mtime_ns", "ctime_ns")


class _Fields:
    """Typed reading of a JSON object; a field that is missing or of another type is a ValueError that names it."""

    def __init__(self, data: object) -> None:
        if not isinstance(data, dict):
            raise ValueError("an object is missing")  # noqa: TRY004 - see `check`
        self._data = data

    def of(self, key: str, *kinds: type) -> Any:  # the caller names the type
        value = self._data.get(key)
        # Not a number and infinity are JSON to Python, and integers have no end: no clock and no disk has such values.
        if type(value) not in kinds or (isinstance(value, int | float) and not -_MOST <= value <= _MOST):
            raise ValueError(f"field {key} is missing or wrong")
        return value

    def raw(self, key: str) -> bytes:
        return _unb64(self.of(key, str))

    def sub(self, key: str) -> _Fields:
        return _Fields(self._data.get(key))

    def place(self, key: str) -> Place:
        fields = self.sub(key)
        return Place(fields.raw("root_b64"), fields.raw("path_b64"))


def _word(kind: type[_Word], text: str) -> _Word:
    try:
        return kind(text)
    except ValueError:
        raise ValueError(f"{text[:60]!a} is no {kind.__name__}") from None  # the word may be as long as the record


def _unb64(text: object) -> bytes:
    try:
        return base64.b64decode(str(text), validate=True)
    except binascii.Error as error:
        raise ValueError("a field is not base64") from error


def _record(fields: _Fields) -> Record:
    file, holding, finding = fields.sub("file"), fields.sub("holding"), fields.of("finding", dict)
    xattrs = {_unb64(name): _unb64(value) for name, value in file.of("xattrs_b64", dict).items()}
    said = _Fields(finding)
    said.of("entry", str), said.of("verdict_id", str), said.sub("list").of("id", str)  # what `Record.case` shows
    return Record(
        id=fields.of("id", str),
        state=_word(CaseState, fields.of("state", str)),
        opened=fields.of("opened", float, int),
        reason=fields.of("reason", str),
        trigger=fields.of("trigger", str),
        place=fields.place("place"),
        parent=fields.of("parent", int),
        file=FileFacts(
            **{name: file.of(name, int) for name in _NUMBERS}, xattrs=xattrs, xattrs_complete=file.of("xattrs_complete", bool)
        ),
        digests={_word(Algorithm, name): str(digest) for name, digest in fields.of("digests", dict).items()},
        finding=finding,
        holding=HoldingPlace(
            holding.raw("directory_b64"), holding.of("device", int), holding.of("inode", int), holding.of("mount", int)
        ),
        history=tuple(_line(_Fields(line)) for line in fields.of("history", list)),
        restoring=_restoring(fields),
        proof=_proof(fields),
        tenant=fields.of("tenant", str),
        stored=_stored(fields.sub("stored")),
        holds=tuple(_hold(_Fields(hold)) for hold in fields.of("holds", list)),
        retention=_retention(fields.sub("retention")),
        released_to=fields.of("released_to", str),
    )


def _stored(fields: _Fields) -> Stored:
    recipients = tuple(str(key) for key in fields.of("recipients", list))
    return Stored(_word(Form, fields.of("form", str)), fields.of("size", int), fields.of("blake3", str), recipients)


def _hold(fields: _Fields) -> LegalHold:
    return LegalHold(fields.of("id", str), fields.of("by", str), fields.of("reason", str), fields.of("at", float, int))


def _retention(fields: _Fields) -> Retention:
    return Retention(fields.of("profile", str), fields.of("purge_after", float, int, type(None)))


def _restoring(fields: _Fields) -> Restoring | None:
    if fields.of("restoring", dict, type(None)) is None:
        return None
    begun = fields.sub("restoring")
    return Restoring(begun.place("place"), begun.of("inode", int), begun.raw("temporary_b64"))


def _proof(fields: _Fields) -> Proof | None:
    if fields.of("proof", dict, type(None)) is None:
        return None
    proof = fields.sub("proof")
    found = Proof(proof.of("sha256", str), proof.of("provider", str), proof.of("confirm_key", str))
    if not _HEX.fullmatch(found.sha256) or not _HEX.fullmatch(found.confirm_key):  # the former becomes the name of a file
        raise ValueError("field proof is wrong")
    return found


def _line(fields: _Fields) -> Line:
    return Line(_word(CaseState, fields.of("state", str)), fields.of("at", float, int), fields.of("note", str))
