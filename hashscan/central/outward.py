"""Messages to others than the service, without paying for requests before there is one to send."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from hashscan.central.link import Address

if TYPE_CHECKING:
    from hashscan.central.push import Push


class Outward:
    """Posts to one address; the session is opened with the first message. Raises what `central.push.Push` raises."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._push: Push | None = None

    def post(self, body: bytes, headers: Mapping[str, str], more: str = "") -> None:
        """Post to the address with ``more`` behind its path. Raises `ServiceUnavailable` where no 2xx came."""
        if self._push is None:
            from hashscan.central.push import Push  # noqa: PLC0415 - brings requests

            self._push = Push(self._address)
        self._push.post(body, headers, more)

    def close(self) -> None:
        """Close the connections."""
        if self._push is not None:
            self._push.close()
