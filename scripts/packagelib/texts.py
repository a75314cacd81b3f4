"""Texts that packages carry: changelog, copyright of what is inside, and templates with their names filled in."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable
from email.utils import formatdate

from scripts.packagelib.ground import Ground, tilde
from scripts.packagelib.wheels import Wheel

MAINTAINER = os.environ.get("HASHSCAN_MAINTAINER", "The hashscan authors <packages@hashscan.invalid>")
"""Whoever hands packages out names themselves."""
SUMMARY = "find known material on a server by its digests"
DESCRIPTION = """\
Finds known child sexual abuse material on a hosting company's servers by
its digests, confirms each find with the hotline's service, and only then
quarantines it, where that is switched on. A fresh installation reports
and moves nothing, and no timer is enabled."""
SERVICE_SUMMARY = "find known material by its digests: the central service"
SERVICE_DESCRIPTION = """\
What 'hashscan service' and 'hashscan demo' need: the central service that
a hotline or police unit runs for companies. An agent does not need it."""


def changes(text: str) -> list[str]:
    """The entries of the newest section of CHANGELOG.md, each on one line, without markup."""
    section = re.split(r"^## ", text, flags=re.MULTILINE)[1]
    joined = re.sub(r"\n  +", " ", section)
    return [re.sub(r"[`*]|\[([^\]]+)\]\([^)]*\)", r"\1", one) for one in re.findall(r"^- (.+)$", joined, re.MULTILINE)]


def _wrapped(text: str, first: str, rest: str, width: int = 78) -> str:
    lines, line = [], first
    for word in text.split():
        if len(line) + len(word) > width and line.strip(" *-"):
            lines.append(line.rstrip())
            line = rest
        line += f"{word} "
    return "\n".join([*lines, line.rstrip()])


def debian_changelog(ground: Ground, package: str, text: str) -> str:
    """One entry, of this version."""
    told = "\n".join(_wrapped(one, "  * ", "    ") for one in changes(text)) or "  * See CHANGELOG.md."
    date = formatdate(ground.epoch, localtime=False).replace("-0000", "+0000")
    return f"{package} ({tilde(ground.version)}) unstable; urgency=medium\n\n{told}\n\n -- {MAINTAINER}  {date}\n"


def rpm_changelog(ground: Ground, text: str) -> str:
    """The same for %changelog. % begins a macro there."""
    told = "\n".join(_wrapped(one, "- ", "  ") for one in changes(text)).replace("%", "%%")
    day = time.strftime("%a %b %d %Y", time.gmtime(ground.epoch))
    return f"* {day} {MAINTAINER} - {tilde(ground.version)}-1\n{told}\n"


def copyright_file(wheels: Iterable[Wheel]) -> str:
    """Whose what is, as far as the distributions say it; their licences in full are in their .dist-info folders."""
    head = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n"
    head += "Upstream-Name: hashscan\n"
    ours = "Files: *\nCopyright: The hashscan authors\nLicense: Apache-2.0\n"
    apache = "License: Apache-2.0\n On Debian systems the text is in /usr/share/common-licenses/Apache-2.0.\n"
    parts = [head, ours, apache]
    others = {(one.name, one.version, one.licence) for one in wheels}
    for name, version, licence in sorted(others):
        folder = f"usr/lib/hashscan/{name.replace('-', '_')}-{version}.dist-info"
        parts.append(
            f"Files: usr/lib/hashscan/{name.replace('-', '_')}*\nCopyright: the authors of {name} {version}, see /{folder}\n"
            f"License: {name}\n {licence}\n .\n In full: /{folder}\n"
        )
    return "\n".join(parts)


def filled(template: str, **values: str) -> str:
    """A template with its @NAMES@ replaced. Raises KeyError for one that nobody fills."""
    return re.sub(r"@([A-Z_]+)@", lambda found: values[found[1]], template)
