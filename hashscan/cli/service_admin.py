"""The functions behind ``hashscan service``, which are an extra, and what its commands have in common."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any

from hashscan.errors import UsageError
from hashscan.units import parse_duration

_NEEDED = ("fastapi", "sqlalchemy", "alembic", "uvicorn", "cryptography", "jinja2")


def admin() -> Any:
    """The module `service.admin`. Imported here because FastAPI and SQLAlchemy are an extra. Raises `UsageError`."""
    _need_the_extra()
    from hashscan.service import admin  # noqa: PLC0415 - an extra

    return admin


def reviewing() -> Any:
    """The module `service.reviewing`, in the same way."""
    _need_the_extra()
    from hashscan.service import reviewing  # noqa: PLC0415 - an extra

    return reviewing


def monitoring() -> Any:
    """The module `service.monitor.exporting`, in the same way."""
    _need_the_extra()
    from hashscan.service.monitor import exporting  # noqa: PLC0415 - an extra

    return exporting


def _need_the_extra() -> None:
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(f"the service needs {', '.join(missing)}", hint="pip install 'hashscan[service]'")


def provider_line(one: Any) -> str:
    """A provider of the figures of the service, in one line."""
    slowest = "" if one.slowest_act is None else f"; slowest removal {one.slowest_act / 3600:.1f} h after first sight"
    return f"{one.name}: {one.phase}, key epoch {one.epoch}; outcomes {counts(one.outcomes)}{slowest}"


def counts(found: Mapping[str, int]) -> str:
    """ "2 active, 1 test"; "none" where there are none."""
    return ", ".join(f"{count:,} {name}" for name, count in sorted(found.items())) or "none"


def duration(text: str, flag: str) -> float:
    """The seconds that a flag says, as in "36h". Raises `UsageError`."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(f"{flag} {text!r}: {error}") from None
