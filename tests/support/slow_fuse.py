"""A filesystem in user space that does not answer: /dev/fuse by hand. Source: the kernel's include/uapi/linux/fuse.h.

"mute" never even reads what the kernel asks. "deaf" agrees to the protocol, takes every question and answers none: who waits
for it cannot be killed. "stuck" serves a directory in which some files are read and those that begin with "stuck" never are;
a directory that begins so is never listed.
"""

from __future__ import annotations

import os
import signal
import stat
import struct
from collections.abc import Callable

from tests.support import children as kids
from tests.support.mounts import mount

_LOOKUP, _FORGET, _GETATTR, _OPEN, _READ, _RELEASE, _INIT, _OPENDIR, _READDIR = 1, 2, 3, 14, 15, 18, 26, 27, 28
_RELEASEDIR, _FLUSH, _INTERRUPT, _BATCH_FORGET = 29, 25, 36, 42
_SILENT = {_FORGET, _BATCH_FORGET, _INTERRUPT}
_IN, _OUT = struct.Struct("=IIQQIIIHH"), struct.Struct("=IiQ")
_ENTRY = struct.Struct("=QQQQII")
_ATTRIBUTES = struct.Struct("=6Q10I")
_READING = struct.Struct("=QQI")


def present() -> bool:
    """Whether this process can open /dev/fuse; mounting needs root besides."""
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError:
        return False
    return os.geteuid() == 0


class SlowFuse:
    """One such filesystem at ``point``; ``files`` are names and contents of its root. Only inside `mounts.with_own_mounts`."""

    def __init__(self, point: bytes, kind: str, files: dict[bytes, bytes] | None = None) -> None:
        self._names = list(files or {})
        self._files = files or {}
        device = os.open("/dev/fuse", os.O_RDWR)
        mount(b"slow", point, b"fuse", 0, b"fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other" % device)
        body: dict[str, Callable[[], None]] = {
            "mute": signal.pause,
            "deaf": lambda: self._serve(device, deaf=True),
            "stuck": lambda: self._serve(device, deaf=False),
        }
        self._child = kids.start(body[kind])
        os.close(device)

    def end(self) -> None:
        """The daemon dies, so that the kernel lets go of whoever waits for it."""
        os.kill(self._child, signal.SIGKILL)
        kids.end(self._child)

    def _serve(self, device: int, *, deaf: bool) -> None:
        while True:
            data = os.read(device, 1 << 20)
            _, opcode, unique, node, *_ = _IN.unpack_from(data)
            if opcode in _SILENT or (deaf and opcode != _INIT):
                continue
            error, body = self._answer(opcode, node, data[_IN.size :])
            if body is not None:
                os.write(device, _OUT.pack(_OUT.size + len(body), error, unique) + body)

    def _answer(self, opcode: int, node: int, question: bytes) -> tuple[int, bytes | None]:
        """errno and body; None for the body where no answer is given."""
        stuck = node > 1 and self._names[node - 2].startswith(b"stuck")
        if opcode == _INIT:
            return 0, struct.pack("=IIIIHHIIHHI28x", 7, 31, 1 << 16, 0, 8, 6, 1 << 16, 1, 16, 0, 0)
        if opcode == _LOOKUP:
            name = question.rstrip(b"\0")
            if node != 1 or name not in self._names:
                return -2, b""
            found = self._names.index(name) + 2
            return 0, _ENTRY.pack(found, 0, 60, 60, 0, 0) + self._attributes(found)
        if opcode == _GETATTR:
            return 0, struct.pack("=QII", 60, 0, 0) + self._attributes(node)
        if opcode in (_OPEN, _OPENDIR):
            return 0, None if stuck and opcode == _OPENDIR else struct.pack("=QII", 0, 0, 0)
        if opcode == _READDIR:
            return 0, self._entries(_READING.unpack_from(question)[1])
        if opcode == _READ:
            _, offset, size = _READING.unpack_from(question)
            return 0, None if stuck else self._files[self._names[node - 2]][offset : offset + size]
        if opcode in (_RELEASE, _RELEASEDIR, _FLUSH):
            return 0, b""
        return -38, b""

    def _is_folder(self, node: int) -> bool:
        return node == 1 or self._names[node - 2].endswith(b"folder")

    def _attributes(self, node: int) -> bytes:
        mode = stat.S_IFDIR | 0o755 if self._is_folder(node) else stat.S_IFREG | 0o644
        size = 0 if self._is_folder(node) else len(self._files[self._names[node - 2]])
        return _ATTRIBUTES.pack(node, size, 1, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)

    def _entries(self, begin: int) -> bytes:
        body = b""
        for number, name in list(enumerate(self._names, 1))[begin:]:
            kind = 4 if self._is_folder(number + 1) else 8
            entry = struct.pack("=QQII", number + 1, number, len(name), kind) + name
            body += entry + bytes(-len(entry) % 8)
        return body
