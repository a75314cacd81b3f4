"""Admitting a provider: the keys are made, and written once for its agents (docs/wire.md, "Enrolment")."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy import select

from hashscan.atomic import make_private_directory, write_bytes
from hashscan.errors import UsageError
from hashscan.known.keys import ProviderKey
from hashscan.service.access import api_key_hash, new_api_key
from hashscan.service.names import check_name
from hashscan.service.store import Store
from hashscan.service.tables import Phase, Provider

FIRST_EPOCH = 1
FILES = ("config.toml", "api-key", "provider-key", "service.pub")


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What was made for a provider: the files in ``folder``, all of mode 0600. The API key exists nowhere else."""

    provider: str
    phase: Phase
    folder: Path
    files: tuple[Path, ...]


def add_provider(store: Store, name: str, *, phase: Phase, url: str, out: Path) -> Enrolment:
    """Admit a provider. ``url`` is where its agents reach the service; ``out`` must not hold an enrolment yet.

    Raises `UsageError` (a bad name or URL, a provider or files that are there already, a folder that cannot be written).
    """
    check_name(name, "provider name")
    _check_url(url)
    if any((out / one).exists() for one in FILES):
        raise UsageError(f"{out} holds an enrolment already", hint="give each provider a folder of its own")
    api_key, key = new_api_key(), ProviderKey.generate()
    contents = {
        "config.toml": _config(name, url),
        "api-key": api_key + "\n",
        "provider-key": key.hex() + "\n",
        "service.pub": store.signing_key().public_hex() + "\n",
    }
    written: list[Path] = []
    try:
        with store.writing() as session:
            if session.scalar(select(Provider.id).where(Provider.name == name)) is not None:
                raise UsageError(f"there is a provider {name!r} already")
            session.add(
                Provider(
                    name=name,
                    phase=phase.value,
                    api_key_sha256=api_key_hash(api_key),
                    provider_key=key.raw,
                    epoch=FIRST_EPOCH,
                    created=time.time(),
                )
            )
            session.flush()
            make_private_directory(out)
            for file_name, text in contents.items():
                written.append(out / file_name)
                write_bytes(out / file_name, text.encode(), mode=0o600)
    except BaseException as error:
        for path in written:  # keys of a provider that was not admitted
            path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise UsageError(f"cannot write the enrolment into {out}: {error.strerror}") from None
        raise
    return Enrolment(name, phase, out, tuple(written))


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or not url.isprintable():
        raise UsageError(f"{url!r} is not an http or https URL")
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
        'public_key_file = "service.pub"\n'
    )
