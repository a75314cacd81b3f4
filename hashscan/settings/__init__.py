"""Settings with units, and where each value came from: defaults < files < environment < flags. An unknown key is an error.

Files are TOML: ``/etc/hashscan/config.toml``, then ``/etc/hashscan/conf.d/*.toml`` in the order of their names; for a user
without root, the XDG folders. ``HASHSCAN_SECTION_KEY`` in the environment; secrets are never settings, only names of files.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
import stat
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hashscan.errors import UsageError
from hashscan.settings.sections import (
    CacheSettings,
    EvidenceSettings,
    ListsSettings,
    PathSettings,
    QuarantineSettings,
    ReportSettings,
    RetentionSettings,
    ScanSettings,
    ServiceSettings,
    TenantSettings,
)
from hashscan.units import parse_duration, parse_size

__all__ = ["ServiceSettings", "Settings", "load", "parse_duration", "parse_size", "read_secret", "standard_files"]

MAX_CONFIG_BYTES = 1 << 20
MAX_SECRET_BYTES = 4096
MAX_SECRET_LINES_BYTES = 8192  # a provider key file of 64 lines has 5 kB
_ENV_PREFIX = "HASHSCAN_"
_MOST_SHOWN = 120  # characters of a value that is wrong
_MOST_SAID = 500  # characters of a message about a name


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set. ``origins`` maps "section.key" to where the value came from; missing there means default."""

    service: ServiceSettings = field(default_factory=ServiceSettings)
    lists: ListsSettings = field(default_factory=ListsSettings)
    scan: ScanSettings = field(default_factory=ScanSettings)
    quarantine: QuarantineSettings = field(default_factory=QuarantineSettings)
    tenants: TenantSettings = field(default_factory=TenantSettings)
    evidence: EvidenceSettings = field(default_factory=EvidenceSettings)
    retention: RetentionSettings = field(default_factory=RetentionSettings)
    cache: CacheSettings = field(default_factory=CacheSettings)
    report: ReportSettings = field(default_factory=ReportSettings)
    paths: PathSettings = field(default_factory=PathSettings)
    origins: Mapping[str, str] = field(default_factory=dict)

    @property
    def state_dir(self) -> Path:
        """The folder of durable state."""
        return (
            Path(self.paths.state) if self.paths.state else _default_dir("/var/lib/hashscan", "XDG_STATE_HOME", ".local/state")
        )

    @property
    def run_dir(self) -> Path:
        """The folder of the lock."""
        if self.paths.run:
            return Path(self.paths.run)
        if os.geteuid() == 0:
            return Path("/run/hashscan")
        return Path(os.environ.get("XDG_RUNTIME_DIR") or self.state_dir) / "hashscan"

    @property
    def cache_dir(self) -> Path:
        """The folder of the digest cache."""
        return Path(self.paths.cache) if self.paths.cache else _default_dir("/var/cache/hashscan", "XDG_CACHE_HOME", ".cache")

    @property
    def vault_dir(self) -> Path:
        """The folder of the vault."""
        return Path(self.quarantine.vault) if self.quarantine.vault else self.state_dir / "vault"


_SECTIONS: Mapping[str, Any] = {
    "service": ServiceSettings,
    "lists": ListsSettings,
    "scan": ScanSettings,
    "quarantine": QuarantineSettings,
    "tenants": TenantSettings,
    "evidence": EvidenceSettings,
    "retention": RetentionSettings,
    "cache": CacheSettings,
    "report": ReportSettings,
    "paths": PathSettings,
}


def _default_dir(system: str, variable: str, below_home: str) -> Path:
    if os.geteuid() == 0:
        return Path(system)
    base = os.environ.get(variable)
    return (Path(base) if base else Path.home() / below_home) / "hashscan"


@dataclass(frozen=True, slots=True)
class _Given:
    section: str
    key: str
    value: Any
    origin: str
    folder: Path | None


def load(
    *, config: Path | None = None, environ: Mapping[str, str] | None = None, flags: Mapping[str, Any] | None = None
) -> Settings:
    """The settings in force. ``config`` replaces the standard files; ``flags`` maps "section.key" to values, None is not given.

    Raises `UsageError` naming file and key.
    """
    environ = os.environ if environ is None else environ
    given = list(_default_paths(config.parent if config else config_folder()))
    for path in [config] if config else standard_files():
        given += _from_file(path, must_exist=config is not None)
    given += _from_environment(environ)
    for name, value in (flags or {}).items():
        if value is not None:
            section, key = name.split(".")
            given.append(_Given(section, key, value, "flag", None))
    values: dict[str, dict[str, Any]] = {section: {} for section in _SECTIONS}
    origins: dict[str, str] = {}
    for one in given:
        values[one.section][one.key] = _converted(one)
        if one.origin:
            origins[f"{one.section}.{one.key}"] = one.origin
    return Settings(**{name: cls(**values[name]) for name, cls in _SECTIONS.items()}, origins=origins)


