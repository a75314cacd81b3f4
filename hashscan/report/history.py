"""The documents of earlier runs, in a folder that only we can read: bounded in number and in bytes, the oldest go first.

A name is ``20261128T013000Z-1a2b3c4d5e6f7081.json``: when the run began and its id, so that a listing is in order of time.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hashscan.atomic import make_private_directory, write_bytes
from hashscan.errors import StateError, UsageError
from hashscan.model import Json
from hashscan.strict_json import StrictJsonError, parse_object

FOLDER = "runs"
MAX_DOCUMENT_BYTES = 16 << 20
MAX_TOTAL_BYTES = 128 << 20
LAST = "last"
_NAME = re.compile(r"[0-9]{8}T[0-9]{6}Z-([0-9a-f]{16})\.json")


class History:
    """Keeps the documents of ``most`` runs in ``folder``; 0 keeps none. Raises `StateError`, `UsageError`.

    ``read_also``: folders in which the other parts of a split host keep theirs.
    """

    def __init__(self, folder: Path, most: int, read_also: Sequence[Path] = ()) -> None:
        self._folder = folder
        self._most = most
        self._all = list(dict.fromkeys([folder, *read_also]))

    def keep(self, document: Mapping[str, Json]) -> None:
        """Store one document, in the place of an earlier one of the same run, and drop what is too much."""
        if self._most == 0:
            return
        began = datetime.fromtimestamp(float(str(document["started_seconds"])), UTC)
        data = json.dumps(document, separators=(",", ":")).encode("ascii")
        try:
            make_private_directory(self._folder)
            write_bytes(self._folder / f"{began:%Y%m%dT%H%M%SZ}-{document['run_id']}.json", data)
            self._drop()
        except OSError as error:
            raise StateError(f"the report of this run cannot be kept: {error.strerror}", hint="check rights and disk") from None

    def _drop(self) -> None:
        """The newest stays, whatever its size."""
        total = 0
        for kept, name in enumerate(reversed(_names(self._folder))):
            total += os.stat(self._folder / name).st_size
            if kept >= self._most or (kept and total > MAX_TOTAL_BYTES):
                os.unlink(self._folder / name)

    def names(self) -> list[str]:
        """The files of all runs that are kept, the oldest first."""
        return sorted(name for folder in self._all for name in _names(folder))

    def find(self, run: str) -> dict[str, Any]:
        """The document of the run whose id begins with ``run``, or of the last one."""
        names = self.names()
        if not names:
            raise UsageError("no run is remembered on this host yet", hint="'hashscan scan PATH' makes one")
        if run == LAST:
            return self.read(names[-1])
        found = [name for name in names if name.partition("-")[2].startswith(run.lower())]
        if len(run) < 4 or len(found) != 1:
            which = "several runs begin" if len(found) > 1 else "no run begins"
            raise UsageError(f"{which} with {run!r}", hint="'hashscan report --list' names them; four digits are enough")
        return self.read(found[0])

    def read(self, name: str) -> dict[str, Any]:
        """One document."""
        path = next((folder / name for folder in self._all if (folder / name).exists()), self._folder / name)
        try:
            with path.open("rb") as stream:
                return parse_object(stream.read(MAX_DOCUMENT_BYTES + 1), max_bytes=MAX_DOCUMENT_BYTES)
        except OSError as error:
            raise StateError(f"cannot read {path}: {error.strerror}", hint="are you root?") from None
        except StrictJsonError as error:
            raise StateError(f"{path} is damaged: {error}", hint="remove it; other runs are not concerned") from None

    def all(self) -> Iterator[dict[str, Any] | StateError]:
        """All documents, the oldest first; in the place of a damaged one, what is wrong with it."""
        for name in self.names():
            try:
                yield self.read(name)
            except StateError as error:
                yield error


def _names(folder: Path) -> list[str]:
    try:
        return sorted(name for name in os.listdir(folder) if _NAME.fullmatch(name))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise StateError(f"the reports in {folder} cannot be read: {error.strerror}", hint="are you root?") from None
