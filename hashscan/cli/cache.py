"""hashscan cache."""

from __future__ import annotations

import click

from hashscan.cli import engines, wiring
from hashscan.cli.groups import Group
from hashscan.errors import ExitCode, StateError
from hashscan.files.store import StoreTrouble
from hashscan.files.verify import Verified, verify
from hashscan.model import Json, Warned
from hashscan.report import events
from hashscan.units import rfc3339

_SAMPLE = 16


@click.group(cls=Group, name="cache")
def command() -> None:
    """The digest cache: digests of unchanged files, remembered between scans. Losing it costs time only."""


@command.command(name="info")
@click.option("--json", "as_json", is_flag=True, help="One NDJSON event on stdout.")
@click.pass_context
def info(ctx: click.Context, *, as_json: bool) -> int:
    """What is remembered, and how much of the last scan it spared."""
    with wiring.conversation(wiring.Talk(json=as_json, quiet=as_json, text_on_stdout=True)) as (reporter, _):
        settings = wiring.settings(ctx.obj)
        try:
            told = engines.digest_cache(settings).info()
        except (OSError, StoreTrouble) as error:
            raise StateError(f"the digest cache cannot be read: {error}", hint="the next scan makes it anew") from None
        if told is None:
            reporter.tell(events.status({"cache": "nothing is remembered yet", "enabled": settings.cache.enabled}))
            return ExitCode.OK
        looked = told.scanned + told.cached
        facts: dict[str, Json] = {
            "cache": events.shown_path(told.path),
            "enabled": settings.cache.enabled,
            "bytes": told.size,
            "max_bytes": settings.cache.max_size,
            "rows": told.directories,
            "single_files": told.files,
            "runs": told.runs,
            "made": rfc3339(told.made),
            "last_run": rfc3339(told.last_run) if told.last_run else None,
            "last_run_cached": told.cached,
            "last_run_scanned": told.scanned,
            "last_run_hit_rate": round(told.cached / looked, 4) if looked else None,
        }
        reporter.tell(events.status(facts))
    return ExitCode.OK


@command.command(name="clear")
@click.pass_context
def clear(ctx: click.Context) -> int:
    """Forget all digests: the next scan reads every file."""
    with wiring.conversation(wiring.Talk(text_on_stdout=True)) as (reporter, _):
        cache = engines.digest_cache(wiring.settings(ctx.obj))
        try:
            was_there = cache.clear()
        except OSError as error:
            raise StateError(f"the digest cache cannot be removed: {error}", hint="are you root?") from None
        reporter.tell(events.status({"cache": "cleared" if was_there else "nothing was remembered"}))
    return ExitCode.OK


@command.command(name="verify")
@click.argument("paths", nargs=-1, type=click.Path(path_type=bytes))
@click.option(
    "--sample", type=click.IntRange(1, 1_000_000), default=_SAMPLE, show_default=True, help="One directory in so many."
)
@click.option("--all", "everything", is_flag=True, help="Every remembered file.")
@click.option("--json", "as_json", is_flag=True, help="NDJSON events on stdout.")
@click.pass_context
def verify_command(ctx: click.Context, *, paths: tuple[bytes, ...], sample: int, everything: bool, as_json: bool) -> int:
    """Read remembered files below PATHS (anywhere, where none is named) again and compare. Exit 3: a digest was wrong."""
    with wiring.conversation(wiring.Talk(json=as_json, quiet=as_json, text_on_stdout=True)) as (reporter, _):
        cache = engines.digest_cache(wiring.settings(ctx.obj))
        counts = Verified()
        told = 0
        for counts in verify(cache, engines.absolute(list(paths)), 1 if everything else sample):
            for place in counts.wrong[told:]:
                reporter.tell(events.warning(Warned("the remembered digest is wrong, and is forgotten", place)))
            told = len(counts.wrong)
        facts: dict[str, Json] = {
            "rows": counts.rows,
            "agreed": counts.agreed,
            "wrong": told,
            "moved_on": counts.moved_on,
            "unread": counts.unread,
            "unchecked_rows": counts.unchecked,
        }
        reporter.tell(events.status({"verified": facts}))
    return ExitCode.INCOMPLETE if told else ExitCode.OK
