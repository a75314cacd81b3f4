"""Where agents are: a country and a site label of a provider, of one agent, or of a code that makes one."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from hashscan.errors import UsageError
from hashscan.service.agents import provider_row
from hashscan.service.monitor.fetching import check_country
from hashscan.service.store import Store
from hashscan.service.tables import ApiKey

_SITE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Place:
    """``country`` is ISO 3166 alpha-2, ``site`` a label that the provider understands; None: not known.

    Raises `UsageError` for what is neither.
    """

    country: str | None = None
    site: str | None = None

    def __post_init__(self) -> None:
        if self.country is not None:
            check_country(self.country)
        if self.site is not None and not _SITE.fullmatch(self.site):
            raise UsageError(f"{self.site!r} cannot be a site", hint="1 to 64 of A-Z a-z 0-9 . _ -, a letter or digit first")


def set_place(store: Store, name: str, key_id: int | None, place: Place) -> None:
    """Say where a provider is (its country), or one of its agents; what is None in ``place`` stays. Raises `UsageError`."""
    with store.writing() as session:
        provider = provider_row(session, name)
        if key_id is None:
            if place.site is not None:
                raise UsageError("a site is that of an agent", hint="name its key: 'hashscan service provider agents' does")
            provider.country = place.country if place.country is not None else provider.country
            return
        key = _key(session, provider.id, key_id)
        key.country = place.country if place.country is not None else key.country
        key.site = place.site if place.site is not None else key.site


def _key(session: Session, provider_id: int, key_id: int) -> ApiKey:
    key = session.scalar(select(ApiKey).where(ApiKey.id == key_id, ApiKey.provider_id == provider_id))
    if key is None:
        raise UsageError(f"this provider has no API key {key_id}", hint="'hashscan service provider agents' names them")
    return key
