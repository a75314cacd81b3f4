"""axe-core, the accessibility checker, from the npm registry: fetched once into a cache folder, believed by its digest."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from tests.support.chromium import Tab

VERSION = "4.14.1"
SHA512 = "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="  # as npm writes it
FETCH_SECONDS = 60
_NAME = f"axe-core-{VERSION}.tgz"


def folder() -> Path:
    """Where the package is kept between runs."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hashscan-tests"


@cache
def source() -> str | None:
    """The script, or None where it is neither here nor can be fetched. Nothing of the package is run by npm."""
    package = folder() / _NAME
    if not _is_right(package):
        _fetch(package)
    if not _is_right(package):
        return None
    with tarfile.open(package) as archive:
        member = archive.extractfile("package/axe.min.js")
        assert member is not None
        return member.read().decode()


def _is_right(package: Path) -> bool:
    return package.is_file() and base64.b64encode(hashlib.sha512(package.read_bytes()).digest()).decode() == SHA512


def _fetch(package: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        return
    package.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=package.parent) as place:
        command = [npm, "pack", f"axe-core@{VERSION}", "--ignore-scripts", "--silent"]
        try:
            subprocess.run(command, cwd=place, capture_output=True, check=True, timeout=FETCH_SECONDS)
        except (OSError, subprocess.SubprocessError):
            return
        os.replace(Path(place) / _NAME, package)


def install(tab: Tab) -> None:
    """Have axe in every page that the tab opens from now on."""
    script = source()
    assert script is not None
    tab.send("Page.addScriptToEvaluateOnNewDocument", source=script)


def violations(tab: Tab, rules: tuple[str, ...] = ()) -> list[str]:
    """What is wrong with the page, one line each: all rules, or ``rules`` only."""
    only = f", runOnly: {{type: 'rule', values: {list(rules)}}}" if rules else ""
    found: list[dict[str, Any]] = tab.run(
        f"""axe.run(document, {{resultTypes: ['violations']{only}}}).then(done => done.violations.map(one => ({{
            id: one.id, help: one.help, nodes: one.nodes.map(node => node.html.slice(0, 160) + ' | ' + node.failureSummary)
        }})))"""
    )
    return [f"{one['id']}: {one['help']}: {node}" for one in found for node in one["nodes"][:3]]
