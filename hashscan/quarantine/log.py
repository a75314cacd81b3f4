"""The log of the vault: append-only, a line for each act, each line bound to all before it (docs/formats.md, "Log").

A line is JSON; ``hash`` is BLAKE3 over the line without it, so whoever changes, removes or inserts a line breaks the chain
from there on. What a chain cannot show is that its end is missing: the head (number and hash of the last line) is therefore
told to the service with the outcomes and kept with its signed receipt.
"""

from __future__ import annotations

import enum
import fcntl
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blake3 import blake3

from hashscan import atomic
from hashscan.errors import QuarantineError
from hashscan.ports import LogHead
from hashscan.strict_json import Fields, StrictJsonError, parse_object

MAX_LINE_BYTES = 8192
MAX_DETAIL_CHARS = 2000
START = LogHead(0, "0" * 64)
_CONTEXT = "hashscan log v1"
_NEWLINE = b"\n"
_HOLE = b"\0"  # no line has one; a power loss leaves them where the end of a line reached the disk before its beginning


class What(enum.StrEnum):
    """What a line is about. An intent is durable before the act, so that no act is without a line."""

    TAKE_INTENT = "take-intent"
    TAKEN = "taken"
    DROPPED = "dropped"
    ORPHANED = "orphaned"
    HELD_INTENT = "held-intent"
    HELD = "held"
    RELEASED = "released"
    DISMISSED = "dismissed"
    RESTORE_INTENT = "restore-intent"
    RESTORED = "restored"
    NOT_RESTORED = "not-restored"
    EXPORTED = "exported"
    HOLD = "hold"
    UNHOLD = "unhold"
    PURGE_INTENT = "purge-intent"
    CERTIFIED = "certified"
    PURGED = "purged"
    SHOWN = "shown"
    RECOVERED = "recovered"
    SETTLED = "settled"
    TORN = "torn"


_ENDS = {
    What.TAKEN,
    What.DROPPED,
    What.ORPHANED,
    What.HELD,
    What.RESTORED,
    What.NOT_RESTORED,
    What.PURGED,
    What.RECOVERED,
}
_SAID_FIRST = {What.RELEASED, What.DISMISSED, What.HOLD, What.UNHOLD, What.SETTLED}
_RESTORED_AFTER_ALL = ("restored: ", "interrupted before its last line; the case is restored")
_TAIL_BYTES = 2 * MAX_LINE_BYTES  # the last line, and one that a crash left
_LOOK_BACK = 256 << 10  # bytes; one run at a time, so what was cut off last is near the end


@dataclass(frozen=True, slots=True)
class Line:
    """One line. ``n`` counts from 1, ``at`` is seconds since 1970, ``actor`` who or what did it, ``case`` an id or empty."""

    n: int
    at: float
    actor: str
    what: str
    case: str
    detail: str
    prev: str

    def body(self) -> dict[str, Any]:
        """The fields under the hash."""
        return {
            "n": self.n,
            "at": self.at,
            "actor": self.actor,
            "what": self.what,
            "case": self.case,
            "detail": self.detail,
            "prev": self.prev,
        }

    def encode(self) -> bytes:
        """The line with its hash and a newline."""
        return _canonical({**self.body(), "hash": self.hash}) + _NEWLINE

    @property
    def hash(self) -> str:
        """64 hex digits: BLAKE3 in derive-key mode over the canonical line without the field "hash"."""
        return blake3(_canonical(self.body()), derive_key_context=_CONTEXT).hexdigest()

    @property
    def head(self) -> LogHead:
        """The head of a log that ends with this line."""
        return LogHead(self.n, self.hash)


