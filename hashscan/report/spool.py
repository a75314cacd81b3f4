"""Messages that wait on disk for a receiver: one file each, written in one step, bounded in number and bytes."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hashscan.atomic import make_private_directory, replace_file
from hashscan.errors import StateError
from hashscan.strict_json import Fields, StrictJsonError, parse_object

MOST_MESSAGES = 1000
MOST_BYTES = 16 << 20
_MAX_FILE_BYTES = 1 << 20
_NAME = re.compile(r"[0-9]{16}-msg_[0-9a-f]{24}\.json")


@dataclass(frozen=True, slots=True)
class Message:
    """One message: its id (``msg_`` and 24 hex digits), when it was made, its body; how often it was tried in vain.

    Times in seconds since 1970; it is not tried again before ``not_before``.
    """

    id: str
    created: float
    body: bytes
    attempts: int = 0
    not_before: float = 0.0

    @property
    def name(self) -> str:
        """Its file: in order of time."""
        return f"{int(self.created * 1000):016}-{self.id}.json"


class Spool:
    """The folder of waiting messages; ``mode`` is that of its files, whatever the umask. Raises `StateError`."""

    def __init__(self, folder: Path, *, mode: int = 0o600) -> None:
        self._folder = folder
        self._mode = mode

    def put(self, message: Message) -> int:
        """Store one more; how many of the oldest had to go for it."""
        with self._guard():
            make_private_directory(self._folder)
            self._write(message)
            return self._shrink()

    def _shrink(self) -> int:
        names = self._names()
        sizes = [os.stat(self._folder / name).st_size for name in names]
        dropped = 0
        while len(names) - dropped > MOST_MESSAGES or (sum(sizes[dropped:]) > MOST_BYTES and len(names) - dropped > 1):
            os.unlink(self._folder / names[dropped])
            dropped += 1
        return dropped

    def messages(self, most: int) -> Iterator[Message]:
        """The oldest ``most``; a file that cannot be read is removed: it says nothing to anybody."""
        with self._guard():
            for name in self._names()[:most]:
                if (message := self._read(name)) is not None:
                    yield message

    def count(self) -> int:
        """How many wait."""
        with self._guard():
            return len(self._names())

    def remove(self, message: Message) -> None:
        """It arrived, or is too old."""
        with self._guard():
            (self._folder / message.name).unlink(missing_ok=True)

    def postpone(self, message: Message, until: float) -> None:
        """It was tried in vain."""
        with self._guard():
            self._write(Message(message.id, message.created, message.body, message.attempts + 1, until))

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """Whether nobody else delivers from here while the block runs."""
        with self._guard():
            make_private_directory(self._folder)
            fd = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(fd)

    def _write(self, message: Message) -> None:
        document = {
            "id": message.id,
            "created": message.created,
            "body_b64": base64.b64encode(message.body).decode("ascii"),
            "attempts": message.attempts,
            "not_before": message.not_before,
        }
        with replace_file(self._folder / message.name, mode=self._mode) as stream:
            os.fchmod(stream.fileno(), self._mode)
            stream.write(json.dumps(document).encode("ascii"))

    def _read(self, name: str) -> Message | None:
        path = self._folder / name
        try:
            with path.open("rb") as stream:
                data = stream.read(_MAX_FILE_BYTES + 1)
            fields = Fields(parse_object(data, max_bytes=_MAX_FILE_BYTES), name)
            body = base64.b64decode(fields.text("body_b64", max_chars=_MAX_FILE_BYTES), validate=True)
            message = Message(
                fields.text("id"), fields.number("created"), body, fields.integer("attempts"), fields.number("not_before")
            )
        except FileNotFoundError:
            return None
        except (StrictJsonError, ValueError):
            message = None
        if message is None or message.name != name:
            path.unlink(missing_ok=True)
            return None
        return message

    def _names(self) -> list[str]:
        try:
            return sorted(name for name in os.listdir(self._folder) if _NAME.fullmatch(name))
        except FileNotFoundError:
            return []

    @contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StateError(
                f"the spool {self._folder} cannot be used: {error.strerror}", hint="check rights and disk"
            ) from None
