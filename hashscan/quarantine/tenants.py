"""Whose file is it? Rules map a path to the customer, for caps and for the abuse desk. Pure.

A rule is an absolute path with ``{tenant}`` in one of its components; ``*`` stands for any characters within a component:
``/home*/{tenant}/`` or ``/srv/www/{tenant}.example.org/htdocs``. The first rule that fits the beginning of a path decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from hashscan.errors import UsageError

PROFILES = {
    "cpanel": ("/home*/{tenant}/",),
    "plesk": ("/var/www/vhosts/system/{tenant}/", "/var/www/vhosts/{tenant}/"),
    "directadmin": ("/home/{tenant}/",),
    "home": ("/home/{tenant}/",),
}
"""Ready-made rules for control panels, by their names."""

MAX_RULES = 100
MAX_RULE_CHARS = 1024
MAX_TENANT_BYTES = 255
_NOBODY = frozenset({b"..", b"."})


class Tenants:
    """The rules of this host, in order. Raises `UsageError` for a rule that is none."""

    def __init__(self, rules: Sequence[str]) -> None:
        if len(rules) > MAX_RULES:
            raise UsageError(f"there are {len(rules)} tenant rules, at most {MAX_RULES} are allowed")
        self._patterns = [_compile(rule) for rule in rules]

    @classmethod
    def of(cls, profiles: Iterable[str], rules: Iterable[str]) -> Tenants:
        """Own rules first, then those of profiles. Raises `UsageError`."""
        every = list(rules)
        for name in profiles:
            if name not in PROFILES:
                raise UsageError(f"there is no tenant profile {name!r}", hint=f"known are {', '.join(PROFILES)}")
            every += PROFILES[name]
        return cls(every)

    def of_path(self, path: bytes) -> str:
        """The customer whose file ``path`` (absolute) is, printable; empty where no rule fits."""
        for pattern in self._patterns:
            if (match := pattern.match(path)) and (name := match["tenant"]) not in _NOBODY:
                return name[:MAX_TENANT_BYTES].replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")
        return ""


NOBODY = Tenants([])
"""No rules: no file is anybody's."""


def _compile(rule: str) -> re.Pattern[bytes]:
    hint = "a rule is like /home/{tenant}/ or /srv/www/{tenant}.example.org/"
    if not rule.startswith("/") or len(rule) > MAX_RULE_CHARS or "\0" in rule:
        raise UsageError(f"the tenant rule {rule[:80]!r} is not an absolute path", hint=hint)
    if rule.count("{tenant}") != 1:
        raise UsageError(f"the tenant rule {rule[:80]!r} needs {{tenant}} once", hint=hint)
    pattern = b"".join(map(_component, rule.rstrip("/").split("/")[1:]))
    return re.compile(pattern + rb"(?=/)")  # a customer's files lie below, the folder itself is nobody's


def _component(text: str) -> bytes:
    if not text:
        raise UsageError("a tenant rule has an empty component")
    parts = []
    for piece in re.split(r"(\{tenant\}|\*)", text):
        if piece == "{tenant}":
            parts.append(rb"(?P<tenant>[^/]+?)")
        elif piece == "*":
            parts.append(rb"[^/]*?")
        else:
            parts.append(re.escape(piece.encode("utf-8", "surrogateescape")))
    return b"/" + b"".join(parts)
