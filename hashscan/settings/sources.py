"""Where settings come from: files, the environment, flags. Everything that is wrong is collected; `load` tells the first of it.

A file holds sections, and profiles that hold sections: ``[profile.nightly.scan]``, or ``scan.jobs = 2`` below
``[profile.nightly]``.
"""

from __future__ import annotations

import dataclasses
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hashscan.settings.secrets import PREFIX, credential
from hashscan.settings.sections import SECTIONS

MAX_CONFIG_BYTES = 1 << 20
PROFILE = "profile"
_ENV_PREFIX = "HASHSCAN_"
_MOST_SHOWN = 120  # characters of a value that is wrong
_MOST_SAID = 500  # characters of a message about a name


@dataclass(frozen=True, slots=True)
class Given:
    """One value that somebody gave. ``folder`` is where relative names belong; ``profile`` is "" outside of profiles."""

    section: str
    key: str
    value: Any
    origin: str
    folder: Path | None = None
    profile: str = ""

    @property
    def name(self) -> str:
        """As in "scan.jobs"."""
        return f"{self.section}.{self.key}"


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, and what to do about it. ``key`` is a dotted name to be looked for in ``file``, where there is one."""

    message: str
    hint: str = ""
    file: Path | None = None
    key: str = ""


@dataclass(slots=True)
class Found:
    """What some sources say, in the order in which it counts, and what is wrong with them."""

    given: list[Given] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    profiles: set[str] = field(default_factory=set)

    def add(self, other: Found) -> None:
        """Take over what another source says, which counts more."""
        self.given += other.given
        self.problems += other.problems
        self.profiles |= other.profiles


def fields_of(section: str) -> Mapping[str, dataclasses.Field[Any]]:
    """The settings of a section by their keys."""
    return {one.name: one for one in dataclasses.fields(SECTIONS[section])}


def default_paths(folder: Path, environ: Mapping[str, str]) -> Iterator[Given]:
    """Relative defaults belong to the configuration too: a pinned key from where we happen to stand could be a tenant's.

    A secret that systemd hands to this unit takes the place of the default file.
    """
    for section in SECTIONS:
        for key, spec in fields_of(section).items():
            if not spec.metadata["is_path"] or not spec.default:
                continue
            handed = _handed(spec.metadata["credential"], environ)
            if handed:
                yield Given(section, key, handed, "credential")
            else:
                yield Given(section, key, spec.default, "", folder)


def _handed(name: str, environ: Mapping[str, str]) -> str:
    try:
        path = credential(name, environ) if name else ""
    except ValueError:
        return ""
    return path if os.path.exists(path) else ""


def from_file(path: Path, *, must_exist: bool) -> Found:
    """What a configuration file says."""
    found = Found()
    document = _document(path, found, must_exist=must_exist)
    profiles = document.pop(PROFILE, {})
    _sections(document, found, path, "")
    if not isinstance(profiles, dict) or not all(isinstance(one, dict) for one in profiles.values()):
        found.problems.append(Problem(f"{path}: {PROFILE} is for sections: write [{PROFILE}.NAME]", file=path, key=PROFILE))
        return found
    for name, sections in profiles.items():
        found.profiles.add(name)
        _sections(sections, found, path, name)
    return found


def _document(path: Path, found: Found, *, must_exist: bool) -> dict[str, Any]:
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_CONFIG_BYTES + 1)
    except OSError as error:
        hint = "is --config right?" if must_exist else ""
        found.problems.append(Problem(f"cannot read the configuration {path}: {error.strerror}", hint))
        return {}
    if len(data) > MAX_CONFIG_BYTES:
        found.problems.append(Problem(f"the configuration {path} is longer than {MAX_CONFIG_BYTES} bytes"))
        return {}
    try:
        return tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:  # TOML or UTF-8 that is none; a number of thousands of digits
        found.problems.append(Problem(f"the configuration {path} is not TOML: {str(error)[:_MOST_SAID]}"))
        return {}


def _sections(document: Mapping[str, Any], found: Found, path: Path, profile: str) -> None:
    where = f"{PROFILE}.{profile}." if profile else ""
    for section, table in document.items():
        dotted = f"{where}{section}"
        if (
            wrong := _unknown(section, [*SECTIONS, *([] if profile else [PROFILE])], f"{path}: section [{dotted}]")
        ) is not None:
            found.problems.append(dataclasses.replace(wrong, file=path, key=dotted))
        elif not isinstance(table, dict):
            found.problems.append(Problem(f"{path}: {dotted} is a section: write [{dotted}]", file=path, key=dotted))
        else:
            _keys(section, table, found, (path, profile, dotted))


def _keys(section: str, table: Mapping[str, Any], found: Found, at: tuple[Path, str, str]) -> None:
    path, profile, dotted = at
    origin = f"{path} [{PROFILE}.{profile}]" if profile else str(path)
    for key, value in table.items():
        if (wrong := _unknown(key, fields_of(section), f"{path}: {dotted}.{key}")) is not None:
            found.problems.append(dataclasses.replace(wrong, file=path, key=f"{dotted}.{key}"))
            continue
        one = Given(section, key, value, origin, path.parent, profile)
        try:
            converted(one, None)
        except ValueError as error:
            found.problems.append(Problem(*_said(one, error), file=path, key=f"{dotted}.{key}"))
        else:
            found.given.append(one)


def from_environment(environ: Mapping[str, str]) -> Found:
    """What variables say. Others with our prefix (HASHSCAN_BUDGET of the tests) are none of ours: only a known section is."""
    found = Found()
    for name, value in sorted(environ.items()):
        section, _, key = name.removeprefix(_ENV_PREFIX).lower().partition("_")
        if not name.startswith(_ENV_PREFIX) or section not in SECTIONS:
            continue
        if (wrong := _unknown(key, fields_of(section), f"environment: {name}")) is not None:
            found.problems.append(wrong)
        else:
            found.add(checked(Given(section, key, value, f"environment {name}")))
    return found


def checked(one: Given) -> Found:
    """One value, or what is wrong with it."""
    try:
        converted(one, None)
    except ValueError as error:
        return Found(problems=[Problem(*_said(one, error))])
    return Found([one])


def _unknown(name: str, known: Iterable[str], what: str) -> Problem | None:
    if name in known:
        return None
    import difflib  # noqa: PLC0415 - for those who err

    close = difflib.get_close_matches(name, list(known), n=1)
    return Problem(
        f"{what[:_MOST_SAID]} is not known", f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"
    )


def unknown_profile(name: str, profiles: Iterable[str]) -> Problem:
    """A profile that no file has."""
    known = sorted(profiles)
    if not known:
        return Problem(f"there is no profile {name!r}", f"no file has one: write [{PROFILE}.{name}.scan]")
    return _unknown(name, known, f"profile {name!r}") or Problem(name)


def converted(one: Given, environ: Mapping[str, str] | None) -> Any:
    """The value as it is used. Raises ValueError saying what is wanted. Without ``environ`` credentials are not looked up."""
    spec = fields_of(one.section)[one.key]
    value = spec.metadata["convert"](one.value)
    if spec.metadata["credential"] and str(value).startswith(PREFIX):
        return credential(value.removeprefix(PREFIX), environ) if environ is not None else value
    if spec.metadata["is_path"] and value and one.folder is not None:
        return str(one.folder / value)  # a relative name belongs to the folder of the file that says it
    return value


def _said(one: Given, error: ValueError) -> tuple[str, str]:
    return f"{one.name} ({one.origin}) must be {error}, not {_short(one.value)}", ""


def _short(value: Any) -> str:
    """A value as it is shown: a file may hold a megabyte of it."""
    try:
        shown = repr(value)
    except ValueError:  # written in hexadecimal, integers may have more digits than Python writes
        shown = "a number of thousands of digits"
    return shown if len(shown) <= _MOST_SHOWN else f"{shown[:_MOST_SHOWN]}..."


_HEADER = re.compile(r"\s*\[\s*([^\[\]]+?)\s*\]\s*(?:#.*)?")
_ASSIGNMENT = re.compile(r"\s*([\w.\-\"' ]+?)\s*=")


def line_of(path: Path, key: str) -> int:
    """The line on which a dotted name stands in a file, 0 where that cannot be told. TOML's own parser does not say."""
    try:
        with path.open(encoding="utf-8", errors="replace") as stream:
            lines = stream.read(MAX_CONFIG_BYTES).splitlines()
    except OSError:
        return 0
    table, inside, best = "", False, 0
    for number, line in enumerate(lines, 1):
        quotes = line.count('"""') + line.count("'" * 3)
        if not inside and (header := _HEADER.fullmatch(line)):
            table = _plain(header[1])
            best = best or number * (table == key or table.startswith(f"{key}."))
        elif not inside and (match := _ASSIGNMENT.match(line)):
            name = f"{table}.{_plain(match[1])}" if table else _plain(match[1])
            if name == key:
                return number
        inside = inside != bool(quotes % 2)
    return best


def _plain(name: str) -> str:
    return re.sub(r"[\s\"']", "", name)
