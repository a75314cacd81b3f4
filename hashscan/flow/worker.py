"""The worker's process: it takes stacks from the parent, works them off and commits, until the parent is gone or done."""

from __future__ import annotations

import ctypes
import mmap
import os
import pickle
import signal
import struct
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

from hashscan.errors import HashscanError
from hashscan.flow.ledger import Item, Result_co, Start

REST_STEP = 0.05  # seconds between two looks of a resting worker at whether it is over
BEAT = 0.2  # seconds between signs of life, of a worker to the parent and of the parent to its caller
MAX_MESSAGE = 1 << 30  # bytes; a sanity bound between our own processes: the names of a directory with tens of millions
_READ = 1 << 20  # bytes taken from a pipe at once
_HEADER = struct.Struct("=Q")
_PR_SET_PDEATHSIG = 1
REST = mmap.PAGESIZE - 1  # the byte of the wishes that is about all workers


def framed(message: object) -> bytes:
    """One message as it crosses a pipe: its length in 8 bytes, then the pickle."""
    body = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return _HEADER.pack(len(body)) + body


def whole_messages(inbox: bytearray) -> Iterator[Any]:
    """Take the whole messages out of ``inbox``, signs of life left out; the beginning of one stays."""
    while len(inbox) >= _HEADER.size:
        (size,) = _HEADER.unpack_from(inbox)
        if size > MAX_MESSAGE:
            raise RuntimeError(f"a message of {size} bytes")
        end = _HEADER.size + size
        if len(inbox) < end:
            return
        body = bytes(memoryview(inbox)[_HEADER.size : end])
        del inbox[:end]
        if body:
            yield pickle.loads(body)  # noqa: S301  from our own fork


class Sender:
    """The worker's end of its pipe to the parent. A parent that is gone ends the worker."""

    def __init__(self, fd: int, resting: Callable[[], bool]) -> None:
        self._fd, self._resting = fd, resting
        self._said = time.monotonic()

    def send(self, message: object) -> None:
        """Write one message, blocking: a slow reader slows its workers down."""
        self._write(framed(message))

    def alive(self) -> None:
        """Say that a long unit of work (a large file) is getting on, at most once a `BEAT`; and rest as long as all do."""
        while True:
            if time.monotonic() - self._said >= BEAT:
                self._write(_HEADER.pack(0))
            if not self._resting():
                return
            time.sleep(REST_STEP)

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]
        self._said = time.monotonic()


def live(parent: int, body: Callable[[], None]) -> None:
    """The whole life of a worker process; never returns."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == parent:  # else it died before the line above
            body()
        code = 0
    finally:
        os._exit(code)


def serve(start: Start[Item, Result_co], orders: int, results: int, wishes: mmap.mmap, slot: int) -> None:
    """Take stacks, work them off, commit; until the parent closes the pipe. ``wishes`` are the parent's, see `crew`.

    Whether all shall rest is looked at between two stretches and where there is a sign of life: not in the hot loop.
    """
    let_go(orders, results)
    sender = Sender(results, lambda: wishes[REST] != 0)
    try:
        worker = start(sender.alive)
        while (handover := _receive(orders)) is not None:
            items, careful = handover
            worker.load(items, careful=careful)
            if careful:
                sender.send(worker.commit(give=False))
            while not worker.idle():
                sender.alive()
                worker.advance(time.monotonic() + BEAT, lambda: wishes[slot] != 0)
                commit = worker.commit(give=wishes[slot] != 0)
                if commit.given:
                    wishes[slot] = 0
                sender.send(commit)
    except BrokenPipeError:
        return
    except MemoryError:
        os._exit(1)  # as good as dead: the parent hands the work to somebody else, carefully
    except HashscanError as error:
        sender.send(error)
    except Exception:  # noqa: BLE001  a bug is a traceback, and this one has to cross a pipe to be seen
        sender.send(traceback.format_exc())


def let_go(*mine: int) -> None:
    """Of stdin and stdout: one of us that hangs in the kernel must not keep the reader of a pipe waiting for its end."""
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for fd in {0, 1} - {*mine, null}:
        os.dup2(null, fd)
    if null > 1:
        os.close(null)


def _receive(fd: int) -> tuple[list[Any], bool] | None:
    """One handover, or None where the parent has closed the pipe."""
    header = _read_exactly(fd, _HEADER.size)
    body = _read_exactly(fd, _HEADER.unpack(header)[0]) if header else b""
    return pickle.loads(body) if body else None  # noqa: S301  from our own parent


def _read_exactly(fd: int, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        piece = os.read(fd, min(size - len(data), _READ))
        if not piece:
            return b""
        data += piece
    return bytes(data)
