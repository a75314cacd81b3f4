"""A scan that runs, and what people ask of it: two small files in the run folder, `scan.json` (its own word) and `scan.wish`.

A wish names the run that it is about by a random number, so that one which outlives its scan says nothing to the next. Both
files are replaced in one step; nothing here must survive a restart of the machine, and nothing is waited for on a disk.
"""

from __future__ import annotations

import json
import os
import secrets
import stat
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from hashscan.atomic import make_private_directory
from hashscan.errors import StateError
from hashscan.strict_json import Fields, StrictJsonError, parse_object

RUNNING, WISH = "scan.json", "scan.wish"
PAUSE, GO_ON, STOP = "pause", "resume", "stop"
MAX_BYTES = 4096
EVERY = 5.0  # seconds between two words of a scan about how far it is
_MAX_COMMAND = 200  # characters


@dataclass(frozen=True, slots=True)
class Running:
    """What a scan says of itself. Times in seconds since 1970; ``birth`` is when its process began, in ticks of the kernel."""

    run: str
    pid: int
    birth: int
    command: str
    started: float
    state: str
    why: str
    seen: int
    findings: int
    told: float

    @property
    def alive(self) -> bool:
        """Whether that very process is still there: a number may be somebody else's by now."""
        return birth_of(self.pid) == self.birth


def birth_of(pid: int) -> int:
    """When a process began, in ticks since the machine did; -1 where there is none. Source: proc_pid_stat(5), field 22."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stream:
            return int(stream.read(MAX_BYTES).rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return -1


def running(folder: Path) -> Running | None:
    """The scan that runs on this host for this user, if one does. Raises `StateError` where nobody can tell."""
    data = _read(folder / RUNNING)
    if data is None:
        return None
    try:
        fields = Fields(parse_object(data, max_bytes=MAX_BYTES), RUNNING)
        found = Running(
            run=fields.text("run", max_chars=64),
            pid=fields.integer("pid", low=1),
            birth=fields.integer("birth", low=0),
            command=fields.text("command", max_chars=_MAX_COMMAND),
            started=fields.number("started"),
            state=fields.text("state", max_chars=64),
            why=fields.text("why", max_chars=_MAX_COMMAND, min_chars=0),
            seen=fields.integer("seen", low=0),
            findings=fields.integer("findings", low=0),
            told=fields.number("told"),
        )
    except (StrictJsonError, ValueError):
        return None  # of another version, or damaged: a scan that runs writes it again within seconds
    return found if found.alive else None


def _read(path: Path) -> bytes | None:
    """A file that is ours or root's, and that nobody else can write; None for any other. Raises `StateError`."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StateError(f"cannot read {path}: {error.strerror}", hint="are you root?") from None
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_uid not in _believed(path) or status.st_mode & 0o022:
            return None
        return os.read(fd, MAX_BYTES + 1)
    finally:
        os.close(fd)


def _believed(path: Path) -> set[int]:
    """Whose files count: ours, root's; to root also those of the owner of the folder, if only he can write there."""
    folder = os.stat(path.parent)
    owner = {folder.st_uid} if os.geteuid() == 0 and folder.st_mode & 0o022 == 0 else set()
    return {os.geteuid(), 0} | owner


def _replace(path: Path, document: dict[str, object]) -> None:
    """In one step, without waiting for the disk: what is lost with the machine is not missed. Raises OSError."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(6)}.new")
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, json.dumps(document).encode("ascii"))
    finally:
        os.close(fd)
    os.rename(beside, path)


def ask(folder: Path, scan: Running, wish: str) -> None:
    """Leave a wish for a scan. Raises `StateError`."""
    try:
        _replace(folder / WISH, {"run": scan.run, "wish": wish})
    except OSError as error:
        raise StateError(f"cannot write {folder / WISH}: {error.strerror}", hint="are you root?") from None


class Word:
    """What a scan says of itself while it runs, and the last wish about it. A run folder that fails ends no scan."""

    def __init__(self, folder: Path, command: str) -> None:
        self._folder, self.run = folder, secrets.token_hex(8)
        self._command = "".join(one if one.isprintable() else "?" for one in command)[:_MAX_COMMAND]
        self._started = time.time()
        self._birth = birth_of(os.getpid())
        self._said: tuple[str, str] = ("", "")
        self._next = 0.0
        self._seen_wish: tuple[int, int] = (0, 0)

    def begin(self) -> None:
        """Forget what an earlier scan left."""
        with suppress(OSError):
            make_private_directory(self._folder)
            (self._folder / WISH).unlink(missing_ok=True)

    def end(self) -> None:
        """Nothing runs any more."""
        with suppress(OSError):
            for name in (RUNNING, WISH):
                (self._folder / name).unlink(missing_ok=True)

    def say(self, state: str, why: str, seen: int, findings: int) -> None:
        """Where the scan is, at once where that is news, else every few seconds."""
        now = time.monotonic()
        if (state, why.rstrip("0123456789 %")) == self._said and now < self._next:
            return
        self._said, self._next = (state, why.rstrip("0123456789 %")), now + EVERY
        told = Running(
            self.run, os.getpid(), self._birth, self._command, self._started, state, why, seen, findings, time.time()
        )
        with suppress(OSError):
            _replace(self._folder / RUNNING, asdict(told))

    def take(self) -> str:
        """What was asked of this scan since the last look; "" where nothing was. One look at a name, unless it changed."""
        path = self._folder / WISH
        try:
            status = os.stat(path, follow_symlinks=False)
        except OSError:
            return ""
        if (status.st_ino, status.st_mtime_ns) == self._seen_wish:
            return ""
        self._seen_wish = (status.st_ino, status.st_mtime_ns)
        with suppress(StateError, StrictJsonError, ValueError):
            fields = Fields(parse_object(_read(path) or b"{}", max_bytes=MAX_BYTES), WISH)
            if fields.text("run", max_chars=64) == self.run and fields.text("wish", max_chars=64) in (PAUSE, GO_ON, STOP):
                return fields.text("wish", max_chars=64)
        return ""
