"""Settings with units, and where each value came from: defaults < files < profile < environment < flags.

Files are TOML: ``/etc/hashscan/config.toml``, then ``/etc/hashscan/conf.d/*.toml`` in the order of their names; for a user
without root, the XDG folders. ``HASHSCAN_SECTION_KEY`` in the environment. An unknown key is an error. Secrets are never
settings, only names of files.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hashscan.errors import UsageError
from hashscan.settings.parts import Part
from hashscan.settings.secrets import MAX_SECRET_LINES_BYTES, read_secret
from hashscan.settings.sections import (
    SECTIONS,
    AlertSettings,
    CacheSettings,
    EvidenceSettings,
    ListsSettings,
    PaceSettings,
    PathSettings,
    QuarantineSettings,
    ReportSettings,
    RetentionSettings,
    ScanSettings,
    ServiceSettings,
    TenantSettings,
)
from hashscan.settings.sources import (
    MAX_CONFIG_BYTES,
    Found,
    Given,
    Problem,
    checked,
    converted,
    default_paths,
    from_environment,
    from_file,
    unknown_profile,
)
from hashscan.units import parse_duration, parse_size

__all__ = [
    "MAX_CONFIG_BYTES",
    "MAX_SECRET_LINES_BYTES",
    "Part",
    "ServiceSettings",
    "Settings",
    "config_folder",
    "load",
    "parse_duration",
    "parse_size",
    "read",
    "read_secret",
    "standard_files",
]


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set. ``origins`` maps "section.key" to where the value came from; missing there means default.

    ``part``: as which part of a split host this process uses them (`settings.parts`); None on every other host.
    """

    service: ServiceSettings = field(default_factory=ServiceSettings)
    lists: ListsSettings = field(default_factory=ListsSettings)
    scan: ScanSettings = field(default_factory=ScanSettings)
    pace: PaceSettings = field(default_factory=PaceSettings)
    quarantine: QuarantineSettings = field(default_factory=QuarantineSettings)
    tenants: TenantSettings = field(default_factory=TenantSettings)
    evidence: EvidenceSettings = field(default_factory=EvidenceSettings)
    retention: RetentionSettings = field(default_factory=RetentionSettings)
    cache: CacheSettings = field(default_factory=CacheSettings)
    alerts: AlertSettings = field(default_factory=AlertSettings)
    report: ReportSettings = field(default_factory=ReportSettings)
    paths: PathSettings = field(default_factory=PathSettings)
    origins: Mapping[str, str] = field(default_factory=dict)
    part: Part | None = None

    def as_part(self, part: Part) -> Settings:
        """As one part of a split host sees them; as they are on every other host."""
        return replace(self, part=part) if self.paths.split else self

    def folder_of(self, part: Part) -> Path:
        """The state folder of a part; that of the host, where it is not split."""
        whole = Path(self.paths.state or _default_dir("/var/lib/hashscan", "XDG_STATE_HOME", ".local/state"))
        return whole / part if self.paths.split else whole

    @property
    def state_dir(self) -> Path:
        """The folder of durable state, of this part where the host is split."""
        return self.folder_of(self.part or Part.ACT)

    @property
    def lists_dir(self) -> Path:
        """The folder of the lists in force."""
        return self.folder_of(Part.NET) / "lists"

    @property
    def scan_dir(self) -> Path:
        """The folder of what scans leave: the last run, a checkpoint."""
        return self.folder_of(Part.READ)

    @property
    def memo_dir(self) -> Path:
        """The folder where all cases are remembered for quick looks. READ could change what lies beside its digest cache."""
        return self.folder_of(Part.ACT) if self.paths.split else self.cache_dir

    def run_dir_of(self, part: Part) -> Path:
        """The folder of the lock of a part, and of what a scan says of itself."""
        return self._run_root / part if self.paths.split else self._run_root

    @property
    def run_dir(self) -> Path:
        """The folder of the lock."""
        return self.run_dir_of(self.part or Part.ACT)

    @property
    def _run_root(self) -> Path:
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
        return Path(self.quarantine.vault) if self.quarantine.vault else self.folder_of(Part.ACT) / "vault"


def _default_dir(system: str, variable: str, below_home: str) -> Path:
    if os.geteuid() == 0:
        return Path(system)
    base = os.environ.get(variable)
    return (Path(base) if base else Path.home() / below_home) / "hashscan"


def load(
    *,
    config: Path | None = None,
    profile: str = "",
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> Settings:
    """The settings in force. ``config`` replaces the standard files; ``flags`` maps "section.key" to values, None is not given.

    Raises `UsageError` naming file and key: the first thing that is wrong.
    """
    settings, problems = read(config=config, profile=profile, environ=environ, flags=flags)
    if problems:
        raise UsageError(problems[0].message, hint=problems[0].hint)
    return settings


def read(
    *,
    config: Path | None = None,
    profile: str = "",
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> tuple[Settings, list[Problem]]:
    """The settings without what is wrong, and everything that is wrong."""
    environ = os.environ if environ is None else environ
    found = Found()
    for path in [config] if config else standard_files():
        found.add(from_file(path, must_exist=config is not None))
    if profile and profile not in found.profiles:
        found.problems.append(unknown_profile(profile, found.profiles))
    given = list(default_paths(config.parent if config else config_folder(), environ))
    # What a profile says counts more than what any file says outside of profiles.
    given += [one for one in found.given if not one.profile]
    given += [one for one in found.given if one.profile == profile and profile]
    later = from_environment(environ)
    for name, value in (flags or {}).items():
        if value is not None:
            section, key = name.split(".")
            later.add(checked(Given(section, key, value, "flag")))
    problems = found.problems + later.problems
    return _settled(given + later.given, environ, problems), problems


def _settled(given: list[Given], environ: Mapping[str, str], problems: list[Problem]) -> Settings:
    values: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    origins: dict[str, str] = {}
    for one in given:
        try:
            values[one.section][one.key] = converted(one, environ)
        except ValueError as error:  # a credential that is not there: everything else was checked where it was read
            problems.append(Problem(f"{one.name} ({one.origin}) names {error}"))
            continue
        if one.origin:
            origins[one.name] = one.origin
    return Settings(**{name: cls(**values[name]) for name, cls in SECTIONS.items()}, origins=origins)


def config_folder() -> Path:
    """Where the configuration of this user is."""
    return _default_dir("/etc/hashscan", "XDG_CONFIG_HOME", ".config")


def standard_files() -> list[Path]:
    """The configuration files that exist, in the order in which they count. Raises `UsageError` where nobody can tell."""
    base = config_folder()
    try:
        files = [base / "config.toml", *sorted((base / "conf.d").glob("*.toml"))]
        return [path for path in files if path.exists()]
    except OSError as error:  # mostly the home of another user, after su or sudo
        hint = "set HOME to the home of this user, or name a file with --config"
        raise UsageError(f"cannot look for the configuration in {base}: {error.strerror}", hint=hint) from None