def _canonical(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def read_line(data: bytes) -> Line:
    """The line in these bytes (without the newline), its own hash checked. Raises `StrictJsonError`."""
    fields = Fields(parse_object(data, max_bytes=MAX_LINE_BYTES), "line")
    line = Line(
        n=fields.integer("n", low=1, high=2**53),
        at=fields.number("at"),
        actor=fields.text("actor"),
        what=fields.text("what", max_chars=32),
        case=fields.text("case", max_chars=32, min_chars=0),
        detail=fields.text("detail", max_chars=MAX_DETAIL_CHARS, min_chars=0),
        prev=fields.hex("prev", digits=64),
    )
    if line.encode() != data + _NEWLINE:
        raise StrictJsonError("it is not the line that was written")
    return line


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check of the whole log came to. ``broken`` is the number of the first line that does not hold, or 0.

    ``torn``: the log ends in the middle of a line, which a crash leaves. ``has`` says of each head that was asked for whether
    the chain contains it.
    """

    head: LogHead
    broken: int
    problem: str
    torn: bool
    has: Mapping[LogHead, bool]


def check(pieces: Iterable[bytes], wanted: Iterable[LogHead] = ()) -> Checked:
    """Follow the chain through the lines (each with its newline, but perhaps the last one). Pure."""
    head, has = START, {one: one == START for one in wanted}
    lines = iter(pieces)
    for number, raw in enumerate(lines, 1):
        if not raw.endswith(_NEWLINE):
            return Checked(head, 0, "", torn=True, has=has)
        try:
            line = read_line(raw[:-1])
        except StrictJsonError as error:
            if _HOLE in raw and next(lines, None) is None:
                return Checked(head, 0, "", torn=True, has=has)
            return Checked(head, number, f"line {number} does not hold: {error}", torn=False, has=has)
        if line.n != number or line.prev != head.hash:
            return Checked(head, number, f"line {number} does not follow the line before it", torn=False, has=has)
        head = line.head
        if head in has:
            has[head] = True
    return Checked(head, 0, "", torn=False, has=has)


def raw_lines(path: Path) -> Iterator[bytes]:
    """The lines of the log file, none where it is missing; one that is too long comes in pieces, which do not hold.

    Raises OSError.
    """
    try:
        stream = path.open("rb")
    except FileNotFoundError:
        return
    with stream:
        while raw := stream.readline(MAX_LINE_BYTES + 1):
            yield raw if raw.endswith(_NEWLINE) or len(raw) <= MAX_LINE_BYTES else raw + _NEWLINE


def _last_line(text: bytes) -> tuple[int, int]:
    """Where the last whole line begins and ends; twice 0 where there is none."""
    end = text.rfind(_NEWLINE) + 1
    return text[: end - 1].rfind(_NEWLINE) + 1, end


def _plain(text: str) -> str:
    """Only what can be read: a name of a tenant may stand in it."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[:MAX_DETAIL_CHARS])


class Log:
    """The log as acts write it. Raises `QuarantineError` where its end does not hold: nothing is done without a line.

    ``step`` is told the name of every operation before and after it (`store.CaseStore`).
    """

    def __init__(self, path: Path, clock: Callable[[], float], actor: str, step: Callable[[str], None] | None = None) -> None:
        self.path = path
        self._clock, self._actor = clock, _plain(actor)[:256] or "hashscan"
        self._step = step or (lambda _: None)

    def unfinished(self) -> list[str]:
        """Cases whose last act was announced near the end of the log, and whose end is not in it. Raises OSError."""
        begun: dict[str, None] = {}
        for line in self._recent():
            if line.what.endswith("-intent"):
                begun[line.case] = None
            elif line.what in _ENDS:
                begun.pop(line.case, None)
        return list(begun)

    def said_first(self) -> list[Line]:
        """The last lines of cases, near the end of the log, about acts that only change a record, which comes after the line.

        Whether it came, the record tells. Raises OSError.
        """
        last = {line.case: line for line in self._recent() if line.what != What.SHOWN}
        return [line for line in last.values() if line.what in _SAID_FIRST]

    def restored_lately(self) -> list[Line]:
        """Lines near the end of the log that say a case was restored: by the act, or by recovery after it. Raises OSError."""
        return [
            line
            for line in self._recent()
            if line.what == What.RESTORED or (line.what == What.RECOVERED and line.detail.startswith(_RESTORED_AFTER_ALL))
        ]

    def _recent(self) -> Iterator[Line]:
        with suppress(FileNotFoundError), self.path.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - _LOOK_BACK))
            for raw in stream.read(_LOOK_BACK).split(_NEWLINE):
                with suppress(StrictJsonError):  # the first piece is half a line as a rule
                    yield read_line(raw)

    def append(self, what: What, case: str = "", detail: str = "") -> LogHead:
        """Add a line, durable when this returns. Raises `QuarantineError`, OSError."""
        with self._locked() as fd:
            end, head = self._end(fd)
            if torn := os.fstat(fd).st_size - end:
                head = self._set_aside(fd, end, head, torn)
            return self._write(fd, head, what, (case, detail))

    def head(self) -> LogHead:
        """The head of the last whole line. Raises `QuarantineError`, OSError."""
        if not self.path.exists():
            return START
        with self._locked() as fd:
            return self._end(fd)[1]

    @contextmanager
    def _locked(self) -> Iterator[int]:
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)  # a person who looks at a case writes while a scan runs
            if not os.fstat(fd).st_size:  # made just now, or by a run that was killed right after
                atomic.fsync_directory(self.path.parent)
            yield fd
        finally:
            os.close(fd)

    def _end(self, fd: int) -> tuple[int, LogHead]:
        """Where the last whole line ends, in bytes, and its head."""
        size = os.fstat(fd).st_size
        start = max(0, size - _TAIL_BYTES)
        tail = os.pread(fd, _TAIL_BYTES, start)
        begin, end = _last_line(tail)
        if _HOLE in tail[begin:end]:
            begin, end = _last_line(tail[:begin])
        if not end:
            if start:
                raise QuarantineError(f"the log {self.path} does not end in a line", hint="hashscan audit verify")
            return 0, START
        try:
            return start + end, read_line(tail[begin : end - 1]).head
        except StrictJsonError as error:
            raise QuarantineError(
                f"the last line of the log {self.path} does not hold: {error}",
                hint="hashscan audit verify says where it is broken; nothing is done without a log",
            ) from None

    def _set_aside(self, fd: int, end: int, head: LogHead, torn: int) -> LogHead:
        """What a crash left of a line that was being written is kept, and said."""
        rest = os.pread(fd, min(torn, MAX_LINE_BYTES), end)
        self._step("before set torn line aside")
        atomic.write_bytes(self.path.with_name(f"log.torn-{head.lines + 1}"), rest)
        os.ftruncate(fd, end)
        os.fsync(fd)
        self._step("after set torn line aside")
        # `checking` holds the file against this line.
        about = f"{blake3(rest).hexdigest()} {torn} bytes of an unfinished line were set aside"
        return self._write(fd, head, What.TORN, ("", about))

    def _write(self, fd: int, head: LogHead, what: What, about: tuple[str, str]) -> LogHead:
        case, detail = about[0], _plain(about[1])
        line = Line(head.lines + 1, float(self._clock()), self._actor, what.value, case, detail[:MAX_DETAIL_CHARS], head.hash)
        data = line.encode()
        if len(data) > MAX_LINE_BYTES:  # a detail of escapes: six bytes for one character
            line = Line(line.n, line.at, line.actor, line.what, line.case, detail[:500], line.prev)
            data = line.encode()
        self._step("before write log")
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        os.fsync(fd)
        self._step("after write log")
        return line.head
