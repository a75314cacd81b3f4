"""Admitting a provider, its codes and its keys: what an operator does (docs/service.md, "Enrolment")."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from hashscan.atomic import make_private_directory, write_bytes
from hashscan.errors import UsageError
from hashscan.known.codes import Code
from hashscan.known.enrolment import new_api_key
from hashscan.known.keys import MAX_RING, KeyRing, ProviderKey
from hashscan.service.access import api_key_hash
from hashscan.service.agents import add_key, open_codes, provider_row
from hashscan.service.keys import OnlineKeys
from hashscan.service.names import check_name
from hashscan.service.places import Place
from hashscan.service.store import Store
from hashscan.service.tables import EnrolmentCode, Phase, Provider, ProviderKeyRow

FIRST_EPOCH = 1
FILES = ("config.toml", "api-key", "provider-key", "root.json")
FOLDER_LABEL = "folder"  # of the API key in a folder of files: nobody knows yet on which host it will be
NOWHERE = Place()
MAX_VALID = 30 * 86_400.0  # seconds that a code may be valid
MAX_OPEN_CODES = 1000  # of one provider
MIN_VALID = 60.0


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A provider that was admitted, and the files in ``folder``, of mode 0600, if any. Their API key exists nowhere else."""

    provider: str
    phase: Phase
    folder: Path | None
    files: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Rotated:
    """The epoch of the next publications of a provider, and how many older keys were revoked."""

    provider: str
    epoch: int
    revoked: int


def add_provider(store: Store, name: str, *, phase: Phase, url: str | None = None, out: Path | None = None) -> Enrolment:
    """Admit a provider, whose agents come with codes (`new_code`) or with the files in ``out``.

    ``url`` is where agents reach the service; ``out`` must not hold an enrolment yet. Raises `UsageError` (a bad name or URL,
    a provider or files that are there already, a folder that cannot be written).
    """
    check_name(name, "provider name")
    if out is None:
        with store.writing() as session:
            _admit(session, name, phase)
        return Enrolment(name, phase, None, ())
    if url is None:
        raise UsageError("files for agents need the URL of the service", hint="name --url, or leave --out away and use codes")
    check_url(url)
    if any((out / one).exists() for one in FILES):
        raise UsageError(f"{out} holds an enrolment already", hint="give each provider a folder of its own")
    root = OnlineKeys.open(store).bootstrap_root()
    written: list[Path] = []
    try:
        with store.writing() as session:
            provider, key = _admit(session, name, phase)
            api_key = new_api_key()
            add_key(session, provider.id, api_key_hash(api_key), FOLDER_LABEL, provider.created)
            _write(out, _contents(name, url, api_key, key, root), written)
    except BaseException as error:
        for path in written:  # keys of a provider that was not admitted
            path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise UsageError(f"cannot write the enrolment into {out}: {error.strerror}") from None
        raise
    return Enrolment(name, phase, out, tuple(written))


def _admit(session: Session, name: str, phase: Phase) -> tuple[Provider, ProviderKey]:
    if session.scalar(select(Provider.id).where(Provider.name == name)) is not None:
        raise UsageError(f"there is a provider {name!r} already")
    now, key = time.time(), ProviderKey.generate()
    provider = Provider(name=name, phase=phase.value, epoch=FIRST_EPOCH, created=now)
    session.add(provider)
    session.flush()
    session.add(ProviderKeyRow(provider_id=provider.id, since=FIRST_EPOCH, raw=key.raw, created=now, revoked=None))
    session.flush()
    return provider, key


def _contents(name: str, url: str, api_key: str, key: ProviderKey, root: bytes) -> Mapping[str, bytes]:
    return {
        "config.toml": _config(name, url).encode(),
        "api-key": f"{api_key}\n".encode(),
        "provider-key": KeyRing({FIRST_EPOCH: key}).text().encode(),
        "root.json": root,
    }


