"""The composition root for who hears of a run beside screen and stdout: the sinks of [alerts], the history, a page."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from hashscan.central.link import Address
from hashscan.central.outward import Outward
from hashscan.cli import talking
from hashscan.cli.report import rendered, save
from hashscan.cli.status import write_metrics
from hashscan.errors import HashscanError, UsageError
from hashscan.model import Event, Json
from hashscan.ports import Reporter
from hashscan.report import document, events
from hashscan.report.ecs import as_ecs
from hashscan.report.fallible import Sink, Sinks
from hashscan.report.hooks import Hooks, HookSink
from hashscan.report.logfile import FileSink, Mapper, as_it_is
from hashscan.report.minimal import Detail, full, minimal
from hashscan.report.ndjson import Envelope
from hashscan.report.ocsf import as_ocsf
from hashscan.report.open_findings import OpenFindings
from hashscan.report.ping import PingSink
from hashscan.report.recorder import Recorder, RunHead
from hashscan.report.spool import Spool
from hashscan.report.syslog import SyslogSink
from hashscan.report.webhook import Courier, WebhookSink, key_of
from hashscan.settings import Part, Settings, read_secret

SPOOL = "spool"
_MAPPERS: Mapping[str, Mapper] = {"events": as_it_is, "ecs": as_ecs, "ocsf": as_ocsf}


@dataclass(frozen=True, slots=True)
class Run:
    """Which run is heard: its command, whether it leaves nothing behind (an audit), and where its page shall be written.

    An audit has no sinks either: it is a person who looks, on a host that may not be theirs.
    """

    command: str
    audit: bool = False
    page: Path | None = None


@contextmanager
def heard(chosen: Settings, talk: talking.Talk, reporter: Reporter, run: Run) -> Iterator[Reporter]:
    """A reporter that tells the one of the conversation and all that hear this run, until the block ends.

    Raises `UsageError` for settings of sinks that cannot be right, and where the page could not be written: at the end of a
    long run it would be too late to say so.
    """
    if run.page is not None and not os.access(run.page.absolute().parent, os.W_OK | os.X_OK):
        raise UsageError(f"the page {run.page} cannot be written there", hint="--html names a file in a folder of yours")
    with ExitStack() as stack:
        sinks: list[Sink] = []
        if not run.audit:
            if chosen.part in (None, Part.ACT):
                sinks.append(Sink("clock", OpenFindings(chosen.state_dir, time.time, looks=chosen.part is not None)))
            sinks += sinks_of(chosen, talk.run_id, stack, pings=run.command == "scan")
        everybody = Sinks(reporter, sinks, _record(chosen, talk, run))
        try:
            yield everybody
        except HashscanError as error:
            everybody.told_elsewhere(events.exit_error(error))  # the conversation tells it to everybody else
            raise


def sinks_of(chosen: Settings, run_id: str, stack: ExitStack, *, pings: bool) -> list[Sink]:
    """The sinks that are configured, the fastest first. Raises `UsageError`.

    Of a split host file, metrics and hooks hear ACT, which is root and says what was found and done; what needs a network hears
    NET, and webhooks of the others wait on disk for it.
    """
    told = chosen.alerts
    envelope = Envelope(run_id, socket.gethostname(), time.time)
    detail = full if told.detail == "full" else minimal
    sinks: list[Sink] = []
    acts = chosen.part in (None, Part.ACT)
    if told.file and acts:
        file = FileSink(Path(told.file), envelope, detail, _MAPPERS[told.file_format])
        stack.callback(file.close)
        sinks.append(Sink("file", file))
    if told.syslog:
        syslog = SyslogSink(told.syslog, told.syslog_format, envelope, detail)
        stack.callback(syslog.close)
        sinks.append(Sink("syslog", syslog))
    if told.metrics_file and acts:
        sinks.append(Sink("metrics", _AtTheEnd(lambda: write_metrics(chosen, Path(told.metrics_file)))))
    if (told.on_finding or told.on_finish) and acts:
        sinks.append(Sink("hook", HookSink(Hooks(told.on_finding, told.on_finish, told.hook_timeout), envelope, detail)))
    if told.webhook_url:
        sinks.append(Sink("webhook", _webhook(chosen, envelope, detail, stack)))
    if told.ping_url_file and pings and chosen.part is None:
        sinks.append(Sink("ping", _ping(chosen, envelope, stack)))
    return sinks


class _AtTheEnd:
    """A sink that does one thing when a run is over."""

    def __init__(self, act: Callable[[], None]) -> None:
        self._act = act

    def tell(self, event: Event) -> None:
        """Do it. Raises what it raises."""
        if event.type in ("summary", "exit_error", "test"):
            self._act()


def courier(chosen: Settings, stack: ExitStack, folder: Path | None = None) -> tuple[Spool, Courier]:
    """What delivers webhooks, those in ``folder`` or our own. Raises `UsageError` where none is configured, or not rightly."""
    told = chosen.alerts
    if not told.webhook_url or not told.webhook_secret_file:
        hint = "set both alerts.webhook_url and alerts.webhook_secret_file"
        raise UsageError("a webhook needs an address and a secret", hint=hint)
    key = key_of(read_secret(Path(told.webhook_secret_file)))
    push = Outward(_address(chosen, "the webhook", told.webhook_url))
    stack.callback(push.close)
    spool = Spool(folder or chosen.state_dir / SPOOL)
    return spool, Courier(spool, key, push.post, time.time)


def deliver_for_others(chosen: Settings) -> None:
    """NET delivers the webhooks that the other parts of a split host have left; what nobody takes now waits on.

    Raises `UsageError`, `StateError`.
    """
    if chosen.part is not Part.NET or not chosen.alerts.webhook_url:
        return
    for part in (Part.ACT, Part.READ):
        with ExitStack() as stack:
            _, delivers = courier(chosen, stack, chosen.folder_of(part) / SPOOL)
            while (done := delivers.deliver(now_or_never=True)).sent and done.waiting and not done.why:
                pass


def _webhook(chosen: Settings, envelope: Envelope, detail: Detail, stack: ExitStack) -> Reporter:
    if chosen.part in (Part.READ, Part.ACT):
        return WebhookSink(Spool(chosen.state_dir / SPOOL, mode=0o640), None, envelope, detail)
    spool, delivers = courier(chosen, stack)
    return WebhookSink(spool, delivers, envelope, detail)


def _ping(chosen: Settings, envelope: Envelope, stack: ExitStack) -> Reporter:
    push = Outward(_address(chosen, "the monitor", read_secret(Path(chosen.alerts.ping_url_file))))
    stack.callback(push.close)
    return PingSink(lambda more, body: push.post(body, {"Content-Type": "application/json"}, more), envelope)


def _address(chosen: Settings, name: str, url: str) -> Address:
    told = chosen.alerts
    return Address(name, url, Path(told.ca_file) if told.ca_file else None, told.proxy, told.deadline)


def _record(chosen: Settings, talk: talking.Talk, run: Run) -> Sink | None:
    history = None if run.audit else talking.history(chosen)
    if history is None and run.page is None:
        return None

    def keep(told: Mapping[str, Json]) -> None:
        if history is not None:
            history.keep(told)
        if run.page is not None and told["exit_code"] is not None:
            save(run.page, rendered(document.disclosed(told, names=False), "html", []))

    head = RunHead(talk.run_id, socket.gethostname(), run.command, time.time())
    return Sink("report", Recorder(head, time.time, keep))
