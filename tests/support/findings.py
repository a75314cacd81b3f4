"""Findings about harmless files that are really on a disk, as a scan would have made them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from blake3 import blake3

from hashscan.model import (
    Act,
    Algorithm,
    Candidate,
    FileEntry,
    Finding,
    Grade,
    HashedFile,
    ListRef,
    Place,
    Source,
    Standing,
)

LIST = ListRef("police-nl", 7, 1)
BOTH = (Algorithm.MD5, Algorithm.SHA1)


def digests_of(data: bytes, algorithms: Iterable[Algorithm] = BOTH) -> dict[Algorithm, str]:
    return {
        one: blake3(data).hexdigest() if one is Algorithm.BLAKE3 else hashlib.new(one, data).hexdigest() for one in algorithms
    }


def make_entry(path: Path | bytes, root: Path | bytes) -> FileEntry:
    full, top = os.fsencode(path), os.fsencode(root)
    status = os.lstat(full)
    place = Place(top, b"" if full == top else os.path.relpath(full, top))
    return FileEntry(
        place,
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_mode,
        status.st_uid,
        status.st_gid,
        status.st_nlink,
    )


def make_finding(
    path: Path | bytes, root: Path | bytes, *, algorithms: Iterable[Algorithm] = BOTH, **changes: object
) -> Finding:
    """A full match of an active entry about the file at ``path``; ``changes`` are fields of `Finding`."""
    with open(path, "rb") as stream:
        digests = digests_of(stream.read(), algorithms)
    candidate = Candidate(HashedFile(make_entry(path, root), digests), (LIST,))
    finding = Finding(
        candidate,
        Source.SERVICE,
        LIST,
        "entry-17",
        Grade.MATCH,
        Standing.ACTIVE,
        "harmless",
        Act.QUARANTINE,
        "sha1 agrees",
        "ab" * 32,
        b"signed",
    )
    return replace(finding, **changes)  # type: ignore[arg-type]
