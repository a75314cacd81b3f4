"""What was verified, remembered for whoever asks every minute: to verify takes tuf, which takes longer than all the rest.

To verify is a pure function of the pinned root and of the bytes in force, so that their digest names the result: others are
verified again. Filters that were read and checked are remembered by inode, size and times: a scan does not ask here, and reads
them all. A memo that is missing, damaged, of another version of the program, or of somebody else is a memo of nothing.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import stat
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from hashscan import __version__
from hashscan.atomic import write_bytes
from hashscan.known.chain import MAX_METADATA_DEPTH, MAX_PROOF_BYTES, Verified
from hashscan.strict_json import Fields, parse_object

MEMO = "verified.json"
CHECKED = "filters.json"
_MAX_CHECKED = 10_000  # filters
_MAX_CHECKED_BYTES = 1 << 20


def name_of(root: bytes, proof: bytes) -> str:
    """What a result is called: 64 hex digits."""
    digests = (hashlib.sha256(one).hexdigest() for one in (root, proof))
    return hashlib.sha256(" ".join((__version__, *digests)).encode()).hexdigest()


def recall(folder: Path, name: str) -> Verified | None:
    """The result of that name, where it is the one that is remembered in ``folder``."""
    with suppress(OSError, ValueError, TypeError):
        data = _read(folder / MEMO, 2 * MAX_PROOF_BYTES)
        document = parse_object(data, max_bytes=2 * MAX_PROOF_BYTES - 1, max_depth=MAX_METADATA_DEPTH + 2)
        fields = Fields(document, MEMO)
        if fields.text("name") == name:
            return Verified(
                root=fields.integer("root"),
                online=fields.hex("online", digits=64),
                sequence=fields.integer("sequence"),
                expires=fields.number("expires"),
                timestamp=document["timestamp"],
                targets=document["targets"],
                verdict_keys=base64.b64decode(document["verdict_keys"], validate=True),
            )
    return None


def keep(folder: Path, name: str, found: Verified) -> None:
    """Remember a result, where ``folder`` is there and can be written."""
    document = {
        "name": name,
        "root": found.root,
        "online": found.online,
        "sequence": found.sequence,
        "expires": found.expires,
        "timestamp": found.timestamp,
        "targets": found.targets,
        "verdict_keys": base64.b64encode(found.verdict_keys).decode("ascii"),
    }
    _write(folder / MEMO, document)


def name_of_filter(path: Path, sha256: str, filter_key: bytes) -> str:
    """What a filter file that was checked is called, as it is now: 64 hex digits. Raises OSError where it is not there."""
    status = os.stat(path, follow_symlinks=False)
    facts = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    key = hashlib.sha256(filter_key).hexdigest()
    return hashlib.sha256(" ".join((__version__, sha256, key, *map(str, facts))).encode()).hexdigest()


def recall_checked(folder: Path) -> frozenset[str]:
    """The names of filters that are remembered in ``folder``."""
    with suppress(OSError, ValueError, TypeError):
        document = parse_object(_read(folder / CHECKED, _MAX_CHECKED_BYTES), max_bytes=_MAX_CHECKED_BYTES - 1)
        return frozenset(Fields(document, CHECKED).texts("checked", at_most=_MAX_CHECKED))
    return frozenset()


def keep_checked(folder: Path, names: Collection[str]) -> None:
    """Remember these names and no others, where ``folder`` is there and can be written."""
    _write(folder / CHECKED, {"checked": sorted(names)})


def _read(path: Path, limit: int) -> bytes:
    """At most ``limit`` bytes of a file that only we can have written; nothing of another one. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(fd, "rb") as stream:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
            return b""
        return stream.read(limit)


def _write(path: Path, document: Mapping[str, Any]) -> None:
    if os.access(path.parent, os.W_OK | os.X_OK):
        with suppress(OSError):  # what is not remembered is verified again
            write_bytes(path, json.dumps(document, separators=(",", ":")).encode("ascii"))
