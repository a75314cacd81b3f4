"""What a provider is called where its name is not shown: the same at all times, and nothing that can be guessed.

It is derived from the first key of the provider, which is never removed; who has no provider key cannot tell the name.
"""

from __future__ import annotations

from collections.abc import Mapping

from blake3 import blake3
from sqlalchemy import select
from sqlalchemy.orm import Session

from hashscan.service.tables import Provider, ProviderKeyRow

_CONTEXT = "hashscan monitor pseudonym v1"


def pseudonym(first_key: bytes) -> str:
    """ "p_" and 12 hex digits."""
    return "p_" + blake3(first_key, derive_key_context=_CONTEXT).hexdigest(length=6)


def pseudonyms(session: Session) -> Mapping[str, str]:
    """Of every provider's name the pseudonym."""
    query = (
        select(Provider.name, ProviderKeyRow.raw)
        .join(ProviderKeyRow, ProviderKeyRow.provider_id == Provider.id)
        .order_by(ProviderKeyRow.since.desc())  # the first key comes last, and stays
    )
    return {name: pseudonym(raw) for name, raw in session.execute(query)}
