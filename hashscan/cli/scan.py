"""hashscan scan."""

from __future__ import annotations

import errno
import os
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import click

from hashscan.cli import alerting, engines, pacing, parts, plans, resuming, wiring
from hashscan.cli.folding import speak
from hashscan.cli.resuming import checkpoint_of
from hashscan.cli.stopping import Stop
from hashscan.errors import ExitCode, FilterError, QuarantineError, RefusedError, UsageError
from hashscan.files.excludes import Excludes
from hashscan.files.walk import WalkOptions
from hashscan.jobs.conclude import ActTools, never
from hashscan.jobs.outcomes import close_run
from hashscan.jobs.scan import ScanTools, scan
from hashscan.jobs.selftest import require_self_test
from hashscan.jobs.status import record_failure, record_run
from hashscan.jobs.steering import Steering
from hashscan.model import Event, Json, ListRef, Place, Reason, Skipped
from hashscan.ports import Reporter
from hashscan.report import events
from hashscan.report.tally import Tally
from hashscan.settings import Part, Settings

_MAX_LISTED = 1_000_000  # paths from --files-from
_MAX_LISTED_BYTES = 1 << 28
_MAX_SHOWN = 100  # roots told at the start, where they come from a list


def _path(value: str) -> bytes:
    """A path as bytes. `click.Path` looks at it, and so waits for ever where a filesystem does not answer."""
    return os.fsencode(value)


@click.command(name="scan")
@click.argument("paths", nargs=-1, type=_path)
@click.option(
    "--known", type=click.Path(dir_okay=False, path_type=Path), help="Audit against this plain hash list, no service."
)
@click.option("--quarantine/--report", "quarantine", default=None, help="Move findings into the vault, or only report them.")
@click.option("--dry-run", is_flag=True, help="Move nothing and tell the service nothing, whatever the configuration says.")
@click.option("--files-from", metavar="FILE", help="Scan the paths listed in FILE ('-' is stdin), one a line.")
@click.option("-0", "null", is_flag=True, help="With --files-from: paths end with a NUL byte, not a line end.")
@click.option("-j", "--jobs", type=click.IntRange(1, 64), help="Worker processes.")
@click.option("--no-cache", is_flag=True, help="Read every file, and remember no digest.")
@click.option("--resume", is_flag=True, help="Go on with the scan that was stopped or killed; it knows its PATHS.")
@click.option(
    "--html",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Also write the report of this run as a page.",
)
@click.option("--auto-resume", is_flag=True, help="Go on with the same scan where it was stopped; else begin it.")
@click.option("--profile", metavar="NAME", help="Also use the settings below [profile.NAME].")
@pacing.flags
@click.option("--json", "as_json", is_flag=True, help="NDJSON events on stdout.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing unless somebody should look.")
@click.option("-v", "--verbose", is_flag=True, help="Name every skipped path.")
@click.option("--exit-code", type=click.IntRange(0, 255), metavar="N", help="Exit with N where there are findings.")
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> int:
    """Walk PATHS, hash each file, check it against the lists, confirm candidates, and act on findings.

    Findings are reported; they are moved only with --quarantine or where the configuration switches that on.
    """
    talk = wiring.Talk(json=options["as_json"], quiet=options["quiet"], verbose=options["verbose"])
    with wiring.conversation(talk) as (screen, stack):
        flags = {
            "scan.jobs": options["jobs"],
            "quarantine.enabled": options["quarantine"],
            "cache.enabled": False if options["no_cache"] else None,
            "scan.resume": "auto" if options["auto_resume"] else None,
            **pacing.given(options),
        }
        settings = wiring.settings(ctx.obj._replace(profile=options["profile"] or ctx.obj.profile), flags, Part.READ)
        heard = alerting.Run("scan", audit=bool(options["known"]), page=options["html"])
        with alerting.heard(settings, talk, screen, heard) as reporter:
            code = _prepared(settings, options, reporter, stack)
    return _mapped(code, options["exit_code"])


