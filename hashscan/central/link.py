"""How to reach the service, and time as a client sees it. Imports nothing that is slow to import."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from hashscan.errors import UsageError

_KEY = re.compile("[!-~]{1,512}")  # requests refuses other header values with a message that repeats the key
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}


@dataclass(frozen=True, slots=True)
class Link:
    """How to reach the service. Times in seconds.

    ``deadline`` bounds one call with all its attempts, ``total`` everything that one fetcher fetches together. After ``grace``
    a body must come at ``min_rate`` (bytes a second) at least. ``client_cert`` are the files of our certificate and its key,
    where the service wants to see one. ``api_key`` None sends none: an enrolment has none yet. ``basic`` is "user:password" for
    a source of lists that knows no API keys.

    Raises `UsageError` for an address or a key that cannot be one. Secrets (a proxy may hold a password) are not in its repr.
    """

    url: str
    api_key: str | None = field(repr=False)
    ca_file: Path | None = None
    proxy: str | None = field(default=None, repr=False)
    connect_timeout: float = 10.0
    read_timeout: float = 20.0
    deadline: float = 60.0
    min_rate: float = 10_000.0
    client_cert: tuple[Path, Path] | None = None
    total: float = 1800.0
    grace: float = 10.0
    basic: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        hint = "service.url is like https://hashes.example.org"
        try:
            parts = urlsplit(self.url)
            if parts.scheme not in {"https", "http"} or not parts.hostname or parts.port == 0:
                raise ValueError
        except ValueError:  # a port that is none, a bracket too few
            raise UsageError(f"{self.url!r} is not the address of a service", hint=hint) from None
        if "@" in parts.netloc or parts.query or parts.fragment:
            # requests would send the user's name instead of our key, and messages would repeat the password
            raise UsageError("the address of the service has more than host, port and path", hint=hint)
        if self.api_key is not None and not _KEY.fullmatch(self.api_key):
            raise UsageError("the API key is not one", hint="copy the file 'api-key' from the enrolment")
        if self.basic is not None and not (_KEY.fullmatch(self.basic) and ":" in self.basic):
            raise UsageError("the login is not USER:PASSWORD")
        if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
            raise UsageError(f"{self.url!r} is not encrypted", hint="plain http is for loopback only; use https")


@dataclass(frozen=True, slots=True)
class Address:
    """Where messages go: ``name`` is what people call it. Raises `UsageError` for a URL that cannot be one."""

    name: str
    url: str = field(repr=False)
    ca_file: Path | None = None
    proxy: str = field(default="", repr=False)
    deadline: float = 10.0

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
            good = parts.scheme in {"https", "http"} and bool(parts.hostname) and parts.port != 0
            if not good or "@" in parts.netloc or parts.fragment:
                raise ValueError
        except ValueError:
            hint = "it is like https://monitor.example.org/path"
            raise UsageError(f"{self.name}: this is no address", hint=hint) from None
        if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
            raise UsageError(f"{self.name}: the address is not encrypted", hint="plain http is for loopback only; use https")


@dataclass(frozen=True, slots=True)
class Clock:
    """Time as the client sees it, so that tests need not wait."""

    now: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
