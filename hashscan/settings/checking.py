"""What is wrong with a configuration beyond its values: files that it names, or that it is made of."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from hashscan.errors import UsageError
from hashscan.settings import Settings
from hashscan.settings.secrets import check_private
from hashscan.settings.sections import SECTIONS
from hashscan.settings.sources import Problem, fields_of

_FOLDERS = {"quarantine.vault", "paths.state", "paths.run", "paths.cache"}
_WRITTEN = {"alerts.file", "alerts.metrics_file"}
"""Files that the first run makes: their folder must be there."""
_SOCKETS = {"alerts.syslog"}


def files_problems(settings: Settings, config_files: list[Path]) -> Iterator[Problem]:
    """Files of the configuration that others can change, and files named in it that are missing or too open."""
    for path in config_files:
        yield from _too_open(path)
    for section in SECTIONS:
        for key, spec in fields_of(section).items():
            name, value = f"{section}.{key}", getattr(getattr(settings, section), key)
            wanted = name in settings.origins or (section == "service" and bool(settings.service.url))
            if spec.metadata["is_path"] and value and wanted and name not in _FOLDERS:
                yield from _judged(name, Path(value), secret=bool(spec.metadata["credential"]))


def _too_open(path: Path) -> Iterator[Problem]:
    try:
        status = path.stat()
    except OSError:
        return  # reading it said why
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        yield Problem(f"{path}: others can change it", f"chmod go-w {path}")
    if status.st_uid not in {os.geteuid(), 0}:
        yield Problem(f"{path}: it belongs to user {status.st_uid}, neither you nor root", f"chown root {path}")


def _judged(name: str, path: Path, *, secret: bool) -> Iterator[Problem]:
    if name in _WRITTEN and not path.parent.is_dir():
        yield Problem(f"{name}: {path.parent} is no folder", f"mkdir -m 700 {path.parent}")
    if name in _SOCKETS and not path.is_socket():
        yield Problem(f"{name}: {path} is no socket", "does a syslog service run here?")
    if name not in _WRITTEN | _SOCKETS:
        yield from _named(name, path, secret=secret)


def _named(name: str, path: Path, *, secret: bool) -> Iterator[Problem]:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        yield Problem(f"{name}: cannot read {path}: {error.strerror}", "it comes with the enrolment" if secret else "")
        return
    try:
        if secret:
            check_private(path, os.fstat(fd))
        elif not stat.S_ISREG(os.fstat(fd).st_mode):
            yield Problem(f"{name}: {path} is no file")
    except UsageError as error:
        yield Problem(f"{name}: {error}", error.hint)
    finally:
        os.close(fd)