def _prepared(settings: Settings, options: dict[str, Any], reporter: Reporter, stack: ExitStack) -> ExitCode:
    """The scan, after what was asked for was checked."""
    listed = engines.absolute(_listed(options["files_from"], null=options["null"]))
    roots = engines.absolute(options["paths"])
    if options["resume"] and (roots or listed or options["known"]):
        raise UsageError("--resume goes on with the paths and lists of a scan that was stopped", hint="name no PATH")
    if not roots and not listed and not options["resume"]:
        roots = _configured(settings)
    own = engines.own_folders(settings)
    _refuse_excluded(settings, roots)
    pacing.wait(settings, audit=bool(options["known"]), quiet=options["quiet"])
    started = time.time()
    silent = engines.unanswering(settings, [*roots, *listed])
    own.refuse([path for path in (*roots, *listed) if path not in silent])
    try:
        return _scan(settings, options, _Run(reporter, stack, started, roots, listed, own, silent))
    except (FilterError, RefusedError, QuarantineError) as error:
        if not options["known"] and not options["dry_run"]:
            record_failure(settings.scan_dir, error, started=started)
        raise


def _configured(settings: Settings) -> list[bytes]:
    """The paths that the configuration names. Raises `UsageError`."""
    paths = [os.fsencode(path) for path in settings.scan.roots]
    if not paths:
        raise UsageError("nothing to scan", hint="name at least one PATH, or set scan.roots")
    if not all(path.startswith(b"/") for path in paths):
        raise UsageError("scan.roots must be absolute paths", hint="see 'hashscan config show --origin'")
    return engines.absolute(paths)


def _refuse_excluded(settings: Settings, roots: list[bytes]) -> None:
    exclude = engines.excludes(settings)
    for root in roots if exclude else ():
        if exclude is not None and exclude.names_root(root):
            name = os.fsdecode(root)
            raise UsageError(f"{name!r} is to be scanned and excluded", hint="leave out the path or the pattern")


@dataclass(frozen=True, slots=True)
class _Run:
    """One run of the command: its sinks, what to close at its end, when it began, paths named and listed, our own folders.

    ``silent``: paths whose filesystem does not answer, which nobody in this process may touch.
    """

    reporter: Reporter
    stack: ExitStack
    started: float
    roots: list[bytes]
    listed: list[bytes]
    own: engines.OwnFolders
    silent: frozenset[bytes]


def _scan(settings: Settings, options: dict[str, Any], run: _Run) -> ExitCode:
    plan = _plan(settings, options, run)
    stop = Stop(run.stack, pausable=True)  # not earlier: reading a list that never ends would go on
    pacing.be_a_good_neighbour(settings)
    walk = engines.scan_options(settings, run.own, audit=plan.lists is None)
    tally = Tally(stale=plan.stale)
    word = pacing.word(settings, run.stack) if plan.lists else None
    steering = Steering(pacing.orders(settings, stop, word=word), tally)
    found = _to_go_on_with(settings, options, run, plan, walk)
    run.reporter.tell(_start(settings, run, plan, found))
    tally.unsettled_cases = plans.recover(plan, run.reporter)
    # An audit cannot ask again later, so that it reports what it has found even when it is stopped.
    until = steering.stop if plan.lists else never
    act = ActTools(plan.confirmer, plan.memory, plan.quarantine, run.reporter, until, plan.tenant_of)
    roots = _roots(run, tally, walk.exclude)
    checkpoint = checkpoint_of(settings, plan, tally)
    if found.saved:
        tally.add(found.saved.totals)
    engine = engines.engine(settings, walk, checkpoint, found.saved, steering.rest)
    scan(ScanTools(engine, plan.sieve, act, time.monotonic, steering.stop), roots, tally)
    close_run(plan.tell, plan.confirmer, run.reporter, tally)
    complete = not tally.stopped
    if complete and checkpoint is not None:
        checkpoint.remove()
    if plan.recorded:
        record_run(settings.scan_dir, tally, complete=complete, started=run.started)
    run.reporter.tell(events.summary(tally, complete=complete, seconds=time.time() - run.started))
    if checkpoint is not None and not complete and not options["quiet"]:
        speak("'hashscan scan --resume' goes on where it stopped", err=True)
    return tally.exit_code


