"""hashscan doctor."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from hashscan.central.handshake import certificate_until
from hashscan.cli import basics, engines, status, talking
from hashscan.cli.folding import say
from hashscan.cli.lines import FAILED, OK, WARN, check_line
from hashscan.errors import HashscanError, ServiceUnavailable, StateError, UsageError
from hashscan.jobs import examine
from hashscan.jobs.doctor import Check, Level, doctor, verdict
from hashscan.jobs.doctor_facts import Facts, FolderFacts
from hashscan.model import CaseState, Json
from hashscan.report import events
from hashscan.report.escape import printable, unescape
from hashscan.report.fields import rows, table, text
from hashscan.report.spool import Spool
from hashscan.settings import Part, Settings, read_secret

_MARKS = {Level.OK: OK, Level.WARN: WARN, Level.FAIL: FAILED}
_PRIVATE = ("service.api_key_file", "service.provider_key_file")
_OF_ALERTS = ("alerts.ping_url_file", "alerts.webhook_secret_file")


@click.command(name="doctor")
@click.argument("paths", nargs=-1, type=click.Path(path_type=bytes))
@click.option("--online", is_flag=True, help="Also reach the service and look at its certificate.")
@click.option("--json", "as_json", is_flag=True, help="One NDJSON event on stdout.")
@click.pass_obj
def command(config: Path | None, paths: tuple[bytes, ...], *, online: bool, as_json: bool) -> int:
    """What would keep this host from doing its job? Finds, explains, and says what to do. Changes nothing.

    PATHS are the folders that are scanned; left out, those of the last scan, or before the first what it will be given.
    Exit 20: a scan would not do its job. Exit 3: somebody should know something.
    """
    with talking.conversation(talking.Talk(json=as_json, quiet=True, text_on_stdout=True, progress=False)) as (reporter, _):
        try:
            settings = basics.settings(config)
        except UsageError as error:
            checks = [Check("configuration", Level.FAIL, str(error), error.hint)]
        else:
            origins = sorted({origin for origin in settings.origins.values() if origin.startswith("/")})
            checks = [Check("configuration", Level.OK, f"read {', '.join(origins) or 'no file: defaults'}")]
            checks += doctor(_facts(settings, paths, online=online))
        if as_json:
            reporter.tell(events.status(_told(checks)))
        else:
            _say(checks)
    return verdict(checks)


def _told(checks: Sequence[Check]) -> dict[str, Json]:
    worst = max(check.level for check in checks)
    listed: list[Json] = [
        {"name": one.name, "level": one.level.name.lower(), "seen": printable(one.seen), "advice": printable(one.advice)}
        for one in checks
    ]
    return {"doctor": worst.name.lower(), "checks": listed}


def _say(checks: Sequence[Check]) -> None:
    for check in checks:
        check_line(_MARKS[check.level], check.name, check.seen, check.advice if check.level > Level.OK else "")
    counts = {level: sum(check.level is level for check in checks) for level in Level}
    say(f"\n{counts[Level.OK]} ok, {counts[Level.WARN]} to know, {counts[Level.FAIL]} to mend")


def _facts(settings: Settings, paths: Sequence[bytes], *, online: bool) -> Facts:
    now = time.time()
    told, problem = _status(settings, now)
    wanted = engines.absolute(paths) if paths else _last_roots(settings)
    silent = engines.unanswering(settings, wanted)
    until, trouble = _certificate(settings) if online and settings.service.url else (None, "")
    run = table(told, "last_run")
    return Facts(
        now=now,
        root=os.geteuid() == 0,
        capabilities=examine.capabilities(),
        moves=settings.quarantine.enabled,
        roots=examine.readable_roots(wanted, silent),
        mounts=examine.mounts(),
        folders=_folders(settings),
        secrets=[(name, _secret_problem(path)) for name, path in _secrets(settings)],
        cases=_cases(settings),
        schedule=examine.schedule(),
        synchronized=examine.synchronized(),
        clock_doubt="" if told.get("clock_ok") is not False else "the clock stands before a time that this host has seen",
        service=bool(settings.service.url),
        lists_problem=problem or text(told, "lists_problem"),
        lists_age=_hours(told, "lists_age_hours"),
        certificate_until=until,
        certificate_problem=trouble,
        online=online,
        pressure=os.access("/proc/pressure/io", os.R_OK),
        kernel=examine.kernel(settings.state_dir),
        lock_owner=examine.lock_owner(settings.run_dir_of(Part.READ) / "lock"),
        last_run=_number(run, "started_seconds"),
        last_run_code=None if (code := _number(run, "exit_code")) is None else int(code),
        pending=int(_number(told, "pending") or 0),
        unsent=int(_number(told, "unsent_outcomes") or 0),
        spooled=_spooled(settings),
        resumable=(settings.scan_dir / "checkpoint").exists(),
    )


def _status(settings: Settings, now: float) -> tuple[dict[str, Json], str]:
    """What status would say, or why it cannot."""
    try:
        return dict(status.gathered(settings, now)[0]), ""
    except HashscanError as error:
        return {}, str(error)


def _number(data: Any, key: str) -> float | None:
    value = data.get(key)
    return float(value) if isinstance(value, (int, float)) else None


def _hours(data: Any, key: str) -> float | None:
    value = _number(data, key)
    return None if value is None else value * 3600


def _last_roots(settings: Settings) -> list[bytes]:
    """Those of the last scan that is remembered; before the first, those that are configured for it."""
    with suppress(StateError):
        runs = [run for run in talking.history(settings).all() if isinstance(run, dict) and run.get("command") == "scan"]
        named = [text(root, "path") for run in runs[-1:] for root in rows(run, "roots")]
        if named:
            return [unescape(path) for path in named if path.startswith("/")]
    return [os.fsencode(root) for root in settings.scan.roots] or examine.nightly_roots()


def _folders(settings: Settings) -> list[FolderFacts]:
    named = {"state": settings.state_dir, "vault": settings.vault_dir, "cache": settings.cache_dir}
    found = []
    for name, path in named.items():
        with suppress(OSError):
            found.append(examine.folder_of(name, path))
    return found


def _secrets(settings: Settings) -> list[tuple[str, Path]]:
    """Files of secrets that the configuration uses."""
    used = [*(_PRIVATE if settings.service.url else ()), *_OF_ALERTS]
    values = [(name, getattr(getattr(settings, name.partition(".")[0]), name.partition(".")[2])) for name in used]
    return [(name, Path(value)) for name, value in values if value]


def _secret_problem(path: Path) -> str:
    """Why a secret cannot be used, or ""."""
    return examine.problem_of(lambda: read_secret(path, lines=True))


def _cases(settings: Settings) -> list[tuple[CaseState, float]]:
    try:
        return [(case.state, case.opened) for case in basics.cases(settings)]
    except HashscanError:
        return []


def _spooled(settings: Settings) -> int:
    with suppress(StateError):
        return Spool(settings.state_dir / "spool").count()
    return 0


def _certificate(settings: Settings) -> tuple[float | None, str]:
    """Until when the certificate of the service lasts (None: no TLS), or why it cannot be told."""
    try:
        return certificate_until(basics.link(settings), time.time()), ""
    except (ServiceUnavailable, UsageError) as error:
        return None, str(error)
