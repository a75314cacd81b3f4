"""How much of the time others may wait for the machine before a scan rests."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from hashscan.units import as_text

_WANTED = '"off", "on", or percentages of the time like "io=30,cpu=60,memory=10"'


@dataclass(frozen=True, slots=True)
class PressureLimits:
    """Shares of the time, from 0 to 1, in which a task of somebody else waits for disk, processor or memory; 0: not asked."""

    io: float = 0.0
    cpu: float = 0.0
    memory: float = 0.0

    @property
    def on(self) -> bool:
        """Whether anything is asked."""
        return bool(self.io or self.cpu or self.memory)


USUAL = PressureLimits(io=0.3, cpu=0.6, memory=0.1)


def as_pressure(value: Any) -> PressureLimits:
    """Limits from a text. Raises ValueError saying what is wanted."""
    text = as_text(value).strip().lower()
    if text in ("", "off"):
        return PressureLimits()
    if text == "on":
        return USUAL
    found: dict[str, float] = {}
    for part in text.split(","):
        match = re.fullmatch(r"\s*(io|cpu|memory)\s*=\s*([0-9]{1,3})\s*%?\s*", part)
        if not match or match[1] in found or not 1 <= int(match[2]) <= 100:
            raise ValueError(_WANTED)
        found[match[1]] = int(match[2]) / 100
    return PressureLimits(**found)
