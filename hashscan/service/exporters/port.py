"""What an exporter is given and gives back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from hashscan.model import Algorithm

MIN_ERROR_RATE, MAX_ERROR_RATE = 1e-12, 1e-2


class Sheet(NamedTuple):
    """One entry as it goes out: its public id, the raw digests that were asked for, its size in bytes where it is known."""

    id: str
    digests: Mapping[Algorithm, bytes]
    size: int | None


@dataclass(frozen=True, slots=True)
class Wish:
    """How a list is to go out. ``error_rate`` is that of filters, ``upper`` whether hex digits in them are A to F.

    ``key`` keys a Private Search Set, ``key_id`` is what its description calls that key.
    """

    form: str
    algorithms: tuple[Algorithm, ...] = ()
    error_rate: float = 1e-6
    upper: bool = False
    key: bytes = field(default=b"", repr=False)
    key_id: str = ""


@dataclass(frozen=True, slots=True)
class Stock:
    """What there is to write: the list and its sheets; ``sheets()`` begins anew with each call. ``most`` digests at most."""

    list_id: str
    now: float
    most: int
    sheets: Callable[[], Iterator[Sheet]]


class Written(NamedTuple):
    """What was written: entries, digests, and the SHA-256 of the file that holds them; ``skipped`` entries did not fit it."""

    entries: int
    digests: int
    skipped: int
    sha256: str


Exporter = Callable[[Path, Stock, Wish], Written]
"""Writes one file (or folder) that is in place when it returns."""


@dataclass(frozen=True, slots=True)
class Form:
    """One format. ``takes`` are the algorithms that it can hold; ``default`` those that go into it unless others are named."""

    name: str
    write: Exporter
    takes: tuple[Algorithm, ...]
    default: tuple[Algorithm, ...]
    keyed: bool = False
