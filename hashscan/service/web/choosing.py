"""What a person has chosen to look at: from the fields of a GET form to a `Selection`, and back into addresses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from hashscan.service.monitor.fetching import Selection
from hashscan.service.names import is_name

DAY_SECONDS = 86_400
PERIODS: Mapping[str, tuple[str, int | None]] = {
    "7": ("7 days", 7),
    "30": ("30 days", 30),
    "90": ("90 days", 90),
    "365": ("a year", 365),
    "all": ("all the time", None),
}
_DEFAULT = "90"
_PSEUDONYM = re.compile(r"p_[0-9a-f]{12}")
_COUNTRY = re.compile(r"[A-Z]{2}")


@dataclass(frozen=True, slots=True)
class Choice:
    """The fields as they count; what was no choice is the default. ``names``: providers by name and not by pseudonym.

    ``all_open``: every open finding that the monitor names, not only the first.
    """

    period: str = _DEFAULT
    list: str = ""
    provider: str = ""
    country: str = ""
    names: bool = False
    all_open: bool = False

    @property
    def words(self) -> str:
        """The period in words."""
        return PERIODS[self.period][0]

    def selection(self, now: float, *, always: bool = False) -> Selection:
        """The findings that are meant; with ``always`` of every period, because what is open does not end with one."""
        days = None if always else PERIODS[self.period][1]
        since = None if days is None else (now // DAY_SECONDS - days + 1) * DAY_SECONDS
        return Selection(since=since, list=self.list or None, provider=self.provider or None, country=self.country or None)

    def query(self, **changes: str) -> str:
        """These fields in an address, with ``changes``; what is as by default is left out."""
        fields = {
            "period": "" if self.period == _DEFAULT else self.period,
            "list": self.list,
            "provider": self.provider,
            "country": self.country,
            "names": "yes" if self.names else "",
            **changes,
        }
        return urlencode({name: value for name, value in fields.items() if value})


def chosen(fields: Mapping[str, str], *, may_see_names: bool) -> Choice:
    """What the fields of an address choose. Anything that is no value of its field is as if it were not there."""
    period, list_name, provider, country = (fields.get(one, "") for one in ("period", "list", "provider", "country"))
    return Choice(
        period if period in PERIODS else _DEFAULT,
        list_name if is_name(list_name) else "",
        provider if is_name(provider) or _PSEUDONYM.fullmatch(provider) else "",
        country if _COUNTRY.fullmatch(country) else "",
        may_see_names and fields.get("names") == "yes",
        fields.get("open") == "all",
    )
