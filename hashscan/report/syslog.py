"""Events to syslog over a local socket, one datagram each.

Two forms. ``local`` is what libc's ``syslog()`` writes and every daemon behind /dev/log reads, the journal among them:
``<PRI>Mmm dd hh:mm:ss hashscan[PID]: MESSAGE``. ``rfc5424`` has a version, an RFC 3339 time, host and type of the event:
``<PRI>1 TIME HOST hashscan PID TYPE - MESSAGE``; rsyslog and syslog-ng read it, the journal shows its head as text.

MESSAGE is ``key=value`` pairs, ASCII: a name cannot begin a line or a field.
"""

from __future__ import annotations

import json
import os
import re
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hashscan.errors import IncompleteError
from hashscan.model import Event, Json
from hashscan.report.minimal import Detail
from hashscan.report.ndjson import Envelope
from hashscan.report.severity import severity

LOCAL, RFC5424 = "local", "rfc5424"
_FACILITY = 3  # daemon
MAX_BYTES = 2048  # every receiver must take so many (RFC 5424, 6.1)
_DEADLINE_S = 5.0
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_PLAIN = re.compile(r"[\w.:/@+-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Head:
    """What stands before the message: see the module. ``seconds`` since 1970."""

    form: str
    priority: int
    seconds: float
    host: str
    kind: str
    pid: int

    def text(self) -> str:
        """The head, with the space or colon that ends it."""
        if self.form == RFC5424:
            when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(self.seconds)) + f".{int(self.seconds % 1 * 1000):03}Z"
            return f"<{self.priority}>1 {when} {_token(self.host)} hashscan {self.pid} {_token(self.kind)} - "
        here = time.localtime(self.seconds)  # in the time of the host, without a year, in English: as libc does it
        when = f"{_MONTHS[here.tm_mon - 1]} {here.tm_mday:2} {here.tm_hour:02}:{here.tm_min:02}:{here.tm_sec:02}"
        return f"<{self.priority}>{when} hashscan[{self.pid}]: "


class SyslogSink:
    """Writes to the socket at ``path``, connected anew when the daemon was restarted."""

    def __init__(self, path: str, form: str, envelope: Envelope, detail: Detail) -> None:
        self._path = path
        self._form = form
        self._envelope = envelope
        self._detail = detail
        self._socket: socket.socket | None = None
        self._seq = 0

    def tell(self, event: Event) -> None:
        """Send one datagram. Raises `IncompleteError`."""
        told = self._detail(event)
        if told is None:
            return
        priority = _FACILITY * 8 + severity(event)
        head = Head(self._form, priority, self._envelope.clock(), self._envelope.host, event.type, os.getpid())
        self._send(
            (head.text() + message(self._envelope.around(told, self._seq))).encode("ascii", "backslashreplace")[:MAX_BYTES]
        )
        self._seq += 1

    def _send(self, datagram: bytes) -> None:
        try:
            if self._socket is not None:
                try:
                    self._socket.send(datagram)
                except OSError:
                    self.close()
                else:
                    return
            self._connect().send(datagram)
        except OSError as error:
            self.close()
            raise IncompleteError(f"{self._path} takes no messages: {error.strerror or error}") from None

    def _connect(self) -> socket.socket:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.settimeout(_DEADLINE_S)  # a daemon that hangs holds nobody
        self._socket.connect(self._path)
        return self._socket

    def close(self) -> None:
        """Close the socket; the next message opens another."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def message(record: Mapping[str, Json]) -> str:
    """``type=finding run=... entry=e-17 ...``: objects are flattened with dots, what is not a plain word is in JSON quotes."""
    pairs: list[str] = []
    _flatten("", {key: value for key, value in record.items() if key not in ("schema", "time", "host", "seq")}, pairs.append)
    return " ".join(pairs)


def _flatten(above: str, value: Json, add: Callable[[str], None]) -> None:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            _flatten(f"{above}.{key}" if above else str(key), inner, add)
    elif isinstance(value, (list, tuple)):
        for index, inner in enumerate(value):
            _flatten(f"{above}.{index}", inner, add)
    else:
        add(f"{_token(above)}={_shown(value)}")


def _shown(value: Json) -> str:
    if isinstance(value, str):
        return value if _PLAIN.fullmatch(value) else json.dumps(value, ensure_ascii=True)
    return json.dumps(value)


def _token(text: str) -> str:
    return re.sub(r"[^!-~]|[=\"\]]", "_", text)[:64] or "-"
