"""One family of errors. Each carries the exit code of the process and a hint: what the reader can do about it.

::

    HashscanError                1  (never raised itself)
    |-- UsageError               2  the command line or the configuration is wrong
    |-- IncompleteError          3  something could not be read, so nothing can be said about it
    |-- StoppedError             4  somebody stopped it before it began
    |-- StateError               3  our own durable state cannot be read or written
    |-- QuarantineError         12  the vault or an action on a file failed
    |-- FilterError             20  a filter or a signed list is missing, too old, or not to be trusted
    |   `-- NotPublishedError   20  the service has no such file for this provider
    |-- LockedError             21  another run holds the lock
    |-- RefusedError            22  the service refused us: key, phase or version
    `-- ServiceUnavailable      11  no usable answer yet; candidates stay pending and are asked about again

A file's failure is data (`model.Skipped`), a tool's failure is one of these, and a bug is a traceback.
"""

from __future__ import annotations

import enum


class ExitCode(enum.IntEnum):
    """The exit codes of every command. A code that is not listed here is a failure."""

    OK = 0
    CRASH = 1
    USAGE = 2
    INCOMPLETE = 3
    STOPPED = 4
    FINDINGS = 10
    PENDING = 11
    ACTION_FAILED = 12
    FILTER = 20
    LOCKED = 21
    REFUSED = 22


class HashscanError(Exception):
    """What went wrong, where, and what to do about it (`hint`, one line, may be empty)."""

    exit_code = ExitCode.CRASH

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(HashscanError):
    """The command line, a configuration file or an input file is wrong."""

    exit_code = ExitCode.USAGE


class IncompleteError(HashscanError):
    """Something that was to be looked at could not be looked at."""

    exit_code = ExitCode.INCOMPLETE


class StateError(HashscanError):
    """The state of this agent (pending candidates, outcomes) cannot be read or written."""

    exit_code = ExitCode.INCOMPLETE


class StoppedError(HashscanError):
    """Somebody asked the run to end before there was anything to resume."""

    exit_code = ExitCode.STOPPED


class QuarantineError(HashscanError):
    """The vault, a case or an action on a file failed; the original is where it was unless the message says otherwise."""

    exit_code = ExitCode.ACTION_FAILED


class FilterError(HashscanError):
    """A filter or a signed list is missing, too old, damaged, or not to be trusted."""

    exit_code = ExitCode.FILTER


class NotPublishedError(FilterError):
    """The service has no file of that name for this provider."""


class LockedError(HashscanError):
    """Another run holds the lock."""

    exit_code = ExitCode.LOCKED


class RefusedError(HashscanError):
    """The service answered, and refused: unknown key, suspended provider, version too old."""

    exit_code = ExitCode.REFUSED


class ServiceUnavailable(HashscanError):
    """No usable answer: time-out, 5xx, 429, not our protocol. Silence is never a match and never clean.

    ``retry_after`` is the least number of seconds to wait, where the service named one.
    """

    exit_code = ExitCode.PENDING

    def __init__(self, message: str, *, hint: str = "", retry_after: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after
