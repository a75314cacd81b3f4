"""Recheck: new lists, old files. The digests that are remembered go the way of a scan, and no file is read on it."""

from __future__ import annotations

from collections.abc import Sequence

from hashscan.files.recheck import RecheckEngine
from hashscan.jobs.scan import ScanTools, scan
from hashscan.report.tally import Tally


def recheck(tools: ScanTools, roots: Sequence[bytes], tally: Tally) -> None:
    """What is remembered below ``roots`` (none: everything), every candidate asked about, every finding acted upon.

    Raises what `jobs.scan.scan` raises, and `IncompleteError` where nothing is remembered; ValueError for an engine that walks.
    """
    if not isinstance(tools.engine, RecheckEngine):
        raise ValueError("a recheck reads no file: it needs the engine that walks the digest cache")  # noqa: TRY004
    scan(tools, roots, tally)