def _write(out: Path, contents: Mapping[str, bytes], written: list[Path]) -> None:
    make_private_directory(out)
    for file_name, data in contents.items():
        written.append(out / file_name)
        write_bytes(out / file_name, data, mode=0o600)


def new_code(store: Store, name: str, *, valid: float, now: float | None = None, place: Place = NOWHERE) -> str:
    """A code that enrols one agent, which is at ``place``, within ``valid`` seconds. It is shown once. Raises `UsageError`."""
    if not MIN_VALID <= valid <= MAX_VALID:
        raise UsageError(f"a code is valid from {MIN_VALID:.0f} seconds to {MAX_VALID / 86_400:.0f} days")
    root = OnlineKeys.open(store).bootstrap_root()
    code, at = Code.generate(root), time.time() if now is None else now
    with store.writing() as session:
        provider = provider_row(session, name)
        if provider.phase == Phase.SUSPENDED:
            raise UsageError(f"{name} is suspended", hint="put it into the phase trial or regular first")
        if len(open_codes(session, provider.id, at)) >= MAX_OPEN_CODES:
            raise UsageError(f"{name} has {MAX_OPEN_CODES} codes that nobody has used", hint="revoke some of them")
        old = update(EnrolmentCode).where(EnrolmentCode.used.is_(None), EnrolmentCode.expires <= at)
        session.execute(old.values(secret=b""))  # secrets that open nothing any more need not be here
        row = _code_row(code, provider.id, hashlib.sha256(root).hexdigest(), at, at + valid)
        row.site, row.country = place.site, place.country
        session.add(row)
    return code.text()


def _code_row(code: Code, provider_id: int, root_sha256: str, created: float, expires: float) -> EnrolmentCode:
    return EnrolmentCode(
        provider_id=provider_id,
        public_id=code.id.hex(),
        secret=code.secret,
        root_sha256=root_sha256,
        failures=0,
        created=created,
        expires=expires,
        used=None,
        api_key_id=None,
    )


def rotate_provider_key(store: Store, name: str, *, revoke_old: bool = False, now: float | None = None) -> Rotated:
    """A new K_provider from the next publication on. Agents fetch it with the sync that brings that publication.

    The old keys go on being answered, until ``revoke_old`` ends them: then agents that have not synced since wait for the next
    publication with their candidates pending. Raises `UsageError`.
    """
    at = time.time() if now is None else now
    with store.writing() as session:
        provider = provider_row(session, name)
        live = (ProviderKeyRow.provider_id == provider.id, ProviderKeyRow.revoked.is_(None))
        count = session.scalar(select(func.count()).select_from(ProviderKeyRow).where(*live)) or 0
        if count >= MAX_RING and not revoke_old:
            raise UsageError(f"{name} has {count} keys already", hint="revoke the old ones")
        if revoke_old:
            session.execute(update(ProviderKeyRow).where(*live).values(revoked=at))
        provider.epoch += 1
        key = ProviderKey.generate()
        session.add(ProviderKeyRow(provider_id=provider.id, since=provider.epoch, raw=key.raw, created=at, revoked=None))
        return Rotated(name, provider.epoch, count if revoke_old else 0)


def check_url(url: str) -> None:
    """Raises `UsageError` where ``url`` cannot be that of a service."""
    try:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or not url.isprintable() or parts.port == 0:
            raise ValueError
    except ValueError:  # also a port that is none, a bracket too few
        raise UsageError(f"{url!r} is not an http or https URL") from None
    if parts.username is not None or parts.query or parts.fragment:
        raise UsageError(f"{url!r}: a service URL has no user, query or fragment")


def _config(name: str, url: str) -> str:
    # The escapes of a JSON string are those of a TOML basic string.
    return (
        "# hashscan: how the agents of this provider reach the central service. Relative names are beside this file.\n"
        "[service]\n"
        f"url = {json.dumps(url)}\n"
        f"provider = {json.dumps(name)}\n"
        'api_key_file = "api-key"\n'
        'provider_key_file = "provider-key"\n'
        'root_file = "root.json"\n'
    )
