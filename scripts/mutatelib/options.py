"""What a run was asked for, in a form that passes from the command line to the process that does it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
REPOSITORY = Path(__file__).resolve().parents[2]
TESTS = (
    "tests/unit/test_fsops*.py",
    "tests/unit/test_quarantine_*.py",
    "tests/contracts/test_quarantine.py",
    "tests/unit/test_jobs_audit_log.py",
    "tests/unit/test_jobs_restore.py",
)
"""The same as scripts/coverage."""


@dataclass(frozen=True, slots=True)
class Options:
    """``seconds`` of processor time for each change, ``minutes`` for the whole run (0: until it is done).

    ``shard`` of ``shards``: every so many-th change, from 0. ``first``: only so many changes of a module (0: all).
    ``controls``: how many functions of a module are run unchanged. ``again``: run those once more that survived.
    """

    results: str
    modules: tuple[str, ...]
    tests: tuple[str, ...]
    seconds: float = 4.0
    minutes: float = 0.0
    shard: int = 0
    shards: int = 1
    first: int = 0
    controls: int = 2
    again: bool = False

    def of(self, changes: list[T]) -> list[T]:
        """Those changes of a module that are asked for."""
        return changes[: self.first or None][self.shard :: self.shards]

    def to_json(self) -> str:
        """For the command line of the other process."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Options:
        """The other way."""
        fields = json.loads(text)
        return cls(**{**fields, "modules": tuple(fields["modules"]), "tests": tuple(fields["tests"])})


def modules_of(wanted: list[str]) -> tuple[str, ...]:
    """Paths below the repository: all, or those named by path or by name. Raises ValueError for one that is not among them."""
    found = [REPOSITORY / "hashscan/fsops.py", *sorted((REPOSITORY / "hashscan/quarantine").glob("*.py"))]
    paths = [str(path.relative_to(REPOSITORY)) for path in found if path.name != "__init__.py"]
    for name in wanted:
        if not any(_is(path, name) for path in paths):
            raise ValueError(f"there is no module {name!r} among {', '.join(paths)}")
    return tuple(path for path in paths if not wanted or any(_is(path, name) for name in wanted))


def _is(path: str, name: str) -> bool:
    return path == name or path.endswith(f"/{name}") or Path(path).stem == name
