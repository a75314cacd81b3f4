"""What proves a verdict years later: the signed lists that were in force, kept once in the vault for all cases on them.

::

    <vault>/proofs/<SHA-256>.json    everything signed, from the pinned root on (`ports.Lists.proof`); never changed
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from hashscan import atomic
from hashscan.model import ListRef
from hashscan.quarantine.record import Proof, Record

FOLDER = "proofs"
MAX_PROOF_BYTES = 8 << 20  # twice what `known.proof` makes at most; a dozen kB as a rule


@dataclass(frozen=True, slots=True)
class Grounds:
    """What the verdicts of one run rest on: ``proof`` of the lists in force, for which ``provider``, and K_confirm by list."""

    provider: str
    proof: bytes = field(repr=False)
    confirm_key: Callable[[ListRef], bytes]


@dataclass(frozen=True, slots=True)
class Kept:
    """All that the vault keeps about a verdict. ``proof`` is b"" where there is none, or not the one that the record names.

    ``content_holds``: the evidence has the size and all digests of the record.
    """

    record: Record
    proof: bytes = field(repr=False)
    content_holds: bool


def keep(vault: Path, grounds: Grounds, reference: ListRef) -> Proof:
    """Make the proof durable where it is not there yet, and name it for the record of a case. Raises OSError."""
    name = hashlib.sha256(grounds.proof).hexdigest()
    path = vault / FOLDER / f"{name}.json"
    if read(vault, name) != grounds.proof:  # missing, or damaged on this disk
        atomic.make_private_directory(path.parent)
        atomic.write_bytes(path, grounds.proof)
    else:  # written by a run that may have been killed before the name was durable
        atomic.fsync_directory(path.parent)
    return Proof(name, grounds.provider, grounds.confirm_key(reference).hex())


def read(vault: Path, name: str) -> bytes:
    """The proof of that SHA-256; b"" where it is missing, is no file of ours, or is damaged. Raises OSError."""
    try:
        fd = os.open(vault / FOLDER / f"{name}.json", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return b""
    with open(fd, "rb") as stream:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return b""
        data = stream.read(MAX_PROOF_BYTES)  # of a longer one the digest is another
    return data if hashlib.sha256(data).hexdigest() == name else b""
