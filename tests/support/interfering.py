"""A small tree with one file in it, and ways to interfere with a vault at work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hashscan.quarantine.policy import Limits
from hashscan.quarantine.vault import Vault

DATA = b"harmless " * 300_000  # more than two chunks
INNOCENT = b"innocent"


def acting(tmp_path: Path, moment: str, act: Callable[[], object]) -> Vault:
    """A vault in whose work something happens at one moment."""

    def step(name: str) -> None:
        if name == moment:
            act()

    return Vault(tmp_path / "vault", Limits(), step=step)


def swapping(path: Path, moment: str, act: Callable[[], object]) -> Callable[[str], None]:
    """A step hook: what is captured is another file than the one that was copied; then something happens at one moment."""

    def step(name: str) -> None:
        if name == "before capture":
            path.unlink()
            path.write_bytes(INNOCENT)
        if name == moment:
            act()

    return step


def stop() -> None:
    raise KeyboardInterrupt