def _to_go_on_with(
    settings: Settings, options: dict[str, Any], run: _Run, plan: plans.Plan, walk: WalkOptions
) -> resuming.Found:
    """What an earlier scan left, where this one is to go on with it; its roots are ours then."""
    if options["resume"]:
        saved = resuming.stopped_scan(settings)
        run.roots.extend(saved.roots)
        return resuming.Found(saved)
    # Paths of a list, and such as do not answer, are counted before the walk: a checkpoint has them already.
    if settings.scan.resume != "auto" or run.listed or run.silent:
        return resuming.Found()
    checkpoint = checkpoint_of(settings, plan, Tally())
    return resuming.same_scan(settings, engines.engine(settings, walk, checkpoint), run.roots, plan.sieve)


def _start(settings: Settings, run: _Run, plan: plans.Plan, found: resuming.Found) -> Event:
    told: dict[str, Json] = {
        "jobs": settings.scan.jobs,
        "stale": plan.stale,
        "listed": len(run.listed),
        "resumed": found.saved is not None,
        **({"not_resumed": found.why_not} if found.why_not else {}),
        **pacing.told(settings),
    }
    shown = [*run.roots, *run.listed][: max(len(run.roots), _MAX_SHOWN)]
    return events.scan_start(shown, plan.mode, _list_refs(plan), told)


def _roots(run: _Run, tally: Tally, exclude: Excludes | None) -> list[bytes]:
    """The paths to scan. A missing one is a mistake where it was named; where it was listed, it is counted as unreadable.

    One whose filesystem does not answer is counted and told, so that it keeps nothing else from being scanned.
    """
    for path in run.silent:
        hung = Skipped(Place(path, b""), Reason.TIMEOUT, detail="its filesystem does not answer")
        tally.seen += 1
        tally.skipped[hung.reason] += 1
        run.reporter.tell(events.skipped(hung))
    present = [path for path in run.roots if path not in run.silent]
    for path in run.listed:
        if path in run.silent:
            continue
        if exclude is not None and exclude.names_root(path):
            tally.seen += 1
            tally.skipped[Reason.EXCLUDED] += 1
            continue
        try:
            os.stat(path)
        except OSError as error:
            skip = Skipped(Place(path, b""), Reason.ERROR, errno.errorcode.get(error.errno or 0, "EIO"), "listed")
            tally.seen += 1
            tally.errors[skip.errno] += 1
            run.reporter.tell(events.error(skip))
        else:
            present.append(path)
    return present


def _plan(settings: Settings, options: dict[str, Any], run: _Run) -> plans.Plan:
    """What the scan works with, after everything that must hold before it was checked."""
    if options["known"]:
        if options["quarantine"]:
            raise UsageError("an audit against a plain list never moves files", hint="leave --quarantine or --known out")
        return plans.audit_plan(options["known"])
    plan = parts.walking_plan(settings, run.stack, dry_run=options["dry_run"])
    require_self_test(plan.sieve)
    return plan


def _list_refs(plan: plans.Plan) -> list[ListRef]:
    return [target.list for target in plan.lists.targets] if plan.lists else []


def _mapped(code: ExitCode, wanted: int | None) -> int:
    found = {ExitCode.FINDINGS, ExitCode.ACTION_FAILED}
    return wanted if wanted is not None and code in found else int(code)


def _listed(source: str | None, *, null: bool) -> list[bytes]:
    """The paths in ``source``. Raises `UsageError`."""
    if source is None:
        return []
    try:
        if source == "-":
            data = _all_of(sys.stdin.buffer, "stdin")
        else:
            with Path(source).open("rb") as stream:
                data = _all_of(stream, source)
    except OSError as error:
        raise UsageError(f"cannot read the paths in {source}: {error.strerror}") from None
    paths = [path for path in data.split(b"\0" if null else b"\n") if path]
    if len(paths) > _MAX_LISTED:
        raise UsageError(f"{source} lists more than {_MAX_LISTED} paths", hint="scan their directory, or split the list")
    if any(b"\0" in path for path in paths):
        raise UsageError(f"a path in {source} holds a NUL byte", hint="with -0, paths end with NUL bytes")
    return paths


def _all_of(stream: BinaryIO, name: str) -> bytes:
    data = stream.read(_MAX_LISTED_BYTES + 1)
    if len(data) > _MAX_LISTED_BYTES:
        raise UsageError(f"{name} is longer than {_MAX_LISTED_BYTES} bytes", hint="scan their directory, or split the list")
    return data
