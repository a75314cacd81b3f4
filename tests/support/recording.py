"""What a piece of work really asked of the kernel: a forked child under strace, its system calls in order, results included.

`mark` puts a word of the child's own between them.
"""

from __future__ import annotations

import ctypes
import os
import re
import select
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.support import children

_MARK = "/no-such-folder/mark/"
_BEGIN = "begin"
_PR_SET_PTRACER, _ANY = 0x59616D61, -1
_CALLS = (
    "open,openat,openat2,creat,close,dup,dup2,dup3,fcntl,lseek,read,readlink,readlinkat,"
    "write,pwrite64,writev,pwritev,pwritev2,ftruncate,truncate,fallocate,copy_file_range,sendfile,splice,mmap,"
    "rename,renameat,renameat2,link,linkat,symlink,symlinkat,mknod,mknodat,unlink,unlinkat,mkdir,mkdirat,rmdir,"
    "fsync,fdatasync,sync,syncfs,sync_file_range,chmod,fchmod,fchmodat,chown,lchown,fchown,fchownat,utimensat,"
    "setxattr,lsetxattr,fsetxattr,removexattr,lremovexattr,fremovexattr,ioctl"
)
_LINE = re.compile(r"(\w+)\((.*)\) += (-?\w+)")
_SECONDS = 20.0  # an attachment takes 10 ms


@dataclass(frozen=True, slots=True)
class Call:
    """One call that succeeded. ``args`` as strace writes them, strings in hexadecimal; ``result`` is what it returned."""

    name: str
    args: tuple[str, ...]
    result: int

    def text(self, index: int) -> bytes:
        """The bytes of an argument that is a string."""
        return unquoted(self.args[index])

    def number(self, index: int) -> int:
        """An argument that is a number; a mode stands in octal."""
        word = self.args[index]
        return int(word, 8) if word.startswith("0") and word.isdigit() else int(word, 0)

    @property
    def marked(self) -> str:
        """The word of `mark`, or ""."""
        if not self.name.startswith("readlink"):
            return ""
        path = self.text(1 if self.name == "readlinkat" else 0).decode("utf-8", "replace")
        return path.removeprefix(_MARK) if path.startswith(_MARK) else ""


def unquoted(word: str) -> bytes:
    """The bytes in a string of strace -xx. Raises ValueError for one that was cut short."""
    if not word.startswith('"') or not word.endswith('"'):
        raise ValueError(f"no whole string: {word[:80]}")
    return bytes.fromhex(word[1:-1].replace("\\x", ""))


def mark(word: str) -> None:
    """Say something in the recording: a call that fails and changes nothing."""
    with suppress(OSError):
        os.readlink(_MARK + word)


def record(body: Callable[[], object]) -> tuple[list[Call], int]:
    """Run ``body`` in a child; its calls that succeeded and its marks, and how it ended as `children.end` says it."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "trace"
        output.touch()
        go, ready = os.pipe()
        child = children.start(lambda: _obedient(go, ready, body))
        os.close(go)
        strace = ["strace", "-q", "-xx", "-s", "100000000", "-e", f"trace={_CALLS}", "-e", "signal=none"]
        with subprocess.Popen([*strace, "-o", str(output), "-p", str(child)], stderr=subprocess.DEVNULL) as tracer:
            _await_mark(output, tracer)
            os.close(ready)
            ended = children.end(child)
            tracer.wait()
        return parse(output.read_text(encoding="ascii")), ended


def _obedient(go: int, ready: int, body: Callable[[], object]) -> None:
    os.close(ready)
    ctypes.CDLL(None).prctl(_PR_SET_PTRACER, ctypes.c_ulong(_ANY & (2**64 - 1)), 0, 0, 0)
    poll = select.poll()
    poll.register(go)
    while not poll.poll(2):  # milliseconds; ready as soon as the other end is closed
        mark(_BEGIN)
    body()


def _await_mark(output: Path, tracer: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + _SECONDS
    while time.monotonic() < until:
        if b"readlink" in output.read_bytes():
            return
        assert tracer.poll() is None, "strace could not attach"
        time.sleep(0.002)
    raise AssertionError("strace did not attach in time")


def parse(text: str) -> list[Call]:
    """The calls that succeeded, and the marks."""
    calls = []
    for line in text.splitlines():
        match = _LINE.match(line)
        if match is None:
            assert line.startswith(("+++", "---", "strace:")) or "<unfinished" in line or " = ?" in line, line[:200]
            continue
        result = -1 if match[3] == "?" else int(match[3], 0)
        call = Call(match[1], _split(match[2]), result)
        if (result >= 0 and not call.name.startswith("readlink")) or call.marked not in ("", _BEGIN):
            calls.append(call)
    return calls


def _split(text: str) -> tuple[str, ...]:
    """The arguments: commas in braces do not part them, and a string in hexadecimal has none."""
    parts, depth, begin = [], 0, 0
    for match in re.finditer(r"[{}\[\]]|, ", text):
        if match[0] == ", ":
            if depth == 0:
                parts.append(text[begin : match.start()])
                begin = match.end()
        else:
            depth += 1 if match[0] in "{[" else -1
    return (*parts, text[begin:]) if text else ()
