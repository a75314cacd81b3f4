"""hashscan schema."""

from __future__ import annotations

import json

import click

from hashscan.cli import wiring
from hashscan.errors import ExitCode
from hashscan.report import schema


@click.command(name="schema")
@click.argument("name", type=click.Choice(schema.NAMES))
def command(name: str) -> int:
    """Print the JSON Schema (draft 2020-12) of what this program writes: 'event' (--json), 'report' (report --format json)."""
    wiring.say(json.dumps(schema.load(name), indent=2))
    return ExitCode.OK
