"""hashscan rotate-key."""

from __future__ import annotations

import os
import socket
from contextlib import AbstractContextManager, closing
from dataclasses import replace
from pathlib import Path

import click

from hashscan.central.enrolling import HttpKeys
from hashscan.cli import wiring
from hashscan.cli.folding import speak
from hashscan.errors import ExitCode, UsageError
from hashscan.jobs.enroll import default_label
from hashscan.jobs.rotate_key import Files, KeyDesk, rotate_key
from hashscan.settings import Part


@click.command(name="rotate-key")
@click.option("--label", help="What the hotline calls this agent; default: the name of this host.")
@click.pass_context
def command(ctx: click.Context, label: str | None) -> int:
    """Put a new API key into the place of this host's, without a gap. After a crash, the same command finishes it."""
    settings = wiring.settings(ctx.obj, part=Part.NET)
    wiring.require_part(settings)
    if not settings.service.url:
        raise UsageError("no central service is configured", hint="enrol this host with 'hashscan enroll URL CODE'")
    link = wiring.link(settings)

    def connect(api_key: str) -> AbstractContextManager[KeyDesk]:
        return closing(HttpKeys(replace(link, api_key=api_key)))

    files = Files(Path(os.path.abspath(settings.service.api_key_file)))
    rotate_key(link.api_key or "", files, connect, label or default_label(socket.gethostname()))
    speak(f"a new API key is in {files.key}; the old one does not work any more")
    return ExitCode.OK
