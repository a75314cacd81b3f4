"""What `doctor` wants to know of a host. `jobs.examine` gathers it, `jobs.doctor` judges it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hashscan.model import CaseState


@dataclass(frozen=True, slots=True)
class RootFacts:
    """A folder to scan: its mount, and why it cannot be read ("" where it can)."""

    path: str
    mount: int
    problem: str = ""


@dataclass(frozen=True, slots=True)
class MountFacts:
    """A mount: id, where, filesystem type, whether it is read-only."""

    id: int
    point: str
    kind: str
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class FolderFacts:
    """One of our folders: what it is for, where, its mount, bytes and files (inodes) that are free, and in all."""

    name: str
    path: str
    mount: int
    free: int
    size: int
    free_files: int
    files: int


@dataclass(frozen=True, slots=True)
class Facts:
    """What was gathered on the host. Times in seconds since 1970; None and "" where nobody could tell.

    ``capabilities`` is the effective set as bits. ``secrets`` are (setting, problem). ``schedule`` are timers and cron files.
    """

    now: float
    root: bool
    capabilities: int
    moves: bool
    roots: Sequence[RootFacts] = ()
    mounts: Sequence[MountFacts] = ()
    folders: Sequence[FolderFacts] = ()
    secrets: Sequence[tuple[str, str]] = ()
    cases: Sequence[tuple[CaseState, float]] = ()
    schedule: Sequence[str] = ()
    synchronized: bool | None = None
    clock_doubt: str = ""
    service: bool = False
    lists_problem: str = ""
    lists_age: float | None = None
    certificate_until: float | None = None
    certificate_problem: str = ""
    online: bool = False
    pressure: bool = False
    kernel: Mapping[str, bool] = field(default_factory=dict)
    lock_owner: str = ""
    last_run: float | None = None
    last_run_code: int | None = None
    pending: int = 0
    unsent: int = 0
    spooled: int = 0
    resumable: bool = False
