"""Enrol this host: prove the code, open what the service hands over, check the root that the code pins, write all or nothing.

The API key is made here and noted before the service is asked. Where the reply is lost, or this process is killed, the same
command goes on with the same key; another key would be refused, because the code is used.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from hashscan.atomic import write_bytes
from hashscan.errors import FilterError, RefusedError, StateError, UsageError
from hashscan.jobs.settling import Connection, Place, alone, config_text, make_folder, settle
from hashscan.known.codes import Code
from hashscan.known.enrolment import Application, Handover, check_label, new_api_key, new_nonce, open_handover
from hashscan.known.metadata import read_root
from hashscan.settings import Settings
from hashscan.strict_json import Fields, StrictJsonError, parse_object

MAX_ATTEMPT_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Attempt:
    """What must be the same when an application is sent again."""

    code_id: str
    nonce: str
    api_key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Enrolled:
    """The provider that this host belongs to now, and the settings in force."""

    provider: str
    settings: Settings


def enroll(code: Code, label: str, place: Place, connection: Connection, ask: Callable[[bytes], bytes]) -> Enrolled:
    """Enrol with ``code``; ``ask`` sends an application and returns the unchecked reply.

    Raises `RefusedError` (nothing is left behind), `FilterError` (not from who made the code), `ServiceUnavailable`,
    `StateError`: after those three the same command goes on. `LockedError` where another enrolment is under way here.
    """
    check_label(label)
    fresh = make_folder(place.folder)
    with alone(place.folder):
        attempt = begin(place, code)
        try:
            application = Application.make(code, attempt.api_key, label, attempt.nonce)
            handover = open_handover(ask(application.encode()), application, code)
        except RefusedError:
            forget(place, fresh=fresh)
            raise
        _check_root(handover.root)
        settings = settle(place, _contents(place, connection, attempt, handover), connection)
        forget(place, fresh=False)
    return Enrolled(handover.provider, settings)


def _check_root(root: bytes) -> None:
    """The code pins these bytes; that they are a root at all is checked before anything is written."""
    try:
        read_root(root)
    except UsageError as error:
        raise FilterError(f"the service handed over a root that is none: {error}", hint="tell the hotline") from None


def _contents(place: Place, connection: Connection, attempt: Attempt, handover: Handover) -> dict[Path, bytes]:
    """In the order in which they take their places: without the configuration, the others are nothing yet."""
    return {
        place.folder / "root.json": handover.root,
        place.folder / "provider-key": handover.ring.text().encode(),
        place.folder / "api-key": f"{attempt.api_key}\n".encode(),
        place.config: config_text(connection, handover.provider, place),
    }


def interrupted(attempt: Path, code: Code) -> Attempt | None:
    """What an earlier try with the same code left, if anything."""
    try:
        fd = os.open(attempt, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(fd, "rb") as stream:
            data = stream.read(MAX_ATTEMPT_BYTES + 1)
        fields = Fields(parse_object(data, max_bytes=MAX_ATTEMPT_BYTES, max_depth=1), "attempt")
        found = Attempt(fields.text("code_id"), fields.text("nonce"), fields.text("api_key"))
    except (OSError, StrictJsonError):
        return None
    return found if found.code_id == code.id.hex() else None


def begin(place: Place, code: Code) -> Attempt:
    """The attempt to go on with, durable before anybody is asked. Raises `StateError`."""
    found = interrupted(place.attempt, code)
    if found is not None:
        return found
    attempt = Attempt(code.id.hex(), new_nonce(), new_api_key())
    document = {"code_id": attempt.code_id, "nonce": attempt.nonce, "api_key": attempt.api_key}
    try:
        write_bytes(place.attempt, json.dumps(document).encode(), mode=0o600)
    except OSError as error:
        raise StateError(f"{place.folder} cannot be written: {error.strerror}", hint="are you root?") from None
    return attempt


def forget(place: Place, *, fresh: bool) -> None:
    """Remove the attempt, and the folder where it was made for it."""
    place.attempt.unlink(missing_ok=True)
    if fresh:
        with suppress(OSError):  # not empty: somebody else put something there
            place.folder.rmdir()


def default_label(hostname: str) -> str:
    """A host's name as the label of its agent."""
    text = re.sub(r"[^A-Za-z0-9._-]", "-", hostname).lstrip("._-")[:64]
    return text or "agent"
