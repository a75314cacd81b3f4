"""A report as one HTML page that needs nothing else: no script, no request, strict content security policy.

It is made to be printed, signed and put into a file by somebody who has never seen the program. Whatever comes from a disk or
a list goes through `fields.text` (printable) and `html.escape`; ``style`` attributes are not used, so that the policy can name
the one style sheet by its digest.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from html import escape
from importlib import resources

from hashscan import __version__
from hashscan.model import Json
from hashscan.report import page_parts as parts
from hashscan.report.document import fingerprint
from hashscan.report.fields import text
from hashscan.report.page_result import result
from hashscan.report.page_words import signatures, words
from hashscan.units import rfc3339


@cache
def _style() -> str:
    return resources.files("hashscan.report").joinpath("page.css").read_text(encoding="utf-8")


def policy() -> str:
    """The content security policy of the page: its own style sheet by digest, nothing else from anywhere."""
    digest = base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def as_page(document: Mapping[str, Json], *, now: float, earlier: parts.Earlier = ()) -> str:
    """The page. ``now`` (seconds since 1970) is when it was made, ``earlier`` are summaries of runs before, oldest first."""
    title = f"Scan report, {text(document, 'host')}, {parts.moment(text(document, 'started'))}"
    sections = (
        result(document),
        parts.facts(document),
        parts.looked_at(document),
        parts.findings(document),
        parts.pending(document),
        parts.missed(document),
        parts.time(document, earlier),
        parts.notes(document),
        words(),
        signatures(),
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy()}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<meta name="robots" content="noindex, nofollow, noarchive">
<meta name="generator" content="hashscan {escape(__version__)}">
<title>{escape(title)}</title>
<style>{_style()}</style>
</head>
<body>
<a class="skip" href="#result">Skip to the result</a>
<header>
<p class="sub">hashscan: comparison of files with hash lists of known material</p>
<h1>Scan report</h1>
<p class="sub">Host {escape(text(document, "host"))}, run <span class="mono">{escape(text(document, "run_id"))}</span></p>
</header>
<main>
{"".join(sections)}
</main>
<footer>
<p>Made by hashscan {escape(__version__)} on {escape(parts.moment(rfc3339(now)))}. SHA-256 of the data of this report, as
<code>{escape(parts.json_command(document))}</code> prints it: <span class="mono">{fingerprint(document)}</span></p>
</footer>
</body>
</html>
"""