def _default_paths(folder: Path) -> Iterable[_Given]:
    """Relative defaults belong to the configuration too: a pinned key from where we happen to stand could be a tenant's."""
    for section in _SECTIONS:
        for key, spec in _fields(section).items():
            if spec.metadata["is_path"] and spec.default:
                yield _Given(section, key, spec.default, "", folder)


def config_folder() -> Path:
    """Where the configuration of this user is."""
    return _default_dir("/etc/hashscan", "XDG_CONFIG_HOME", ".config")


def standard_files() -> list[Path]:
    """The configuration files that exist, in the order in which they count."""
    base = config_folder()
    files = [base / "config.toml", *sorted((base / "conf.d").glob("*.toml"))]
    return [path for path in files if path.exists()]


def _from_file(path: Path, *, must_exist: bool) -> Iterable[_Given]:
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_CONFIG_BYTES + 1)
    except OSError as error:
        hint = "is --config right?" if must_exist else ""
        raise UsageError(f"cannot read the configuration {path}: {error.strerror}", hint=hint) from None
    if len(data) > MAX_CONFIG_BYTES:
        raise UsageError(f"the configuration {path} is longer than {MAX_CONFIG_BYTES} bytes")
    try:
        document = tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:  # TOML or UTF-8 that is none; a number of thousands of digits
        raise UsageError(f"the configuration {path} is not TOML: {str(error)[:_MOST_SAID]}") from None
    for section, table in document.items():
        _check_name(section, _SECTIONS, f"{path}: section [{section}]")
        if not isinstance(table, dict):
            raise UsageError(f"{path}: {section} is a section: write [{section}]")
        for key, value in table.items():
            _check_name(key, _fields(section), f"{path}: {section}.{key}")
            yield _Given(section, key, value, str(path), path.parent)


def _from_environment(environ: Mapping[str, str]) -> Iterable[_Given]:
    for name, value in sorted(environ.items()):
        section, _, key = name.removeprefix(_ENV_PREFIX).lower().partition("_")
        # Other HASHSCAN_ variables (HASHSCAN_BUDGET of the tests, say) are not settings: only a known section makes one.
        if name.startswith(_ENV_PREFIX) and section in _SECTIONS:
            _check_name(key, _fields(section), f"environment: {name}")
            yield _Given(section, key, value, f"environment {name}", None)


def _fields(section: str) -> Mapping[str, Any]:
    return {one.name: one for one in dataclasses.fields(_SECTIONS[section])}


def _check_name(name: str, known: Iterable[str], what: str) -> None:
    if name not in known:
        close = difflib.get_close_matches(name, list(known), n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"
        raise UsageError(f"{what[:_MOST_SAID]} is not known", hint=hint)


def _converted(one: _Given) -> Any:
    spec = _fields(one.section)[one.key]
    try:
        value = spec.metadata["convert"](one.value)
    except ValueError as error:
        raise UsageError(f"{one.section}.{one.key} ({one.origin}) must be {error}, not {_short(one.value)}") from None
    if spec.metadata["is_path"] and value and one.folder is not None:
        return str(one.folder / value)  # a relative name belongs to the folder of the file that says it
    return value


def _short(value: Any) -> str:
    """A value as it is shown: a file may hold a megabyte of it."""
    try:
        shown = repr(value)
    except ValueError:  # written in hexadecimal, integers may have more digits than Python writes
        shown = "a number of thousands of digits"
    return shown if len(shown) <= _MOST_SHOWN else f"{shown[:_MOST_SHOWN]}..."


def read_secret(path: Path, *, lines: bool = False) -> str:
    """The stripped text of a secret file that only its owner can read: one word, or with ``lines`` several lines of words.

    Raises `UsageError`.
    """
    most = MAX_SECRET_LINES_BYTES if lines else MAX_SECRET_BYTES
    try:
        data = _read_private(path, most + 1)
    except OSError as error:
        raise UsageError(f"cannot read the secret file {path}: {error.strerror}", hint="it comes with the enrolment") from None
    text = data.decode("ascii", "replace").strip()
    if not re.fullmatch("[ -~\n]+" if lines else "[!-~]+", text) or len(data) > most:
        raise UsageError(f"the secret file {path} does not hold a key")
    return text


def _read_private(path: Path, most: int) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO would wait for a writer for ever
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_uid not in {os.geteuid(), 0}:
            raise UsageError(f"the secret file {path} must be a file of yours or root's")
        if status.st_mode & 0o077:
            raise UsageError(f"the secret file {path} can be read by others", hint=f"chmod 600 {path}")
        return os.read(fd, most)
    finally:
        os.close(fd)
