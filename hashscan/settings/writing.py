"""Settings as people and editors read them: values as TOML, a commented file with every setting, a JSON Schema."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hashscan.settings.pressure import PressureLimits, as_pressure
from hashscan.settings.sections import SECTIONS
from hashscan.settings.sources import PROFILE, fields_of
from hashscan.settings.timetable import Timetable, Window, as_timetable, as_window
from hashscan.units import as_count, as_duration, as_flag, as_names, as_niceness, as_shard, as_size, as_text

_DURATIONS = ((86_400, "d"), (3600, "h"), (60, "m"), (1, "s"))
_SIZES = ((1 << 40, "T"), (1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K"))
_WIDTH = 120

_INTEGER = {"type": "integer", "minimum": 0}
_SHAPES: Mapping[Callable[[Any], Any], Mapping[str, Any]] = {
    as_text: {"type": "string"},
    as_flag: {"type": "boolean"},
    as_count: _INTEGER,
    as_niceness: {**_INTEGER, "maximum": 19},
    as_names: {"type": "array", "items": {"type": "string"}},
    as_size: {"anyOf": [_INTEGER, {"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*[kKmMgGtT]?([iI]?[bB])?\s*$"}]},
    as_duration: {
        "anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*[smhdwSMHDW]?\s*$"}]
    },
    as_timetable: {"type": "string", "examples": ["20M", "08:00,10M 22:00,off"]},
    as_window: {"type": "string", "examples": ["22:00-06:00"]},
    as_pressure: {"type": "string", "examples": ["on", "off", "io=30,cpu=60,memory=10"]},
    as_shard: {"type": "string", "pattern": r"^\s*[0-9]{1,4}/[0-9]{1,4}\s*$"},
}


def as_toml(section: str, key: str, value: Any) -> str:
    """The value of a setting as one would write it. Passwords in addresses are left out."""
    return json.dumps(plain(section, key, value))


def plain(section: str, key: str, value: Any) -> Any:
    """The value as JSON and TOML have it: what a reader would make the same value of."""
    convert = fields_of(section)[key].metadata["convert"]
    if isinstance(value, Timetable | Window):
        return value.text
    if isinstance(value, PressureLimits):
        return _pressure(value)
    if convert is as_shard:
        return "{}/{}".format(*value)
    if convert in (as_duration, as_size):
        return _with_unit(value, _DURATIONS if convert is as_duration else _SIZES)
    return [_unsaid(one) for one in value] if isinstance(value, tuple) else _unsaid(value)


def _with_unit(value: float, units: tuple[tuple[int, str], ...]) -> Any:
    for size, name in units:
        if value and value % size == 0:
            return f"{int(value // size)}{name}"
    return int(value) if value == int(value) else value


def _pressure(value: PressureLimits) -> str:
    shares = {one.name: getattr(value, one.name) for one in dataclasses.fields(value)}
    return ",".join(f"{name}={round(share * 100)}" for name, share in shares.items() if share) or "off"


def _unsaid(value: Any) -> Any:
    """A text without the password of an address."""
    return re.sub(r"//[^/@\s]*@", "//***@", value) if isinstance(value, str) else value


def _summary(section: str) -> str:
    """What a section is about, from its docstring."""
    return str(SECTIONS[section].__doc__).split("\n", maxsplit=1)[0].partition(": ")[2]


def template() -> str:
    """A configuration with every setting, its default and its line of explanation; all commented out, so it changes nothing."""
    return "\n".join(_template()) + "\n"


def _template() -> Iterator[str]:
    yield "# hashscan: every setting with its default. Take the # away from what is to be different."
    yield "# Files in conf.d/*.toml beside this one count more, in the order of their names; then [profile.NAME] by --profile,"
    yield "# then HASHSCAN_SECTION_KEY in the environment, then flags. `hashscan config validate` says what is wrong,"
    yield "# `hashscan config show --origin` what holds and why. Editors: `hashscan config schema`."
    for section in SECTIONS:
        yield ""
        about = _summary(section).replace("``", "`")
        yield f"# {about[0].upper()}{about[1:]}"
        yield f"[{section}]"
        for key, spec in fields_of(section).items():
            yield f"# {spec.metadata['doc']}"
            yield f"#{key} = {as_toml(section, key, spec.default)}"
    yield ""
    yield "# A profile is taken by `--profile nightly`: what stands in it counts more than the sections above."
    yield "#[profile.nightly]"
    yield '#pace.window = "22:00-06:00"'
    yield '#pace.pressure = "on"'
    yield '#pace.ionice = "idle"'
    yield "#pace.nice = 19"
    yield '#scan.resume = "auto"'


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a configuration file."""
    sections = {section: _section(section) for section in SECTIONS}
    profile = {"type": "object", "additionalProperties": False, "properties": sections}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:hashscan:config:1",
        "title": "hashscan configuration",
        "type": "object",
        "additionalProperties": False,
        "properties": {**sections, PROFILE: {"type": "object", "additionalProperties": profile}},
    }


def _section(section: str) -> dict[str, Any]:
    properties = {}
    for key, spec in fields_of(section).items():
        convert = spec.metadata["convert"]
        shape = {"enum": list(convert.words)} if hasattr(convert, "words") else dict(_SHAPES[convert])
        properties[key] = {
            "description": spec.metadata["doc"],
            "default": plain(section, key, spec.default),
            **shape,
        }
    return {"type": "object", "description": _summary(section), "additionalProperties": False, "properties": properties}
