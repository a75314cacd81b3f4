"""Messages to others than the service: a monitor, a receiver of webhooks. The second use of requests, by the same rules.

Only https, or http on loopback; no redirect is followed, no cookie kept, no proxy of the environment used; an answer is 2xx or
none. The address may be a secret (a monitor's is): it is never in a message.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from http.cookiejar import DefaultCookiePolicy

import requests
from urllib3.exceptions import HTTPError

from hashscan import __version__
from hashscan.central.certificates import tls_context
from hashscan.central.deadline import Deadline, DeadlineAdapter
from hashscan.central.link import Address
from hashscan.central.retry import retry_after
from hashscan.errors import ServiceUnavailable

_MAX_ANSWER_BYTES = 4096  # what it says beyond the status is not read further


class Push:
    """Posts to one address, each call bounded by its deadline."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._deadline = Deadline()
        self._session = requests.Session()
        ca_file = address.ca_file
        adapter = DeadlineAdapter(self._deadline, lambda: tls_context(ca_file, None, time.time(), setting="alerts.ca_file"))
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, adapter)
        self._session.trust_env = False
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        if address.proxy:
            self._session.proxies = {"https": address.proxy, "http": address.proxy}
        self._session.headers.update({"User-Agent": f"hashscan/{__version__}", "Accept-Encoding": "identity"})

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def post(self, body: bytes, headers: Mapping[str, str], more: str = "") -> None:
        """Post to the address with ``more`` behind its path. Raises `ServiceUnavailable` where no 2xx came."""
        address = self._address
        self._deadline.begin(address.deadline)
        try:
            with self._session.post(
                address.url.rstrip("/") + more if more else address.url,
                data=body,
                headers=dict(headers),
                timeout=(address.deadline, address.deadline),
                allow_redirects=False,
                stream=True,
                verify=str(address.ca_file) if address.ca_file else True,
            ) as answer:
                status, wait = answer.status_code, retry_after(answer.headers.get("Retry-After"), time.time())
                answer.raw.read(_MAX_ANSWER_BYTES, decode_content=False)
        except (requests.exceptions.RequestException, HTTPError, OSError) as error:
            # Not the words of requests: they have the address in them.
            raise ServiceUnavailable(f"{address.name} does not answer ({_why(error)})") from None
        if not 200 <= status < 300:
            raise ServiceUnavailable(f"{address.name} answered {status}", retry_after=wait)


def _why(error: Exception) -> str:
    """In words of ours."""
    if isinstance(error, requests.exceptions.SSLError):
        return "no trusted connection"
    return "it takes too long" if isinstance(error, requests.exceptions.Timeout) else "no connection"
