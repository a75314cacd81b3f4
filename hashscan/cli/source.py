"""Which configuration a command reads, as the first flags of every command line say it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Source(NamedTuple):
    """A file instead of the standard ones, and the name of a profile ("" is none)."""

    config: Path | None = None
    profile: str = ""
