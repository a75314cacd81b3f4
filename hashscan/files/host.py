"""Which host this is: inodes mean something on one host only, so a digest cache that was copied elsewhere is not believed."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from blake3 import blake3

from hashscan.atomic import write_bytes

MACHINE_IDS = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))
_OWN = "host-id"
_MAX_ID_BYTES = 256


def machine_of(folder: Path, machine_ids: Sequence[Path]) -> str:
    """What tells this host from others, hashed: the id is a secret. Where a host has none, a random one is kept in ``folder``.

    Raises OSError.
    """
    for path in machine_ids:
        with suppress(OSError), path.open("rb") as stream:
            if told := stream.read(_MAX_ID_BYTES).strip():
                return blake3(b"hashscan digest cache" + told).hexdigest()
    own = folder / _OWN
    if not own.exists():
        write_bytes(own, secrets.token_hex(16).encode())
    with own.open("rb") as stream:
        return blake3(stream.read(_MAX_ID_BYTES) + os.uname().nodename.encode()).hexdigest()
