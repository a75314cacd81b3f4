"""What can be set, section by section: name, unit, default and one line of explanation for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hashscan.settings.pressure import PressureLimits, as_pressure
from hashscan.settings.timetable import Timetable, Window, as_timetable, as_window
from hashscan.units import as_count, as_duration, as_flag, as_names, as_niceness, as_shard, as_size, as_text, one_of


def _setting(default: Any, convert: Callable[[Any], Any], doc: str, *, is_path: bool = False, credential: str = "") -> Any:
    """``credential`` is the name of the credential that a unit of systemd may hand over instead of the file."""
    metadata = {"convert": convert, "doc": doc, "is_path": is_path, "credential": credential}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """[service]: how to reach the central service. Files hold the secrets; without ``url`` only local audits are possible."""

    url: str = _setting("", as_text, "address of the central service, https://...")
    provider: str = _setting("", as_text, "the name under which the hotline admitted this company")
    api_key_file: str = _setting("api-key", as_text, "file with the API key, mode 0600", is_path=True, credential="api-key")
    provider_key_file: str = _setting(
        "provider-key", as_text, "file with the provider key, mode 0600", is_path=True, credential="provider-key"
    )
    root_file: str = _setting("root.json", as_text, "file with the pinned root of the service's signatures", is_path=True)
    ca_file: str = _setting("", as_text, "certificate authority of the service, where it is not a public one", is_path=True)
    client_cert_file: str = _setting("", as_text, "our certificate (PEM), where the service asks for one", is_path=True)
    client_key_file: str = _setting(
        "", as_text, "the private key of that certificate (PEM, mode 0600)", is_path=True, credential="client-key"
    )
    proxy: str = _setting("", as_text, "proxy, http://host:port; the environment's is not used")
    deadline: float = _setting(60.0, as_duration, "the longest that one question may take with all its attempts")
    sync_deadline: float = _setting(900.0, as_duration, "the longest that everything which one sync fetches may take together")


@dataclass(frozen=True, slots=True)
class ListsSettings:
    """[lists]: how long lists are good for, which MD5-only lists may move files, and which lists never do."""

    max_age: float = _setting(7 * 86_400.0, as_duration, "past this age of the lists a scan refuses to run (exit 20)")
    md5_is_enough: tuple[str, ...] = _setting(
        (), as_names, "ids of lists on which MD5 alone is a match; read the threat model first"
    )
    report_only: tuple[str, ...] = _setting((), as_names, "ids of lists whose findings are only ever reported, never moved")


@dataclass(frozen=True, slots=True)
class ScanSettings:
    """[scan]: how a scan works."""

    jobs: int = _setting(0, as_count, "worker processes; 0 is one a core, at most 4")
    max_file_size: int = _setting(0, as_size, "larger files are skipped, counted and listed; 0 is no limit")
    file_deadline: float = _setting(300.0, as_duration, "the longest that one file may keep a worker without progress")
    roots: tuple[str, ...] = _setting((), as_names, "what is scanned where the command line names nothing: absolute paths")
    exclude: tuple[str, ...] = _setting((), as_names, "patterns in gitignore syntax; what they match is counted, not read")
    exclude_from: str = _setting("", as_text, "file with more patterns, one a line", is_path=True)
    shard: tuple[int, int] = _setting((1, 1), as_shard, "i/n: of n hosts that share this storage, this is number i")
    checkpoint: float = _setting(30.0, as_duration, "how often a scan notes what it has left")
    resume: str = _setting("never", one_of("never", "auto"), "auto: go on with the same scan where it was stopped")
    resume_within: float = _setting(7 * 86_400.0, as_duration, "auto: one that began longer ago is begun anew")


@dataclass(frozen=True, slots=True)
class PaceSettings:
    """[pace]: how a scan leaves the host to those whom it is for."""

    bwlimit: Timetable = _setting(  # noqa: RUF009 - frozen
        Timetable(), as_timetable, 'bytes read a second, all workers together: "20M", or a timetable "08:00,10M 22:00,off"'
    )
    max_iops: int = _setting(0, as_count, "files, directories and further MiB of large files a second; 0 is no limit")
    pressure: PressureLimits = _setting(  # noqa: RUF009 - frozen
        PressureLimits(), as_pressure, 'rest while others wait: "on", "off" or "io=30,cpu=60,memory=10" (percent of the time)'
    )
    window: Window = _setting(  # noqa: RUF009 - frozen
        Window(), as_window, 'hours in which a scan works, like "22:00-06:00": it waits for them, and stops at their end'
    )
    max_duration: float = _setting(0.0, as_duration, "a scan stops after this time (exit 4) and can be resumed; 0 is no limit")
    splay: float = _setting(0.0, as_duration, "wait a random time up to this, so that not all hosts begin at once")
    splay_by_host: bool = _setting(default=False, convert=as_flag, doc="the same time each night: drawn from the machine id")
    nice: int = _setting(0, as_niceness, "niceness of a scan, 0 to 19")
    ionice: str = _setting("", one_of("", "idle", "best-effort"), "I/O class of a scan; schedulers other than BFQ ignore it")


@dataclass(frozen=True, slots=True)
class QuarantineSettings:
    """[quarantine]: what happens to findings."""

    enabled: bool = _setting(
        default=False, convert=as_flag, doc="move confirmed findings into the vault; false only reports them"
    )
    vault: str = _setting(
        "", as_text, "folder of the vault, outside every scanned tree; default: vault in the state folder", is_path=True
    )
    per_run: int = _setting(100, as_count, "circuit breaker: beyond this number of removals in one run, findings are held")
    per_day: int = _setting(200, as_count, "the same within 24 hours, over all runs")
    per_entry: int = _setting(20, as_count, "of one entry, the files of so many owners within 24 hours: a list may be wrong")
    per_owner: int = _setting(50, as_count, "the same of one owner within 24 hours: a tenant, or where none is known a user id")
    allow_hard_links: bool = _setting(default=False, convert=as_flag, doc="also move files that have several names")


@dataclass(frozen=True, slots=True)
class TenantSettings:
    """[tenants]: whose file it is, for limits, events and records."""

    profiles: tuple[str, ...] = _setting((), as_names, "ready-made rules: cpanel, plesk, directadmin, home")
    rules: tuple[str, ...] = _setting((), as_names, "own rules, asked first, like /srv/www/{tenant}.example.org/")


@dataclass(frozen=True, slots=True)
class EvidenceSettings:
    """[evidence]: to whom evidence is sealed. Without recipients it is a plain copy that root of this host can read."""

    recipients: tuple[str, ...] = _setting((), as_names, "public keys (age1...) that evidence is sealed to; extra `evidence`")


@dataclass(frozen=True, slots=True)
class RetentionSettings:
    """[retention]: how long evidence is kept. Nothing is purged by itself: `quarantine purge --due` does it."""

    profile: str = _setting("custom", as_text, "nl, us or custom: what the law of the place asks for")
    purge_after: float = _setting(0.0, as_duration, "evidence is due to be purged after this time; 0 is what the profile says")


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """[cache]: the digests of unchanged files, remembered between scans."""

    enabled: bool = _setting(default=True, convert=as_flag, doc="remember digests; false reads every file each time")
    reread: int = _setting(
        256, as_count, "one of so many directories is read again each run, whatever is remembered; 0 is none"
    )
    max_size: int = _setting(2 << 30, as_size, "the digest cache grows to this size; 80 to 120 bytes a file")


@dataclass(frozen=True, slots=True)
class PathSettings:
    """[paths]: where hashscan keeps its own things; the defaults depend on whether root runs it."""

    state: str = _setting("", as_text, "durable state: lists, pending candidates, vault", is_path=True)
    run: str = _setting("", as_text, "lock", is_path=True)
    cache: str = _setting("", as_text, "digest cache: losing it costs time only", is_path=True)
    split: bool = _setting(default=False, convert=as_flag, doc="three parts under three users, each with folders of its own")


@dataclass(frozen=True, slots=True)
class ReportSettings:
    """[report]: what is remembered of runs."""

    keep: int = _setting(100, as_count, "reports of so many runs are remembered, at most 128 MiB of them; 0 is none")
    removal_within: float = _setting(86_400.0, as_duration, "a confirmed file is to be gone so long after it was found")


@dataclass(frozen=True, slots=True)
class AlertSettings:
    """[alerts]: who hears of runs beside the screen. What leaves is counts and ids unless ``detail`` is "full"."""

    detail: str = _setting("minimal", one_of("minimal", "full"), "minimal: counts and ids; full: also paths and digests")
    file: str = _setting("", as_text, "append events to this file, one a line; it may be rotated", is_path=True)
    file_format: str = _setting("events", one_of("events", "ecs", "ocsf"), "the words of that file: ours, ECS or OCSF")
    syslog: str = _setting("", as_text, "send events to this socket, /dev/log", is_path=True)
    syslog_format: str = _setting("local", one_of("local", "rfc5424"), "local: as libc has it, or rfc5424")
    metrics_file: str = _setting("", as_text, "write a Prometheus text file after each run", is_path=True)
    ping_url_file: str = _setting(
        "", as_text, "file with the address of a monitor, mode 0600", is_path=True, credential="ping-url"
    )
    webhook_url: str = _setting("", as_text, "post findings and ends of runs there, signed")
    webhook_secret_file: str = _setting(
        "", as_text, "file with the secret of the webhook, mode 0600", is_path=True, credential="webhook-secret"
    )
    on_finding: tuple[str, ...] = _setting((), as_names, "program and arguments, called for findings, 100 a run at most")
    on_finish: tuple[str, ...] = _setting((), as_names, "program and arguments, called at the end of a run")
    hook_timeout: float = _setting(30.0, as_duration, "the longest that one call of a program may take")
    ca_file: str = _setting("", as_text, "certificate authority of monitor and webhook, where not a public one", is_path=True)
    proxy: str = _setting("", as_text, "proxy for monitor and webhook, http://host:port")
    deadline: float = _setting(10.0, as_duration, "the longest that one message to monitor or webhook may take")


SECTIONS: Mapping[str, Any] = {
    "service": ServiceSettings,
    "lists": ListsSettings,
    "scan": ScanSettings,
    "pace": PaceSettings,
    "quarantine": QuarantineSettings,
    "tenants": TenantSettings,
    "evidence": EvidenceSettings,
    "retention": RetentionSettings,
    "cache": CacheSettings,
    "alerts": AlertSettings,
    "report": ReportSettings,
    "paths": PathSettings,
}
"""All sections by their names, in the order in which people should meet them."""
