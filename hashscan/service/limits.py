"""How often somebody may ask: requests of one API key, and of one address that shows no key that is known.

Kept in the memory of each process that answers: with several of them a limit holds for each. What an agent may learn is bounded
by its budget (`quotas`), which is in the database; this only keeps one caller from taking the time of all others.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field

from hashscan.service.access import NotServed

MOST_REMEMBERED = 10_000  # callers; of more the ones that were quiet for longest are forgotten
MAX_RETRY = 3600.0  # seconds


@dataclass(frozen=True, slots=True)
class Rate:
    """``per_second`` in the long run, ``burst`` at once; ``per_second`` 0: no limit."""

    per_second: float
    burst: float


BURST_SECONDS = 10.0
PER_KEY = Rate(50.0, 50.0 * BURST_SECONDS)
PER_STRANGER = Rate(0.5, 100.0)


class Buckets:
    """A bucket for each caller that is remembered; who is not remembered has a full one."""

    def __init__(self, rate: Rate, most: int = MOST_REMEMBERED) -> None:
        self._rate = rate
        self._most = most
        self._levels: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def wait(self, who: Hashable, now: float, cost: float = 1.0) -> float:
        """Seconds until ``cost`` can be taken; 0.0: it was taken. With ``cost`` 0 whether anything is left."""
        if not self._rate.per_second:
            return 0.0
        level, at = self._levels.pop(who, (self._rate.burst, now))
        level = min(self._rate.burst, level + max(0.0, now - at) * self._rate.per_second)
        enough = level >= max(cost, 1.0)
        self._levels[who] = (level - cost if enough else level), now
        while len(self._levels) > self._most:
            self._levels.popitem(last=False)
        return 0.0 if enough else max((max(cost, 1.0) - level) / self._rate.per_second, 0.001)


@dataclass(slots=True)
class Gate:
    """Both limits. Who shows a key that was good before is no stranger, whatever others do at the same address."""

    per_key: Rate = PER_KEY
    per_stranger: Rate = PER_STRANGER
    _keys: Buckets = field(init=False)
    _strangers: Buckets = field(init=False)
    _good: OrderedDict[int, None] = field(init=False, default_factory=OrderedDict)

    def __post_init__(self) -> None:
        self._keys, self._strangers = Buckets(self.per_key), Buckets(self.per_stranger)

    def stranger(self, address: str, now: float) -> None:
        """A request without a key (an enrolment), or with one that is not known. Raises `NotServed` (429)."""
        _refuse(self._strangers.wait(_network(address), now), "there were too many requests without a known key")

    def before(self, authorization: str | None, address: str, now: float) -> None:
        """Before a key is looked up: an address with too many bad ones is not even looked up. Raises `NotServed` (429)."""
        if not self.was_good(authorization):
            _refuse(self._strangers.wait(_network(address), now, 0.0), "there were too many requests without a known key")

    def was_good(self, authorization: str | None) -> bool:
        """Whether a key was good when it was last looked up here; it may have been revoked since."""
        return hash(authorization) in self._good

    def known(self, authorization: str | None, api_key_id: int, now: float) -> None:
        """A key that is good. Raises `NotServed` (429) where it asks too often."""
        self._good[hash(authorization)] = None
        while len(self._good) > MOST_REMEMBERED:
            self._good.popitem(last=False)
        _refuse(self._keys.wait(api_key_id, now), "this API key sends too many requests")


def _network(address: str) -> str:
    """An address of IPv4, the network of 64 bits of one of IPv6: that many one customer has."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(found, ipaddress.IPv6Address):
        mapped = found.ipv4_mapped
        return str(mapped) if mapped is not None else str(ipaddress.ip_network((int(found), 64), strict=False))
    return address


def _refuse(wait: float, message: str) -> None:
    if wait:
        raise NotServed(429, "too_often", f"{message}; wait a little", retry_after=min(max(wait, 1.0), MAX_RETRY))
